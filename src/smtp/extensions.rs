//! The table of what we speak: by which RFC, under which keyword, at which door and when.
//!
//! EHLO's answer follows from it, and so does what the documentation says of SMTP.

use super::Role;

/// What decides on an extension being offered.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four facts that are independent of each other")]
pub struct Situation {
    /// Which door.
    pub role: Role,
    /// TLS could be put on now.
    pub tls_possible: bool,
    /// TLS is on and has a channel binding.
    pub binding: bool,
    /// Secrets may be sent.
    pub secured: bool,
    /// A user has logged in.
    pub logged_in: bool,
    /// Octets of the largest message.
    pub size_max: u64,
}

/// One extension.
pub struct Extension {
    /// Its EHLO keyword.
    pub keyword: &'static str,
    /// Its RFC.
    pub rfc: u16,
    /// The keyword with its arguments; None when it is not offered now.
    pub line: fn(&Situation) -> Option<String>,
}

/// All that we speak.
pub const EXTENSIONS: &[Extension] = &[
    extension("PIPELINING", 2920, |_| Some("PIPELINING".into())),
    extension("SIZE", 1870, |now| Some(format!("SIZE {}", now.size_max))),
    extension("8BITMIME", 6152, |_| Some("8BITMIME".into())),
    extension("SMTPUTF8", 6531, |_| Some("SMTPUTF8".into())),
    extension("ENHANCEDSTATUSCODES", 2034, |_| Some("ENHANCEDSTATUSCODES".into())),
    extension("CHUNKING", 3030, |_| Some("CHUNKING".into())),
    extension("BINARYMIME", 3030, |_| Some("BINARYMIME".into())),
    extension("BURL", 4468, |now| (now.role == Role::Submission).then(|| "BURL imap".into())),
    extension("DSN", 3461, |_| Some("DSN".into())),
    extension("STARTTLS", 3207, |now| now.may_start_tls().then(|| "STARTTLS".into())),
    extension("AUTH", 4954, |now| now.may_log_in().then(|| now.mechanisms())),
];

const fn extension(
    keyword: &'static str,
    rfc: u16,
    line: fn(&Situation) -> Option<String>,
) -> Extension {
    Extension { keyword, rfc, line }
}

impl Situation {
    /// That of a user who has logged in over TLS.
    pub const fn of_user(size_max: u64) -> Self {
        Self {
            role: Role::Submission,
            tls_possible: false,
            binding: true,
            secured: true,
            logged_in: true,
            size_max,
        }
    }

    /// EHLO's keyword lines.
    pub fn lines(&self) -> Vec<String> {
        EXTENSIONS.iter().filter_map(|extension| (extension.line)(self)).collect()
    }

    /// STARTTLS is offered where TLS can be had, but not within TLS nor after a login
    /// (RFC 3207 §4, RFC 4954 §4).
    pub fn may_start_tls(&self) -> bool {
        self.tls_possible && !self.logged_in
    }

    /// AUTH is offered to users only, once, and only where nobody can listen.
    pub fn may_log_in(&self) -> bool {
        self.role == Role::Submission && self.secured && !self.logged_in
    }

    fn mechanisms(&self) -> String {
        let plus = if self.binding { " SCRAM-SHA-256-PLUS" } else { "" };
        format!("AUTH{plus} SCRAM-SHA-256 PLAIN LOGIN")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Situation = Situation {
        role: Role::Submission,
        tls_possible: true,
        binding: false,
        secured: false,
        logged_in: false,
        size_max: 52_428_800,
    };

    fn says(now: Situation, keyword: &str) -> bool {
        now.lines().iter().any(|line| line.split(' ').next() == Some(keyword))
    }

    #[test]
    fn users_log_in_only_where_nobody_listens_and_only_once() {
        assert!(!says(FRESH, "AUTH"));
        let secured = Situation { secured: true, ..FRESH };
        assert!(says(secured, "AUTH"));
        assert!(!says(Situation { logged_in: true, ..secured }, "AUTH"));
        assert!(!says(Situation { role: Role::Mx, ..secured }, "AUTH"));
        assert!(!says(Situation { role: Role::Lmtp, ..secured }, "AUTH"));
    }

    #[test]
    fn a_mechanism_with_binding_is_offered_where_there_is_one() {
        let bound = Situation { secured: true, tls_possible: false, binding: true, ..FRESH };
        let auth = "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN".to_owned();
        assert_eq!(bound.lines().last(), Some(&auth));
    }

    #[test]
    fn tls_is_offered_until_it_is_on_or_a_user_is_in() {
        assert!(says(FRESH, "STARTTLS"));
        assert!(!says(Situation { tls_possible: false, ..FRESH }, "STARTTLS"));
        assert!(!says(Situation { logged_in: true, ..FRESH }, "STARTTLS"));
    }

    #[test]
    fn the_size_is_announced() {
        assert!(FRESH.lines().contains(&"SIZE 52428800".to_owned()));
    }
}

//! The addresses of a header field, as what mail can be sent to.

use crate::{
    mail::{budget::Budget, field, summary},
    wire::address::{Address, Domain, LocalPart},
};

/// Addresses of a field that are read.
const MOST: usize = 10_000;
/// Comments within comments.
const COMMENT_DEPTH: usize = 50;

/// All addresses of a field's value, groups opened; None when one of them is none, or there are more
/// than are read.
pub(super) fn addresses(value: &[u8]) -> Option<Vec<Address>> {
    let mut left = Budget::new(MOST);
    let (list, cut) = summary::addresses(&field::unfold(value), &mut left, COMMENT_DEPTH);
    if cut || left.is_short() {
        return None;
    }
    // What has no host is where a group begins or ends.
    let mailboxes = list.iter().filter_map(|entry| Some((&entry.mailbox, entry.host.as_ref()?)));
    mailboxes.map(|(mailbox, host)| address(mailbox.as_ref()?, host)).collect()
}

fn address(mailbox: &[u8], host: &[u8]) -> Option<Address> {
    let lacks = mailbox == summary::MISSING_MAILBOX || host == summary::MISSING_DOMAIN;
    if lacks {
        return None;
    }
    let local = LocalPart::from_value(str::from_utf8(mailbox).ok()?).ok()?;
    let domain = Domain::parse(str::from_utf8(host).ok()?).ok()?;
    Address::new(local, domain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Vec<String>> {
        let list = addresses(value.as_bytes())?;
        Some(list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn groups_are_opened_and_quotes_and_comments_understood() {
        let expected = ["a@x", "\"b, c\"@x", "\"d e\"@x", "f@[192.0.2.1]", "дядя@почта.рф"];
        let value = "a@x (A, (B)), \"B\" <\"b, c\"@x>, Team: \"d e\"@x, <f@[192.0.2.1]>;,\r\n дядя@почта.рф";
        assert_eq!(read(value), Some(expected.map(str::to_owned).to_vec()));
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("Undisclosed recipients:;"), Some(vec![]));
    }

    #[test]
    fn one_that_is_none_spoils_the_list() {
        for bad in ["nobody", "a@x, nobody", "<>", "a@x, <@x>", "a@", "@x", "a@-x-..y"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

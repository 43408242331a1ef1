//! Ways to compare texts (RFC 4790), of which a client may choose one (RFC 5255 §4).

use std::borrow::Cow;

use super::casemap::casemap;

/// A way to compare texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collation {
    /// Without case and composition, in all scripts (RFC 5051).
    #[default]
    UnicodeCasemap,
    /// Without the case of the letters of US-ASCII (RFC 4790 §9.2).
    AsciiCasemap,
    /// Octet by octet (RFC 4790 §9.3).
    Octet,
}

impl Collation {
    /// All there are, the best first.
    pub const ALL: [Self; 3] = [Self::UnicodeCasemap, Self::AsciiCasemap, Self::Octet];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnicodeCasemap => "i;unicode-casemap",
            Self::AsciiCasemap => "i;ascii-casemap",
            Self::Octet => "i;octet",
        }
    }

    /// A text as it is compared: such texts are equal, one within the other or one before the other
    /// when their octets are.
    pub fn prepare(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::UnicodeCasemap => casemap(text).into(),
            Self::AsciiCasemap => text.to_ascii_uppercase().into(),
            Self::Octet => text.into(),
        }
    }

    /// Does one text hold another by `i;unicode-casemap` whenever it holds it by this? It does when
    /// that other one has nothing but US-ASCII: nothing is composed or reordered there.
    pub(super) fn is_finer_for(self, text: &str) -> bool {
        self == Self::UnicodeCasemap || text.is_ascii()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_knows_its_own_differences() {
        let same =
            |collation: Collation, one, other| collation.prepare(one) == collation.prepare(other);
        assert!(same(Collation::UnicodeCasemap, "Grüße", "GRÜßE"));
        assert!(!same(Collation::AsciiCasemap, "Grüße", "GRÜßE"));
        assert!(
            same(Collation::AsciiCasemap, "Mail", "MAIL")
                && !same(Collation::Octet, "Mail", "MAIL")
        );
    }
}

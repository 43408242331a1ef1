//! Rights on a mailbox (RFC 4314 §2.1), as a set of letters.

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u16);

impl Rights {
    /// `l`: the mailbox is visible.
    pub const LOOKUP: Self = Self(1);
    /// `r`: select it, read its messages.
    pub const READ: Self = Self(1 << 1);
    /// `s`: keep `\Seen`.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: set flags other than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: append and copy into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to its posting address.
    pub const POST: Self = Self(1 << 5);
    /// `k`: make mailboxes below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: delete it.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: set and clear `\Deleted`.
    pub const DELETE: Self = Self(1 << 8);
    /// `e`: expunge.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: give rights to others.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// What the owner of a mailbox has.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Are all of `other`'s rights here?
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is any of `other`'s rights here?
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

//! Annotations of messages (RFC 5257): named values, shared by the users of a mailbox or one user's
//! own.

use super::{error::Result, tx::Tx};
use crate::ids::MailboxId;

impl Tx<'_> {
    /// Nothing is said of a mailbox's messages any more.
    pub(super) fn forget_annotations(&self, mailbox: MailboxId) -> Result<()> {
        self.execute("DELETE FROM annotation WHERE mailbox = ?1", [mailbox])?;
        Ok(())
    }
}

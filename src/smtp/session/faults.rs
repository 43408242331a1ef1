//! Commands in error: how many there were, and when it is enough.

use super::{Done, Session};
use crate::{metrics::Limit, smtp::Reply};

/// Commands in error.
#[derive(Debug, Default)]
pub(in crate::smtp) struct Faults {
    number: usize,
    is_new: bool,
}

impl Faults {
    /// Counts one more.
    pub(in crate::smtp) fn count(&mut self) {
        self.number = self.number.saturating_add(1);
        self.is_new = true;
    }

    /// Has one come since this was asked last?
    pub(in crate::smtp) fn is_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }
}

impl Session {
    /// Ends the conversation behind the last command in error that is borne.
    pub(in crate::smtp) fn bear_with_faults(&mut self) -> Done {
        if !self.faults.is_new() {
            return Ok(());
        }
        let limits = &self.door.limits;
        let proven = self.user.is_some() || self.messages > 0 || self.transaction.is_some();
        let (most, limit) = if proven {
            (limits.bad_commands, Limit::BadCommandsMax)
        } else {
            (limits.bad_commands_at_first, Limit::BadCommandsBeforeLoginMax)
        };
        if self.faults.number < most {
            return Ok(());
        }
        self.door.exceeded(limit);
        self.log_end("too many commands in error");
        self.end(&Reply::new(421, "4.7.0", "too many errors"))
    }
}

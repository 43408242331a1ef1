//! Attempts that have begun and are not judged yet, and those that wait for one of them to end.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use tokio::sync::{Notify, futures::OwnedNotified};

use super::AccountKey;
use crate::ids::Neighbour;

/// Comes true when an attempt from the same address has ended; then one asks again.
pub type Turn = Pin<Box<OwnedNotified>>;

/// No more than there are connections.
#[derive(Default)]
pub(super) struct Underway {
    addresses: HashMap<Neighbour, Line>,
    accounts: HashMap<AccountKey, u32>,
}

/// What is under way from one address. Who waits, waits for one of these.
#[derive(Default)]
struct Line {
    number: u32,
    ended: Arc<Notify>,
}

impl Underway {
    /// From this address, and for this account.
    pub(super) fn number(&self, who: Neighbour, account: AccountKey) -> (u32, u32) {
        let line = self.addresses.get(&who).map_or(0, |line| line.number);
        (line, self.accounts.get(&account).copied().unwrap_or(0))
    }

    pub(super) fn begin(&mut self, who: Neighbour, account: AccountKey) {
        let line = self.addresses.entry(who).or_default();
        line.number = line.number.saturating_add(1);
        let number = self.accounts.entry(account).or_default();
        *number = number.saturating_add(1);
    }

    /// One has ended. If all that wait would now be told something else than to wait, all are called,
    /// else the next one.
    pub(super) fn end(&mut self, who: Neighbour, account: AccountKey, queue_stands: bool) {
        if let Some(number) = self.accounts.get_mut(&account) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                self.accounts.remove(&account);
            }
        }
        let Some(line) = self.addresses.get_mut(&who) else { return };
        line.number = line.number.saturating_sub(1);
        let empty = line.number == 0;
        if queue_stands && !empty {
            line.ended.notify_one();
        } else {
            // Behind the last one nobody would call the others.
            line.ended.notify_waiters();
        }
        if empty {
            self.addresses.remove(&who);
        }
    }

    /// In the line from now on, whenever it is looked at.
    pub(super) fn turn(&mut self, who: Neighbour) -> Turn {
        let ended = &self.addresses.entry(who).or_default().ended;
        let mut turn = Box::pin(Arc::clone(ended).notified_owned());
        turn.as_mut().enable();
        turn
    }
}

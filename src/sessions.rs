//! The live sessions of all doors: who is connected as whom, and the means to end one from anywhere.
//!
//! A door opens an [`Entry`] when it accepts, names the account when somebody has logged in, and
//! stops when its token says so. The entry leaves the register when it is dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    events::Door,
    ids::{AccountId, DeviceId, SessionId},
};

/// A live session as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub id: SessionId,
    /// The door it came by.
    pub door: Door,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Who has logged in.
    pub account: Option<AccountId>,
    /// The device whose app password was used.
    pub device: Option<DeviceId>,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// The register; one for the process.
#[derive(Debug, Default)]
pub struct Sessions {
    last: AtomicI64,
    live: Mutex<HashMap<SessionId, (Live, CancellationToken)>>,
    stop: CancellationToken,
}

/// A session's place in the register.
#[derive(Debug)]
pub struct Entry {
    sessions: Arc<Sessions>,
    id: SessionId,
    stop: CancellationToken,
}

impl Sessions {
    /// A register of nobody. All sessions stop when `stop` does.
    pub fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { stop, ..Self::default() })
    }

    /// Registers a new connection.
    pub fn open(self: &Arc<Self>, door: Door, peer: IpAddr, now: i64) -> Entry {
        let id = SessionId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let stop = self.stop.child_token();
        let live = Live { id, door, peer, account: None, device: None, since: now };
        self.lock().insert(id, (live, stop.clone()));
        Entry { sessions: Arc::clone(self), id, stop }
    }

    /// Does the server close, and every session with it?
    pub fn is_closing(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// All live sessions by number.
    pub fn list(&self) -> Vec<Live> {
        let mut all: Vec<_> = self.lock().values().map(|(live, _)| live.clone()).collect();
        all.sort_by_key(|live| live.id);
        all
    }

    /// Ends one session; false when there is none of this number.
    pub fn end(&self, id: SessionId) -> bool {
        self.end_where(|live| live.id == id) > 0
    }

    /// Ends all sessions of an account; gives their number.
    pub fn end_account(&self, account: AccountId) -> usize {
        self.end_where(|live| live.account == Some(account))
    }

    /// Ends all sessions of a device; gives their number.
    pub fn end_device(&self, device: DeviceId) -> usize {
        self.end_where(|live| live.device == Some(device))
    }

    fn end_where(&self, which: impl Fn(&Live) -> bool) -> usize {
        let live = self.lock();
        let meant = live.values().filter(|(live, _)| which(live));
        meant.map(|(_, stop)| stop.cancel()).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, (Live, CancellationToken)>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The session's number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Fires when the session shall end: it was told to, or the server stops.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Somebody has logged in; None when nobody is any more (UNAUTHENTICATE, STARTTLS).
    pub fn login(&self, account: Option<AccountId>, device: Option<DeviceId>) {
        if let Some((live, _)) = self.sessions.lock().get_mut(&self.id) {
            live.account = account;
            live.device = device;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_revoked_device_ends_its_own_sessions_only() {
        let sessions = Sessions::new(CancellationToken::new());
        let [one, two] = [1, 2].map(|device| {
            let entry = sessions.open(Door::Imap, HERE, 0);
            entry.login(Some(AccountId(7)), Some(DeviceId(device)));
            entry
        });
        assert_eq!(sessions.end_device(DeviceId(2)), 1);
        assert!(two.stop().is_cancelled() && !one.stop().is_cancelled());
        assert_eq!(sessions.end_account(AccountId(7)), 2);
        assert!(one.stop().is_cancelled());
    }

    #[test]
    fn a_session_leaves_the_register_when_it_ends() {
        let sessions = Sessions::new(CancellationToken::new());
        let entry = sessions.open(Door::Smtp, HERE, 5);
        assert_eq!(sessions.list().len(), 1);
        drop(entry);
        assert!(sessions.list().is_empty() && !sessions.end(SessionId(1)));
    }

    #[test]
    fn all_sessions_stop_with_the_server() {
        let stop = CancellationToken::new();
        let sessions = Sessions::new(stop.clone());
        let entry = sessions.open(Door::Lmtp, HERE, 0);
        stop.cancel();
        assert!(entry.stop().is_cancelled());
    }
}

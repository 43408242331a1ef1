//! An attempt to log in, as the log tells of it.

use super::{LoggedIn, Mechanism, Visitor};
use crate::events::Origin;

/// An attempt to log in, as it is logged.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// Under which name.
    pub(super) name: &'a str,
    /// How.
    pub(super) mechanism: Mechanism,
    pub(super) visitor: Visitor,
}

impl Attempt<'_> {
    /// Characters of a name that are logged: anything may stand there.
    const NAME: usize = 100;

    pub(super) fn refused(self, why: &str) {
        let Visitor { ip, origin: Origin { door, session, .. }, .. } = self.visitor;
        let name: String = self.name.chars().take(Self::NAME).collect();
        let (session, mechanism) = (session.map(|id| id.0), self.mechanism.name());
        tracing::info!(session, ?door, peer = %ip, mechanism, user = name, why, "login refused");
    }

    pub(super) fn succeeded(self, user: &LoggedIn) {
        let Visitor { ip, origin: Origin { door, session, .. }, .. } = self.visitor;
        let (session, mechanism) = (session.map(|id| id.0), self.mechanism.name());
        let device = user.device.map(|id| id.0);
        tracing::info!(session, ?door, peer = %ip, mechanism, user = user.address, device, "login");
    }
}

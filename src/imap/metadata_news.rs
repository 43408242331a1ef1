//! What others have said anew of mailboxes and of the server, for a client that has enabled METADATA
//! (RFC 5464 §4.4): names of entries, never their values.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};

use super::{error::Error, reply::Replies, session::Enabled};
use crate::{
    events::{Entries, Event, Interest, Kind, News, Subscription},
    ids::{AccountId, MailboxId, SessionId},
    mail::{Actor, Mail},
};

/// Names that wait for a silent client; of more it hears only that there may be any.
const MOST_WAITING: usize = 1_000;

/// What was said anew, and the client was not told yet.
pub struct MetadataNews {
    events: Subscription,
    account: AccountId,
    session: SessionId,
    /// Also of mailboxes, and not only of the server.
    of_mailboxes: bool,
    /// Names of entries by mailbox; None is the server.
    changed: BTreeMap<Option<MailboxId>, BTreeSet<Arc<str>>>,
    waiting: usize,
    /// More happened than was kept.
    lost: bool,
    closed: bool,
}

impl MetadataNews {
    /// Begins to listen for who has just enabled METADATA.
    pub fn new(mail: &Mail, account: AccountId, session: SessionId) -> Self {
        Self {
            events: mail.store().bus().subscribe(Interest::Metadata),
            account,
            session,
            of_mailboxes: false,
            changed: BTreeMap::new(),
            waiting: 0,
            lost: false,
            closed: false,
        }
    }

    /// What the client wants to hear of from now on.
    pub fn set_enabled(&mut self, enabled: Enabled) {
        self.of_mailboxes = enabled.metadata;
    }

    /// Waits until there is something to be told. May be dropped half way without loss.
    pub async fn listen(&mut self) {
        while self.changed.is_empty() && !self.lost {
            if self.closed {
                std::future::pending::<()>().await;
            }
            let news = self.events.next().await;
            self.hear(news);
        }
    }

    /// Takes in what happens while the client is silent. Never ends by itself; may be dropped half way
    /// without loss.
    pub async fn keep_up(&mut self) -> Infallible {
        while !self.closed {
            self.events.crowded().await;
            self.hear_all();
        }
        std::future::pending().await
    }

    fn hear_all(&mut self) {
        while let Some(news) = self.events.try_next() {
            self.hear(news);
            if self.closed {
                return;
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Event(event) => self.hear_event(&event),
            News::Lagged => self.lose(),
            News::Closed => self.closed = true,
        }
    }

    fn hear_event(&mut self, event: &Event) {
        // Its own changes a client knows.
        if event.origin.session == Some(self.session) || self.lost {
            return;
        }
        let (place, Entries { names, of }) = match &event.kind {
            Kind::ServerMetadataChange(entries) => (None, entries),
            Kind::MailboxMetadataChange(entries) if self.of_mailboxes => (event.mailbox, entries),
            _ => return,
        };
        if of.is_some_and(|owner| owner != self.account) {
            return;
        }
        let known = self.changed.entry(place).or_default();
        let new = names.iter().filter(|name| known.insert(Arc::clone(name))).count();
        self.waiting = self.waiting.saturating_add(new);
        if self.waiting > MOST_WAITING {
            self.lose();
        }
    }

    fn lose(&mut self) {
        (self.lost, self.waiting) = (true, 0);
        self.changed.clear();
    }

    /// `* METADATA INBOX /shared/comment /private/comment` for each mailbox that the client may know
    /// of. When more happened than was kept, all entries that there are may have changed.
    pub async fn tell(
        &mut self,
        mail: &Mail,
        actor: &Actor,
        out: &mut Replies,
    ) -> Result<(), Error> {
        self.hear_all();
        if self.changed.is_empty() && !self.lost {
            return Ok(());
        }
        let mut changed = std::mem::take(&mut self.changed);
        self.waiting = 0;
        if std::mem::take(&mut self.lost) {
            changed = mail.all_metadata(actor).await?;
            changed.retain(|place, _| place.is_none() || self.of_mailboxes);
        }
        for (place, names) in changed {
            let mailbox: Arc<str> = match place {
                None => "".into(),
                Some(id) => match mail.metadata_name(actor, id).await? {
                    Some(name) => name,
                    None => continue,
                },
            };
            out.line(|out| {
                out.put("METADATA ");
                out.mailbox(&mailbox);
                for name in &names {
                    out.put(" ");
                    out.astring(name.as_bytes());
                }
            });
            out.breathe().await?;
        }
        Ok(())
    }
}

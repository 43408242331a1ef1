//! What a session tells its client beside the answers to its commands, and when: with a command, in
//! IDLE, or at once if the client has given NOTIFY.

use tokio_util::sync::CancellationToken;

use super::Session;
use crate::{
    ids::Uid,
    imap::{
        error::Error,
        extensions::Numbers,
        metadata_news::MetadataNews,
        notify::{
            Moment, Notify, Wants,
            tell::{self, Overflow, Situation},
        },
        reply::{Code, Done, Replies},
        selected::Selected,
    },
    net::Input,
};

/// What a session listens to while it waits.
pub struct Ears<'s> {
    /// The open mailbox.
    pub(super) selected: Option<&'s mut Selected>,
    /// What is said of mailboxes and of the server.
    pub(super) metadata: Option<&'s mut MetadataNews>,
    /// What else the client wants to hear of.
    pub(super) notify: Option<&'s Notify>,
}

impl Ears<'_> {
    /// Waits until something has happened that may be told. May be dropped half way without loss.
    pub async fn listen(self) {
        tokio::select! {
            () = listen(self.selected) => {}
            () = listen_to_metadata(self.metadata) => {}
            () = listen_elsewhere(self.notify) => {}
        }
    }

    /// Waits until something has happened of which the client wants to hear at once. Meanwhile takes
    /// in what else happens, though not each event for itself. May be dropped half way without loss.
    pub async fn between_commands(self) {
        let moment = self.notify.map_or(Moment::Asked, Notify::moment);
        let selected = async {
            match self.selected {
                Some(selected) if moment == Moment::Asked => match selected.keep_up().await {},
                other => listen(other).await,
            }
        };
        let metadata = async {
            match self.metadata {
                Some(metadata) if self.notify.is_none() => match metadata.keep_up().await {},
                other => listen_to_metadata(other).await,
            }
        };
        tokio::select! {
            () = selected => {}
            () = metadata => {}
            () = listen_elsewhere(self.notify) => {}
        }
    }
}

async fn listen(selected: Option<&mut Selected>) {
    match selected {
        Some(selected) => selected.listen().await,
        None => std::future::pending().await,
    }
}

async fn listen_to_metadata(metadata: Option<&mut MetadataNews>) {
    match metadata {
        Some(metadata) => metadata.listen().await,
        None => std::future::pending().await,
    }
}

async fn listen_elsewhere(notify: Option<&Notify>) {
    match notify {
        Some(notify) => notify.changed().await,
        None => std::future::pending().await,
    }
}

impl Session {
    /// Input and ears together, and the sign that the server closes.
    pub fn ears(&mut self) -> Result<(&mut Input, Ears<'_>, CancellationToken), Error> {
        let gone = Error::Connection(std::io::ErrorKind::NotConnected.into());
        let input = self.input.as_mut().ok_or(gone)?;
        let ears = Ears {
            selected: self.selected.as_deref_mut(),
            metadata: self.metadata.as_deref_mut(),
            notify: self.notify.as_deref(),
        };
        Ok((input, ears, self.entry.stop().clone()))
    }

    /// Tells the client what else happened to its mailbox; expunges only if its numbers may change.
    /// Gives the messages whose flags it was told, UIDs rising.
    pub async fn tell(&mut self, numbers: Numbers, out: &mut Replies) -> Result<Vec<Uid>, Error> {
        let mut told = Vec::new();
        let actor = self.actor();
        let wants = self.notify.as_ref().map_or(Wants::ALL, |notify| notify.wants());
        if let Some(selected) = &mut self.selected {
            let expunges = numbers == Numbers::MayChange;
            let actor = actor.as_ref().map_err(|_| Error::unfit("log in first"))?;
            told =
                selected.tell(&self.door.mail, actor, expunges, wants, self.enabled, out).await?;
        }
        if let Some(metadata) = &mut self.metadata {
            metadata.tell(&self.door.mail, &actor?, out).await?;
        }
        Ok(told)
    }

    /// The same, and how the results have changed that are kept up to date, and what has happened
    /// elsewhere.
    pub async fn tell_all(&mut self, numbers: Numbers, out: &mut Replies) -> Result<(), Error> {
        self.tell(numbers, out).await?;
        let has_contexts = self.selected.as_ref().is_some_and(|s| s.contexts().is_some());
        if has_contexts || self.notify.is_some() {
            // Few sessions have any, and all would hold room for this.
            Box::pin(self.tell_more(out)).await?;
        } else if let Some(selected) = &mut self.selected {
            selected.forget_arrivals();
        }
        Ok(())
    }

    async fn tell_more(&mut self, out: &mut Replies) -> Result<(), Error> {
        let (actor, situation) = (self.actor()?, self.situation());
        let (mail, enabled) = (self.door.mail.clone(), self.enabled);
        if let Some(selected) = &mut self.selected {
            let items = self.notify.as_ref().map_or(&[][..], |notify| notify.attributes());
            selected.tell_updates(&mail, &actor, enabled, items, out).await?;
        }
        let Some(notify) = &mut self.notify else { return Ok(()) };
        if let Err(Overflow) = tell::tell(notify, &mail, &actor, situation, out).await? {
            out.ok(&Code::NotificationOverflow, "too much has happened; nothing more is told");
            self.notify = Some(Notify::none());
        }
        Ok(())
    }

    /// Tells everything about the open mailbox, also what the client did not want to hear till now.
    pub async fn tell_held_back(&mut self, out: &mut Replies) -> Result<(), Error> {
        if let Some(selected) = &mut self.selected {
            selected.hear_again();
        }
        self.tell_all(Numbers::MayChange, out).await
    }

    /// Tells what the client wants to hear at once.
    pub(super) async fn tell_unasked(&mut self, out: &mut Replies) -> Result<(), Error> {
        let moment = self.notify.as_ref().map_or(Moment::Asked, |notify| notify.moment());
        let at_once = moment == Moment::AtOnce;
        let numbers = if at_once { Numbers::MayChange } else { Numbers::Still };
        self.tell_all(numbers, out).await?;
        out.flush().await
    }

    /// What those who tell of other mailboxes must know of the session.
    pub fn situation(&self) -> Situation {
        Situation {
            open: self.selected.as_ref().map(|selected| selected.mailbox.id),
            enabled: self.enabled,
            message_max: self.door.limits.message,
        }
    }

    /// When expunges were told, the client can know everything up to a later change: it learns so
    /// from the tagged OK, if that has room, else before it (RFC 7162 §3.2.7, RFC 6851 §4.4).
    pub(super) fn with_highest(
        &mut self,
        outcome: Result<Done, Error>,
        out: &mut Replies,
    ) -> Result<Done, Error> {
        let selected = self.selected.as_deref_mut().filter(|selected| selected.is_behind());
        let Some(selected) = selected.filter(|_| self.enabled.condstore) else { return outcome };
        let code = Code::HighestModSeq(selected.tell_highest());
        let (outcome, code) = match outcome {
            Ok(done) => {
                let (done, code) = done.or_code(code);
                (Ok(done), code)
            }
            Err(error) => (Err(error), Some(code)),
        };
        if let Some(code) = code {
            out.ok(&code, "all changes up to here are told");
        }
        outcome
    }
}

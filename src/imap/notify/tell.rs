//! What happened elsewhere, as a client reads it: STATUS of mailboxes, LIST of names, METADATA
//! (RFC 5465 §5).

use std::sync::Arc;

use super::Notify;
use crate::{
    events::{Event, Kind, Kinds},
    ids::MailboxId,
    imap::{
        command::status::{self, Item},
        error::Error,
        reply::Replies,
        session::Enabled,
    },
    mail::{Actor, Mail, MailboxInfo, NamedPlace, Rights, name::SEPARATOR},
    wire::Buffer,
};

/// Items of a STATUS in the order in which they are told.
const ITEMS: [Item; 5] =
    [Item::Messages, Item::UidNext, Item::UidValidity, Item::Unseen, Item::HighestModSeq];

/// What hangs on the session.
#[derive(Clone, Copy)]
pub struct Situation {
    /// The open mailbox, of which messages are told otherwise.
    pub open: Option<MailboxId>,
    /// What the client has enabled.
    pub enabled: Enabled,
    /// The most octets of a message.
    pub message_max: u64,
}

/// More happened than can be told: the client is to be told so, and of nothing any more (§5.8).
pub struct Overflow;

/// Tells how the watched mailboxes stand (§3.1), and of which of them nothing can be told.
pub async fn first(
    notify: &mut Notify,
    mail: &Mail,
    actor: &Actor,
    situation: Situation,
    with_status: bool,
    out: &mut Replies,
) -> Result<(), Error> {
    if notify.watch.is_none() {
        return Ok(());
    }
    for info in mail.mailboxes(actor).await? {
        notify.know(mail, &info);
        let events = notify.events(&info.name, info.subscribed).both(Kinds::OF_MESSAGES);
        if events.is_empty() || situation.open == Some(info.row.id) || !info.row.selectable {
            continue;
        }
        if !info.rights.contain(Rights::READ) {
            no_access(&info.name, out);
        } else if with_status {
            let items = items(events.with(Kinds::IDENTITY), true);
            tell_status(mail, actor, &info, &items, situation, out).await?;
        }
        out.breathe().await?;
    }
    Ok(())
}

/// Tells what has happened since the last time.
pub async fn tell(
    notify: &mut Notify,
    mail: &Mail,
    actor: &Actor,
    situation: Situation,
    out: &mut Replies,
) -> Result<Result<(), Overflow>, Error> {
    let Some(watch) = &notify.watch else { return Ok(Ok(())) };
    let seen = watch.look();
    if seen.too_much {
        return Ok(Err(Overflow));
    }
    let mut teller = Teller { notify, mail, actor, out };
    for event in &seen.events {
        if !tells_already(&event.kind, situation.enabled) {
            teller.event(event).await?;
        }
        teller.out.breathe().await?;
    }
    let ids: Vec<_> =
        seen.mailboxes.keys().filter(|id| situation.open != Some(**id)).copied().collect();
    if ids.is_empty() {
        return Ok(Ok(()));
    }
    for info in mail.stand(actor, ids, notify.is_by_subscription()).await? {
        if !info.rights.contain(Rights::READ) || !info.row.selectable {
            continue;
        }
        let events = notify.events(&info.name, info.subscribed).both(Kinds::OF_MESSAGES);
        let marks = seen.mailboxes.get(&info.row.id).copied().unwrap_or_default();
        let is_new = marks.contain(Kinds::IDENTITY) && !events.is_empty();
        let marks = if is_new { events.with(Kinds::IDENTITY) } else { events.both(marks) };
        let items = items(marks, situation.enabled.condstore);
        tell_status(mail, actor, &info, &items, situation, out).await?;
        out.breathe().await?;
    }
    Ok(Ok(()))
}

/// Is it told to who has enabled METADATA anyway?
fn tells_already(kind: &Kind, enabled: Enabled) -> bool {
    match kind {
        Kind::MailboxMetadataChange(_) => enabled.metadata,
        Kind::ServerMetadataChange(_) => enabled.metadata || enabled.metadata_server,
        _ => false,
    }
}

/// What a STATUS shows after this has happened. Who does not know of mod-sequences learns of flags by
/// the number of unseen messages.
fn items(events: Kinds, mod_seqs: bool) -> Vec<Item> {
    let messages = events.meet(Kinds::MESSAGE_NEW.with(Kinds::MESSAGE_EXPUNGE));
    let flags = events.contain(Kinds::FLAG_CHANGE);
    let marks = flags || mod_seqs && events.contain(Kinds::ANNOTATION_CHANGE);
    let is_new = events.contain(Kinds::IDENTITY);
    let shown = |item: &Item| match item {
        Item::Messages | Item::UidNext => messages,
        Item::UidValidity => marks || is_new,
        Item::Unseen => flags,
        Item::HighestModSeq => mod_seqs && (marks || messages && !is_new),
        _ => false,
    };
    ITEMS.into_iter().filter(shown).collect()
}

async fn tell_status(
    mail: &Mail,
    actor: &Actor,
    info: &MailboxInfo,
    items: &[Item],
    situation: Situation,
    out: &mut Replies,
) -> Result<(), Error> {
    if items.is_empty() {
        return Ok(());
    }
    status::tell(mail, actor, info, items, situation.message_max, out).await
}

/// `* LIST (\NoAccess) "/" name`: nothing can be told of its messages (§3.1, §5.9).
fn no_access(name: &str, out: &mut Replies) {
    out.line(|out| {
        out.put("LIST (\\NoAccess) \"/\" ");
        out.mailbox(name);
    });
}

/// Tells events of names, rights and metadata, one after the other.
struct Teller<'t> {
    notify: &'t mut Notify,
    mail: &'t Mail,
    actor: &'t Actor,
    out: &'t mut Replies,
}

impl Teller<'_> {
    async fn event(&mut self, event: &Event) -> Result<(), Error> {
        if let Kind::MailboxRename { .. } = event.kind {
            self.notify.renames.next(event.mod_seq);
        }
        match &event.kind {
            Kind::SubscriptionChange(name, _) => {
                // Who hears of subscribed names hears too that one is that no more.
                if self.notify.events(name, true).contain(Kinds::SUBSCRIPTION_CHANGE) {
                    let place = self.mail.place(self.actor, name).await?;
                    list(name, &place, None, self.out);
                }
            }
            Kind::MailboxMetadataChange(entries) => {
                let Some(info) = self.visible(event).await? else { return Ok(()) };
                let events = self.notify.events(&info.name, info.subscribed);
                let readable = info.rights.contain(Rights::READ);
                if readable && events.contain(Kinds::MAILBOX_METADATA_CHANGE) {
                    metadata(&info.name, &entries.names, self.out);
                }
            }
            Kind::ServerMetadataChange(entries)
                if self.notify.wants_any(Kinds::SERVER_METADATA_CHANGE) =>
            {
                metadata("", &entries.names, self.out);
            }
            _ if event.account == Some(self.actor.account) => self.own(&event.kind).await?,
            _ => self.foreign(event).await?,
        }
        Ok(())
    }

    /// A name of the user's own.
    async fn own(&mut self, kind: &Kind) -> Result<(), Error> {
        match kind {
            Kind::MailboxCreate(name) | Kind::MailboxDelete(name) => self.affected(name).await,
            Kind::MailboxRename { from, to } => self.renamed(from, to).await,
            _ => Ok(()),
        }
    }

    /// A mailbox of somebody else came, went, or got other rights or another name: what counts is
    /// what the user knew of it and may know now (§5.4, §5.9).
    async fn foreign(&mut self, event: &Event) -> Result<(), Error> {
        let Some(id) = event.mailbox else { return Ok(()) };
        let info = self.visible(event).await?;
        match (self.notify.foreign.get(&id).cloned(), info) {
            (None, Some(info)) => {
                self.notify.know(self.mail, &info);
                self.affected(&info.name).await?;
            }
            (Some(name), None) => {
                self.notify.foreign.remove(&id);
                let subscribed = self.mail.place(self.actor, &name).await?.subscribed;
                let events = self.notify.events(&name, subscribed);
                let monitored = events.meet(Kinds::OF_MESSAGES);
                let lost = event.kind == Kind::RightsChange;
                if lost && monitored && !events.contain(Kinds::MAILBOX_NAME) {
                    no_access(&name, self.out);
                } else {
                    self.affected(&name).await?;
                }
            }
            (Some(old), Some(info)) if old != info.name => {
                self.notify.know(self.mail, &info);
                self.renamed(&old, &info.name).await?;
            }
            (Some(name), Some(_)) if matches!(event.kind, Kind::MailboxDelete(_)) => {
                self.affected(&name).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The event's mailbox, if the user may know of it.
    async fn visible(&self, event: &Event) -> Result<Option<MailboxInfo>, Error> {
        let ids = event.mailbox.into_iter().collect();
        let by_subscription = self.notify.is_by_subscription();
        Ok(self.mail.stand(self.actor, ids, by_subscription).await?.pop())
    }

    /// A name is that of a mailbox, or of none; the level above it has another number of children
    /// now (§5.4).
    async fn affected(&mut self, name: &Arc<str>) -> Result<(), Error> {
        let parent = name.rsplit_once(SEPARATOR).map(|(parent, _)| Arc::from(parent));
        for name in [Some(Arc::clone(name)), parent].into_iter().flatten() {
            let place = self.mail.place(self.actor, &name).await?;
            if self.notify.events(&name, place.subscribed).contain(Kinds::MAILBOX_NAME) {
                list(&name, &place, None, self.out);
            }
        }
        Ok(())
    }

    async fn renamed(&mut self, from: &Arc<str>, to: &Arc<str>) -> Result<(), Error> {
        if !self.notify.renames.begin(from, to) {
            return Ok(());
        }
        let place = self.mail.place(self.actor, to).await?;
        let named = |name| self.notify.events(name, place.subscribed).contain(Kinds::MAILBOX_NAME);
        if named(from) || named(to) {
            list(to, &place, Some(from), self.out);
        }
        Ok(())
    }
}

/// `* LIST (attributes) "/" name [("OLDNAME" (old))]` (§5.4, §5.5)
fn list(name: &str, place: &NamedPlace, old: Option<&str>, out: &mut Replies) {
    let mut attributes = Vec::new();
    let selectable = place.info.as_ref().map(|info| info.row.selectable);
    match selectable {
        None => attributes.push("\\NonExistent"),
        // A mere level is no mailbox any more, and LIST calls it so.
        Some(false) => attributes.extend(["\\NonExistent", "\\Noselect"]),
        Some(true) => {}
    }
    attributes.push(if place.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    if place.subscribed {
        attributes.push("\\Subscribed");
    }
    attributes.extend(place.info.iter().flat_map(|info| info.row.special_use.names()));
    out.line(|out| {
        out.put("LIST ");
        out.list(attributes, Buffer::put);
        out.put(" \"/\" ");
        out.mailbox(name);
        if let Some(old) = old {
            out.put(" (\"OLDNAME\" (");
            out.mailbox(old);
            out.put("))");
        }
    });
}

/// `* METADATA mailbox entry entry` (RFC 5464 §4.4.2)
fn metadata(mailbox: &str, names: &[Arc<str>], out: &mut Replies) {
    out.line(|out| {
        out.put("METADATA ");
        out.mailbox(mailbox);
        for name in names {
            out.put(" ");
            out.astring(name.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_shows_what_has_changed() {
        use Item::{HighestModSeq, Messages, UidNext, UidValidity, Unseen};
        let arrivals = Kinds::MESSAGE_NEW.with(Kinds::MESSAGE_EXPUNGE);
        assert_eq!(items(Kinds::MESSAGE_NEW, false), [Messages, UidNext]);
        assert_eq!(items(Kinds::MESSAGE_EXPUNGE, true), [Messages, UidNext, HighestModSeq]);
        assert_eq!(items(Kinds::FLAG_CHANGE, false), [UidValidity, Unseen]);
        assert_eq!(items(Kinds::FLAG_CHANGE, true), [UidValidity, Unseen, HighestModSeq]);
        assert_eq!(items(Kinds::ANNOTATION_CHANGE, false), []);
        assert_eq!(items(Kinds::ANNOTATION_CHANGE, true), [UidValidity, HighestModSeq]);
        let first = arrivals.with(Kinds::IDENTITY);
        assert_eq!(items(first, true), [Messages, UidNext, UidValidity]);
        let all = first.with(Kinds::FLAG_CHANGE);
        assert_eq!(items(all, true), [Messages, UidNext, UidValidity, Unseen, HighestModSeq]);
    }
}

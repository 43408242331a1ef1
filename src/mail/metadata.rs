//! METADATA (RFC 5464): what is said about a mailbox, or about the server, by its users.
//!
//! Who sees a mailbox and may do anything with its messages may read and set what is said of it
//! (§3.3). What all users of the server see only its owners set.

mod computed;
mod entry;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use self::computed::{SPECIAL_USE, computed, is_read_only};
pub use self::entry::{Depth, Entry, NoEntry, Scope};
use super::{
    Actor, Mail,
    access::{Found as Place, by_id, find, refusal},
    error::{Error, Result},
    name,
    rights::Rights,
};
use crate::{
    ids::{AccountId, MailboxId},
    store::{Committed, MailboxRow, NewMetadata, Reader, SpecialUse, Tx},
};

/// Octets of values that are in memory at a time.
const AT_ONCE: u64 = 256 << 10;
/// Values of so few octets together are brought as they are found.
const AT_HAND: u64 = 16 << 10;
/// With any one of these a mailbox's metadata can be read and set (RFC 5464 §3.3).
const ANY_OF: Rights =
    Rights::READ.with(Rights::SEEN).with(Rights::WRITE).with(Rights::INSERT).with(Rights::POST);

/// Where the server keeps filters, in small letters (RFC 5466 §3.2): one's own, then everybody's.
pub const FILTERS: [&str; 2] = ["/private/filters/values/", "/shared/filters/values/"];

/// What a GETMETADATA asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedMetadata {
    /// Which entries.
    pub entries: Vec<Entry>,
    /// And how far below them.
    pub depth: Depth,
    /// No values of more octets than this.
    pub most: Option<u64>,
}

impl WantedMetadata {
    /// Is the entry of this name, in small letters, among what is wanted?
    fn names(&self, folded: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| **entry.folded() == *folded || entry.is_above(folded, self.depth))
    }
}

/// Entries that were asked for; their values are brought little by little.
#[derive(Debug)]
pub struct FoundMetadata {
    /// The mailbox's name as it is kept; empty for the server.
    pub mailbox: Arc<str>,
    /// The octets of the largest value that was too large.
    pub longest: Option<u64>,
    id: Option<MailboxId>,
    account: AccountId,
    entries: VecDeque<Found>,
}

#[derive(Debug)]
struct Found {
    /// The name under which it is told.
    name: Arc<str>,
    entry: Entry,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Nothing,
    Known(Vec<u8>),
    /// So many octets.
    Stored(u64),
}

impl Found {
    /// Brings a value that is stored.
    fn load(&mut self, r: &Reader<'_>, id: Option<MailboxId>, account: AccountId) -> Result<()> {
        if let Value::Stored(_) = self.value {
            let value = r.metadata(id, self.entry.owner(account), self.entry.folded())?;
            self.value = value.map_or(Value::Nothing, Value::Known);
        }
        Ok(())
    }

    /// What is known of it.
    fn known(self) -> (Arc<str>, Option<Vec<u8>>) {
        let value = match self.value {
            Value::Known(value) => Some(value),
            Value::Nothing | Value::Stored(_) => None,
        };
        (self.name, value)
    }
}

/// Names of entries, each with its value.
pub type MetadataValues = Vec<(Arc<str>, Option<Vec<u8>>)>;

impl Mail {
    /// What is said of a mailbox, be it a mere level of hierarchy, or of the server if there is no
    /// name.
    pub async fn metadata(
        &self,
        actor: &Actor,
        mailbox: &str,
        wanted: WantedMetadata,
    ) -> Result<FoundMetadata> {
        let (account, name) = (actor.account, mailbox.to_owned());
        self.store
            .read(move |r| {
                let mailbox = place(r, account, &name)?;
                found(r, account, mailbox.as_ref(), &wanted)
            })
            .await
    }

    /// What is said of a mailbox of this number.
    pub async fn metadata_of(
        &self,
        actor: &Actor,
        id: MailboxId,
        wanted: Arc<WantedMetadata>,
    ) -> Result<FoundMetadata> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let mailbox = readable(r, account, id)?.ok_or(Error::NoMailbox)?;
                found(r, account, Some(&mailbox), &wanted)
            })
            .await
    }

    /// Filters by their names (RFC 5466), each as it is written, one's own before everybody's; None
    /// for one that there is not.
    pub async fn filters(
        &self,
        actor: &Actor,
        names: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let mut filters = Vec::with_capacity(names.len());
                for name in names {
                    let mut value = None;
                    for (place, owner) in FILTERS.iter().zip([Some(account), None]) {
                        if value.is_none() {
                            value = r.metadata(None, owner, &format!("{place}{name}"))?;
                        }
                    }
                    filters.push((name, value));
                }
                Ok(filters)
            })
            .await
    }

    /// The next values, as long as there are any.
    pub async fn next_metadata(&self, found: &mut FoundMetadata) -> Result<Option<MetadataValues>> {
        let (mut next, mut weight) = (Vec::new(), 0_u64);
        while weight < AT_ONCE
            && let Some(entry) = found.entries.pop_front()
        {
            if let Value::Stored(size) = entry.value {
                weight = weight.saturating_add(size);
            }
            next.push(entry);
        }
        if next.is_empty() {
            return Ok(None);
        }
        if next.iter().all(|found| !matches!(found.value, Value::Stored(_))) {
            return Ok(Some(next.into_iter().map(Found::known).collect()));
        }
        let (id, account) = (found.id, found.account);
        let values = self.store.read::<_, Error, _>(move |r| {
            let mut values = Vec::with_capacity(next.len());
            for mut found in next {
                found.load(r, id, account)?;
                values.push(found.known());
            }
            Ok(values)
        });
        values.await.map(Some)
    }

    /// The name of a mailbox whose metadata the actor may read; None for any other.
    pub async fn metadata_name(&self, actor: &Actor, id: MailboxId) -> Result<Option<Arc<str>>> {
        let account = actor.account;
        let found = self.store.read(move |r| readable(r, account, id)).await?;
        Ok(found.map(|place| place.name))
    }

    /// The names of all entries of the actor's mailboxes and of the server (None), as far as somebody
    /// has set them.
    pub async fn all_metadata(
        &self,
        actor: &Actor,
    ) -> Result<BTreeMap<Option<MailboxId>, BTreeSet<Arc<str>>>> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
                for (mailbox, entry) in r.all_metadata(account)? {
                    all.entry(mailbox).or_default().insert(entry);
                }
                Ok(all)
            })
            .await
    }

    /// Sets values of a mailbox, or of the server if there is no name: all or none.
    ///
    /// # Errors
    /// [`Error::LongMetadata`], [`Error::ManyMetadata`]; [`Error::Cannot`] for what nobody can set;
    /// [`Error::Forbidden`].
    pub async fn set_metadata(
        &self,
        actor: &Actor,
        mailbox: &str,
        values: Vec<(Entry, Option<Vec<u8>>)>,
    ) -> Result<Committed<()>> {
        let most = self.limits.metadata_value;
        if values.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > most)) {
            return Err(Error::LongMetadata(most as u64));
        }
        let (account, name) = (actor.account, mailbox.to_owned());
        let limits = self.limits;
        self.store
            .write(actor.origin, move |tx| {
                let mailbox = place(tx, account, &name)?.map(|place| place.row);
                let mut rows = Vec::with_capacity(values.len());
                for (entry, value) in values {
                    let folded = entry.folded();
                    if is_read_only(folded, mailbox.is_some()) {
                        return Err(Error::Cannot("this entry can't be set"));
                    }
                    match &mailbox {
                        Some(mailbox) if &**folded == SPECIAL_USE => {
                            set_special_use(tx, account, mailbox, value.as_deref())?;
                            continue;
                        }
                        None if entry.scope() == Scope::Shared && !is_owner(tx, account)? => {
                            return Err(Error::Forbidden);
                        }
                        _ => {}
                    }
                    let (owner, entry) = (entry.owner(account), Arc::clone(folded));
                    rows.push(NewMetadata { entry, owner, value });
                }
                let id = mailbox.as_ref().map(|mailbox| mailbox.id);
                let before = tx.count_metadata(id, account)?;
                tx.set_metadata(mailbox.as_ref(), &rows)?;
                let after = tx.count_metadata(id, account)?;
                if after > before && after > limits.metadata_entries as u64 {
                    return Err(Error::ManyMetadata);
                }
                let new = rows.iter().filter(|row| row.value.is_some());
                let payers =
                    new.filter_map(|row| row.owner.or_else(|| mailbox.as_ref().map(|m| m.account)));
                for payer in payers.collect::<BTreeSet<_>>() {
                    tx.check_quota(payer, 0, 0, limits.quota_octets)?;
                }
                Ok(())
            })
            .await
    }
}

/// The mailbox, or the server for an empty name.
fn place(r: &Reader<'_>, account: AccountId, name: &str) -> Result<Option<Place>> {
    if name.is_empty() {
        return Ok(None);
    }
    let place = find(r, account, &name::Place::of(name))?;
    if permits(place.rights) { Ok(Some(place)) } else { Err(refusal(place.rights)) }
}

/// May who has these rights read and set what is said of a mailbox (RFC 5464 §3.3)?
fn permits(rights: Rights) -> bool {
    rights.contain(Rights::LOOKUP) && rights.meet(ANY_OF)
}

/// The mailbox of this number, if the account may read what is said of it.
fn readable(r: &Reader<'_>, account: AccountId, id: MailboxId) -> Result<Option<Place>> {
    Ok(by_id(r, account, id)?.filter(|place| permits(place.rights)))
}

fn is_owner(r: &Reader<'_>, account: AccountId) -> Result<bool> {
    Ok(r.account_by_id(account)?.is_some_and(|account| account.owner))
}

/// What is there of what is wanted.
fn found(
    r: &Reader<'_>,
    account: AccountId,
    place: Option<&Place>,
    wanted: &WantedMetadata,
) -> Result<FoundMetadata> {
    let mailbox = place.map(|place| &place.row);
    let id = mailbox.map(|mailbox| mailbox.id);
    let computed = computed(r, account, mailbox, wanted)?;
    let (mut entries, mut longest) = (VecDeque::new(), None);
    let mut seen = std::collections::HashSet::new();
    let mut take = |name: Arc<str>, entry: Entry, value: Value| {
        let size = match &value {
            Value::Nothing => 0,
            Value::Known(value) => value.len() as u64,
            Value::Stored(size) => *size,
        };
        if !seen.insert(Arc::clone(entry.folded())) {
            return;
        }
        if wanted.most.is_some_and(|most| size > most) {
            longest = longest.max(Some(size));
        } else {
            entries.push_back(Found { name, entry, value });
        }
    };
    for entry in &wanted.entries {
        let stored = r.metadata_size(id, entry.owner(account), entry.folded())?;
        let known = computed.iter().find(|(name, _)| *name == &**entry.folded());
        let value = match (known, stored) {
            (Some((_, value)), _) => Value::Known(value.clone().into_bytes()),
            (None, Some(size)) => Value::Stored(size),
            (None, None) => Value::Nothing,
        };
        let is_there = !matches!(value, Value::Nothing);
        if is_there || wanted.depth == Depth::Zero {
            take(entry.spelled().into(), entry.clone(), value);
        }
        if wanted.depth == Depth::Zero {
            continue;
        }
        for (name, value) in computed.iter().filter(|(name, _)| entry.is_above(name, wanted.depth))
        {
            if let Ok(entry) = Entry::parse(name.as_bytes()) {
                take((*name).into(), entry, Value::Known(value.clone().into_bytes()));
            }
        }
        for (name, size) in r.metadata_below(id, entry.owner(account), entry.folded())? {
            if entry.is_above(&name, wanted.depth)
                && let Ok(entry) = Entry::parse(name.as_bytes())
            {
                take(name, entry, Value::Stored(size));
            }
        }
    }
    let sizes = entries.iter().map(|found| match found.value {
        Value::Stored(size) => size,
        Value::Nothing | Value::Known(_) => 0,
    });
    if sizes.fold(0, u64::saturating_add) <= AT_HAND {
        entries.iter_mut().try_for_each(|found| found.load(r, id, account))?;
    }
    let mailbox = place.map_or_else(|| "".into(), |place| Arc::clone(&place.name));
    Ok(FoundMetadata { mailbox, longest, id, account, entries })
}

/// `/private/specialuse`: attributes, blanks between them (RFC 6154 §4).
fn set_special_use(
    tx: &mut Tx<'_>,
    account: AccountId,
    mailbox: &MailboxRow,
    value: Option<&[u8]>,
) -> Result<()> {
    if mailbox.account != account {
        return Err(Error::Forbidden);
    }
    let text = str::from_utf8(value.unwrap_or_default()).map_err(|_| Error::NoSuchSpecialUse)?;
    let mut uses = SpecialUse::default();
    for name in text.split_ascii_whitespace() {
        uses = uses.with(SpecialUse::named(name).ok_or(Error::NoSuchSpecialUse)?);
    }
    if !mailbox.selectable && !uses.is_empty() {
        return Err(Error::NotSelectable);
    }
    let taken = |row: &MailboxRow| row.id != mailbox.id && row.special_use.0 & uses.0 != 0;
    if tx.mailboxes(account)?.iter().any(taken) {
        return Err(Error::SpecialUseTaken);
    }
    if uses != mailbox.special_use {
        tx.set_special_use(mailbox, uses)?;
    }
    Ok(())
}

//! Annotations (RFC 5257): what users say of messages, each to everybody or to itself.
//!
//! One's own are read and set with the right to read; those for everybody are read so too, and set
//! with a right of their own (§3.4).

mod name;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

pub use self::name::{AnnotationMatch, AnnotationName, Attribute, AttributeKind, NoName};
use super::{
    Actor, Limits, Mail, Mailbox, NewMail,
    access::{Found, still},
    converted::Converted,
    error::{Error, Result},
    extract::Wanted,
    metadata::Scope,
    rights::Rights,
    search::Needle,
    section::{Section, SectionText},
    structure::StructureRef,
};
use crate::{
    ids::{AccountId, ModSeq, Uid},
    store::{self, Along, Committed, MailboxRow, MarkOutcome, NewAnnotation, Reader, Tx},
    wire::Ranges,
};

/// Once so many octets were read, a job ends.
const PER_JOB: usize = 1 << 20;
/// Octets of a value that are compared for sorting.
const COMPARED: usize = 1_000;
/// A job looks at so many messages at most.
const MESSAGES_PER_JOB: u32 = 512;

/// Which annotations a FETCH asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedAnnotations {
    /// Names and patterns.
    pub entries: Vec<AnnotationMatch>,
    /// What is told of each.
    pub attributes: Vec<Attribute>,
}

impl WantedAnnotations {
    /// The parts of the message that are named.
    pub fn parts(&self) -> impl Iterator<Item = Vec<u32>> + '_ {
        self.entries.iter().filter_map(|entry| match entry {
            AnnotationMatch::One(name) => name.part(),
            AnnotationMatch::Any(_) => None,
        })
    }
}

/// A value to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationValue {
    /// Of which annotation.
    pub name: AnnotationName,
    /// For whom.
    pub scope: Scope,
    /// None removes it.
    pub value: Option<Vec<u8>>,
}

/// What is said of a message under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// To oneself.
    pub private: Option<Vec<u8>>,
    /// To everybody.
    pub shared: Option<Vec<u8>>,
}

impl Said {
    /// What is said to these.
    pub fn to(&self, scope: Scope) -> Option<&[u8]> {
        match scope {
            Scope::Private => self.private.as_deref(),
            Scope::Shared => self.shared.as_deref(),
        }
    }
}

/// All that is said of a message, by name.
pub type AllSaid = BTreeMap<Arc<str>, Said>;

impl Mail {
    /// What is said of these messages: of as many of the first as weigh little together, at least
    /// one.
    pub async fn annotations(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
    ) -> Result<Vec<AllSaid>> {
        mailbox.need(Rights::READ)?;
        let (id, account) = (mailbox.id, actor.account);
        self.store
            .read(move |r| {
                if !r.has_annotations(id)? {
                    return Ok(vec![AllSaid::new(); uids.len()]);
                }
                let (mut all, mut weight) = (Vec::new(), 0_usize);
                for uid in uids {
                    r.check_cancelled()?;
                    let mut said = AllSaid::new();
                    for annotation in r.annotations(id, uid, account)? {
                        weight = weight.saturating_add(annotation.value.len());
                        let said = said.entry(annotation.entry).or_default();
                        let value = Some(annotation.value);
                        match annotation.owner {
                            Some(_) => said.private = value,
                            None => said.shared = value,
                        }
                    }
                    all.push(said);
                    if weight > PER_JOB {
                        break;
                    }
                }
                Ok(all)
            })
            .await
    }

    /// The names under which something is said of each of these messages.
    pub async fn annotation_names(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Vec<Arc<str>>)>> {
        mailbox.need(Rights::READ)?;
        let (id, account) = (mailbox.id, actor.account);
        self.store
            .read(move |r| {
                let names = |uid: Uid| Ok((uid, r.annotation_names(id, uid, account)?));
                uids.into_iter().map(names).collect()
            })
            .await
    }

    /// Sets values of messages, UIDs rising: of all, or of none. `unchanged_since` as in RFC 7162
    /// §3.1.3.
    ///
    /// # Errors
    /// [`Error::LongAnnotation`], [`Error::ManyAnnotations`]; [`Error::NoPart`] when one of the
    /// messages has not the part that is named; [`Error::Forbidden`].
    pub async fn annotate(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
        values: Vec<AnnotationValue>,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Committed<MarkOutcome>> {
        check(&self.limits, mailbox.rights, &values)?;
        let parts: Vec<_> = values.iter().filter_map(|value| value.name.part()).collect();
        if !parts.is_empty() {
            self.check_parts(mailbox, &uids, &parts).await?;
        }
        let (mailbox, by, limits) = (mailbox.clone(), actor.account, self.limits);
        self.store
            .write(actor.origin, move |tx| {
                let Found { row, rights, .. } = still(tx, &mailbox, Rights::NONE)?;
                check(&limits, rights, &values)?;
                let (new, most) = (owned(&values, by), limits.metadata_entries as u64);
                let outcome = tx.annotate(&row, &uids, by, &new, most, unchanged_since)?;
                check_quota(tx, &row, by, &new, limits.quota_octets)?;
                Ok(outcome)
            })
            .await
    }

    /// Refuses parts that one of these messages does not have.
    async fn check_parts(&self, mailbox: &Mailbox, uids: &[Uid], parts: &[Vec<u32>]) -> Result<()> {
        let mut seen = HashSet::new();
        let known = self.view(mailbox).await?;
        let mut contents: Vec<_> = {
            let messages = known.messages();
            let entries = uids.iter().filter_map(|uid| messages.find(*uid));
            entries.map(|entry| (entry.content, entry.size)).filter(|c| seen.insert(c.0)).collect()
        };
        let wanted = Arc::new(Wanted { listing: true, ..Wanted::default() });
        while !contents.is_empty() {
            let extracts = self.extract(contents.clone(), Arc::clone(&wanted)).await?;
            contents.drain(..extracts.len().min(contents.len()));
            for extract in extracts {
                has_parts(&extract?.structure, parts)?;
            }
        }
        Ok(())
    }

    /// The messages of which something is said under such a name that contains the text.
    pub async fn annotated(
        &self,
        account: AccountId,
        mailbox: &Mailbox,
        entry: AnnotationMatch,
        scopes: Vec<Scope>,
        needle: Needle,
    ) -> Result<Ranges> {
        mailbox.need(Rights::READ)?;
        let (id, mut found, mut next) = (mailbox.id, Ranges::default(), Some(Uid::MIN));
        let asked = Arc::new((entry, scopes, needle));
        while let Some(first) = next {
            let asked = Arc::clone(&asked);
            let job = move |r: &Reader<'_>| {
                let (mut found, mut weight, mut last) = (Vec::new(), 0_usize, None);
                for uid in r.annotated(id, first, MESSAGES_PER_JOB)? {
                    r.check_cancelled()?;
                    let (entry, scopes, needle) = &*asked;
                    let mut all = r.annotations(id, uid, account)?;
                    weight =
                        all.iter().fold(weight, |sum, said| sum.saturating_add(said.value.len()));
                    all.retain(|said| {
                        let scope = said.owner.map_or(Scope::Shared, |_| Scope::Private);
                        scopes.contains(&scope) && entry.fits(&said.entry)
                    });
                    if all.iter().any(|said| needle.is_in(&Converted::of(b"utf-8", &said.value))) {
                        found.push(uid.get());
                    }
                    last = Some(uid);
                    if weight > PER_JOB {
                        break;
                    }
                }
                Ok::<_, Error>((found, last))
            };
            let (more, last) = self.store.read(job).await?;
            for uid in more {
                found.insert(uid);
            }
            next = last.and_then(|last| last.get().checked_add(1)).and_then(Uid::new);
        }
        Ok(found)
    }

    /// How what is said of these messages under one name begins, by a user to itself or (None) to
    /// everybody: keys to sort by (see [`Converted::into_key`]). Those of which nothing is said are left
    /// out.
    pub(super) async fn annotation_texts(
        &self,
        owner: Option<AccountId>,
        mailbox: &Mailbox,
        uids: &[Uid],
        name: &AnnotationName,
    ) -> Result<HashMap<Uid, String>> {
        let (id, name) = (mailbox.id, name.clone());
        let mut texts = HashMap::new();
        if !self.store.read::<_, Error, _>(move |r| Ok(r.has_annotations(id)?)).await? {
            return Ok(texts);
        }
        for uids in uids.chunks(usize::try_from(MESSAGES_PER_JOB).unwrap_or(usize::MAX)) {
            let (uids, name) = (uids.to_vec(), name.clone());
            let some = self.store.read::<_, Error, _>(move |r| {
                let mut some = Vec::new();
                for uid in uids {
                    r.check_cancelled()?;
                    if let Some(value) = r.annotation(id, uid, name.as_str(), owner)? {
                        some.push((uid, Converted::of(b"utf-8", &value).into_key(COMPARED)));
                    }
                }
                Ok(some)
            });
            texts.extend(some.await?);
        }
        Ok(texts)
    }
}

/// The same values, with who says what.
fn owned(values: &[AnnotationValue], by: AccountId) -> Vec<NewAnnotation> {
    let new = |value: &AnnotationValue| NewAnnotation {
        entry: Arc::clone(value.name.as_str()),
        owner: (value.scope == Scope::Private).then_some(by),
        value: value.value.clone(),
    };
    values.iter().map(new).collect()
}

/// Refuses what takes more room than there is for those whose room it takes.
fn check_quota(
    tx: &Tx<'_>,
    row: &MailboxRow,
    by: AccountId,
    new: &[NewAnnotation],
    default_octets: u64,
) -> Result<()> {
    for (payer, scope) in [(by, true), (row.account, false)] {
        let pays = |new: &NewAnnotation| new.value.is_some() && new.owner.is_some() == scope;
        if new.iter().any(pays) {
            tx.check_quota(payer, 0, 0, default_octets)?;
        }
    }
    Ok(())
}

/// Has a message all these parts?
fn has_parts(structure: &[u8], parts: &[Vec<u32>]) -> Result<()> {
    let damaged = |_| Error::Damaged(store::Error::Corrupt("a structure".into()));
    let structure = StructureRef::parse(structure).map_err(damaged)?;
    let has = |path: &Vec<u32>| {
        let section = Section { path: path.clone(), text: SectionText::All };
        section.locate(structure).is_some()
    };
    if parts.iter().all(has) { Ok(()) } else { Err(Error::NoPart) }
}

/// Refuses values that can't be kept, or not by who wants them to be.
fn check(limits: &Limits, rights: Rights, values: &[AnnotationValue]) -> Result<()> {
    for value in values {
        let needed = match value.scope {
            Scope::Private => Rights::READ,
            Scope::Shared => Rights::ANNOTATE,
        };
        if !rights.contain(needed) {
            return Err(Error::Forbidden);
        }
        if value.value.as_ref().is_some_and(|value| value.len() > limits.metadata_value) {
            return Err(Error::LongAnnotation);
        }
    }
    Ok(())
}

/// Refuses what can't be said of a message that is about to be kept.
pub(super) fn check_new(limits: &Limits, rights: Rights, new: &NewMail) -> Result<()> {
    check(limits, rights, &new.annotations)?;
    let parts: Vec<_> = new.annotations.iter().filter_map(|value| value.name.part()).collect();
    if parts.is_empty() { Ok(()) } else { has_parts(&new.message.content().structure, &parts) }
}

/// Sets values of a message that has just come into a mailbox.
pub(super) fn say(
    tx: &Tx<'_>,
    row: &MailboxRow,
    uid: Uid,
    by: AccountId,
    values: &[AnnotationValue],
    limits: &Limits,
) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let new = owned(values, by);
    tx.say(row.id, uid, by, &new, limits.metadata_entries as u64)?;
    check_quota(tx, row, by, &new, limits.quota_octets)
}

/// What is said of messages goes along to their copies, as far as the actor may say it there
/// (RFC 5257 §4.6); says whether there was anything.
pub(super) fn copy(
    tx: &Tx<'_>,
    by: AccountId,
    from: &MailboxRow,
    copied: &[(Uid, Uid)],
    to: (&MailboxRow, Rights),
) -> Result<bool> {
    let (row, rights) = to;
    Ok(tx.copy_annotations(from.id, copied, row.id, along(by, rights))?)
}

/// What goes along into a mailbox where this user has these rights (RFC 5257 §4.6).
pub(super) fn along(by: AccountId, rights: Rights) -> Along {
    if rights.contain(Rights::ANNOTATE) { Along::OwnAndShared(by) } else { Along::Own(by) }
}

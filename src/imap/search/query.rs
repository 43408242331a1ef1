//! What SEARCH, SORT and THREAD share: a charset and keys, the messages that match them, and the
//! numbers these have at this client.

use super::{
    compile::{Charset, Context},
    filter,
    key::{self, Key},
    result::Found,
};
use crate::{
    ids::Uid,
    imap::{
        error::Error,
        message_limit,
        reply::{Code, Done, Replies},
        selected::Selected,
        session::{Session, now, uid_required},
    },
    mail::{
        Collation, Mail,
        search::{Needle, Progress},
    },
    wire::{Cursor, Ranges, Syntax},
};

/// So many messages are given their numbers while commits wait.
const NUMBERED_AT_ONCE: usize = 16_384;

/// The messages that match.
#[derive(Debug)]
struct Matching {
    /// UIDs, rising.
    uids: Vec<Uid>,
    /// Not all messages were looked at (RFC 9738 §3.1).
    limit: Option<Code>,
}

/// Which messages are meant.
#[derive(Clone, Debug)]
pub struct Query {
    charset: Option<String>,
    key: Key,
    collation: Collation,
}

impl Query {
    /// `[("CHARSET" SP charset SP)] search-key *(SP search-key)`
    pub fn for_search(args: &mut Cursor<'_>) -> Result<Self, Syntax> {
        let mut charset = None;
        if args.take_word("CHARSET") {
            args.space()?;
            charset = Some(args.astring_text()?.into_owned());
            args.space()?;
        }
        Ok(Self { charset, key: key::keys(args)?, collation: Collation::default() })
    }

    /// `search-criteria = charset 1*(SP search-key)` (RFC 5256 §5)
    pub fn with_charset(args: &mut Cursor<'_>) -> Result<Self, Syntax> {
        let charset = Some(args.astring_text()?.into_owned());
        args.space()?;
        Ok(Self { charset, key: key::keys(args)?, collation: Collation::default() })
    }

    /// Is a charset named?
    pub fn names_charset(&self) -> bool {
        self.charset.is_some()
    }

    /// Puts in the filters that the keys name, as they are now. Their texts are UTF-8, so the keys
    /// beside them are too (RFC 5466 §3.1).
    pub async fn put_in_filters(&mut self, session: &Session) -> Result<(), Error> {
        if !self.key.names_filters() {
            return Ok(());
        }
        if !matches!(Charset::named(self.charset.as_deref()), Ok(Charset::Utf8)) {
            return Err(Error::Unfit(Some(Code::BadCharset), "filters are written in UTF-8"));
        }
        let (mail, actor, bounds) = (session.mail(), session.actor()?, session.door.limits.bounds);
        let key = std::mem::replace(&mut self.key, Key::And(Vec::new()));
        self.key = filter::put_in(key, &mail, &actor, bounds).await?;
        Ok(())
    }

    /// Who asks for mod-sequences wants them from now on (RFC 7162 §3.1). Texts are compared as the
    /// client wants now (RFC 5255 §4.2).
    ///
    /// # Errors
    /// Under UIDONLY no message has a number (RFC 9586 §3.5).
    pub fn enable(&mut self, session: &mut Session, out: &mut Replies) -> Result<(), Error> {
        if session.enabled.uid_only && self.key.names_numbers() {
            return Err(uid_required());
        }
        if self.key.names_mod_seq() {
            session.enable_condstore(out);
        }
        self.collation = session.collation;
        Ok(())
    }

    /// May a message match that did not, or the other way round, when it changes?
    pub fn hears_changes(&self) -> bool {
        self.key.hears_changes()
    }

    /// The same query for later, when numbers mean something else.
    pub async fn frozen(&self, mail: &Mail, selected: &mut Selected) -> Result<Self, Error> {
        let key = self.compile(mail, selected, |context| context.frozen(&self.key)).await?;
        Ok(Self { charset: self.charset.clone(), key, collation: self.collation })
    }

    /// Those of these messages, UIDs rising, that match now.
    pub async fn among(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        uids: &[Uid],
    ) -> Result<Vec<Uid>, Error> {
        let program = self.compile(mail, selected, |context| context.program(&self.key)).await?;
        Ok(mail.search_among(&selected.mailbox, program, uids).await?)
    }

    /// Makes something of the keys, of which this session knows what they mean.
    async fn compile<T>(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        make: impl FnOnce(&Context<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (charset, collation) = (Charset::named(self.charset.as_deref())?, self.collation);
        let annotated = self.annotated(mail, selected, charset).await?;
        let (saved, recent) = (selected.saved.clone(), selected.recent().clone());
        let made = selected.look(mail, |picture, messages| {
            let (saved, recent) = (&saved, &recent);
            let (annotated, now) = (annotated.as_slice(), now());
            make(&Context { picture, messages, saved, recent, charset, collation, annotated, now })
        });
        made.await?
    }

    /// The messages of which something is said that the keys ask for, as of now.
    async fn annotated(
        &self,
        mail: &Mail,
        selected: &Selected,
        charset: Charset,
    ) -> Result<Vec<(Key, Ranges)>, Error> {
        let mut keys = Vec::new();
        self.key.each(&mut |key| {
            if matches!(key, Key::Annotation(..)) {
                keys.push(key);
            }
        });
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            let Key::Annotation(entry, scopes, text) = key else { continue };
            let text_sought = charset.decode(text.as_deref().unwrap_or_default())?;
            let needle = Needle::new(&text_sought, self.collation);
            let (mailbox, user) = (&selected.mailbox, selected.user);
            let asked = (entry.clone(), scopes.clone());
            let mut uids = mail.annotated(user, mailbox, asked.0, asked.1, needle).await?;
            if text.is_none() {
                uids = Ranges::from(1..=u32::MAX).without(uids.numbers());
            }
            all.push((key.clone(), uids));
        }
        Ok(all)
    }

    /// The messages that match, of the `most` that have the highest UIDs among those the keys name.
    async fn matching(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        most: usize,
        progress: &Progress,
    ) -> Result<Matching, Error> {
        let compiled = self.compile(mail, selected, |context| {
            let (living, last) = (context.messages.uids(), context.picture.last_told());
            let program = context.program(&self.key)?;
            let counted = living.partition_point(|uid| uid.get() <= last);
            let counted = living.get(..counted).unwrap_or_default();
            let lowest = (counted.len() > most)
                .then(|| message_limit::lowest(counted, program.uids().as_ref(), most));
            Ok((program, lowest.flatten(), last))
        });
        let (program, lowest, last) = compiled.await?;
        let range = lowest.map_or(1, Uid::get)..=last;
        let limit = lowest.map(|uid| Code::MessageLimit(most, Some(uid)));
        let uids = mail.search(&selected.mailbox, program, range, progress).await?;
        Ok(Matching { uids, limit })
    }

    /// The same, as the client counts them.
    pub async fn found(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        most: usize,
        progress: &Progress,
    ) -> Result<Found, Error> {
        let Matching { uids, limit } = self.matching(mail, selected, most, progress).await?;
        Ok(Found { limit, ..self.numbered(mail, selected, uids).await? })
    }

    /// The messages that match, UIDs rising, for who needs all of them: SORT and THREAD
    /// (RFC 9738 §3.3).
    pub async fn all_matching(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        most: usize,
        progress: &Progress,
    ) -> Result<Vec<Uid>, Error> {
        let Matching { uids, limit } = self.matching(mail, selected, most, progress).await?;
        match limit {
            None => Ok(uids),
            Some(_) => Err(Error::too_many(most, "too many messages")),
        }
    }

    /// The same messages in the same order, as the client counts them. What went meanwhile is passed
    /// over: it has no number any more.
    pub async fn numbered(
        &self,
        mail: &Mail,
        selected: &mut Selected,
        uids: Vec<Uid>,
    ) -> Result<Found, Error> {
        let with_mod_seqs = self.key.names_mod_seq();
        let mut found = Found::default();
        // Numbers stay what they are until the client is told otherwise, however often one looks.
        for uids in uids.chunks(NUMBERED_AT_ONCE) {
            let numbered = selected.look(mail, |picture, messages| {
                let living = messages.uids();
                for uid in uids {
                    let Some(number) = picture.number(*uid, living) else { continue };
                    found.uids.push(uid.get());
                    found.numbers.push(number);
                    if with_mod_seqs {
                        let place = messages.place(*uid).ok();
                        let mod_seq = place.and_then(|place| messages.mod_seqs().get(place));
                        found.mod_seqs.push(mod_seq.copied().unwrap_or_default());
                    }
                }
            });
            numbered.await?;
            if uids.len() == NUMBERED_AT_ONCE {
                tokio::task::yield_now().await;
            }
        }
        Ok(found)
    }

    /// The tagged end: nothing is renumbered when the client counted by number.
    pub fn done(&self, done: Done) -> Done {
        if self.key.names_numbers() { done.still() } else { done }
    }
}

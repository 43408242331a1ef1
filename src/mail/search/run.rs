//! A search at work: first over the view, then in short jobs of the store for what is left.

use std::{mem, ops::RangeInclusive, sync::Arc};

use super::{
    facts::{Known, Stored},
    key::Program,
};
use crate::{
    events::Entry,
    ids::Uid,
    mail::{
        Mail, Mailbox, Messages, Rights,
        error::{Error, Result},
    },
    store::Reader,
};

/// Messages looked at while commits wait.
const AT_ONCE: usize = 4_096;
/// A job of the store looks at so many messages at most,
const PER_JOB: usize = 512;
/// and ends when it has read so many octets.
const OCTETS_PER_JOB: u64 = 4 << 20;

impl Mail {
    /// The UIDs of the messages that match, rising; of those in this range.
    ///
    /// Reads in short jobs, each of which ends early when nobody waits for it. A damaged message
    /// matches nothing that only its content could tell.
    pub async fn search(
        &self,
        mailbox: &Mailbox,
        mut program: Program,
        range: RangeInclusive<u32>,
    ) -> Result<Vec<Uid>> {
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        program.bind(&view.messages());
        let (first, last) = range.into_inner();
        let mut sieve = Sieve { program, last, found: Vec::new(), open: Vec::new() };
        let mut next = Some(Uid::new(first).unwrap_or(Uid::MIN));
        while let Some(first) = next {
            next = sieve.look(&view.messages(), first)?;
        }
        let Sieve { program, mut found, mut open, .. } = sieve;
        let (program, words) = (Arc::new(program), self.limits.parsing.encoded_words);
        while !open.is_empty() {
            let behind = open.split_off(open.len().min(PER_JOB));
            let (program, now) = (Arc::clone(&program), mem::replace(&mut open, behind));
            let job = move |r: &Reader<'_>| read(r, &program, now, words);
            let (matching, left) = self.store.read(job).await?;
            found.extend(matching);
            open.splice(..0, left);
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// What the view decides, and what it leaves open.
struct Sieve {
    program: Program,
    last: u32,
    found: Vec<Uid>,
    open: Vec<Entry>,
}

impl Sieve {
    /// Looks at some messages from a UID on; gives the UID to go on with.
    fn look(&mut self, messages: &Messages, first: Uid) -> Result<Option<Uid>> {
        let from = messages.place(first).unwrap_or_else(|place| place);
        for entry in messages.entries(from).take(AT_ONCE) {
            if entry.uid.get() > self.last {
                return Ok(None);
            }
            match self.program.matches(&mut Known(&entry))? {
                Some(true) => self.found.push(entry.uid),
                Some(false) => {}
                None => self.open.push(entry),
            }
        }
        Ok(messages.uids().get(from.saturating_add(AT_ONCE)).copied())
    }
}

/// Decides messages by what is stored; gives those that match, and those there was no time for.
pub(super) fn read(
    r: &Reader<'_>,
    program: &Program,
    entries: Vec<Entry>,
    encoded_words: usize,
) -> Result<(Vec<Uid>, Vec<Entry>)> {
    let mut matching = Vec::new();
    let mut weight = 0_u64;
    let mut entries = entries.into_iter();
    while weight < OCTETS_PER_JOB
        && let Some(entry) = entries.next()
    {
        r.check_cancelled()?;
        let mut facts = Stored::new(r, &entry, encoded_words);
        match program.matches(&mut facts) {
            Ok(Some(true)) => matching.push(entry.uid),
            Ok(_) => {}
            Err(Error::Damaged(cause)) => {
                tracing::error!(%cause, uid = %entry.uid, "a damaged message");
            }
            Err(error) => return Err(error),
        }
        weight = weight.saturating_add(facts.weight);
    }
    Ok((matching, entries.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Bus, Door, Origin},
        flags::Flags,
        mail::{
            Actor, Limits, NewMail,
            search::{Days, Field, Key, Keyword, Needle},
        },
        store::{self, MarkNames, NewAccount, Options, Store},
    };

    /// A house with an empty INBOX.
    struct House {
        _dir: tempfile::TempDir,
        mail: Mail,
        actor: Actor,
        inbox: Mailbox,
    }

    impl House {
        async fn open() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
            let mail = Mail::new(store, Limits::default());
            let origin = Origin::new(Door::House, 1_000);
            let job = |tx: &mut store::Tx<'_>| {
                tx.add_domain("d")?;
                let account = tx.add_account(&NewAccount {
                    address: "a@d".into(),
                    address_key: "a@d".into(),
                    domain: "d".into(),
                    full_name: String::new(),
                    owner: false,
                    password: None,
                    scram_salt: Vec::new(),
                    scram_iterations: 1,
                    scram: None,
                })?;
                Mail::add_default_mailboxes(tx, account)?;
                Ok::<_, Error>(account)
            };
            let account = mail.store().write(origin, job).await.unwrap().into_inner();
            let actor = Actor { account, origin };
            let inbox = mail.open(&actor, "INBOX", Rights::ALL).await.unwrap();
            Self { _dir: dir, mail, actor, inbox }
        }

        async fn add(&self, message: &str, marks: MarkNames) {
            let mut spool = self.mail.spool();
            spool.write(message.as_bytes()).unwrap();
            let message = self.mail.prepare(spool, |header| header).await.unwrap();
            let mail = NewMail { message, marks, internal_date: None };
            let _added = self.mail.append(&self.actor, &self.inbox, vec![mail]).await.unwrap();
        }

        async fn found(&self, key: Key) -> Vec<u32> {
            let program = Program::new(key);
            let found = self.mail.search(&self.inbox, program, 1..=u32::MAX).await.unwrap();
            found.iter().map(|uid| uid.get()).collect()
        }
    }

    #[tokio::test]
    async fn cheap_and_dear_keys_meet_in_one_search() {
        let house = House::open().await;
        let mut marks = MarkNames::flags(Flags::SEEN);
        marks.add("Work");
        house.add("Subject: one\r\n\r\nGr\u{fc}\u{df}e\r\n", marks).await;
        let encoded = "Subject: =?utf-8?q?zw=C3=B6lf?=\r\n\
            Content-Type: text/plain; charset=iso-8859-1\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe an alle\r\n";
        house.add(encoded, MarkNames::default()).await;
        let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
            Content-Type: image/png; name=gruesse.png\r\nContent-Transfer-Encoding: base64\r\n\r\n\
            R3LDvMOfZQ==\r\n--b--\r\n";
        house.add(attached, MarkNames::default()).await;
        let body = |text: &str| Key::Body(Needle::new(text));
        let seen = || Key::Flags(Flags::SEEN);
        let not = |key| Key::Not(Box::new(key));
        assert_eq!(house.found(body("GR\u{dc}\u{df}E")).await, [1, 2]);
        assert_eq!(house.found(Key::And(vec![body("gr\u{fc}\u{df}e"), not(seen())])).await, [2]);
        assert_eq!(house.found(Key::Or(vec![seen(), body("gruesse.PNG")])).await, [1, 3]);
        assert_eq!(house.found(Key::Field(Field::Subject, Needle::new("W\u{d6}lf"))).await, [2]);
        assert_eq!(house.found(Key::Keyword(Keyword::new("work"))).await, [1]);
        assert_eq!(house.found(not(Key::Keyword(Keyword::new("home")))).await, [1, 2, 3]);
        let date = jiff::civil::Date::constant(1970, 1, 1);
        assert_eq!(house.found(Key::Saved(Days::on(date))).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_comes_in_many_jobs_is_found_in_order() {
        let house = House::open().await;
        for number in 0..1_200 {
            let subject = if number % 3 == 0 { "fizz" } else { "no" };
            let message = format!("Subject: {subject} {}\r\n\r\n", number % 7);
            house.add(&message, MarkNames::default()).await;
        }
        let fizz = Key::Text(Needle::new("FIZZ"));
        let expected: Vec<u32> = (0..1_200).step_by(3).map(|number| number + 1).collect();
        assert_eq!(house.found(fizz).await, expected);
    }
}

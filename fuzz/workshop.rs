//! A store with one stored message, and a bench on which others are put together from it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mailade::{
    events::{Bus, Door, Origin},
    ids::ContentId,
    mail::{
        Actor, Error, Limits, Mail, NewMail, Rights, Spool,
        extract::{Cut, Form},
        section::Section,
        skeleton::SkeletonError,
        urls::{Here, Linked, Urls},
    },
    store::{self, MarkNames, NewAccount, Options, Store},
};
use tokio::runtime::{Builder, Runtime};

/// Octets of a body that is a file of its own here, and of a message that is put together.
const INLINE: usize = 256;
const MOST: u64 = 64 << 10;

/// The house in which the fuzzer works; there is one, for opening a store takes longer than a try.
pub(crate) struct Workshop {
    runtime: Runtime,
    mail: Mail,
    urls: Urls,
    actor: Actor,
    stored: Vec<u8>,
    content: ContentId,
    _folder: tempfile::TempDir,
}

/// Does something in the workshop.
pub(crate) fn work<T>(job: impl FnOnce(&Workshop) -> T) -> T {
    static WORKSHOP: OnceLock<Mutex<Workshop>> = OnceLock::new();
    let workshop = WORKSHOP.get_or_init(|| Mutex::new(Workshop::open()));
    job(&workshop.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Workshop {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options = Options {
            inline_threshold: INLINE,
            least_for_adding: 0,
            least_for_writing: 0,
            ..Options::new(folder.path())
        };
        let store = Store::open(&options, Arc::new(Bus::default())).expect("a store");
        let mail = Mail::new(store, Limits { message_size: MOST, ..Limits::default() });
        let here = Here { hostname: "here.example".to_owned(), ..Here::default() };
        let urls = Urls::new(&mail, here);
        let stored = source();
        let actor = runtime.block_on(fill(&mail, &stored));
        let linked = runtime.block_on(urls.own(&actor, None, "/INBOX/;UID=1"));
        let content = linked.expect("a message by its URL").content;
        Self { runtime, mail, urls, actor, stored, content, _folder: folder }
    }

    /// Follows a plan, octet by octet, and holds the outcome against what copying would have given.
    pub(crate) fn assemble(&self, plan: &[u8]) {
        let told = plan;
        let mut plan = plan.iter().copied();
        let (mut spool, mut expected) = (self.mail.spool(), Vec::new());
        while let Some(step) = plan.next() {
            let mut number = || {
                let pair = [plan.next().unwrap_or(0), plan.next().unwrap_or(0)];
                usize::from(u16::from_be_bytes(pair))
            };
            // Text, for what is binary is stored otherwise.
            let letter = b'a' + step % 26;
            match step % 4 {
                0 => {
                    let octets = vec![letter; number() % 600];
                    let fits = spool.write(&octets).is_ok();
                    take(fits, &mut expected, &octets);
                }
                1 | 2 => self.link((number(), number()), &mut spool, &mut expected),
                _ => {
                    let front = vec![letter; number() % 80];
                    if let Ok(whole) = spool.behind(&front) {
                        spool = whole;
                        expected.splice(0..0, front);
                    } else {
                        assert!((expected.len() + front.len()) as u64 > MOST);
                    }
                }
            }
        }
        assert_eq!(spool.len(), expected.len() as u64, "{told:?}");
        self.check(spool, &expected);
    }

    /// Adds a window of the stored message.
    fn link(&self, window: (usize, usize), spool: &mut Spool, expected: &mut Vec<u8>) {
        let size = self.stored.len();
        let cut = Cut {
            section: Section::default(),
            form: Form::Stored,
            window: Some((window.0 as u64, window.1 as u64)),
        };
        let linked = Linked { content: self.content, size: size as u64, cut };
        let start = window.0.min(size);
        let end = (window.0 + window.1).min(size);
        let added = self.runtime.block_on(self.mail.add_linked(spool, linked));
        match added {
            Ok(true) => expected.extend_from_slice(&self.stored[start..end]),
            Ok(false) => panic!("the stored message is there"),
            Err(Error::TooBig(_)) => assert!((expected.len() + end - start) as u64 > MOST),
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads it in every way there is, and stores it.
    fn check(&self, mut spool: Spool, expected: &[u8]) {
        let mut read = Vec::new();
        let outcome = spool.each_chunk(|chunk| {
            read.extend_from_slice(chunk);
            Ok::<_, Error>(())
        });
        outcome.expect("what was put together can be read");
        assert_eq!(read, expected);
        let middle = expected.len() / 3..expected.len() / 2;
        let part = spool.read(middle.start as u64..middle.end as u64).expect("a part of it");
        assert_eq!(part, expected[middle]);
        // Slow, and a test of its own elsewhere.
        if !expected.len().is_multiple_of(16) {
            return;
        }
        let prepared = self.runtime.block_on(self.mail.prepare(spool, |header| header));
        let prepared = prepared.expect("what was put together can be stored");
        // A line end of which half was taken is made whole.
        assert!(prepared.size() >= expected.len() as u64);
    }

    /// Takes octets for a skeleton and puts in what it names.
    pub(crate) fn expand(&self, skeleton: &[u8]) {
        let mut spool = self.mail.spool();
        if skeleton.chunks(4_000).any(|chunk| spool.write(chunk).is_err()) {
            return;
        }
        match self.runtime.block_on(self.urls.expand(&self.actor, None, spool)) {
            Ok(whole) => assert!(whole.len() <= MOST),
            Err(
                SkeletonError::Part(_)
                | SkeletonError::Hidden
                | SkeletonError::Mail(Error::TooBig(_)),
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What was refused would have been too much.
fn take(fits: bool, expected: &mut Vec<u8>, octets: &[u8]) {
    if fits {
        expected.extend_from_slice(octets);
    } else {
        assert!((expected.len() + octets.len()) as u64 > MOST);
    }
}

/// A message of several pieces whose octets tell where they are from.
fn source() -> Vec<u8> {
    let mut text =
        "Subject: source\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    for part in 0..3 {
        text += "--b\r\nContent-Type: text/plain\r\n\r\n";
        for line in 0..200 {
            text += &format!("line {line:04} of part {part}\r\n");
        }
    }
    text += "--b--\r\n";
    text.into_bytes()
}

/// An account with the message in its INBOX, as UID 1.
async fn fill(mail: &Mail, message: &[u8]) -> Actor {
    let origin = Origin::new(Door::House, 1_000);
    let new = NewAccount {
        address: "a@here.example".to_owned(),
        address_key: "a@here.example".to_owned(),
        domain: "here.example".to_owned(),
        full_name: String::new(),
        owner: false,
        password: None,
        scram_salt: Vec::new(),
        scram_iterations: 1,
        scram: None,
    };
    let job = move |tx: &mut store::Tx<'_>| {
        tx.add_domain(&new.domain)?;
        let account = tx.add_account(&new)?;
        Mail::add_default_mailboxes(tx, account)?;
        Ok::<_, Error>(account)
    };
    let account = mail.store().write(origin, job).await.expect("an account").into_inner();
    let actor = Actor { account, origin };
    let inbox = mail.open(&actor, "INBOX", Rights::ALL).await.expect("an INBOX");
    let mut spool = mail.spool();
    message.chunks(4_000).for_each(|chunk| spool.write(chunk).expect("room"));
    let message = mail.prepare(spool, |header| header).await.expect("a message");
    let new = NewMail {
        message,
        marks: MarkNames::default(),
        internal_date: None,
        annotations: Vec::new(),
    };
    let appended = mail.append(&actor, &inbox, vec![new]).await.expect("room in INBOX");
    assert_eq!(appended.into_inner().uids.len(), 1);
    actor
}

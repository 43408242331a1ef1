//! A house with mail for its tests.

use std::{path::PathBuf, sync::Arc};

use crate::{
    events::{Bus, Door, Origin},
    ids::ContentId,
    mail::{
        Actor, Error, Limits, Mail, Mailbox, NewMail, Rights,
        search::{Key, Program, Progress},
    },
    store::{self, MarkNames, NewAccount, Options, Store},
};

/// A house with one account and its empty INBOX.
pub(in crate::mail) struct House {
    dir: Arc<tempfile::TempDir>,
    pub(in crate::mail) mail: Mail,
    pub(in crate::mail) actor: Actor,
    pub(in crate::mail) inbox: Mailbox,
}

impl House {
    pub(in crate::mail) async fn open() -> Self {
        Self::open_in(Arc::new(tempfile::tempdir().unwrap()), "a@d").await
    }

    /// Ends the house and opens it again; `meanwhile` gets the path of the index.
    pub(in crate::mail) async fn reopen(self, meanwhile: impl FnOnce(PathBuf)) -> Self {
        let (dir, index) = (Arc::clone(&self.dir), self.mail.store().fulltext_path());
        self.mail.store().close().await;
        drop(self);
        meanwhile(index);
        Self::open_in(dir, "a@d").await
    }

    async fn open_in(dir: Arc<tempfile::TempDir>, address: &str) -> Self {
        let mut options = Options::new(dir.path());
        options.least_for_adding = 0;
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store, Limits::default());
        Self::of(dir, mail, address).await
    }

    /// The same house with the eyes of another account.
    pub(in crate::mail) async fn neighbour(&self, address: &str) -> Self {
        Self::of(Arc::clone(&self.dir), self.mail.clone(), address).await
    }

    async fn of(dir: Arc<tempfile::TempDir>, mail: Mail, address: &str) -> Self {
        let origin = Origin::new(Door::House, 1_000);
        let address = address.to_owned();
        let job = move |tx: &mut store::Tx<'_>| {
            if let Some(account) = tx.account(&address)? {
                return Ok(account.id);
            }
            let _ = tx.add_domain("d");
            let account = tx.add_account(&NewAccount {
                address: address.clone(),
                address_key: address,
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
        Self { dir, mail, actor, inbox }
    }

    pub(in crate::mail) async fn add(&self, message: impl AsRef<[u8]>, marks: MarkNames) {
        self.add_all([message], marks).await;
    }

    pub(in crate::mail) async fn add_all<M: AsRef<[u8]>>(
        &self,
        messages: impl IntoIterator<Item = M>,
        marks: MarkNames,
    ) {
        let mut new = Vec::new();
        for message in messages {
            let mut spool = self.mail.spool();
            spool.write(message.as_ref()).unwrap();
            let message = self.mail.prepare(spool, |header| header).await.unwrap();
            new.push(NewMail {
                message,
                marks: marks.clone(),
                internal_date: None,
                annotations: Vec::new(),
            });
        }
        let _added = self.mail.append(&self.actor, &self.inbox, new).await.unwrap();
    }

    /// Adds so many messages with this subject and a number.
    pub(in crate::mail) async fn add_many(&self, subject: &str, count: usize) {
        let message = |number| format!("Subject: {subject} {number}\r\n\r\nbody of {number}\r\n");
        self.add_all((0..count).map(message), MarkNames::default()).await;
    }

    pub(in crate::mail) async fn found(&self, key: Key) -> Vec<u32> {
        Self::found_by(&self.mail, &self.inbox, key).await
    }

    /// The same without the index.
    pub(in crate::mail) async fn scanned(&self, key: Key) -> Vec<u32> {
        // An index of which it is not known what it was made for is not asked.
        let mail = Mail { indexed_words: Arc::default(), ..self.mail.clone() };
        Self::found_by(&mail, &self.inbox, key).await
    }

    async fn found_by(mail: &Mail, inbox: &Mailbox, key: Key) -> Vec<u32> {
        let progress = Progress::default();
        let found = mail.search(inbox, Program::new(key), 1..=u32::MAX, &progress).await.unwrap();
        assert_eq!(progress.now(), None, "a search is over that has not looked at all");
        found.iter().map(|uid| uid.get()).collect()
    }

    /// How many messages the index would have a search for this text in headers read.
    pub(in crate::mail) async fn candidates(&self, text: &str) -> Option<usize> {
        self.candidates_in(text, false).await
    }

    /// The same for bodies too.
    pub(in crate::mail) async fn candidates_in(&self, text: &str, body: bool) -> Option<usize> {
        let view = self.mail.view(&self.inbox).await.unwrap();
        let mut contents: Vec<_> = view.messages().entries(0).map(|entry| entry.content).collect();
        contents.sort_unstable();
        self.not_ruled_out(text, body, contents).await
    }

    /// In how many of all contents there ever were the index knows this text.
    pub(in crate::mail) async fn known(&self, text: &str) -> usize {
        self.not_ruled_out(text, false, (1..1_000).map(ContentId).collect()).await.unwrap()
    }

    async fn not_ruled_out(
        &self,
        text: &str,
        body: bool,
        contents: Vec<ContentId>,
    ) -> Option<usize> {
        let last = self.mail.store().read(|r| r.last_content().map_err(Error::from)).await.unwrap();
        let contents: Vec<_> = contents.into_iter().filter(|content| *content <= last).collect();
        let text = crate::mail::casemap::casemap(text);
        let probe = store::Probe { text, head: true, body };
        let index = self.mail.store().fulltext()?;
        let candidates = index.candidates(vec![probe], contents.clone()).await?;
        Some(contents.iter().filter(|content| !candidates.rule_out(0, **content)).count())
    }
}

//! What else happened in an open mailbox, as a client is told of it: EXPUNGE or VANISHED, EXISTS,
//! FLAGS and the flags of messages, unasked for.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    annotation_news::Names,
    annotations,
    error::Error,
    flags::{self, Known},
    picture::{Changed, Expunged, Picture, Target},
    reply::{Code, Replies, Vanished},
    selected::{Access, Selected},
    session::Enabled,
};
use crate::{
    flags::Marks,
    ids::{ModSeq, Uid},
    mail::{Mail, Messages},
};

/// Messages whose flags are told at once.
const AT_ONCE: usize = 100;

/// News on their way to the client.
#[derive(Default)]
pub struct Untold {
    expunged: Vec<Expunged>,
    /// The new number of messages.
    pub exists: Option<u32>,
    /// How many of them are `\Recent`.
    pub recent: u64,
    flags: Option<Known>,
    /// The user's rights have changed, and with them the flags that can be kept.
    pub rights: bool,
    /// Whether anything can be changed now, when that is new.
    pub writes: Option<bool>,
    changed: Vec<Change>,
    /// Names under which something new is said of changed messages.
    pub said: Names,
}

/// Which news are to be told.
#[allow(clippy::struct_excessive_bools, reason = "a client can want each without the others")]
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Messages that are gone; message numbers may change.
    pub expunges: bool,
    /// Messages that have come.
    pub exists: bool,
    /// Flags of messages.
    pub changed: bool,
    /// The flags there are, if some are new: how many keywords there may be.
    pub keywords: Option<usize>,
}

/// A message whose flags changed.
#[derive(Clone, Copy, Debug)]
struct Change {
    target: Target,
    marks: Marks,
    mod_seq: ModSeq,
}

impl Untold {
    /// Takes the news out of the picture that are wanted.
    pub fn take(picture: &mut Picture, messages: &Messages, wanted: Wanted) -> Self {
        let Wanted { expunges, exists, changed, keywords } = wanted;
        let living = messages.uids();
        let before = picture.last_told();
        let expunged = if expunges { picture.tell_expunged(living) } else { Vec::new() };
        let exists = if exists { picture.tell_exists(living, messages.mod_seq()) } else { None };
        let changed = match changed.then(|| picture.tell_changed(messages.mod_seq())) {
            None => Vec::new(),
            Some(Changed::Uids(uids)) => uids,
            Some(Changed::Since(mod_seq)) => {
                let all = living.iter().zip(messages.mod_seqs());
                let newer = all.filter(|(uid, known)| **known > mod_seq && uid.get() <= before);
                newer.map(|(uid, _)| *uid).collect()
            }
        };
        let told = |uid: Uid| {
            let place = messages.place(uid).ok()?;
            let (marks, mod_seq) = (messages.marks(place)?, *messages.mod_seqs().get(place)?);
            let number = picture.number(uid, living)?;
            Some(Change { target: Target { number, uid }, marks, mod_seq })
        };
        let mut changed: Vec<_> = changed.into_iter().filter_map(told).collect();
        changed.sort_unstable_by_key(|change| change.target.number);
        let flags = keywords.map(|most| Known::in_view(messages, most));
        Self { expunged, exists, flags, changed, ..Self::default() }
    }

    /// The changed messages.
    pub fn changed_uids(&self) -> Vec<Uid> {
        self.changed.iter().map(|change| change.target.uid).collect()
    }

    /// Passes over changed messages of which nothing new is said.
    pub fn keep_said(&mut self) {
        self.changed.retain(|change| self.said.contains_key(&change.target.uid));
    }

    /// The highest mod-sequence among the changed messages.
    pub fn mod_seq(&self) -> ModSeq {
        self.changed.iter().map(|change| change.mod_seq).max().unwrap_or_default()
    }

    /// Writes them, in the manner that the client has enabled.
    pub async fn write(
        &self,
        selected: &Selected,
        mail: &Mail,
        enabled: Enabled,
        out: &mut Replies,
    ) -> Result<(), Error> {
        if enabled.qresync || enabled.uid_only {
            let uids = self.expunged.iter().map(|expunged| expunged.uid.get()).collect();
            Vanished { uids, earlier: false }.write(out).await?;
        } else {
            for expunged in &self.expunged {
                out.line(|out| {
                    out.put(expunged.number);
                    out.put(" EXPUNGE");
                });
                out.breathe().await?;
            }
        }
        if let Some(exists) = self.exists {
            out.line(|out| {
                out.put(exists);
                out.put(" EXISTS");
            });
            if !enabled.rev2 {
                out.line(|out| {
                    out.put(self.recent);
                    out.put(" RECENT");
                });
            }
        }
        if let Some(flags) = &self.flags {
            out.line(|out| {
                out.put("FLAGS (");
                out.put(flags.names().as_str());
                out.put(")");
            });
            if self.rights {
                out.ok(&Code::PermanentFlags(selected.permanent(flags)), "your rights changed");
            } else if !flags.takes_more && selected.access == Access::ReadWrite {
                out.ok(&Code::PermanentFlags(selected.permanent(flags)), "no further keywords");
            }
        }
        match self.writes {
            Some(true) => out.ok(&Code::ReadWrite, "you may change this mailbox now"),
            Some(false) => out.ok(&Code::ReadOnly, "you may only read this mailbox now"),
            None => {}
        }
        for chunk in self.changed.chunks(AT_ONCE) {
            let view = mail.view(&selected.mailbox).await?;
            for change in chunk {
                let recent = !enabled.rev2 && selected.is_recent(change.target.uid);
                let said = self.said.get(&change.target.uid);
                change.write(recent, enabled.condstore, said, &view.messages(), out);
            }
            out.breathe().await?;
        }
        Ok(())
    }
}

impl Change {
    /// `* 5 FETCH (UID 7 MODSEQ (120) FLAGS (\Seen) ANNOTATION (/comment))` (RFC 7162 §3.2.4, RFC 5257
    /// §4.4)
    fn write(
        self,
        recent: bool,
        with_mod_seq: bool,
        said: Option<&BTreeSet<Arc<str>>>,
        messages: &Messages,
        out: &mut Replies,
    ) {
        let heading = out.heading(self.target);
        out.line(|out| {
            out.put(heading);
            out.put(" (");
            if !heading.uid_only {
                out.put("UID ");
                out.put(self.target.uid.get());
                out.put(" ");
            }
            if with_mod_seq {
                out.put("MODSEQ (");
                out.put(self.mod_seq.0);
                out.put(") ");
            }
            out.put("FLAGS ");
            flags::write(out, self.marks, recent, messages);
            if let Some(said) = said {
                annotations::write_names(said, out);
            }
            out.put(")");
        });
    }
}

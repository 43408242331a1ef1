//! A mailbox's own keywords: each has a number in its mailbox, and messages keep only numbers.

use std::{borrow::Cow, sync::Arc};

use super::{
    error::{Error, Result},
    mailboxes::MailboxRow,
    reader::Reader,
    tx::Tx,
};
use crate::{
    events::Kind,
    flags::{Flags, Keywords, Marks},
    ids::{MailboxId, ModSeq},
    metrics::Limit,
};

/// Flags and keywords as somebody names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkNames {
    /// System flags and fixed keywords.
    pub flags: Flags,
    /// Other keywords, as they are spelled.
    pub keywords: Vec<String>,
}

impl MarkNames {
    /// Only these flags.
    pub fn flags(flags: Flags) -> Self {
        Self { flags, keywords: Vec::new() }
    }

    /// Takes one more name: a system flag, a fixed keyword or another keyword.
    pub fn add(&mut self, name: &str) {
        match Flags::named(name) {
            Some(flag) => self.flags = self.flags.with(flag),
            None => self.keywords.push(name.to_owned()),
        }
    }
}

/// Which marks may be set and taken away by somebody; the others stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMask {
    /// System flags and fixed keywords.
    pub flags: Flags,
    /// Other keywords too?
    pub keywords: bool,
}

impl MarkMask {
    /// All there are.
    pub const ALL: Self = Self { flags: Flags(u32::MAX), keywords: true };

    /// Those of these names that may be touched.
    pub fn of(self, names: &MarkNames) -> Cow<'_, MarkNames> {
        if self == Self::ALL {
            return Cow::Borrowed(names);
        }
        let keywords = if self.keywords { names.keywords.clone() } else { Vec::new() };
        Cow::Owned(MarkNames { flags: names.flags.within(self.flags), keywords })
    }

    /// The new marks as far as they may be touched, the old ones elsewhere.
    pub(super) fn join(self, old: Marks, new: Marks) -> Marks {
        let kept = old.flags.without(self.flags);
        Marks {
            flags: new.flags.within(self.flags).with(kept),
            keywords: if self.keywords { new.keywords } else { old.keywords },
        }
    }
}

impl Reader<'_> {
    /// A mailbox's own keywords by number.
    pub fn keywords(&self, mailbox: MailboxId) -> Result<Vec<(u8, Arc<str>)>> {
        let sql = "SELECT number, name FROM keyword WHERE mailbox = ?1 ORDER BY number";
        self.rows(sql, [mailbox], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

impl Tx<'_> {
    /// Messages of a mailbox will bear these flags: the keywords among them are its own from now on.
    pub(super) fn use_fixed(&mut self, mailbox: &MailboxRow, flags: Flags) -> Result<()> {
        let new = flags.without(Flags::SYSTEM).without(mailbox.status.fixed_keywords);
        if new == Flags::NONE {
            return Ok(());
        }
        let sql = "UPDATE mailbox SET fixed_keywords = fixed_keywords | ?2
            WHERE id = ?1 AND fixed_keywords & ?2 <> ?2";
        if self.execute(sql, (mailbox.id, new))? > 0 {
            let kind = Kind::KeywordUse(new);
            self.happened(mailbox.account, mailbox.id, ModSeq::default(), kind);
        }
        Ok(())
    }

    /// The marks of these names in a mailbox; unknown keywords are made, up to the limit.
    pub fn marks(&mut self, mailbox: MailboxId, names: &MarkNames) -> Result<Marks> {
        let mut keywords = Keywords::default();
        for name in &names.keywords {
            keywords.insert(self.keyword_number(mailbox, name)?);
        }
        Ok(Marks { flags: names.flags, keywords })
    }

    /// The marks of these names as far as the mailbox knows them already: for taking them away.
    pub fn known_marks(&self, mailbox: MailboxId, names: &MarkNames) -> Result<Marks> {
        let mut keywords = Keywords::default();
        for name in &names.keywords {
            if let Some(number) = self.known_keyword(mailbox, name)? {
                keywords.insert(number);
            }
        }
        Ok(Marks { flags: names.flags, keywords })
    }

    /// The same keywords in another mailbox, by name.
    pub(super) fn keywords_in(
        &mut self,
        from: &[(u8, Arc<str>)],
        keywords: Keywords,
        to: MailboxId,
    ) -> Result<Keywords> {
        let mut translated = Keywords::default();
        for (_, name) in from.iter().filter(|(number, _)| keywords.contains(*number)) {
            translated.insert(self.keyword_number(to, name)?);
        }
        Ok(translated)
    }

    fn known_keyword(&self, mailbox: MailboxId, name: &str) -> Result<Option<u8>> {
        let sql = "SELECT number FROM keyword WHERE mailbox = ?1 AND name = ?2";
        self.row(sql, (mailbox, name), |row| row.get(0))
    }

    fn keyword_number(&mut self, mailbox: MailboxId, name: &str) -> Result<u8> {
        let number = self.known_or_new_keyword(mailbox, name)?;
        self.keywords_told.entry(mailbox).or_default().insert(number);
        Ok(number)
    }

    fn known_or_new_keyword(&mut self, mailbox: MailboxId, name: &str) -> Result<u8> {
        if let Some(number) = self.known_keyword(mailbox, name)? {
            return Ok(number);
        }
        let known = self.keywords(mailbox)?;
        let free = (0..=u8::MAX)
            .find(|number| known.iter().all(|(used, _)| used != number))
            .filter(|_| known.len() < self.keywords_max);
        let number = match free {
            Some(number) => number,
            None => self.unused_keyword(mailbox, &known)?,
        };
        let sql = "INSERT INTO keyword (mailbox, number, name) VALUES (?1, ?2, ?3)";
        self.execute(sql, (mailbox, number, name))?;
        if let Some(row) = self.mailbox_by_id(mailbox)? {
            self.happened(
                row.account,
                mailbox,
                ModSeq::default(),
                Kind::KeywordNew(number, name.into()),
            );
        }
        Ok(number)
    }

    /// Gives the number of a keyword that no message bears any more to a new one.
    fn unused_keyword(&self, mailbox: MailboxId, known: &[(u8, Arc<str>)]) -> Result<u8> {
        let mut used = self.keywords_told.get(&mailbox).copied().unwrap_or_default();
        for table in ["message", "tombstone"] {
            let sql = format!("SELECT DISTINCT keywords FROM {table} WHERE mailbox = ?1");
            for keywords in self.rows(&sql, [mailbox], |row| row.get::<_, Keywords>(0))? {
                used = used.with(keywords);
            }
        }
        let unused = known.iter().map(|(number, _)| *number).find(|number| !used.contains(*number));
        let number =
            unused.ok_or(Error::Over(Limit::KeywordsPerMailboxMax, "keywords of a mailbox"))?;
        let sql = "DELETE FROM keyword WHERE mailbox = ?1 AND number = ?2";
        self.execute(sql, (mailbox, number))?;
        self.forget_all_taken(mailbox)?;
        Ok(number)
    }
}

//! Sorting also by what is said of messages (RFC 5257 §4.9). It changes with its users, so a view
//! keeps no ranks of it.

use std::collections::HashMap;

use super::{Keyed, SortCriterion, SortKey, Value, sorted};
use crate::{
    ids::{AccountId, Uid},
    mail::{
        Collation, Mail, Mailbox, Rights,
        annotations::AnnotationName,
        converted::Sorted,
        error::Result,
        keyed::{Known, arrange},
        metadata::Scope,
        summary::SummaryRef,
    },
};

/// What messages are sorted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// What the house knows of them.
    Known(SortCriterion),
    /// What is said of them.
    Said(SaidCriterion),
}

/// An annotation that messages are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidCriterion {
    /// Under which name it is said.
    pub name: AnnotationName,
    /// To oneself, or to everybody.
    pub scope: Scope,
    /// Who asks; None as long as that is not known, and then nothing is said to oneself.
    pub asker: Option<AccountId>,
    /// The highest first.
    pub reverse: bool,
    /// How texts are compared.
    pub collation: Collation,
}

impl SortBy {
    /// The same, asked by this account, which compares texts so.
    pub fn ask_as(&mut self, account: AccountId, collation: Collation) {
        match self {
            Self::Known(criterion) => criterion.collation = collation,
            Self::Said(said) => (said.asker, said.collation) = (Some(account), collation),
        }
    }

    fn known(&self) -> Option<SortCriterion> {
        match self {
            Self::Known(criterion) => Some(*criterion),
            Self::Said(_) => None,
        }
    }
}

impl Mail {
    /// As [`Mail::sort`], also by what is said of the messages; of which nothing is said come first.
    pub async fn sort_by(
        &self,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
        by: Vec<SortBy>,
    ) -> Result<Vec<Uid>> {
        if let Some(criteria) = by.iter().map(SortBy::known).collect() {
            return self.sort(mailbox, uids, criteria).await;
        }
        mailbox.need(Rights::READ)?;
        let (mut criteria, mut texts) = (Vec::new(), Vec::new());
        for by in &by {
            let (criterion, said) = match by {
                SortBy::Known(criterion) => (*criterion, None),
                SortBy::Said(said) => {
                    let SaidCriterion { reverse, collation, .. } = *said;
                    // Only the order of its values counts.
                    let criterion = SortCriterion { key: SortKey::Arrival, reverse, collation };
                    (criterion, Some(self.texts(mailbox, &uids, said).await?))
                }
            };
            criteria.push(criterion);
            texts.push(said);
        }
        let known = self.known(mailbox, &uids).await?;
        let keys = criteria.clone();
        let keyed = self.keyed(&known, move |known: Known, summary: Option<&SummaryRef<'_>>| {
            let value =
                |(criterion, said): (&SortCriterion, &Option<HashMap<Uid, Sorted>>)| match said {
                    None => criterion.key.value(known, criterion.collation, summary),
                    Some(said) => Value::Text(said.get(&known.uid).cloned().unwrap_or_default()),
                };
            Keyed { uid: known.uid, values: keys.iter().zip(&texts).map(value).collect() }
        });
        let keyed = keyed.await?;
        arrange(keyed.len(), move || sorted(keyed, &criteria)).await
    }

    /// What is said of each message, as it is compared.
    async fn texts(
        &self,
        mailbox: &Mailbox,
        uids: &[Uid],
        said: &SaidCriterion,
    ) -> Result<HashMap<Uid, Sorted>> {
        let owner = match (said.scope, said.asker) {
            (Scope::Private, None) => return Ok(HashMap::new()),
            (Scope::Private, asker) => asker,
            (Scope::Shared, _) => None,
        };
        let values = self.annotation_texts(owner, mailbox, uids, &said.name).await?;
        let text = |(uid, key): (Uid, String)| (uid, Sorted::by(key.as_bytes(), said.collation));
        Ok(values.into_iter().map(text).collect())
    }
}

//! The deeds on mail that every door shares: mailboxes, messages and what is inside them.
//!
//! [`Mail`] is the room: doors ask it with an [`Actor`] and get typed answers. A mailbox is reached
//! only through [`Mail::open`], which checks rights and gives a handle; every deed takes a handle and
//! checks the right it needs (`access.rs`).

mod access;
pub mod acl;
pub mod annotations;
mod appending;
pub mod assemble;
pub mod binary;
pub mod budget;
pub mod casemap;
mod charset;
mod collation;
mod content;
mod converted;
mod deeds;
pub mod downgrade;
mod drafts;
mod email_id;
pub mod encoding;
mod error;
pub mod extract;
mod fetched;
pub mod field;
mod keyed;
mod lexer;
mod made;
mod mailbox;
pub mod metadata;
pub mod name;
mod narrow;
mod opened;
pub mod pack;
pub mod posting;
mod prepare;
pub mod preview;
mod ranks;
pub mod rewrite;
mod rights;
pub mod search;
pub mod section;
pub mod skeleton;
mod sort;
mod spool;
pub mod structure;
pub mod summary;
mod thread;
mod tree;
pub mod urls;
mod view;
mod views;
mod watched;
pub mod words;

use std::sync::{Arc, OnceLock};

pub use self::{
    access::Mailbox,
    appending::Appending,
    collation::Collation,
    content::Octets,
    deeds::{Appended, CopiedTo, NewMail},
    drafts::{Draft, Kept, Turn, tell_by_house},
    email_id::EmailId,
    error::{Error, Result},
    mailbox::{MailboxInfo, Outline, Quota},
    prepare::Prepared,
    rights::{Rights, RightsChange, UnknownRight},
    sort::{SaidCriterion, SortBy, SortCriterion, SortKey},
    spool::Spool,
    thread::{Node, ThreadAlgorithm, Threads},
    view::{Messages, View},
    watched::NamedPlace,
};
use crate::{events::Origin, flags::Keywords, ids::AccountId, metrics::Metrics, store::Store};

/// Who does something, and by which way.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// The account that is logged in.
    pub account: AccountId,
    /// Door, session, device and time.
    pub origin: Origin,
}

/// The limits that hold for mail, whatever the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message.
    pub message_size: u64,
    /// How long and deep a mailbox name may be.
    pub names: name::NameLimits,
    /// Mailboxes of one user.
    pub mailboxes: usize,
    /// Entries of one mailbox's access control list.
    pub acl_entries: usize,
    /// Octets of all mail of a user without a quota of its own.
    pub quota_octets: u64,
    /// Octets of a keyword.
    pub keyword_octets: usize,
    /// Keywords of a mailbox's own.
    pub keywords: usize,
    /// Octets of a metadata value.
    pub metadata_value: usize,
    /// Metadata entries of a mailbox, or of the server, that one user sees.
    pub metadata_entries: usize,
    /// Octets of text for which the full-text index takes a message in; a search reads one with more.
    pub text_indexed: u64,
    /// How much of a message is read; what lies beyond is opaque and kept all the same.
    pub parsing: structure::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            names: name::NameLimits { octets: 1000, depth: 20 },
            mailboxes: 5000,
            acl_entries: 500,
            quota_octets: 5 << 30,
            keyword_octets: 100,
            keywords: Keywords::LIMIT,
            metadata_value: 64 << 10,
            metadata_entries: 100,
            text_indexed: 1 << 20,
            parsing: structure::Limits::default(),
        }
    }
}

/// The room of mailboxes and messages; cheap to clone.
#[derive(Clone)]
pub struct Mail {
    store: Store,
    views: Arc<views::Views>,
    fetched: Arc<fetched::Fetched>,
    /// With how many decoded words the full-text index was opened.
    indexed_words: Arc<OnceLock<usize>>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl Mail {
    /// Makes the room on a store that was opened with a fresh bus: the views begin to listen.
    pub fn new(store: Store, limits: Limits) -> Self {
        let views = Arc::new(views::Views::default());
        store.bus().observe(vec![Arc::clone(&views) as Arc<dyn crate::events::Observer>]);
        let (fetched, indexed_words) = Default::default();
        Self { store, views, fetched, indexed_words, limits, metrics: Metrics::new() }
    }

    /// The same room with other limits.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// The same room, which counts here what it comes up against.
    #[must_use]
    pub fn counting(self, metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), ..self }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many mailboxes have their messages listed in memory.
    pub fn views_held(&self) -> usize {
        self.views.held()
    }

    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// An empty spool for an incoming message.
    pub fn spool(&self) -> Spool {
        Spool::new(&self.store, self.limits.message_size)
    }
}

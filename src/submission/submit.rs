//! The one way for mail to start here, whatever the door.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::rand;

use super::{
    along::{Along, Handover, Sent},
    headers::{self, Reader as ReadBy, Repair, Writers},
    parcel::{Parcel, Way, refuse_all, way},
};
use crate::{
    delivery::{self, Delivery, Refusal, Share, is_own_address},
    events::Origin,
    ids::{AccountId, QueueId},
    mail::{self, Prepared, Spool},
    metrics::{Count, Limit},
    store::{self, Committed, Reader},
    wire::{
        address::{Address, Domain},
        envelope::{Envelope, Recipient},
    },
};

/// Octets of a header that is repaired: what the mail room keeps as one.
pub(super) const HEADER_MAX: usize = 1 << 20;

/// Octets of a message in which it shows whether it begins with a field.
const START: u64 = 1_000;

/// What submission needs to know of the house.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name, in Message-IDs and Authentication-Results.
    pub hostname: Domain,
    /// Messages that a user may submit in an hour.
    pub messages_per_hour: u64,
    /// Messages of one user in the queue.
    pub queue_per_user_max: u64,
    /// Messages in the queue.
    pub queue_max: u64,
    /// Recipients of a message.
    pub recipients_max: usize,
    /// How long a message with `$Queued` is tried that this house cannot send for a reason of its own.
    pub retry_time: Duration,
}

/// Whose mail it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A user: sends with own addresses only, and not without limit.
    User(AccountId),
    /// The house itself: reports and notices.
    House,
}

/// A message on its way out of a door.
pub struct Outgoing {
    /// The id that follows it through the house.
    pub trace: String,
    /// Its sender, recipients and what is asked along with them.
    pub envelope: Envelope,
    /// Header fields to stand in front of its own, each with its CRLF: how it came here.
    pub received: Vec<u8>,
    /// The same in words, for the trace; empty when it did not come from outside.
    pub arrival: String,
    /// Its octets.
    pub message: Spool,
}

/// How a recipient was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has its mail, here.
    Delivered,
    /// It stands in the queue.
    Queued(QueueId),
}

/// What became of one recipient.
pub type Outcome = Result<Taken, Refusal>;

/// Why a message was not taken at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A user wrote as somebody else.
    #[error("{0} is not an address of yours")]
    NotYours(Box<Address>),
    /// From and Sender do not say who wrote it.
    #[error("From and Sender do not name one author")]
    NoAuthor,
    /// It has been through too many servers.
    #[error("mail loop: too many hops")]
    Loop,
    /// The header is longer than can be looked through.
    #[error("the header is too long")]
    HeaderTooLong,
    /// Nobody is to get it.
    #[error("no recipients")]
    NoRecipients,
    /// The user has sent too much within the hour.
    #[error("too many messages within the hour")]
    TooMany,
    /// The queue is full, for this user or for all.
    #[error("too many messages in the queue")]
    QueueFull(Limit),
    /// The message is in a mailbox and was sent from there before (RFC 5550 §5.10).
    #[error("already submitted")]
    AlreadySubmitted,
    /// It is in a mailbox and will be sent from there without being asked for again.
    #[error("already queued")]
    Queued,
    /// It was in a mailbox and is no longer there.
    #[error("the message is gone")]
    Gone,
    /// Its user has taken it back.
    #[error("taken back")]
    Withdrawn,
    /// No copy of it can be kept where its author wants one.
    #[error("no copy can be kept: {0}")]
    Copy(#[source] mail::Error),
    /// These recipients get no mail, so nobody does.
    #[error("recipients refused")]
    Refused(Vec<(Recipient, Refusal)>),
    /// The message itself: too big, no room, or our own failure; the cause goes to the log.
    #[error(transparent)]
    Mail(#[from] mail::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Mail(error.into())
    }
}

/// The room for mail that starts here; cheap to clone.
#[derive(Clone)]
pub struct Submission {
    delivery: Delivery,
    settings: Arc<Settings>,
}

impl Submission {
    /// Makes the room.
    pub fn new(delivery: Delivery, settings: Settings) -> Self {
        Self { delivery, settings: Arc::new(settings) }
    }

    /// What it knows of the house.
    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The room that takes mail for our own users.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// May this user send from this address?
    pub async fn sender(&self, account: AccountId, address: &Address) -> Result<(), Error> {
        let asked = address.clone();
        let own = self.read(move |r| is_own_address(r, account, &asked)).await?;
        if own { Ok(()) } else { Err(Error::NotYours(Box::new(address.clone()))) }
    }

    /// Would mail for this recipient be taken? Anybody elsewhere may be written to, but not by an
    /// address literal.
    pub async fn recipient(
        &self,
        origin: Origin,
        recipient: &Recipient,
        size: u64,
    ) -> Result<(), delivery::Error> {
        if recipient.address.domain().ip().is_some() {
            return Err(Refusal::UnknownDomain.into());
        }
        match self.delivery.recipient(origin, recipient, size).await {
            Ok(_) | Err(delivery::Error::Refused(Refusal::UnknownDomain)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The field that says how a message came that did not come by SMTP (RFC 5321 §4.4): by which
    /// protocol, under which trace, and when (seconds since 1970).
    pub fn received(&self, protocol: &str, trace: &str, now: i64) -> Vec<u8> {
        received(self.settings.hostname.ascii(), protocol, trace, now)
    }

    /// Takes a message: one outcome for each recipient, in order, once all of it is on the disk.
    pub async fn submit(
        &self,
        author: Author,
        origin: Origin,
        share: Share,
        outgoing: Outgoing,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let sent = self.send(author, origin, share, outgoing, Along::default()).await?;
        Ok(sent.map(|sent| sent.outcomes))
    }

    /// The same, with what the store shall keep beside it by the same job.
    pub async fn send(
        &self,
        author: Author,
        origin: Origin,
        share: Share,
        outgoing: Outgoing,
        along: Along,
    ) -> Result<Committed<Sent>, Error> {
        let sent = self.hand_over(author, origin, share, outgoing, along).await;
        if author != Author::House {
            self.count(sent.as_ref().map(|sent| sent.outcomes.as_slice()));
        }
        sent
    }

    pub(super) fn count(&self, taken: Result<&[Outcome], &Error>) {
        let metrics = self.delivery.metrics();
        let outcome = if taken.is_ok() { Count::Submission } else { Count::SubmissionRefused };
        metrics.count(outcome);
        match taken {
            Ok(outcomes) => {
                let local = |outcome: &&Outcome| matches!(outcome, Ok(Taken::Delivered));
                metrics.add(Count::Delivery, outcomes.iter().filter(local).count());
                for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                    self.delivery.count_refusal(*refusal);
                }
            }
            Err(Error::Loop) => metrics.exceeded(Limit::ReceivedFieldsMax),
            Err(Error::TooMany) => metrics.exceeded(Limit::SubmissionMessagesPerHour),
            Err(Error::QueueFull(limit)) => metrics.exceeded(*limit),
            Err(Error::Copy(mail::Error::OverQuota)) => metrics.exceeded(Limit::Quota),
            Err(Error::Refused(refused)) => {
                for (_, refusal) in refused {
                    self.delivery.count_refusal(*refusal);
                }
            }
            Err(_) => {}
        }
    }

    async fn hand_over(
        &self,
        author: Author,
        origin: Origin,
        share: Share,
        outgoing: Outgoing,
        along: Along,
    ) -> Result<Committed<Sent>, Error> {
        let keeps = along.copy_to.is_some();
        let (parcel, copy) = self.pack(author, origin.at, share, outgoing, keeps).await?;
        let handover = Handover::new(parcel, copy, along, self.delivery.mail().limits());
        let store = self.delivery.mail().store();
        store.write(origin, move |tx| handover.run(tx)).await
    }

    /// Checks and prepares a message; [`Parcel::hand_over`] then does the rest within a store job.
    pub async fn parcel(
        &self,
        author: Author,
        now: i64,
        share: Share,
        outgoing: Outgoing,
    ) -> Result<Parcel, Error> {
        Ok(self.pack(author, now, share, outgoing, false).await?.0)
    }

    /// The same, and the message as its author keeps it when that is wanted.
    async fn pack(
        &self,
        author: Author,
        now: i64,
        share: Share,
        outgoing: Outgoing,
        keeps: bool,
    ) -> Result<(Parcel, Option<Prepared>), Error> {
        let Outgoing { trace, envelope, received, arrival, message } = outgoing;
        let ways = self.look_ahead(author, now, share, &envelope).await?;
        let mut front = Vec::new();
        if ways.iter().any(|way| matches!(way, Ok(Way::Local(_)))) {
            front = delivery::return_path(&envelope.reverse_path);
        }
        front.extend(received);
        let own_id = self.settings.hostname.ascii().to_owned();
        let message_id = format!("{}@{own_id}", unique(&trace));
        let repair = Repair { front, now, message_id, own_id, reader: ReadBy::Recipients };
        let kept = Repair { front: Vec::new(), reader: ReadBy::Author, ..repair.clone() };
        // The repair takes Received fields out.
        let hops = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&hops);
        let edit = move |header: Vec<u8>| {
            seen.store(delivery::hops(&header), Ordering::Relaxed);
            headers::repair(&header, repair)
        };
        let (mail, message) = (self.delivery.mail(), with_header(message).await?);
        let (message, copy) = if keeps {
            let keep = move |header: Vec<u8>| headers::repair(&header, kept);
            let (message, copy) = mail.prepare_twice(message, edit, keep).await?;
            (message, Some(copy))
        } else {
            (mail.prepare(message, edit).await?, None)
        };
        // What lies beyond was not repaired: a Bcc there would leave.
        if message.header().len() >= HEADER_MAX {
            return Err(Error::HeaderTooLong);
        }
        self.delivery.check_hops(hops.load(Ordering::Relaxed)).map_err(|_| Error::Loop)?;
        self.check_writers(author, &envelope, &message).await?;
        let settings = Arc::clone(&self.settings);
        let quota = self.delivery.quota();
        let parcel =
            Parcel { author, share, trace, arrival, envelope, ways, message, settings, quota };
        Ok((parcel, copy))
    }

    /// Who gets it which way, if it is to be sent at all: all that hangs on the envelope alone.
    pub(super) async fn look_ahead(
        &self,
        author: Author,
        now: i64,
        share: Share,
        envelope: &Envelope,
    ) -> Result<Vec<Result<Way, Refusal>>, Error> {
        self.check_pace(author, now).await?;
        if envelope.recipients.is_empty() {
            return Err(Error::NoRecipients);
        }
        self.check_sender(author, envelope).await?;
        let ways = self.ways(envelope).await?;
        refuse_all(share, envelope, &ways)?;
        Ok(ways)
    }

    /// Spares the work for a message that the store job would refuse.
    async fn check_pace(&self, author: Author, now: i64) -> Result<(), Error> {
        let Author::User(account) = author else { return Ok(()) };
        let sent = self.read(move |r| r.submissions(account, now)).await?;
        if sent >= self.settings.messages_per_hour { Err(Error::TooMany) } else { Ok(()) }
    }

    async fn check_sender(&self, author: Author, envelope: &Envelope) -> Result<(), Error> {
        match (author, envelope.reverse_path.address()) {
            (Author::User(account), Some(address)) => self.sender(account, address).await,
            // From nobody a user sends a disposition notification (RFC 8098 §3) or another automatic
            // answer (RFC 3834 §3.3): whose it is, its header says.
            _ => Ok(()),
        }
    }

    async fn check_writers(
        &self,
        author: Author,
        envelope: &Envelope,
        message: &Prepared,
    ) -> Result<(), Error> {
        let Author::User(account) = author else { return Ok(()) };
        match headers::writers(message.header()) {
            Writers::Nobody if envelope.reverse_path.is_null() => Err(Error::NoAuthor),
            Writers::Nobody => Ok(()),
            Writers::Unclear => Err(Error::NoAuthor),
            Writers::These(addresses) => {
                for address in addresses {
                    self.sender(account, &address).await?;
                }
                Ok(())
            }
        }
    }

    /// Who gets it here, who elsewhere, and who nowhere.
    async fn ways(&self, envelope: &Envelope) -> Result<Vec<Result<Way, Refusal>>, Error> {
        let (recipients, delivery) = (envelope.recipients.clone(), self.delivery.clone());
        self.read(move |r| {
            let hostname = delivery.hostname().ascii();
            recipients.iter().map(|recipient| way(r, hostname, recipient)).collect()
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Reader<'_>) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        Ok(self.delivery.mail().store().read(job).await?)
    }
}

pub(super) fn received(host: &str, protocol: &str, trace: &str, now: i64) -> Vec<u8> {
    let date = headers::date(now);
    format!("Received: by {host} with {protocol} id {trace};\r\n\t{date}\r\n").into_bytes()
}

/// The message; if it is nothing but text, with the empty line before it that a header ends with.
pub(super) async fn with_header(message: Spool) -> Result<Spool, Error> {
    let start = message.read(0..message.len().min(START))?;
    if headers::begins_with_header(&start) {
        return Ok(message);
    }
    let work = move || message.behind(b"\r\n");
    let work = tokio::task::spawn_blocking(work).await;
    Ok(work.map_err(|_| mail::Error::Internal(store::Error::Cancelled))??)
}

/// The left side of a Message-ID that was never used before.
pub(super) fn unique(trace: &str) -> String {
    let mut random = [0; 8];
    // Without random numbers the trace id alone has to do: it is given once.
    let _ = rand::fill(&mut random);
    let trace: String =
        trace.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    format!("{trace}.{:016x}", u64::from_be_bytes(random))
}

//! The one way for mail to start here, whatever the door.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::rand;

use super::headers::{self, Repair, Writers};
use crate::{
    delivery::{self, Addressee, Delivery, Letter, Quota, Refusal, Share, is_own_address},
    events::Origin,
    ids::{AccountId, ContentId, QueueId},
    mail::{self, Prepared, Spool},
    metrics::{Count, Limit},
    store::{self, Committed, NewQueued, NewTrace, Reader, RecipientState, Tx},
    wire::{
        address::{Address, Domain},
        envelope::{Envelope, Recipient},
    },
};

/// Octets of a header that is repaired: what the mail room keeps as one.
const HEADER_MAX: usize = 1 << 20;

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
    /// With [`Share::All`]: these recipients get no mail, so nobody does.
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

    /// Takes a message: one outcome for each recipient, in order, once all of it is on the disk.
    pub async fn submit(
        &self,
        author: Author,
        origin: Origin,
        share: Share,
        outgoing: Outgoing,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let taken = self.hand_over(author, origin, share, outgoing).await;
        if author != Author::House {
            self.count(&taken);
        }
        taken
    }

    fn count(&self, taken: &Result<Committed<Vec<Outcome>>, Error>) {
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
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let parcel = self.parcel(author, origin.at, share, outgoing).await?;
        let store = self.delivery.mail().store();
        store.write(origin, move |tx| parcel.hand_over(tx)).await
    }

    /// Checks and prepares a message; [`Parcel::hand_over`] then does the rest within a store job.
    pub async fn parcel(
        &self,
        author: Author,
        now: i64,
        share: Share,
        outgoing: Outgoing,
    ) -> Result<Parcel, Error> {
        let Outgoing { trace, envelope, received, arrival, message } = outgoing;
        self.check_pace(author, now).await?;
        if envelope.recipients.is_empty() {
            return Err(Error::NoRecipients);
        }
        self.check_sender(author, &envelope).await?;
        let ways = self.ways(&envelope).await?;
        refuse_all(share, &envelope, &ways)?;
        let mut front = Vec::new();
        if ways.iter().any(|way| matches!(way, Ok(Way::Local(_)))) {
            front = delivery::return_path(&envelope.reverse_path);
        }
        front.extend(received);
        let own_id = self.settings.hostname.ascii().to_owned();
        let message_id = format!("{}@{own_id}", unique(&trace));
        let repair = Repair { front, now, message_id, own_id };
        // The repair takes Received fields out.
        let hops = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&hops);
        let edit = move |header: Vec<u8>| {
            seen.store(delivery::hops(&header), Ordering::Relaxed);
            headers::repair(&header, repair)
        };
        let message = self.delivery.mail().prepare(message, edit).await?;
        // What lies beyond was not repaired: a Bcc there would leave.
        if message.header().len() >= HEADER_MAX {
            return Err(Error::HeaderTooLong);
        }
        self.delivery.check_hops(hops.load(Ordering::Relaxed)).map_err(|_| Error::Loop)?;
        self.check_writers(author, &envelope, &message).await?;
        let settings = Arc::clone(&self.settings);
        let quota = self.delivery.quota();
        Ok(Parcel { author, share, trace, arrival, envelope, ways, message, settings, quota })
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

/// Which way mail goes.
#[derive(Clone, Debug)]
enum Way {
    Local(Addressee),
    Remote,
}

fn way(
    reader: &Reader<'_>,
    hostname: &str,
    recipient: &Recipient,
) -> Result<Result<Way, Refusal>, store::Error> {
    Ok(match delivery::resolve(reader, hostname, recipient)? {
        Ok(addressee) => Ok(Way::Local(addressee)),
        Err(Refusal::UnknownDomain) if recipient.address.domain().ip().is_none() => Ok(Way::Remote),
        Err(refusal) => Err(refusal),
    })
}

fn refuse_all<T>(
    share: Share,
    envelope: &Envelope,
    results: &[Result<T, Refusal>],
) -> Result<(), Error> {
    let refused: Vec<_> = envelope
        .recipients
        .iter()
        .zip(results)
        .filter_map(|(recipient, result)| Some((recipient.clone(), *result.as_ref().err()?)))
        .collect();
    let all = share == Share::All || refused.len() == results.len();
    if all && !refused.is_empty() { Err(Error::Refused(refused)) } else { Ok(()) }
}

/// The left side of a Message-ID that was never used before.
fn unique(trace: &str) -> String {
    let mut random = [0; 8];
    // Without random numbers the trace id alone has to do: it is given once.
    let _ = rand::fill(&mut random);
    let trace: String =
        trace.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    format!("{trace}.{:016x}", u64::from_be_bytes(random))
}

/// A message that was checked and waits for its store job.
pub struct Parcel {
    author: Author,
    share: Share,
    trace: String,
    arrival: String,
    envelope: Envelope,
    ways: Vec<Result<Way, Refusal>>,
    message: Prepared,
    settings: Arc<Settings>,
    quota: Quota,
}

impl Parcel {
    /// Delivers to those here and queues for the rest; one outcome for each recipient, in order.
    pub fn hand_over(&self, tx: &mut Tx<'_>) -> Result<Vec<Outcome>, Error> {
        if let Author::User(account) = self.author
            && !tx.count_submission(account, self.settings.messages_per_hour)?
        {
            return Err(Error::TooMany);
        }
        let letter = Letter { trace: &self.trace, message: &self.message, quota: self.quota };
        if let Author::User(account) = self.author {
            delivery::received_by(tx, &self.trace, Some(account), &self.arrival)?;
        }
        let local: Vec<_> = self.ways.iter().filter_map(local).collect();
        let (kept, content) = delivery::keep(tx, &letter, &local)?;
        let mut kept = kept.into_iter();
        let outcomes: Vec<Outcome> = self
            .ways
            .iter()
            .map(|way| match way {
                Ok(Way::Local(_)) => kept.next().unwrap_or(Ok(())).map(|()| Taken::Delivered),
                Ok(Way::Remote) => Ok(Taken::Queued(QueueId(0))),
                Err(refusal) => Err(*refusal),
            })
            .collect();
        refuse_all(self.share, &self.envelope, &outcomes)?;
        let Some(queued) = self.enqueue(tx, content, &outcomes)? else { return Ok(outcomes) };
        let number = |taken| match taken {
            Taken::Queued(_) => Taken::Queued(queued),
            Taken::Delivered => Taken::Delivered,
        };
        Ok(outcomes.into_iter().map(|outcome| outcome.map(number)).collect())
    }

    /// Queues the recipients elsewhere, and the word that those here have it for whom that was asked
    /// (RFC 3461 §5.2.6).
    fn enqueue(
        &self,
        tx: &mut Tx<'_>,
        content: Option<ContentId>,
        outcomes: &[Outcome],
    ) -> Result<Option<QueueId>, Error> {
        let reports = !self.envelope.reverse_path.is_null();
        let wants = |to: &Recipient| reports && to.notify.is_some_and(|notify| notify.success);
        let recipients: Vec<_> = self
            .envelope
            .recipients
            .iter()
            .zip(outcomes)
            .filter_map(|(to, outcome)| match outcome {
                Ok(Taken::Queued(_)) => Some((to, RecipientState::Waiting)),
                Ok(Taken::Delivered) if wants(to) => Some((to, RecipientState::Delivered)),
                _ => None,
            })
            .collect();
        if recipients.is_empty() {
            return Ok(None);
        }
        let account = self.check_queue(tx)?;
        let content = match content {
            Some(content) => content,
            None => tx.add_content(self.message.content())?,
        };
        let Self { envelope, trace, .. } = self;
        let id =
            tx.enqueue(&NewQueued { account, envelope, recipients: &recipients, content, trace })?;
        let detail = format!("{} recipients as {id}", recipients.len());
        let step = "queued";
        tx.trace(&NewTrace { trace, account, step, detail: &detail, ..NewTrace::default() })?;
        Ok(Some(id))
    }

    /// The queue has an end; what the house itself says still gets in.
    fn check_queue(&self, tx: &Tx<'_>) -> Result<Option<AccountId>, Error> {
        let Author::User(account) = self.author else { return Ok(None) };
        let (own, all) = tx.queue_length(Some(account))?;
        if own >= self.settings.queue_per_user_max {
            return Err(Error::QueueFull(Limit::QueueMessagesPerUserMax));
        }
        if all >= self.settings.queue_max {
            return Err(Error::QueueFull(Limit::QueueMessagesMax));
        }
        Ok(Some(account))
    }
}

fn local(way: &Result<Way, Refusal>) -> Option<&Addressee> {
    match way {
        Ok(Way::Local(addressee)) => Some(addressee),
        _ => None,
    }
}

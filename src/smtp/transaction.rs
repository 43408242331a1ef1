//! One mail on its way: what lives from MAIL to the end of the data (RFC 5321 §3.3).

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Reply, Role,
    door::Door,
    error::reply_to_delivery,
    longest_line::LongestLine,
    session::{Done, Session},
};
use crate::{
    delivery::{self, Addressee, Refusal},
    events::Origin,
    ids::trace_id,
    mail::{self, Spool},
    metrics::{Limit, Metrics},
    wire::{
        address::Address,
        envelope::{Body, Envelope, Recipient},
        parameters::{ForwardPath, Mail, Rcpt},
    },
};

/// One mail.
pub(super) struct Transaction {
    /// The id that follows it through the house.
    pub(super) trace: String,
    pub(super) envelope: Envelope,
    /// Its size as announced; 0 when it was not.
    pub(super) size: u64,
    /// Who gets it here; submission finds that out by itself.
    pub(super) addressees: Vec<Addressee>,
    /// What came by BDAT so far.
    pub(super) chunks: Option<Chunks>,
}

/// A message that comes in chunks.
pub(super) struct Chunks {
    pub(super) intake: Intake,
    pub(super) number: usize,
    pub(super) longest: LongestLine,
    /// How many parts came by reference.
    pub(super) references: usize,
}

/// Octets on their way into a spool, until a fault: from there on they are only counted.
pub(super) struct Intake {
    spool: Result<Spool, Reply>,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub(super) fn new(spool: Spool, metrics: &Arc<Metrics>) -> Self {
        Self { spool: Ok(spool), metrics: Arc::clone(metrics) }
    }

    /// Keeps more octets, if nothing is wrong yet.
    pub(super) fn write(&mut self, octets: &[u8]) {
        if let Ok(spool) = &mut self.spool
            && let Err(error) = spool.write(octets)
        {
            self.fail(&error);
        }
    }

    /// Refuses the message for this bound, if nothing else was wrong before.
    pub(super) fn refuse(&mut self, limit: Limit, reply: impl FnOnce() -> Reply) {
        if self.spool.is_ok() {
            self.metrics.exceeded(limit);
            self.spool = Err(reply());
        }
    }

    /// Says no to a message that would grow beyond what is taken, before it does.
    pub(super) fn announce(&mut self, more: u64, most: u64) {
        if self.spool.as_ref().is_ok_and(|spool| spool.len().saturating_add(more) > most) {
            self.fail(&mail::Error::TooBig(most));
        }
    }

    fn fail(&mut self, error: &mail::Error) {
        match error {
            mail::Error::TooBig(_) => self.metrics.exceeded(Limit::MessageSizeMax),
            mail::Error::DiskFull => self.metrics.exceeded(Limit::DiskFreeMin),
            _ => {}
        }
        self.spool = Err(Reply::from(error));
    }

    /// Refuses the message for this reason, if nothing else was wrong before.
    pub(super) fn fail_by(&mut self, reply: Reply) {
        if self.spool.is_ok() {
            self.spool = Err(reply);
        }
    }

    /// The message so far, if nothing is wrong.
    pub(super) fn spool(&mut self) -> Option<&mut Spool> {
        self.spool.as_mut().ok()
    }

    /// What is wrong so far.
    pub(super) fn fault(&self) -> Option<&Reply> {
        self.spool.as_ref().err()
    }

    /// The whole message, or why it is refused.
    pub(super) fn end(self) -> Result<Spool, Reply> {
        self.spool
    }
}

impl Session {
    /// MAIL: may this client send at all, and as this one? (RFC 5321 §4.1.1.2)
    pub(super) async fn mail(&mut self, mail: Mail) -> Reply {
        if let Err(reply) = self.may_begin(&mail) {
            return reply;
        }
        if let (Some(user), Some(address)) = (&self.user, mail.reverse_path.address()) {
            let checked = self.door.means.submission.sender(user.account, address).await;
            if let Err(error) = checked {
                let reply = Reply::from(&error);
                self.log_refusal("MAIL", &address.to_string(), &reply);
                return reply;
            }
        }
        if !self.door.admits(self.peer) {
            self.door.exceeded(Limit::SmtpMessagesPerAddressPerMinute);
            return Reply::new(450, "4.7.1", "too many messages within a minute");
        }
        let envelope = Envelope {
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            ret: mail.ret,
            envid: mail.envid,
            body: mail.body.unwrap_or_default(),
            utf8: mail.utf8,
        };
        self.transaction = Some(Transaction {
            trace: trace_id(Timestamp::now()),
            envelope,
            size: mail.size.unwrap_or(0),
            addressees: Vec::new(),
            chunks: None,
        });
        Reply::new(250, "2.1.0", "sender taken")
    }

    fn may_begin(&self, mail: &Mail) -> Result<(), Reply> {
        let (role, limits) = (self.door.role, &self.door.limits);
        if role == Role::Submission && self.user.is_none() {
            let text = if self.input.is_secured() { "log in first" } else { "say STARTTLS first" };
            return Err(Reply::new(530, "5.7.0", text));
        }
        if self.client.is_none() {
            let text = if role == Role::Lmtp { "say LHLO first" } else { "say EHLO first" };
            return Err(Reply::new(503, "5.5.1", text));
        }
        if self.transaction.is_some() {
            return Err(Reply::new(503, "5.5.1", "one mail after the other"));
        }
        if role == Role::Mx && self.messages >= limits.messages_per_session {
            self.door.exceeded(Limit::SmtpMessagesPerSession);
            return Err(Reply::new(421, "4.7.0", "enough messages for one session"));
        }
        if mail.auth.is_some() && role != Role::Submission {
            return Err(Reply::new(555, "5.5.4", "AUTH= is not for this port"));
        }
        let address = mail.reverse_path.address();
        if !mail.utf8 && address.is_some_and(|address| !is_ascii(address)) {
            return Err(Reply::new(553, "5.6.7", "this sender needs SMTPUTF8"));
        }
        if mail.size.is_some_and(|size| size > limits.message_size) {
            self.door.exceeded(Limit::MessageSizeMax);
            return Err(Reply::from(&mail::Error::TooBig(limits.message_size)));
        }
        self.door.means.delivery.mail().store().check_adding().map_err(|error| {
            let error = mail::Error::from(error);
            if matches!(error, mail::Error::DiskFull) {
                self.door.exceeded(Limit::DiskFreeMin);
            }
            Reply::from(&error)
        })
    }

    /// RCPT: does this one get mail, and by us? (RFC 5321 §4.1.1.3)
    pub(super) async fn rcpt(&mut self, rcpt: Rcpt) -> Done<Reply> {
        let (door, origin) = (Arc::clone(&self.door), self.origin());
        let most = door.limits.recipients;
        let Some(transaction) = &mut self.transaction else {
            self.faults.count();
            return Ok(Reply::new(503, "5.5.1", "MAIL first"));
        };
        if transaction.chunks.is_some() {
            return Ok(Reply::new(503, "5.5.1", "the message has begun"));
        }
        if transaction.envelope.recipients.len() >= most {
            door.exceeded(match door.role {
                Role::Mx => Limit::SmtpRecipientsMax,
                Role::Lmtp => Limit::LmtpRecipientsMax,
                Role::Submission => Limit::SubmissionRecipientsMax,
            });
            return Ok(Reply::new(452, "4.5.3", "too many recipients"));
        }
        let (name, found) = match find(&door, origin, transaction, rcpt).await {
            Ok(found) => found,
            Err(reply) => return Ok(reply),
        };
        let refused = match found {
            Ok((recipient, addressee)) => {
                transaction.envelope.recipients.push(recipient);
                transaction.addressees.extend(addressee);
                return Ok(Reply::new(250, "2.1.5", "recipient taken"));
            }
            Err(refused) => refused,
        };
        let reply = reply_to_delivery(&refused);
        self.log_refusal("RCPT", &name, &reply);
        let unknown = [Refusal::UnknownUser, Refusal::UnknownDomain];
        if matches!(refused, delivery::Error::Refused(refusal) if unknown.contains(&refusal)) {
            self.slow_down_guessing().await?;
        }
        Ok(reply)
    }

    /// Who asks for many that are not here is collecting addresses.
    async fn slow_down_guessing(&mut self) -> Done {
        if self.door.role != Role::Mx {
            return Ok(());
        }
        self.unknown_recipients = self.unknown_recipients.saturating_add(1);
        let limits = &self.door.limits;
        if self.unknown_recipients >= limits.unknown_recipients {
            self.door.exceeded(Limit::SmtpUnknownRecipientsMax);
            return self.end(&Reply::new(421, "4.7.0", "too many unknown recipients"));
        }
        if self.unknown_recipients <= limits.unknown_recipients_free {
            return Ok(());
        }
        self.door.exceeded(Limit::SmtpUnknownRecipientsFree);
        let delay = limits.unknown_recipient_delay;
        self.pause(delay).await
    }

    /// One line for whoever asks why a mail did not come.
    pub(super) fn log_refusal(&self, step: &str, address: &str, reply: &Reply) {
        let trace = self.transaction.as_ref().map_or("", |transaction| &*transaction.trace);
        tracing::info!(
            session = %self.entry.id(), role = ?self.door.role, peer = %self.peer, trace, step,
            address, code = reply.code(), enhanced = reply.enhanced(), text = reply.text(),
            "refused"
        );
    }
}

type Found = Result<(Recipient, Option<Addressee>), delivery::Error>;

/// Asks the room that knows; the inner refusal is its own, the outer one is grammar.
async fn find(
    door: &Door,
    origin: Origin,
    transaction: &Transaction,
    rcpt: Rcpt,
) -> Result<(String, Found), Reply> {
    let address = match rcpt.path {
        ForwardPath::Address(address) => address,
        ForwardPath::Postmaster => door.means.delivery.postmaster().map_err(Reply::from)?,
    };
    if !transaction.envelope.utf8 && !is_ascii(&address) {
        return Err(Reply::new(553, "5.6.7", "this recipient needs SMTPUTF8"));
    }
    let name = address.to_string();
    let recipient = Recipient { address, notify: rcpt.notify, orcpt: rcpt.orcpt };
    let size = transaction.size;
    let found = match door.role {
        Role::Submission => {
            let taken = door.means.submission.recipient(origin, &recipient, size).await;
            taken.map(|()| (recipient, None))
        }
        Role::Mx | Role::Lmtp => {
            let taken = door.means.delivery.recipient(origin, &recipient, size).await;
            taken.map(|addressee| (recipient, Some(addressee)))
        }
    };
    Ok((name, found))
}

impl Transaction {
    /// May lines be as long as they like, and octets be what they like?
    pub(super) fn is_binary(&self) -> bool {
        self.envelope.body == Body::Binary
    }
}

fn is_ascii(address: &Address) -> bool {
    address.local().as_str().is_ascii() && address.domain().as_str().is_ascii()
}

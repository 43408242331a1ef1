//! A message's octets: DATA and BDAT, and the handing over to the rooms (RFC 5321 §4.1.1.4,
//! RFC 3030, RFC 2033 §4.2).
//!
//! Whatever is wrong with a message, its octets are read to their end before that is said, so that
//! none of them is taken for a command.

use jiff::Timestamp;

use super::{
    Reply, Role,
    command::Chunk,
    error::reply_to_delivery,
    longest_line::LongestLine,
    session::{Done, Ended, Session},
    trace_field::Hop,
    transaction::{Chunks, Intake, Transaction},
};
use crate::{
    delivery::{Incoming, Share},
    mail::Spool,
    metrics::Limit,
    net::{Damage, DataBody, Octets},
    submission::{Author, Outgoing},
    wire::envelope::Envelope,
};

impl Session {
    /// DATA: everything up to CRLF "." CRLF is the message, and nothing else ends it.
    pub(super) async fn data(&mut self) -> Done {
        if self.input.has_spoken() {
            // What stands there can't be told from commands (RFC 2920 §3.1).
            let text = "DATA must be the last command of a batch";
            return self.end(&Reply::new(554, "5.5.0", text));
        }
        let Some(transaction) = self.begin_data() else { return Ok(()) };
        self.say(&Reply::plain(354, "go ahead, end with a dot alone on a line"));
        self.flush().await?;
        let mut intake =
            Intake::new(self.door.means.delivery.mail().spool(), &self.door.means.metrics);
        let mut body = DataBody::new(self.door.times().rate(&self.door.limits));
        self.wait_until(self.data_deadline());
        let stop = self.entry.stop().clone();
        loop {
            let piece = tokio::select! {
                biased;
                () = stop.cancelled() => return self.end_by_stop(),
                piece = self.input.data(&mut body) => piece,
            };
            match piece {
                Ok(Some(octets)) => intake.write(&octets),
                Ok(None) => break,
                Err(error) => return self.end_by(&error),
            }
        }
        if let Some(reply) = damaged(body.data().damage()) {
            self.tell_outcome(&Told::about(&transaction, 0), &reply).await;
            self.say_for_each(&transaction, &reply);
            return Err(Ended::Said);
        }
        if body.data().longest_line() > self.door.limits.text_line {
            intake.refuse(Limit::TextLineReceivedMax, line_too_long);
        }
        self.hand_over(transaction, intake).await
    }

    /// Takes the transaction, if DATA may come now.
    fn begin_data(&mut self) -> Option<Transaction> {
        let lmtp = self.door.role == Role::Lmtp;
        let refusal = match &self.transaction {
            None => Reply::new(503, "5.5.1", "MAIL first"),
            Some(now) if now.chunks.is_some() => Reply::new(503, "5.5.1", "BDAT has begun"),
            Some(now) if now.is_binary() => Reply::new(503, "5.5.1", "binary mail needs BDAT"),
            Some(now) if now.envelope.recipients.is_empty() && lmtp => {
                Reply::new(503, "5.5.1", "no valid recipients")
            }
            Some(now) if now.envelope.recipients.is_empty() => {
                Reply::new(554, "5.5.1", "no valid recipients")
            }
            Some(_) => return self.transaction.take(),
        };
        if self.transaction.is_none() {
            self.faults.count();
        }
        self.say(&refusal);
        None
    }

    /// BDAT: so many octets follow, whatever they are (RFC 3030 §2).
    pub(super) async fn bdat(&mut self, chunk: Chunk) -> Done {
        let mut octets = Octets::new(chunk.size, self.door.times().rate(&self.door.limits));
        self.wait_until(self.data_deadline());
        let is_ready = |now: &mut Transaction| !now.envelope.recipients.is_empty();
        let Some(mut transaction) = self.transaction.take_if(is_ready) else {
            while self.chunk_piece(&mut octets).await?.is_some() {}
            self.faults.count();
            self.say(&Reply::new(503, "5.5.1", "MAIL and RCPT first"));
            return Ok(());
        };
        let mut chunks = transaction.chunks.take().unwrap_or_else(|| self.chunks());
        chunks.number = chunks.number.saturating_add(1);
        chunks.intake.announce(chunk.size, self.door.limits.message_size);
        if chunks.number > self.door.limits.chunks {
            let too_many = || Reply::new(552, "5.3.4", "too many chunks");
            chunks.intake.refuse(Limit::BdatChunksMax, too_many);
        }
        while let Some(piece) = self.chunk_piece(&mut octets).await? {
            chunks.longest.see(&piece);
            chunks.intake.write(&piece);
        }
        if !transaction.is_binary() && chunks.longest.longest() > self.door.limits.text_line {
            chunks.intake.refuse(Limit::TextLineReceivedMax, line_too_long);
        }
        if chunk.last {
            return self.hand_over(transaction, chunks.intake).await;
        }
        let reply = match chunks.intake.fault() {
            Some(fault) => fault.clone(),
            None => Reply::new(250, "2.0.0", format!("{} octets taken", chunk.size)),
        };
        // A message that was refused stays so until RSET or its last chunk.
        transaction.chunks = Some(chunks);
        self.transaction = Some(transaction);
        self.say(&reply);
        Ok(())
    }

    /// A message of which nothing has come yet.
    pub(super) fn chunks(&self) -> Chunks {
        let spool = self.door.means.delivery.mail().spool();
        Chunks {
            intake: Intake::new(spool, &self.door.means.metrics),
            number: 0,
            longest: LongestLine::default(),
            references: 0,
        }
    }

    async fn chunk_piece(&mut self, octets: &mut Octets) -> Done<Option<Vec<u8>>> {
        if !self.input.has_buffered() {
            self.flush().await?;
        }
        let stop = self.entry.stop().clone();
        let piece = tokio::select! {
            biased;
            () = stop.cancelled() => return self.end_by_stop(),
            piece = self.input.piece(octets) => piece,
        };
        match piece {
            Ok(piece) => Ok(piece),
            Err(error) => self.end_by(&error),
        }
    }

    /// Gives a whole message to its room, and says what became of it: once, or at LMTP once for
    /// each recipient. Good news are said only when it is on the disk.
    pub(super) async fn hand_over(&mut self, transaction: Transaction, intake: Intake) -> Done {
        self.messages = self.messages.saturating_add(1);
        let spool = match intake.end() {
            Ok(spool) => spool,
            Err(reply) => {
                self.tell_outcome(&Told::about(&transaction, 0), &reply).await;
                self.say_for_each(&transaction, &reply);
                return Ok(());
            }
        };
        match self.door.role {
            Role::Mx => self.deliver(transaction, spool).await,
            Role::Lmtp => self.deliver_to_each(transaction, spool).await,
            Role::Submission => self.submit(transaction, spool).await,
        }
        Ok(())
    }

    async fn deliver(&mut self, transaction: Transaction, spool: Spool) {
        let told = Told::of(&transaction, &spool);
        let incoming = self.incoming(transaction, spool);
        let delivery = &self.door.means.delivery;
        let delivered = delivery.deliver(self.origin(), Share::Later, incoming).await;
        let reply = match delivered {
            Ok(_committed) => told.taken(),
            Err(error) => reply_to_delivery(&error),
        };
        self.tell_outcome(&told, &reply).await;
        self.say(&reply);
    }

    async fn deliver_to_each(&mut self, transaction: Transaction, spool: Spool) {
        let mut told = Told::of(&transaction, &spool);
        let recipients: Vec<_> =
            transaction.envelope.recipients.iter().map(|to| to.address.to_string()).collect();
        let incoming = self.incoming(transaction, spool);
        let delivered =
            self.door.means.delivery.deliver(self.origin(), Share::Each, incoming).await;
        let replies: Vec<_> = match delivered {
            Ok(committed) => committed
                .into_inner()
                .into_iter()
                .map(|outcome| outcome.map_or_else(Reply::from, |()| told.taken()))
                .collect(),
            Err(error) => vec![reply_to_delivery(&error); recipients.len()],
        };
        told.recipients = 1;
        for (recipient, reply) in recipients.into_iter().zip(&replies) {
            told.to = recipient;
            self.tell_outcome(&told, reply).await;
            self.say(reply);
        }
    }

    async fn submit(&mut self, transaction: Transaction, spool: Spool) {
        let told = Told::of(&transaction, &spool);
        let Some(account) = self.user.as_ref().map(|user| user.account) else {
            return self.say(&Reply::new(530, "5.7.0", "log in first"));
        };
        let (received, arrival) = self.arrival(&transaction, &spool);
        let Transaction { trace, envelope, .. } = transaction;
        let outgoing = Outgoing { trace, envelope, received, arrival, message: spool };
        let author = Author::User(account);
        let room = &self.door.means.submission;
        let reply = match room.submit(author, self.origin(), Share::Later, outgoing).await {
            Ok(_committed) => told.taken(),
            Err(error) => Reply::from(&error),
        };
        self.tell_outcome(&told, &reply).await;
        self.say(&reply);
    }

    fn incoming(&self, mut transaction: Transaction, message: Spool) -> Incoming {
        let (received, arrival) = self.arrival(&transaction, &message);
        let addressees = std::mem::take(&mut transaction.addressees);
        let Transaction { trace, envelope, .. } = transaction;
        // Only at the submission door users log in.
        let author = None;
        Incoming { trace, author, envelope, addressees, received, arrival, message }
    }

    /// How the message came: our own Received field, and a line for the trace.
    fn arrival(&self, transaction: &Transaction, message: &Spool) -> (Vec<u8>, String) {
        let Some((hello, client)) = &self.client else { return Default::default() };
        let recipient = match transaction.envelope.recipients.as_slice() {
            [only] => Some(&only.address),
            _ => None,
        };
        let tls = self.input.agreed();
        let hop = Hop {
            role: self.door.role,
            hello: *hello,
            client,
            peer: self.peer,
            host: self.door.means.hostname.ascii(),
            tls: tls.as_ref(),
            authenticated: self.user.is_some(),
            utf8: transaction.envelope.utf8,
            trace: &transaction.trace,
            recipient,
            now: Timestamp::now(),
        };
        let (from, size) = (&transaction.envelope.reverse_path, message.len());
        (hop.field().into_bytes(), format!("{}, <{from}>, {size} octets", hop.words()))
    }

    /// After the data LMTP answers for each recipient, whatever the answer (RFC 2033 §4.2).
    fn say_for_each(&mut self, transaction: &Transaction, reply: &Reply) {
        let lmtp = self.door.role == Role::Lmtp;
        let times = if lmtp { transaction.envelope.recipients.len() } else { 1 };
        for _ in 0..times {
            self.say(reply);
        }
    }

    /// Logs what became of a message, and traces that it was refused.
    async fn tell_outcome(&self, told: &Told, reply: &Reply) {
        self.log_outcome(told, reply);
        if !reply.is_refusal() {
            return;
        }
        let Told { trace, from, to, recipients, .. } = told;
        let others = match recipients.saturating_sub(1) {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let (code, enhanced, text) = (reply.code(), reply.enhanced(), reply.text());
        let (peer, role) = (self.peer, self.door.role);
        let detail = format!(
            "from [{peer}] at {role:?}, <{from}> to {to}{others}: {code} {enhanced} {text}"
        );
        let account = self.user.as_ref().map(|user| user.account);
        let delivery = &self.door.means.delivery;
        delivery.trace_refusal(self.origin(), trace.clone(), account, detail).await;
    }

    fn log_outcome(&self, told: &Told, reply: &Reply) {
        let Told { trace, from, to, recipients, size } = told;
        let outcome = match self.door.role {
            _ if reply.is_refusal() => "refused",
            Role::Mx | Role::Lmtp => "delivered",
            Role::Submission => "submitted",
        };
        tracing::info!(
            session = %self.entry.id(), role = ?self.door.role, peer = %self.peer, trace, from, to,
            recipients, size, code = reply.code(), enhanced = reply.enhanced(),
            text = reply.text(), "{outcome}"
        );
    }
}

/// What the log says of a message.
struct Told {
    trace: String,
    from: String,
    /// Its first recipient.
    to: String,
    recipients: usize,
    size: u64,
}

impl Told {
    fn of(transaction: &Transaction, spool: &Spool) -> Self {
        Self::about(transaction, spool.len())
    }

    fn about(transaction: &Transaction, size: u64) -> Self {
        let Envelope { reverse_path, recipients, .. } = &transaction.envelope;
        Self {
            trace: transaction.trace.clone(),
            from: reverse_path.to_string(),
            to: recipients.first().map(|to| to.address.to_string()).unwrap_or_default(),
            recipients: recipients.len(),
            size,
        }
    }

    /// The good news.
    fn taken(&self) -> Reply {
        Reply::new(250, "2.0.0", format!("taken as {}", self.trace))
    }
}

/// What a sender of lone CR, LF or NUL reads (RFC 5321 §2.3.8).
fn damaged(damage: Damage) -> Option<Reply> {
    let text = match damage {
        Damage { bare_lf: true, .. } => "bare LF in the message",
        Damage { bare_cr: true, .. } => "bare CR in the message",
        Damage { nul: true, .. } => "NUL in the message",
        Damage { .. } => return None,
    };
    Some(Reply::new(550, "5.5.2", text))
}

fn line_too_long() -> Reply {
    Reply::new(552, "5.3.4", "a line of the message is too long")
}

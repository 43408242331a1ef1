//! Message data on its way in: literals that go to a spool instead of into memory.

use std::sync::Arc;

use super::{
    error::Error,
    reply::{Code, Replies},
    request::{connection, within},
    session::{Session, closing},
};
use crate::{
    mail::Spool,
    metrics::Limit,
    net::{BadLine, InputError, Literal, Octets},
    wire::Syntax,
};

impl Session {
    /// Reads the message that a literal announces. When it fails its octets are read to their end
    /// nevertheless, so that they are never taken for commands.
    pub async fn message(&mut self, literal: Literal, out: &mut Replies) -> Result<Spool, Error> {
        self.fits(literal)?;
        let mut spool = self.mail().spool();
        self.message_part(&mut spool, literal, out).await?;
        Ok(spool)
    }

    /// The same for a part of a message, which is added to what came before.
    pub async fn message_part(
        &mut self,
        spool: &mut Spool,
        literal: Literal,
        out: &mut Replies,
    ) -> Result<(), Error> {
        let limits = self.door.limits;
        if !literal.sent_at_once {
            out.go_on("send the message");
            out.flush().await?;
        }
        let mut failed = None;
        let mut octets = Octets::new(literal.size, limits.rate);
        let (door, stop) = (Arc::clone(&self.door), self.stop());
        let input = self.input()?;
        // However long it takes, it is not idle (the least rate holds).
        input.set_deadline(None);
        loop {
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(closing()),
                read = input.piece(&mut octets) => read,
            };
            let piece = read.map_err(|error| {
                if matches!(error, InputError::TimedOut) {
                    door.metrics.exceeded(Limit::SmtpDataTime);
                }
                connection(error)
            })?;
            let Some(piece) = piece else { break };
            if failed.is_none() {
                failed = take(spool, &piece, literal.binary).err();
            }
        }
        input.set_deadline(within(limits.idle_time));
        failed.map_or(Ok(()), Err)
    }

    /// Reads a value that a literal announces within a command at work, of which so many octets are
    /// in memory.
    pub async fn value(
        &mut self,
        literal: Literal,
        held: usize,
        out: &mut Replies,
    ) -> Result<Vec<u8>, Error> {
        let limits = self.door.limits;
        let sum = literal.size.saturating_add(held as u64);
        if literal.size > limits.literal || sum > limits.literal_sum {
            if literal.sent_at_once {
                return Err(Error::Bye(Some(Code::TooBig), "literal too big"));
            }
            return Err(Error::no(Code::AnnotateTooBig, "the value is too long"));
        }
        if !literal.sent_at_once {
            out.go_on("go on");
            out.flush().await?;
        }
        let (mut value, mut octets) = (Vec::new(), Octets::new(literal.size, limits.rate));
        let input = self.input()?;
        while let Some(piece) = input.piece(&mut octets).await.map_err(connection)? {
            value.extend_from_slice(&piece);
        }
        Ok(value)
    }

    /// Refuses a message that is too large before it is read.
    pub fn check_size(&self, literal: Literal) -> Result<(), Error> {
        let checked = self.fits(literal);
        if checked.is_err() {
            self.door.metrics.exceeded(Limit::MessageSizeMax);
        }
        checked
    }

    fn fits(&self, literal: Literal) -> Result<(), Error> {
        if literal.size <= self.door.limits.message {
            return Ok(());
        }
        if literal.sent_at_once {
            return Err(Error::Bye(Some(Code::TooBig), "message too big"));
        }
        Err(Error::no(Code::TooBig, "message too big"))
    }

    /// What stands behind a literal, up to the line end or the next literal's head.
    pub async fn after_literal(&mut self) -> Result<Vec<u8>, Error> {
        let max = self.door.limits.line;
        let line = self.input()?.line(max).await;
        if matches!(line, Err(InputError::Line(BadLine::TooLong))) {
            self.door.metrics.exceeded(Limit::ImapLineMax);
        }
        let line = line.map_err(connection)?;
        line.ok_or(Error::Connection(std::io::ErrorKind::UnexpectedEof.into()))
    }

    /// Reads the rest of a command that has failed, from a literal on that was announced and not
    /// read, so that the next line is a command again.
    pub async fn swallow(&mut self, announced: Literal) -> Result<(), Error> {
        let mut next = Some(announced);
        while let Some(literal) = next {
            if !literal.sent_at_once {
                return Ok(()); // its client waits for a go-ahead that does not come
            }
            self.fits(literal)?;
            let mut octets = Octets::new(literal.size, self.door.limits.rate);
            self.input()?.discard(&mut octets).await.map_err(connection)?;
            next = Literal::announced_by(&self.after_literal().await?);
        }
        Ok(())
    }

    /// Reads the rest of a command that has failed behind a literal.
    pub async fn swallow_rest(&mut self) -> Result<(), Error> {
        match Literal::announced_by(&self.after_literal().await?) {
            Some(literal) => self.swallow(literal).await,
            None => Ok(()),
        }
    }
}

fn take(spool: &mut Spool, piece: &[u8], binary: bool) -> Result<(), Error> {
    if !binary && piece.contains(&0) {
        return Err(Syntax::Expected("no NUL in a literal that is no literal8").into());
    }
    Ok(spool.write(piece)?)
}

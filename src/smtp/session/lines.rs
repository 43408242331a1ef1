//! The client's lines, and how long they are waited for.

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{Done, Ended, Session};
use crate::{
    metrics::Limit,
    net::{BadLine, InputError},
    smtp::{Reply, Role, burl::is_burl},
};

/// CRLF counts too, in the length of a line (RFC 5321 §4.5.3.1.4).
const LINE_END: usize = 2;

/// Octets of text in a line of so many octets.
fn text_of(line: usize) -> usize {
    line.saturating_sub(LINE_END)
}

impl Session {
    /// The next command's line. AUTH may be longer than all others (RFC 4954 §4); of what is none, no
    /// more is waited for than a command can be.
    pub(in crate::smtp) async fn command_line(&mut self) -> Done<Vec<u8>> {
        let (command, auth) = (self.door.limits.command_line, self.door.limits.auth_line);
        loop {
            let may_log_in = self.door.role == Role::Submission && self.user.is_none();
            let (mut limit, mut names_octets) = (Limit::SmtpCommandLineMax, false);
            let mut most = |begun: &[u8]| {
                names_octets |= is_burl(begun);
                let verb = begun.get(..5).unwrap_or_default();
                if may_log_in && verb.eq_ignore_ascii_case(b"AUTH ") {
                    limit = Limit::SmtpAuthLineMax;
                    return text_of(auth);
                }
                text_of(command)
            };
            if let Some(line) = self.line_by(&mut most).await? {
                return Ok(line);
            }
            self.door.exceeded(limit);
            self.faults.count();
            let reply = Reply::new(500, "5.5.2", "line too long");
            if names_octets {
                self.fail_by_burl(&reply);
            }
            self.say(&reply);
            self.bear_with_faults()?;
        }
    }

    /// The next line of at most so many octets, its end among them; None for one that was too long.
    pub(in crate::smtp) async fn line(&mut self, most: usize) -> Done<Option<Vec<u8>>> {
        self.line_by(&mut |_: &[u8]| text_of(most)).await
    }

    /// The next line, whose text may be as long as is said of what has come; None for one that was too
    /// long. While none has come, what was said leaves.
    async fn line_by(
        &mut self,
        most: &mut (impl FnMut(&[u8]) -> usize + Send),
    ) -> Done<Option<Vec<u8>>> {
        if self.entry.stop().is_cancelled() {
            return self.end_by_stop();
        }
        self.wait_until(self.command_deadline());
        let read = match self.input.line_by(&mut *most).now_or_never() {
            Some(read) => read,
            None => self.line_to_come(most).await?,
        };
        match read {
            Ok(Some(line)) => Ok(Some(line)),
            Ok(None) => Err(Ended::Gone),
            Err(InputError::Line(BadLine::TooLong)) => Ok(None),
            Err(InputError::Line(fault)) => {
                self.log_end("a line with a lone CR or LF, or NUL");
                self.end(&Reply::new(550, "5.5.2", fault.to_string()))
            }
            Err(error) => self.end_by(&error),
        }
    }

    /// Waits for a line that is not there yet; what was said leaves first.
    async fn line_to_come(
        &mut self,
        most: &mut (impl FnMut(&[u8]) -> usize + Send),
    ) -> Done<Result<Option<Vec<u8>>, InputError>> {
        self.flush().await?;
        let stop = self.entry.stop().clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => self.end_by_stop(),
            read = self.input.line_by(most) => Ok(read),
        }
    }

    /// Nothing is waited for longer.
    pub(in crate::smtp) fn wait_until(&mut self, until: (Instant, Limit)) {
        self.input.set_deadline(Some(until.0));
        self.until = until;
    }

    pub(in crate::smtp) fn command_deadline(&self) -> (Instant, Limit) {
        let command = Instant::now() + self.door.times().command;
        let end = self.end_of_patience();
        end.filter(|(end, _)| *end < command).unwrap_or((command, Limit::SmtpCommandTime))
    }

    /// Until when a message's octets must have come.
    pub(in crate::smtp) fn data_deadline(&self) -> (Instant, Limit) {
        let session = self.door.times().session;
        self.end_of_patience().unwrap_or_else(|| (Instant::now() + session, Limit::SmtpSessionTime))
    }

    /// The end of the whole session, or of the time to log in.
    pub(in crate::smtp) fn end_of_patience(&self) -> Option<(Instant, Limit)> {
        let session = self.door.times().session;
        match self.door.role {
            Role::Mx | Role::Lmtp => Some((self.started + session, Limit::SmtpSessionTime)),
            Role::Submission if self.user.is_none() => {
                Some((self.started + self.door.limits.login, Limit::LoginTime))
            }
            // Phones on slow networks are not cut off for their mere duration.
            Role::Submission => None,
        }
    }

    /// Ends the conversation because of what came, or did not come.
    pub(in crate::smtp) fn end_by<T>(&mut self, error: &InputError) -> Done<T> {
        match error {
            InputError::TimedOut | InputError::TooSlow => {
                if matches!(error, InputError::TimedOut) {
                    // A pause within data has no deadline of its own here.
                    let (end, limit) = self.until;
                    let over = Instant::now() >= end;
                    self.door.exceeded(if over { limit } else { Limit::SmtpDataTime });
                }
                self.log_end("timeout");
                self.end(&Reply::new(421, "4.4.2", error.to_string()))
            }
            InputError::NoMemory => {
                self.log_end("no memory left for input");
                self.end(&Reply::new(451, "4.3.1", "out of memory, try again later"))
            }
            // Nothing is ever inflated here.
            InputError::Line(_) | InputError::Inflated | InputError::Ended | InputError::Io(_) => {
                Err(Ended::Gone)
            }
        }
    }
}

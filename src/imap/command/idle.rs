//! IDLE (RFC 2177): the client listens until it says DONE.

use std::io;

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        extensions::Numbers,
        reply::{Done, Replies},
        request::{connection, within},
        session::{Session, closing},
    },
    metrics::Limit,
    net::InputError,
    wire::{Cursor, Syntax},
};

/// `DONE` and a little room for what is no such line.
const LONGEST_LINE: usize = 64;

struct Idle;

/// `"IDLE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Idle))
}

impl Command for Idle {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let deadline = within(session.door.limits.idle_command_time);
            session.input()?.set_deadline(deadline);
            out.go_on("idling");
            loop {
                session.tell_all(Numbers::MayChange, out).await?;
                out.flush().await?;
                let (input, ears, stop) = session.ears()?;
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(closing()),
                    line = input.line(LONGEST_LINE) => return match line {
                        Ok(line) => done(line),
                        Err(error) => {
                            if matches!(error, InputError::TimedOut) {
                                session.door.metrics.exceeded(Limit::ImapIdleCommandTime);
                            }
                            Err(connection(error))
                        }
                    },
                    () = ears.listen() => {}
                }
            }
        })
    }
}

fn done(line: Option<Vec<u8>>) -> Result<Done, Error> {
    match line {
        Some(line) if line.trim_ascii_end().eq_ignore_ascii_case(b"DONE") => {
            Ok(Done::ok("idle done"))
        }
        Some(_) => Err(Syntax::Expected("DONE").into()),
        None => Err(Error::Connection(io::ErrorKind::NotConnected.into())),
    }
}

//! THREAD and UID THREAD (RFC 5256 §3), also by references alone (REFS).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        extensions::Numbers,
        picture::By,
        reply::{Done, Replies},
        search::{query::Query, result::Found},
        session::Session,
    },
    mail::{ThreadAlgorithm, Threads},
    wire::{Cursor, Syntax},
};

struct Thread {
    by: By,
    algorithm: ThreadAlgorithm,
    query: Query,
}

/// `"THREAD" SP thread-alg SP search-criteria`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP thread`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let algorithm = match args.atom()?.to_ascii_uppercase().as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        "REFS" => ThreadAlgorithm::Refs,
        _ => return Err(Syntax::Expected("ORDEREDSUBJECT, REFERENCES or REFS")),
    };
    args.space()?;
    let query = Query::with_charset(args)?;
    Ok(Box::new(Thread { by, algorithm, query }))
}

impl Command for Thread {
    fn run<'a>(mut self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            session.tell(Numbers::Still, out).await?;
            self.query.put_in_filters(session).await?;
            self.query.enable(session, out)?;
            let (mail, collation) = (session.mail(), session.collation);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let progress = out.progress();
            let finding = self.query.all_matching(&mail, selected, most, &progress);
            let uids = out.meanwhile(finding).await??;
            let threads = mail.thread(&selected.mailbox, &uids, self.algorithm, collation);
            let threads = out.meanwhile(threads).await??;
            let found = self.query.numbered(&mail, selected, uids).await?;
            tell(&threads, &found, self.by, out).await?;
            Ok(self.query.done(Done::ok("threaded")))
        })
    }
}

/// `* THREAD (2)(3 6 (4 23)(44 7 96))`
async fn tell(threads: &Threads, found: &Found, by: By, out: &mut Replies) -> Result<(), Error> {
    out.buffer().put("* THREAD");
    if !threads.nodes().is_empty() {
        out.buffer().put(" ");
    }
    let mut brackets = Brackets::default();
    for node in threads.nodes() {
        let number = node.message.and_then(|uid| found.number(uid, by));
        brackets.put(number, node.below, out);
        out.breathe().await?;
    }
    out.buffer().put("\r\n");
    Ok(())
}

/// `thread-list = "(" (thread-members / thread-nested) ")"`, node by node (RFC 5256 §5)
#[derive(Default)]
struct Brackets {
    /// How many nodes of each fork are not written yet, the innermost last.
    forks: Vec<u32>,
    /// The next node is the only one below the last: it stands in the same bracket.
    is_only: bool,
    /// There is a number in the bracket already.
    has_number: bool,
}

impl Brackets {
    fn put(&mut self, number: Option<u32>, below: u32, out: &mut Replies) {
        let out = out.buffer();
        if !self.is_only {
            out.put("(");
            self.has_number = false;
        }
        if let Some(number) = number {
            out.put(if self.has_number { " " } else { "" });
            out.put(number);
            self.has_number = true;
        }
        self.is_only = below == 1;
        match below {
            0 => {
                out.put(")");
                while let Some(left) = self.forks.last_mut() {
                    *left = left.saturating_sub(1);
                    if *left > 0 {
                        break;
                    }
                    self.forks.pop();
                    out.put(")");
                }
            }
            1 => {}
            several => {
                out.put(if self.has_number { " " } else { "" });
                self.forks.push(several);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithm_and_charset_come_before_the_keys() {
        for good in [
            " ORDEREDSUBJECT UTF-8 SINCE 5-Mar-2000",
            " references us-ascii TEXT \"gewp\"",
            " REFS \"UTF-8\" ALL",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " REFERENCES", " REFERENCES UTF-8", " UTF-8 ALL", " JWZ UTF-8 ALL"] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}

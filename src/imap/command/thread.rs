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
            let uids = out.meanwhile(self.query.all_matching(&mail, selected, most)).await??;
            let threads = out
                .meanwhile(mail.thread(&selected.mailbox, uids.clone(), self.algorithm, collation))
                .await??;
            let found = self.query.numbered(&mail, selected, uids).await?;
            tell(&threads, &found, self.by, out).await?;
            Ok(self.query.done(Done::ok("threaded")))
        })
    }
}

/// What is still to be written.
enum Left {
    /// A thread from this node on, brackets and all.
    Thread(usize),
    /// `)`
    Bracket,
}

/// `* THREAD (2)(3 6 (4 23)(44 7 96))`
async fn tell(threads: &Threads, found: &Found, by: By, out: &mut Replies) -> Result<(), Error> {
    out.buffer().put("* THREAD");
    let mut left: Vec<Left> = threads.roots.iter().rev().map(|root| Left::Thread(*root)).collect();
    if !left.is_empty() {
        out.buffer().put(" ");
    }
    while let Some(next) = left.pop() {
        match next {
            Left::Thread(node) => members(threads, found, by, node, &mut left, out),
            Left::Bracket => out.buffer().put(")"),
        }
        out.breathe().await?;
    }
    out.buffer().put("\r\n");
    Ok(())
}

/// A node and what follows it as long as it has one child; where there are more, they are left.
fn members(
    threads: &Threads,
    found: &Found,
    by: By,
    mut node: usize,
    left: &mut Vec<Left>,
    out: &mut Replies,
) {
    out.buffer().put("(");
    left.push(Left::Bracket);
    let mut space = "";
    loop {
        let message = threads.messages.get(node).copied().flatten();
        if let Some(number) = message.and_then(|uid| found.number(uid, by)) {
            out.buffer().put(space);
            out.buffer().put(number);
            space = " ";
        }
        match threads.children.get(node).map_or(&[][..], Vec::as_slice) {
            [] => return,
            [only] => node = *only,
            several => {
                out.buffer().put(space);
                left.extend(several.iter().rev().map(|child| Left::Thread(*child)));
                return;
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

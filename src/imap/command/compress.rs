//! COMPRESS (RFC 4978): from behind the tagged OK on, both ways are deflated.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Next, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Compress {
    deflate: bool,
}

/// `"COMPRESS" SP algorithm`; `algorithm = "DEFLATE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let algorithm = args.atom()?;
    args.end()?;
    Ok(Box::new(Compress { deflate: algorithm.eq_ignore_ascii_case("DEFLATE") }))
}

impl Command for Compress {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if !self.deflate {
                return Err(Error::plain("DEFLATE is the only algorithm"));
            }
            let input = session.input()?;
            if input.is_compressed() {
                return Err(Error::no(Code::CompressionActive, "it is compressed already"));
            }
            // Octets that came before the go-ahead are not deflated, and would be taken for it.
            if input.has_spoken() {
                return Err(Error::unfit("wait for the answer to COMPRESS"));
            }
            Ok(Done::ok("DEFLATE active").then(Next::Compress))
        })
    }
}

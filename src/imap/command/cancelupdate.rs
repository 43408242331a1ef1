//! CANCELUPDATE (RFC 5267 §4.3.5): searches that are kept true no more.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct CancelUpdate {
    tags: Vec<String>,
}

/// `"CANCELUPDATE" 1*(SP quoted)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let mut tags = Vec::new();
    while tags.is_empty() || !args.is_empty() {
        args.space()?;
        tags.push(String::from_utf8_lossy(&args.quoted()?).into_owned());
    }
    Ok(Box::new(CancelUpdate { tags }))
}

impl Command for CancelUpdate {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if session.selected()?.cancel_contexts(&self.tags) {
                Ok(Done::ok("no further updates"))
            } else {
                Err(Error::no(Code::Cannot, "no search of this tag is kept up to date"))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_quoted() {
        let read = |text: &str| parse(&mut Cursor::new(text.as_bytes())).is_ok();
        assert!(read(" \"B01\"") && read(" \"B01\" \"B02\""));
        assert!(!read("") && !read(" B01") && !read(" \"B01\" ") && !read("\"B01\""));
    }
}

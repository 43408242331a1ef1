//! ID (RFC 2971): who speaks. Nothing hangs on what the client says of itself.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::{Cursor, Syntax},
};

/// Pairs of one ID (RFC 2971 §3.3).
const MOST_PAIRS: usize = 30;

struct Id {
    client: Vec<(String, String)>,
}

/// `"ID" SP ("(" [string SP nstring *(SP string SP nstring)] ")" / nil)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mut client = Vec::new();
    if !args.take_word("NIL") {
        let mut field = None;
        args.list(|args| {
            match field.take() {
                None => field = Some(args.string_text()?.into_owned()),
                Some(field) => {
                    let value = args.nstring()?.unwrap_or_default();
                    client.push((field, String::from_utf8_lossy(&value).into_owned()));
                }
            }
            if client.len() > MOST_PAIRS { Err(Syntax::Limit("fields in an ID")) } else { Ok(()) }
        })?;
        if field.is_some() {
            return Err(Syntax::Expected("a value for each field"));
        }
    }
    args.end()?;
    Ok(Box::new(Id { client }))
}

impl Command for Id {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if !self.client.is_empty() {
                tracing::debug!(session = %session.id, client = ?self.client, "imap id");
            }
            let mut fields = vec![("name", "Mailade"), ("version", env!("CARGO_PKG_VERSION"))];
            if let Some(source) = &session.door.source_url {
                fields.push(("support-url", source));
            }
            out.line(|out| {
                out.put("ID ");
                let words = fields.iter().flat_map(|(field, value)| [field, value]);
                out.list(words, |out, text| out.string(text.as_bytes()));
            });
            Ok(Done::ok("pleased to meet you"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_nil_are_read() {
        for good in [" NIL", " nil", " ()", " (\"name\" \"x\" \"os\" NIL)"] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " (\"name\")", " (name x)", " \"NIL\""] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}

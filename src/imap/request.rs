//! Frames to requests: tag, row of the table, and the text of the arguments with its literals.
//!
//! Message data is not read here: a request that takes some ends with the literal that announces
//! it, and the running command reads on.

use tokio::time::Instant;

use super::{
    command::Command,
    error::Error,
    extensions::{Row, When, row},
    limits::Limits,
    reply::{Code, Replies},
};
use crate::{
    metrics::{Limit, Metrics},
    net::{BadLine, Input, InputError, Literal, Octets, Share},
    wire::{Bounds, Cursor, Names, Syntax},
};

/// Octets of tag, command and mechanism around a SASL response.
const AROUND_SASL: usize = 128;

/// One command as it came.
pub struct Request {
    /// What the client will know the answer by.
    pub tag: String,
    /// What it is.
    pub row: &'static Row,
    text: Vec<u8>,
    /// Where the arguments begin.
    arguments: usize,
    /// The message data that the text announces and that was not read.
    pub unread: Option<Literal>,
}

impl Request {
    /// Reads the arguments.
    pub fn parse(&self, names: Names, bounds: Bounds) -> Result<Box<dyn Command>, Error> {
        let text = self.text.get(self.arguments..).unwrap_or_default();
        let mut args = Cursor::new(text).with_names(names).with_bounds(bounds);
        Ok((self.row.parse)(&mut args)?)
    }
}

/// What came in.
pub enum Incoming {
    /// A command.
    Request(Request),
    /// No command, though a line; it was read to its end. The tag, if there was one.
    Bad(Option<String>, Error),
    /// The client left.
    End,
}

/// A command's tag, and its row with where its arguments begin.
type Head = (String, Result<(&'static Row, usize), Error>);

/// A literal that is being read.
struct Whole {
    octets: Octets,
    /// It is read only to find the line's end.
    thrown_away: bool,
}

/// Gathers a request from its lines and literals.
///
/// [`Reader::next`] may be dropped half way: what was gathered stays here.
pub struct Reader {
    text: Vec<u8>,
    /// What the text takes of the memory for all input.
    share: Share,
    /// Octets of lines in the text; the rest is literals.
    lines: usize,
    literal: Option<Box<Whole>>,
    literals: usize,
    sum: u64,
    /// The first line was looked at and found wanting; the rest is only read to its end.
    refused: Option<Box<(Option<String>, Error)>>,
    begun: bool,
}

/// What the reader must know of the session.
#[derive(Clone, Copy)]
pub struct Situation<'l> {
    /// Somebody is logged in: the wider limits hold.
    pub logged_in: bool,
    /// A mailbox is selected.
    pub selected: bool,
    /// The limits.
    pub limits: &'l Limits,
    /// Until when the client may be silent, and which limit says so.
    pub patience: (Option<Instant>, Limit),
    /// Where it is counted who comes up against a limit.
    pub metrics: &'l Metrics,
}

impl Situation<'_> {
    /// What becomes of a connection whose input fails.
    fn lost(&self, error: InputError) -> Error {
        if matches!(error, InputError::TimedOut) {
            let (deadline, limit) = self.patience;
            let over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            self.metrics.exceeded(if over { limit } else { Limit::SmtpDataTime });
        }
        connection(error)
    }

    /// May this command be given now?
    fn allows(&self, row: &Row) -> Result<(), Error> {
        match row.when {
            When::BeforeLogin if self.logged_in => Err(Error::unfit("you are logged in already")),
            When::LoggedIn | When::Selected if !self.logged_in => Err(Error::unfit("log in first")),
            When::Selected if !self.selected => Err(Error::unfit("select a mailbox first")),
            When::Always | When::BeforeLogin | When::LoggedIn | When::Selected => Ok(()),
        }
    }
}

impl Reader {
    /// A reader before the first request; what it holds counts in this share.
    pub fn new(share: Share) -> Self {
        Self {
            text: Vec::new(),
            share,
            lines: 0,
            literal: None,
            literals: 0,
            sum: 0,
            refused: None,
            begun: false,
        }
    }

    /// The next request. May be dropped half way without loss.
    pub async fn next(
        &mut self,
        input: &mut Input,
        out: &mut Replies,
        situation: Situation<'_>,
    ) -> Result<Incoming, Error> {
        loop {
            if self.literal.is_some() {
                self.literal(input, situation).await?;
                continue;
            }
            let line = match self.line(input, situation).await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(Incoming::End),
                Err(Error::Unfit(code, text)) => {
                    let tag = self.head().ok().map(|(tag, _)| tag);
                    self.restart();
                    return Ok(Incoming::Bad(tag, Error::Unfit(code, text)));
                }
                Err(error) => return Err(error),
            };
            if !situation.logged_in && is_http(&line) {
                return Ok(Incoming::End);
            }
            let first = !self.begun;
            self.begun = true;
            if self.refused.is_none() {
                self.keep(&line)?;
                if first {
                    self.look_at_head(situation);
                }
            }
            let Some(literal) = Literal::announced_by(&line) else { return Ok(self.whole(None)) };
            if self.is_data(situation) {
                return Ok(self.whole(Some(literal)));
            }
            if let Some(end) = self.announced(literal, out, situation).await? {
                return Ok(end);
            }
        }
    }

    async fn line(
        &mut self,
        input: &mut Input,
        situation: Situation<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let limits = situation.limits;
        let usual = if situation.logged_in { limits.line } else { limits.line_before_login };
        let too_long = || {
            situation.metrics.exceeded(if situation.logged_in {
                Limit::ImapLineMax
            } else {
                Limit::ImapLineBeforeLoginMax
            });
            Error::Unfit(Some(Code::TooBig), "command line too long")
        };
        // A SASL response may be longer than any other line.
        let line = match input.line(usual.max(limits.sasl + AROUND_SASL)).await {
            Ok(line) => line,
            Err(InputError::Line(BadLine::TooLong)) => return Err(too_long()),
            Err(error) => return Err(situation.lost(error)),
        };
        let Some(line) = line else { return Ok(None) };
        self.lines = self.lines.saturating_add(line.len());
        if self.lines > usual && !carries_sasl(&line) {
            return Err(too_long());
        }
        Ok(Some(line))
    }

    /// Finds tag and command; what can't be run is refused before its literals are asked for.
    fn look_at_head(&mut self, situation: Situation<'_>) {
        match self.head() {
            Ok((tag, found)) => {
                let fits = found.and_then(|(row, _)| situation.allows(row));
                if let Err(error) = fits {
                    self.refused = Some(Box::new((Some(tag), error)));
                }
            }
            Err(error) => self.refused = Some(Box::new((None, error))),
        }
    }

    /// `command = tag SP name …`: the tag, and the row with where its arguments begin.
    fn head(&self) -> Result<Head, Error> {
        let mut args = Cursor::new(&self.text);
        let tag = args.tag()?.to_owned();
        if args.is_empty() {
            return Ok((tag, Err(Syntax::Expected("a command behind the tag").into())));
        }
        args.space()?;
        let mut name = args.atom().unwrap_or_default().to_owned();
        if name.eq_ignore_ascii_case("UID") && args.take(b' ') {
            name.push(' ');
            name.push_str(args.atom().unwrap_or_default());
        }
        let at = self.text.len() - args.rest().len();
        let found = row(&name).map(|row| (row, at));
        Ok((tag, found.ok_or_else(|| Error::unfit("unknown command"))))
    }

    /// Does the literal at the end of the text hold message data?
    fn is_data(&self, situation: Situation<'_>) -> bool {
        let Ok((_, Ok((row, at)))) = self.head() else { return false };
        let Some(is_data) = row.data.filter(|_| situation.logged_in) else { return false };
        self.refused.is_none() && self.text.get(at..).is_some_and(is_data)
    }

    /// A literal to be kept, or refused, or only read to its end.
    async fn announced(
        &mut self,
        literal: Literal,
        out: &mut Replies,
        situation: Situation<'_>,
    ) -> Result<Option<Incoming>, Error> {
        self.literals += 1;
        self.sum = self.sum.saturating_add(literal.size);
        let beyond = self.literal_beyond(literal, situation);
        if beyond == Some(Limit::ImapLiteralMax)
            && let Some((tag, code)) = self.too_long_a_value(situation.limits)
        {
            // Read to its end even if it was sent at once: the client shall learn how long it may be.
            let limits = situation.limits;
            let over = limits.value <= limits.literal;
            let limit = if over { Limit::MetadataValueMax } else { Limit::ImapLiteralMax };
            let error = Error::Over(limit, code, "the value is too long".into());
            self.refused.get_or_insert_with(|| Box::new((Some(tag), error)));
        } else if let Some(limit) = beyond {
            situation.metrics.exceeded(limit);
            if literal.sent_at_once {
                return Err(Error::Bye(Some(Code::TooBig), "literal too big"));
            }
            let tag = self.head().ok().map(|(tag, _)| tag);
            self.restart();
            let error = Error::no(Code::TooBig, "literal too big");
            return Ok(Some(Incoming::Bad(tag, error)));
        }
        if !literal.sent_at_once {
            if let Some(refused) = self.refused.take() {
                self.restart();
                return Ok(Some(Incoming::Bad(refused.0, refused.1)));
            }
            out.go_on("go on");
            out.flush().await?;
        }
        self.keep(b"\r\n")?;
        let octets = Octets::new(literal.size, situation.limits.rate);
        self.literal = Some(Box::new(Whole { octets, thrown_away: self.refused.is_some() }));
        Ok(None)
    }

    /// The tag, and what is said of a value that is longer than a literal may be, when this command
    /// takes values.
    fn too_long_a_value(&self, limits: &Limits) -> Option<(String, Code)> {
        let (tag, found) = self.head().ok()?;
        let too_long = found.ok()?.0.too_long?;
        Some((tag, too_long(limits.literal.min(limits.value))))
    }

    /// Which limit the command goes beyond with this literal, which is counted already.
    fn literal_beyond(&self, literal: Literal, situation: Situation<'_>) -> Option<Limit> {
        let limits = situation.limits;
        let beyond = if situation.logged_in {
            &[
                (self.sum > limits.literal_sum, Limit::ImapLiteralSumMax),
                (self.literals > limits.literals, Limit::ImapLiteralsMax),
                (literal.size > limits.literal, Limit::ImapLiteralMax),
            ][..]
        } else {
            // Few and small, they need no bound for their sum.
            &[
                (literal.size > limits.literal_before_login, Limit::ImapLiteralBeforeLoginMax),
                (self.literals > limits.literals_before_login, Limit::ImapLiteralsBeforeLoginMax),
            ]
        };
        beyond.iter().find_map(|(beyond, limit)| beyond.then_some(*limit))
    }

    async fn literal(&mut self, input: &mut Input, situation: Situation<'_>) -> Result<(), Error> {
        while let Some(literal) = &mut self.literal {
            let thrown_away = literal.thrown_away;
            match input.piece(&mut literal.octets).await.map_err(|error| situation.lost(error))? {
                Some(piece) if !thrown_away => self.keep(&piece)?,
                Some(_) => {}
                None => self.literal = None,
            }
        }
        Ok(())
    }

    fn whole(&mut self, unread: Option<Literal>) -> Incoming {
        if let Some(refused) = self.refused.take() {
            self.restart();
            return Incoming::Bad(refused.0, refused.1);
        }
        let head = self.head();
        let text = std::mem::take(&mut self.text);
        self.restart();
        match head {
            Ok((tag, Ok((row, arguments)))) => {
                Incoming::Request(Request { tag, row, text, arguments, unread })
            }
            Ok((tag, Err(error))) => Incoming::Bad(Some(tag), error),
            Err(error) => Incoming::Bad(None, error),
        }
    }

    fn restart(&mut self) {
        self.text = Vec::new();
        let _nothing_is_there = self.share.hold(0);
        (self.lines, self.literals, self.sum) = (0, 0, 0);
        (self.literal, self.refused, self.begun) = (None, None, false);
    }

    /// Adds to the text, if there is memory for it.
    fn keep(&mut self, more: &[u8]) -> Result<(), Error> {
        if !self.share.grow(more.len()) {
            return Err(Error::Bye(Some(Code::Unavailable), "the server is too busy"));
        }
        self.text.extend_from_slice(more);
        Ok(())
    }
}

fn carries_sasl(line: &[u8]) -> bool {
    let mut args = Cursor::new(line);
    args.tag().and_then(|_| args.space()).is_ok() && args.take_word("AUTHENTICATE")
}

/// Does the very first line come from a web browser that was led astray?
fn is_http(line: &[u8]) -> bool {
    let methods = ["GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT ", "DELETE ", "PATCH "];
    methods.iter().any(|method| line.starts_with(method.as_bytes()))
}

/// What becomes of a connection whose input fails.
pub fn connection(error: InputError) -> Error {
    match error {
        InputError::Line(BadLine::TooLong) => Error::Bye(Some(Code::TooBig), "line too long"),
        InputError::Line(_) => Error::Bad(Syntax::Expected("a line")),
        InputError::TimedOut => Error::Bye(None, "Autologout; idle for too long"),
        InputError::TooSlow => Error::Bye(None, "data comes too slowly"),
        InputError::Inflated => Error::Bye(Some(Code::Limit), "what you send inflates too much"),
        InputError::NoMemory => Error::Bye(Some(Code::Unavailable), "the server is too busy"),
        InputError::Ended => Error::Connection(std::io::ErrorKind::UnexpectedEof.into()),
        InputError::Io(error) => Error::Connection(error),
    }
}

/// The instant that is so far away.
pub fn within(time: std::time::Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

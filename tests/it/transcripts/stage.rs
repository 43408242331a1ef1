//! Plays one case: sends what clients say, and holds what the server says against the page.

use std::{collections::HashMap, fmt::Write as _, io};

use super::{
    pattern::{self, Words},
    script::{Act, Case, Message},
};
use crate::{
    connection::Connection,
    house::{self, House, PASSWORD, Service},
};

/// Lines of the dialogue that are shown with a failure.
const SHOWN: usize = 40;

/// Commands that one may give before login; a conversation that begins with another one is logged
/// in first, so that pages need not say it every time.
const BEFORE_LOGIN: [&str; 9] = [
    "LOGIN",
    "AUTHENTICATE",
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "STARTTLS",
    "ID",
    "UNAUTHENTICATE",
    "XPROXY",
];

struct Voice {
    connection: Connection,
    /// `S: ...` was read: lines may be passed over up to the next that is expected.
    skips: bool,
    /// Lines that must come, in any order.
    any_order: Vec<String>,
}

pub(super) struct Stage {
    house: House,
    voices: HashMap<String, Voice>,
    words: Words,
    heard: Vec<String>,
}

impl Stage {
    /// Plays the case; a failure says what was wrong, with the dialogue up to there.
    pub(super) fn play(case: &Case) -> Result<(), String> {
        let settings = case.lines.iter().filter_map(|line| match &line.act {
            Act::With { key, value } => Some((key.as_str(), value.as_str())),
            _ => None,
        });
        let settings = settings.collect::<Vec<_>>();
        let house = House::with(&settings);
        let (voices, words) = (HashMap::new(), Words::new());
        let mut stage = Self { house, voices, words, heard: Vec::new() };
        for line in &case.lines {
            let outcome = stage.act(&line.act);
            if let Err(wrong) = outcome {
                return Err(stage.failure(case, line.number, &line.text, &wrong));
            }
        }
        let names: Vec<_> = stage.voices.keys().cloned().collect();
        for name in names {
            if let Err(wrong) = stage.settle(&name) {
                return Err(stage.failure(case, 0, "(the end)", &wrong));
            }
        }
        Ok(())
    }

    fn failure(&self, case: &Case, number: usize, text: &str, wrong: &str) -> String {
        let mut out = format!("\n== {}\n", case.title);
        let from = self.heard.len().saturating_sub(SHOWN);
        for line in self.heard.iter().skip(from) {
            let _infallible = writeln!(out, "    {line}");
        }
        let _infallible = writeln!(out, "  line {number}: {text}\n  {wrong}");
        let log = self.house.log();
        let last: Vec<_> = log.lines().rev().take(8).collect();
        for line in last.into_iter().rev() {
            let _infallible = writeln!(out, "  log: {line}");
        }
        out
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::With { .. } => Ok(()),
            Act::Send { who, text } => self.send(who, text),
            Act::SendRaw { who, octets } => self.send_raw(who, octets),
            Act::Expect { who, pattern } => self.expect(who, pattern),
            Act::Skip { who } => {
                self.voice(who, "")?.skips = true;
                Ok(())
            }
            Act::ExpectAnyOrder { who, pattern } => {
                self.voice(who, "")?.any_order.push(pattern.clone());
                Ok(())
            }
            Act::Connect { who } => self.connect(who),
            Act::Close { who } => {
                self.settle(who)?;
                self.voices.remove(who);
                Ok(())
            }
            Act::Closed { who } => self.closed(who),
            Act::StartTls { who } => {
                self.settle(who)?;
                let voice = self.voices.remove(who).ok_or("no such connection")?;
                let connection = voice.connection.with_tls();
                self.voices.insert(who.clone(), Voice { connection, ..voice });
                Ok(())
            }
            Act::Deflate { who } => {
                self.settle(who)?;
                let voice = self.voices.remove(who).ok_or("no such connection")?;
                let connection = voice.connection.compressed();
                self.voices.insert(who.clone(), Voice { connection, ..voice });
                Ok(())
            }
            Act::Deliver { message, sender, recipients } => {
                self.deliver(message, sender, recipients)
            }
            Act::Run { arguments } => self.run(arguments),
            Act::Restart => {
                self.house.kill();
                self.house.start();
                self.voices.clear();
                Ok(())
            }
        }
    }

    /// The connection of this name; opened, and logged in, when it is first spoken of.
    fn voice(&mut self, who: &str, first: &str) -> Result<&mut Voice, String> {
        if !self.voices.contains_key(who) {
            self.connect(who)?;
            if !first.is_empty() {
                self.greet(who, first)?;
            }
        }
        self.voices.get_mut(who).ok_or_else(|| "no such connection".to_owned())
    }

    fn connect(&mut self, who: &str) -> Result<(), String> {
        self.heard.push(format!("connect {who}"));
        let connection = self.house.connect(service(who));
        self.voices.insert(who.into(), Voice { connection, skips: false, any_order: Vec::new() });
        Ok(())
    }

    /// Reads the greeting, and logs in where the first command asks for it.
    fn greet(&mut self, who: &str, first: &str) -> Result<(), String> {
        self.heard_line(who)?;
        let word = first.split(' ').nth(1).unwrap_or_default().to_ascii_uppercase();
        let imap = matches!(service(who), Service::Imap | Service::Imaps);
        if imap && !BEFORE_LOGIN.contains(&word.as_str()) && first.contains(' ') {
            let user = ["bob", "carol"].into_iter().find(|user| who.contains(user));
            let user = user.unwrap_or("alice");
            let login = format!("login LOGIN {user}@demo.example {PASSWORD}");
            self.send(who, &login)?;
            while !self.heard_line(who)?.starts_with("login OK") {}
        }
        Ok(())
    }

    /// `{mail/x.eml}` at the end of a line, or before more of it, is sent as a literal at once.
    fn send(&mut self, who: &str, text: &str) -> Result<(), String> {
        let text = pattern::fill(text, &self.words);
        self.voice(who, &text)?;
        self.settle(who)?;
        self.heard.push(format!("{who} C: {text}"));
        let mut octets = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, file, after)) = file_literal(rest) {
            let message = house::mail(file);
            octets.extend_from_slice(format!("{before}{{{}+}}\r\n", message.len()).as_bytes());
            octets.extend_from_slice(&message);
            rest = after;
        }
        octets.extend_from_slice(rest.as_bytes());
        octets.extend_from_slice(b"\r\n");
        self.voice(who, "")?.connection.send(&octets).map_err(|error| format!("sending: {error}"))
    }

    fn send_raw(&mut self, who: &str, octets: &[u8]) -> Result<(), String> {
        let filled = str::from_utf8(octets).ok().map(|text| pattern::fill(text, &self.words));
        let octets = filled.as_ref().map_or(octets, |text| text.as_bytes());
        self.voice(who, &String::from_utf8_lossy(octets))?;
        self.settle(who)?;
        self.heard.push(format!("{who} R: {}", octets.escape_ascii()));
        self.voice(who, "")?.connection.send(octets).map_err(|error| format!("sending: {error}"))
    }

    /// `{mail/x.eml}` in a pattern is a literal with exactly these octets.
    fn expect(&mut self, who: &str, pattern: &str) -> Result<(), String> {
        self.voice(who, "")?;
        self.settle(who)?;
        let mut rest = pattern;
        while let Some((before, file, after)) = file_literal(rest) {
            let message = house::mail(file);
            self.expect_line(who, &format!("{before}{{{}}}", message.len()))?;
            let got = self.voice(who, "")?.connection.read_octets(message.len());
            let got = got.map_err(|error| format!("reading a literal: {error}"))?;
            if got != message {
                return Err(format!("the octets are not those of {file}:\n{}", got.escape_ascii()));
            }
            rest = after;
        }
        self.expect_line(who, rest)
    }

    fn expect_line(&mut self, who: &str, pattern: &str) -> Result<(), String> {
        let skips = std::mem::take(&mut self.voice(who, "")?.skips);
        loop {
            let line = self
                .heard_line(who)
                .map_err(|error| format!("expected {pattern:?}, but {error}"))?;
            if pattern::matches(pattern, &line, &mut self.words) {
                return Ok(());
            }
            if !skips {
                return Err(format!("expected: {pattern}\n       got: {line}"));
            }
        }
    }

    /// Reads the lines that were said to come in any order.
    fn settle(&mut self, who: &str) -> Result<(), String> {
        let Some(voice) = self.voices.get_mut(who) else { return Ok(()) };
        let mut open = std::mem::take(&mut voice.any_order);
        let skips = voice.skips;
        while !open.is_empty() {
            let line = self.heard_line(who).map_err(|error| format!("{open:?} open: {error}"))?;
            let words = &mut self.words;
            match open.iter().position(|pattern| pattern::matches(pattern, &line, words)) {
                Some(index) => drop(open.remove(index)),
                None if skips => {}
                None => return Err(format!("expected one of: {open:#?}\n       got: {line}")),
            }
        }
        Ok(())
    }

    fn closed(&mut self, who: &str) -> Result<(), String> {
        self.settle(who)?;
        let skips = self.voice(who, "")?.skips;
        loop {
            match self.voice(who, "")?.connection.read_line() {
                Ok(line) if skips => {
                    self.heard.push(format!("{who} S: {}", String::from_utf8_lossy(&line)));
                }
                Ok(line) => {
                    return Err(format!("it should be closed, but {}", line.escape_ascii()));
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {
                    return Err("the connection is still open".into());
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// The next line of the server.
    fn heard_line(&mut self, who: &str) -> Result<String, String> {
        let line =
            self.voice(who, "")?.connection.read_line().map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "nothing came".to_owned(),
                _ => format!("the connection ended: {error}"),
            })?;
        let line = String::from_utf8_lossy(&line).into_owned();
        self.heard.push(format!("{who} S: {line}"));
        Ok(line)
    }

    fn deliver(
        &mut self,
        message: &Message,
        sender: &str,
        recipients: &[String],
    ) -> Result<(), String> {
        let octets = match message {
            Message::File(name) => house::mail(name),
            Message::Text(text) => text.clone().into_bytes(),
        };
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        let answers = self.house.deliver(&octets, sender, &recipients);
        match answers.iter().find(|answer| !answer.starts_with('2')) {
            Some(refusal) => Err(format!("not delivered: {refusal}")),
            None => Ok(()),
        }
    }

    fn run(&mut self, arguments: &[String]) -> Result<(), String> {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = self.house.command(&arguments, &format!("{PASSWORD}\n"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", output.status)) }
    }
}

/// Which service a connection of this name speaks to.
fn service(name: &str) -> Service {
    let (tls, name) = name.strip_prefix("tls-").map_or((false, name), |name| (true, name));
    match (name.get(..2), tls) {
        (Some("mx"), _) => Service::Smtp,
        (Some("lm"), _) if name.starts_with("lmtp") => Service::Lmtp,
        (Some("su"), false) if name.starts_with("sub") => Service::Submission,
        (Some("su"), true) if name.starts_with("sub") => Service::Submissions,
        (_, true) => Service::Imaps,
        (_, false) => Service::Imap,
    }
}

/// The first `{mail/NAME.eml}` of a text, with what stands before and behind it.
fn file_literal(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find("{mail/")?;
    let close = text.get(open..)?.find('}')? + open;
    Some((text.get(..open)?, text.get(open + 1..close)?, text.get(close + 1..)?))
}

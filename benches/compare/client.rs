//! The least clients that can load a server: blocking sockets, every answer checked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A connection of lines.
pub(crate) struct Wire {
    input: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        Self { input: BufReader::with_capacity(64 << 10, stream) }
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.input.get_mut().write_all(octets).unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        assert!(self.input.read_until(b'\n', &mut line).unwrap() > 0, "the server hung up");
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// An LMTP client.
pub(crate) struct Lmtp(Wire);

impl Lmtp {
    pub(crate) fn connect(port: u16) -> Self {
        let mut wire = Wire::connect(port);
        wire.line();
        wire.send(b"LHLO bench\r\n");
        while !wire.line().starts_with("250 ") {}
        Self(wire)
    }

    /// Hands one message over; returns when it is acknowledged.
    pub(crate) fn deliver(&mut self, to: &str, message: &[u8]) {
        let wire = &mut self.0;
        wire.send(format!("MAIL FROM:<s@example.org>\r\nRCPT TO:<{to}>\r\nDATA\r\n").as_bytes());
        for expected in ["250", "250", "354"] {
            let line = wire.line();
            assert!(line.starts_with(expected), "{line}");
        }
        wire.send(&[message, b".\r\n"].concat());
        let line = wire.line();
        assert!(line.starts_with("250"), "{line}");
    }
}

/// An IMAP client.
pub(crate) struct Imap {
    wire: Wire,
    tag: u32,
}

impl Imap {
    pub(crate) fn connect(port: u16) -> Self {
        let mut wire = Wire::connect(port);
        let greeting = wire.line();
        assert!(greeting.starts_with("* OK"), "{greeting}");
        Self { wire, tag: 0 }
    }

    pub(crate) fn login(port: u16, user: &str) -> Self {
        let mut imap = Self::connect(port);
        imap.command(&format!("LOGIN {user} secret"));
        imap
    }

    /// Sends a command; gives its untagged lines and literals, in octets and in number of lines
    /// that begin with `* `.
    pub(crate) fn command(&mut self, text: &str) -> Answer {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.wire.send(format!("{tag}{text}\r\n").as_bytes());
        self.answer(&tag, text)
    }

    fn answer(&mut self, tag: &str, text: &str) -> Answer {
        let mut answer = Answer::default();
        loop {
            let line = self.wire.line();
            if let Some(status) = line.strip_prefix(tag) {
                assert!(status.starts_with("OK"), "{text}: {line}");
                return answer;
            }
            answer.octets += line.len();
            answer.lines += usize::from(line.starts_with("* "));
            if let Some(length) = literal(&line) {
                answer.octets += length;
                let mut octets = vec![0; length];
                self.wire.input.read_exact(&mut octets).unwrap();
                answer.literal = octets;
            } else {
                answer.last = line;
            }
        }
    }

    /// APPENDs a message with a synchronising literal.
    pub(crate) fn append(&mut self, mailbox: &str, message: &[u8]) {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.wire.send(format!("{tag}APPEND {mailbox} {{{}}}\r\n", message.len()).as_bytes());
        let go = self.wire.line();
        assert!(go.starts_with('+'), "{go}");
        self.wire.send(&[message, b"\r\n"].concat());
        self.answer(&tag, "APPEND");
    }

    /// Begins IDLE; [`Self::hear`] waits for news.
    pub(crate) fn idle(&mut self) {
        self.tag += 1;
        self.wire.send(format!("t{} IDLE\r\n", self.tag).as_bytes());
        while !self.wire.line().starts_with('+') {}
    }

    /// The next line in IDLE that tells of new mail.
    pub(crate) fn hear(&mut self) -> String {
        loop {
            let line = self.wire.line();
            if line.contains("EXISTS") {
                return line;
            }
        }
    }
}

/// What a command gave.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) octets: usize,
    pub(crate) lines: usize,
    pub(crate) last: String,
    pub(crate) literal: Vec<u8>,
}

fn literal(line: &str) -> Option<usize> {
    line.trim_end().strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

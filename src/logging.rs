//! The log: lines on standard error, as text or JSON, with the spans (connection, message) that an
//! event belongs to.
//!
//! What peers send may stand in a field; no control character of theirs reaches the terminal, and
//! none of them can fill the log ([`peers`]).

pub mod peers;

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat, LogLevel};

/// The filter of the log that runs; one log a process.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts the log of this process. Libraries are heard from `warn` on, but for `trace`.
pub fn start(log: &Log) {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(filter(log.level)));
    let lines = fmt::layer().with_ansi(false).with_writer(|| Escaped(io::stderr()));
    let text = (log.format == LogFormat::Text).then(|| {
        fmt::layer().with_ansi(false).with_target(false).with_writer(|| Escaped(io::stderr()))
    });
    let json = (log.format == LogFormat::Json).then(|| lines.json().flatten_event(true));
    let subscriber =
        tracing_subscriber::registry().with(filter).with(peers::PerPeer).with(text).with(json);
    // A second start, as in tests, keeps the first log.
    if subscriber.try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// From now on only lines of this level and above are logged.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = FILTER.get() {
        let _ = handle.reload(EnvFilter::new(filter(level)));
    }
}

/// What is heard from whom.
fn filter(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,mailade=info",
        LogLevel::Debug => "warn,mailade=debug",
        LogLevel::Trace => "trace",
    }
}

/// Writes each line in one piece, with its control characters escaped.
///
/// The subscriber hands over one whole event at a time, so the only line end that is not foreign is
/// the last octet.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A log that can't be written, on a full disk for example, ends nothing else.
        let _ = self.0.write_all(&escape(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The line with C0, DEL and C1 characters as `\u{..}`.
fn escape(line: &[u8]) -> Vec<u8> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (line, ""),
    };
    let mut out = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(text).chars() {
        if c.is_control() { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out.push_str(end);
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_peer_are_escaped() {
        let line = "login failed user=\u{1b}[2Jx\r\nforged\u{9b}1m\n";
        let told = String::from_utf8(escape(line.as_bytes())).unwrap();
        assert_eq!(told, "login failed user=\\u{1b}[2Jx\\u{d}\\u{a}forged\\u{9b}1m\n");
    }

    #[test]
    fn other_scripts_stay_readable() {
        assert_eq!(escape("Grüße 日本\n".as_bytes()), "Grüße 日本\n".as_bytes());
    }
}

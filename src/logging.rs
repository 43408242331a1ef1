//! The log: lines on standard error, as text or JSON, with the spans (connection, message) that an
//! event belongs to.
//!
//! What peers send may stand in a field; no control character of theirs reaches the terminal, and
//! none of them can fill the log ([`peers`]).

pub mod peers;

use std::{
    fmt::Write as _,
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
    let text = (log.format == LogFormat::Text).then(|| {
        let lines = fmt::layer().with_ansi(false).with_target(false);
        lines.with_writer(|| Escaped { inner: io::stderr(), json: false })
    });
    let json = (log.format == LogFormat::Json).then(|| {
        let lines = fmt::layer().with_ansi(false).json().flatten_event(true);
        lines.with_writer(|| Escaped { inner: io::stderr(), json: true })
    });
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
struct Escaped<W> {
    inner: W,
    json: bool,
}

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A log that can't be written, on a full disk for example, ends nothing else.
        let _ = self.inner.write_all(&escape(line, self.json));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The line with C0, DEL and C1 characters as `\u{..}`, or as JSON writes them.
fn escape(line: &[u8], json: bool) -> Vec<u8> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (line, ""),
    };
    let mut out = String::with_capacity(line.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            _ if !c.is_control() => out.push(c),
            // Writing to a String can't fail.
            _ if json => _ = write!(out, "\\u{:04x}", u32::from(c)),
            _ => out.extend(c.escape_unicode()),
        }
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
        let told = String::from_utf8(escape(line.as_bytes(), false)).unwrap();
        assert_eq!(told, "login failed user=\\u{1b}[2Jx\\u{d}\\u{a}forged\\u{9b}1m\n");
    }

    #[test]
    fn a_line_of_json_stays_one() {
        let line = "{\"user\":\"x\u{9b}1m\u{7f}\"}\n";
        let told = String::from_utf8(escape(line.as_bytes(), true)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(value["user"], "x\u{9b}1m\u{7f}");
        assert!(!told.trim_end().contains(char::is_control));
    }

    #[test]
    fn other_scripts_stay_readable() {
        assert_eq!(escape("Grüße 日本\n".as_bytes(), false), "Grüße 日本\n".as_bytes());
    }
}

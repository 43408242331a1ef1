//! The log: lines on standard error, as text or JSON, with the spans (connection, message) that an
//! event belongs to.
//!
//! What peers send may stand in a field; no control character of theirs reaches the terminal.

use std::io::{self, Write};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::config::{Log, LogFormat, LogLevel};

/// Starts the log of this process. Libraries are heard from `warn` on, but for `trace`.
pub fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(log.level)))
        .with_ansi(false)
        .with_writer(|| Escaped(io::stderr()));
    // A second start, as in tests, keeps the first log.
    let _ = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
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
        self.0.write_all(&escape(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<'a, W: Write + 'a> MakeWriter<'a> for Escaped<W>
where
    &'a W: Write,
{
    type Writer = Escaped<&'a W>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaped(&self.0)
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

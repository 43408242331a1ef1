//! What one connection may ask of this door.

use std::time::Duration;

use crate::{net, wire::Bounds};

/// The limits of the IMAP door; each has its key in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the accepted connection to the end of the login, in sum.
    pub login_time: Duration,
    /// Without a command, after login.
    pub idle_time: Duration,
    /// Within one IDLE.
    pub idle_command_time: Duration,
    /// How often a client is told that a long command is still at work (RFC 9585).
    pub progress_every: Duration,
    /// Octets of a command line before login.
    pub line_before_login: usize,
    /// Octets of a command line after login.
    pub line: usize,
    /// Octets of a literal before login.
    pub literal_before_login: u64,
    /// Literals of a command before login.
    pub literals_before_login: usize,
    /// Octets of a literal after login, message data not counted.
    pub literal: u64,
    /// Octets of a value of metadata.
    pub value: u64,
    /// Octets of all literals of a command, message data not counted.
    pub literal_sum: u64,
    /// Literals of a command after login.
    pub literals: usize,
    /// Commands that make no sense, before login.
    pub bad_before_login: u32,
    /// Commands that make no sense, after login.
    pub bad: u32,
    /// Failed logins that end a connection.
    pub failed_logins: u32,
    /// Octets of a message.
    pub message: u64,
    /// Messages one command may touch.
    pub messages_per_command: usize,
    /// Recipients of a message that is submitted here.
    pub recipients: usize,
    /// Parts of one CATENATE.
    pub catenate_parts: usize,
    /// Searches that are kept up to date in one session.
    pub contexts: usize,
    /// Event groups of one NOTIFY.
    pub notify_groups: usize,
    /// Commands that wait behind the one at work; then nothing more is read.
    pub commands_waiting: usize,
    /// Octets of one SASL exchange.
    pub sasl: usize,
    /// Steps of one SASL exchange.
    pub sasl_steps: usize,
    /// How slowly data may come.
    pub rate: net::Rate,
    /// What one command's text may hold.
    pub bounds: Bounds,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_time: Duration::from_mins(1),
            idle_time: Duration::from_mins(30),
            idle_command_time: Duration::from_mins(30),
            progress_every: Duration::from_secs(10),
            line_before_login: 8 * 1024,
            line: 64 * 1024,
            literal_before_login: 4 * 1024,
            literals_before_login: 8,
            literal: 64 * 1024,
            value: 64 * 1024,
            literal_sum: 1024 * 1024,
            literals: 200,
            bad_before_login: 3,
            bad: 20,
            failed_logins: 10,
            message: 50 * 1024 * 1024,
            messages_per_command: 1_000_000,
            recipients: 500,
            catenate_parts: 100,
            contexts: 32,
            notify_groups: 32,
            commands_waiting: 100,
            sasl: 12 * 1024,
            sasl_steps: 10,
            rate: net::Rate::default(),
            bounds: Bounds::default(),
        }
    }
}

//! The bounds of an SMTP conversation.

use std::time::Duration;

use crate::net::Rate;

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// For the next command.
    pub command: Duration,
    /// For the next octets of a message.
    pub data: Duration,
    /// For the whole session at the doors of servers, and for one message's octets everywhere.
    pub session: Duration,
}

/// Every bound of the door; those per role are given to the door of that role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line.
    pub command_line: usize,
    /// Octets of the line of AUTH, and of a response.
    pub auth_line: usize,
    /// Octets of all responses of one exchange.
    pub auth_exchange: usize,
    /// Responses in one exchange, an initial one among them.
    pub auth_steps: usize,
    /// Octets of a message.
    pub message_size: u64,
    /// Octets of a line of a message.
    pub text_line: usize,
    /// Recipients of a message.
    pub recipients: usize,
    /// Unknown recipients in a session before each further one is delayed.
    pub unknown_recipients_free: usize,
    /// The delay.
    pub unknown_recipient_delay: Duration,
    /// Unknown recipients that end the session.
    pub unknown_recipients: usize,
    /// Messages in a session with another server.
    pub messages_per_session: usize,
    /// Messages of an address in a minute, at the door of other servers.
    pub messages_per_address_and_minute: usize,
    /// BDAT chunks of a message.
    pub chunks: usize,
    /// BURL parts of a message.
    pub references: usize,
    /// Commands in error before a login or a first transaction.
    pub bad_commands_at_first: usize,
    /// Commands in error afterwards.
    pub bad_commands: usize,
    /// Failed logins that end a connection.
    pub failed_logins: usize,
    /// Time to log in, in sum.
    pub login: Duration,
    /// Octets per second that a message must come with, and from when on.
    pub least_rate: u64,
    /// See `least_rate`.
    pub rate_grace: Duration,
    /// Times when all is well.
    pub times: Times,
    /// Times when connections run short.
    pub times_loaded: Times,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_line: 2_048,
            auth_line: 12_288,
            auth_exchange: 12 << 10,
            auth_steps: 10,
            message_size: 50 << 20,
            text_line: 64 << 10,
            recipients: 100,
            unknown_recipients_free: 10,
            unknown_recipient_delay: Duration::from_secs(1),
            unknown_recipients: 50,
            messages_per_session: 1_000,
            messages_per_address_and_minute: 300,
            chunks: 1_000,
            references: 100,
            bad_commands_at_first: 3,
            bad_commands: 20,
            failed_logins: 10,
            login: Duration::from_mins(1),
            least_rate: 500,
            rate_grace: Duration::from_secs(30),
            times: Times {
                command: Duration::from_mins(5),
                data: Duration::from_mins(3),
                session: Duration::from_hours(1),
            },
            times_loaded: Times {
                command: Duration::from_secs(30),
                data: Duration::from_secs(30),
                session: Duration::from_mins(10),
            },
        }
    }
}

impl Times {
    /// How fast a message's octets must come.
    pub(super) fn rate(&self, limits: &Limits) -> Rate {
        Rate { least: limits.least_rate, grace: limits.rate_grace, pause: self.data }
    }
}

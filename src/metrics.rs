//! What the house counts, to be read as text by whoever watches over it.
//!
//! Plain numbers that only grow, one place for each, made once for the process and given to every
//! room that has something to count. They start at zero with the process and are not kept.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Makes an enum of things that are counted one by one, with a name for each.
macro_rules! counted {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($text,)+].len()] = [$(Self::$variant,)+];

            /// As it is told.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

counted! {
    /// A bound of the house that somebody came up against: the key under `[limits]`.
    Limit {
        /// All places are taken, or all but those kept for others.
        ConnectionsMax = "connections_max",
        /// Only the places kept for those who logged in lately are left.
        ConnectionsReserved = "connections_reserved",
        /// Too many from one address that have not logged in.
        ConnectionsPerAddressBeforeLogin = "connections_per_address_before_login",
        /// Too many from one address that have logged in.
        ConnectionsPerAddressAfterLogin = "connections_per_address_after_login",
        /// Too many new ones from one address.
        ConnectionsPerAddressPerMinute = "connections_per_address_per_minute",
        /// Nobody logged in for too long.
        LoginTime = "login_time",
        /// A TLS handshake took too long.
        TlsHandshakeTime = "tls_handshake_time",
        /// A logged-in IMAP client was silent for too long.
        ImapIdleTime = "imap_idle_time",
        /// The same within IDLE.
        ImapIdleCommandTime = "imap_idle_command_time",
        /// No command came.
        SmtpCommandTime = "smtp_command_time",
        /// No more of the data came.
        SmtpDataTime = "smtp_data_time",
        /// The session was too long.
        SmtpSessionTime = "smtp_session_time",
        /// Data came too slowly.
        DataRateMin = "data_rate_min",
        CompressRatioMax = "compress_ratio_max",
        /// Too many commands in error before a login.
        BadCommandsBeforeLoginMax = "bad_commands_before_login_max",
        /// Too many commands in error.
        BadCommandsMax = "bad_commands_max",
        /// Somebody did not read what was written for it.
        OutputWaitingTime = "output_waiting_time",
        /// One connection would have held too much.
        ConnectionMemoryMax = "connection_memory_max",
        /// All connections together would have held too much.
        InputMemoryMax = "input_memory_max",
        /// Somebody was made to wait, or sent away, after failed logins from one address.
        AuthFailuresPerAddressPerMinute = "auth_failures_per_address_per_minute",
        /// The same, by the day's count.
        AuthFailuresPerAddressPerDay = "auth_failures_per_address_per_day",
        /// A stranger was made to wait after failed logins of one account.
        AuthFailuresPerAccountPerHour = "auth_failures_per_account_per_hour",
        /// Failed logins ended a connection.
        AuthFailuresPerConnection = "auth_failures_per_connection",
        /// An exchange was too long.
        SaslExchangeMax = "sasl_exchange_max",
        /// An exchange had too many steps.
        SaslStepsMax = "sasl_steps_max",
        /// A command line was too long.
        SmtpCommandLineMax = "smtp_command_line_max",
        /// A line of an authentication was too long.
        SmtpAuthLineMax = "smtp_auth_line_max",
        /// A line of a message was too long.
        TextLineReceivedMax = "text_line_received_max",
        /// A message was too large.
        MessageSizeMax = "message_size_max",
        /// Too many recipients on port 25.
        SmtpRecipientsMax = "smtp_recipients_max",
        /// Too many recipients on LMTP.
        LmtpRecipientsMax = "lmtp_recipients_max",
        /// Too many recipients of a submitted message.
        SubmissionRecipientsMax = "submission_recipients_max",
        /// An unknown recipient cost a delay.
        SmtpUnknownRecipientsFree = "smtp_unknown_recipients_free",
        /// Unknown recipients ended a session.
        SmtpUnknownRecipientsMax = "smtp_unknown_recipients_max",
        /// Too many messages in one session.
        SmtpMessagesPerSession = "smtp_messages_per_session",
        /// Too many messages of a user.
        SubmissionMessagesPerHour = "submission_messages_per_hour",
        /// A message with `$Queued` could not be sent for a reason of this server's, for too long.
        SubmissionRetryTime = "submission_retry_time",
        /// Too many messages from one address.
        SmtpMessagesPerAddressPerMinute = "smtp_messages_per_address_per_minute",
        /// A message has been through too many servers.
        ReceivedFieldsMax = "received_fields_max",
        /// Too many chunks of one message.
        BdatChunksMax = "bdat_chunks_max",
        /// An IMAP command line was too long, nobody being logged in.
        ImapLineBeforeLoginMax = "imap_line_before_login_max",
        /// An IMAP command line was too long.
        ImapLineMax = "imap_line_max",
        /// An IMAP literal was too long, nobody being logged in.
        ImapLiteralBeforeLoginMax = "imap_literal_before_login_max",
        /// Too many IMAP literals, nobody being logged in.
        ImapLiteralsBeforeLoginMax = "imap_literals_before_login_max",
        /// An IMAP literal was too long.
        ImapLiteralMax = "imap_literal_max",
        /// The IMAP literals of a command were too long together.
        ImapLiteralSumMax = "imap_literal_sum_max",
        /// Too many IMAP literals.
        ImapLiteralsMax = "imap_literals_max",
        /// Parentheses or search keys were too deep.
        ImapDepthMax = "imap_depth_max",
        /// Too many search keys.
        ImapSearchKeysMax = "imap_search_keys_max",
        /// Too many FETCH items.
        ImapFetchItemsMax = "imap_fetch_items_max",
        /// Too many ranges in a set.
        ImapSetRangesMax = "imap_set_ranges_max",
        /// Too many BURL parts in one message.
        BurlPartsMax = "burl_parts_max",
        /// Another IMAP server took too long to give what a URL names.
        BurlHostTime = "burl_host_time",
        /// It could not be had in the time that a client was willing to wait.
        BurlRetryTime = "burl_retry_time",
        /// Too many parts in one CATENATE.
        CatenatePartsMax = "catenate_parts_max",
        /// Too many messages for one command.
        ImapMessagesPerCommandMax = "imap_messages_per_command_max",
        /// Too many commands waited; reading stopped for a while.
        ImapCommandsWaitingMax = "imap_commands_waiting_max",
        /// A mailbox's name was too long.
        MailboxNameMax = "mailbox_name_max",
        /// A mailbox's name was too deep.
        MailboxDepthMax = "mailbox_depth_max",
        /// Too many mailboxes of a user.
        MailboxesPerUserMax = "mailboxes_per_user_max",
        /// Too many users in one access control list.
        AclEntriesMax = "acl_entries_max",
        /// A keyword was too long.
        KeywordLengthMax = "keyword_length_max",
        /// Too many keywords in a mailbox.
        KeywordsPerMailboxMax = "keywords_per_mailbox_max",
        /// A value of metadata or an annotation was too long.
        MetadataValueMax = "metadata_value_max",
        /// There were too many entries of metadata, or annotations of a message.
        MetadataEntriesMax = "metadata_entries_max",
        /// Too many searches of one session were to be kept up to date.
        ContextsMax = "contexts_max",
        /// Too many event groups in one NOTIFY.
        NotifyGroupsMax = "notify_groups_max",
        /// A message's header was too long: the rest of it was not read.
        HeaderMax = "header_max",
        /// The same for a line of it.
        HeaderLineMax = "header_line_max",
        /// The same for its lines together.
        HeaderLinesMax = "header_lines_max",
        /// A message's parts were too deep to be told apart.
        MimeDepthMax = "mime_depth_max",
        /// They were too many.
        MimePartsMax = "mime_parts_max",
        /// What parts them was too long.
        MimeBoundaryMax = "mime_boundary_max",
        /// There was too much text in a message for the full-text index: each search reads it.
        TextIndexedMax = "text_indexed_max",
        /// A message had too many addresses: the rest of them was not read.
        AddressesMax = "addresses_max",
        /// The same for the parameters of a field.
        ParametersMax = "parameters_max",
        /// A comment was too deep: the rest of its field was not read.
        CommentDepthMax = "comment_depth_max",
        /// A message had too many encoded words: the rest stays encoded where it is compared.
        EncodedWordsMax = "encoded_words_max",
        /// A SUBMIT through the proxy took too long.
        ProxySubmitTime = "proxy_submit_time",
        /// A message was sent back for its age.
        QueueLife = "queue_life",
        /// A bounce was dropped for its age.
        QueueBounceLife = "queue_bounce_life",
        /// A user had too many messages in the queue.
        QueueMessagesPerUserMax = "queue_messages_per_user_max",
        /// There were too many messages in the queue.
        QueueMessagesMax = "queue_messages_max",
        /// There was too little room on the disk to add mail.
        DiskFreeMin = "disk_free_min",
        /// There was too little room on the disk to write anything.
        DiskFreeStop = "disk_free_stop",
        /// The database's log had to be moved to its place.
        WalCheckpointPages = "wal_checkpoint_pages",
        /// The database's log had grown too long.
        WalAlarm = "wal_alarm",
        /// Old readers were cut off from the database's log.
        WalCutReaders = "wal_cut_readers",
        /// There was no room for a message in an account.
        Quota = "quota",
        /// There was none for so long that the message was refused for good.
        QuotaRefusedAfter = "quota_refused_after",
        /// Log lines of one peer were left out.
        LogLinesPerPeerPerMinute = "log_lines_per_peer_per_minute",
    }
}

counted! {
    /// What is counted by its outcome.
    Count {
        /// A conversation began.
        Connection = "mailade_connections_total",
        /// Somebody logged in.
        Login = "mailade_logins_total{outcome=\"ok\"}",
        /// Somebody gave wrong credentials, or was sent away.
        LoginRefused = "mailade_logins_total{outcome=\"refused\"}",
        /// A recipient here got a message.
        Delivery = "mailade_deliveries_total{outcome=\"delivered\"}",
        /// A recipient here was refused one.
        DeliveryRefused = "mailade_deliveries_total{outcome=\"refused\"}",
        /// A user's message was taken.
        Submission = "mailade_submissions_total{outcome=\"taken\"}",
        /// A user's message was refused.
        SubmissionRefused = "mailade_submissions_total{outcome=\"refused\"}",
        /// Another server took a message for a recipient.
        Sent = "mailade_attempts_total{outcome=\"sent\"}",
        /// A recipient elsewhere will be tried again.
        Deferred = "mailade_attempts_total{outcome=\"deferred\"}",
        /// A recipient elsewhere was given up.
        Failed = "mailade_attempts_total{outcome=\"failed\"}",
        /// The full-text index began anew, since it was damaged or not of this store.
        FulltextRebuild = "mailade_fulltext_rebuilds_total",
        /// A conversation or a task ended by a panic: a bug.
        Panic = "mailade_panics_total",
    }
}

impl Count {
    const fn help(self) -> &'static str {
        match self {
            Self::Connection => "Connections that were let in.",
            Self::Login | Self::LoginRefused => "Logins at all doors.",
            Self::Delivery | Self::DeliveryRefused => "Recipients of mail for users here.",
            Self::Submission | Self::SubmissionRefused => "Messages that users submitted.",
            Self::Sent | Self::Deferred | Self::Failed => "Attempts to send, by recipient.",
            Self::FulltextRebuild => "How often the full-text index had to begin anew.",
            Self::Panic => "Panics; each one is a bug.",
        }
    }
}

/// A number that goes up and down, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// How much there is of it.
    pub value: u64,
}

/// All numbers of the process.
#[derive(Debug)]
pub struct Metrics {
    limits: [AtomicU64; Limit::ALL.len()],
    counts: [AtomicU64; Count::ALL.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            limits: [const { AtomicU64::new(0) }; Limit::ALL.len()],
            counts: [const { AtomicU64::new(0) }; Count::ALL.len()],
        }
    }
}

impl Metrics {
    /// Nothing was counted yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Somebody came up against a bound.
    pub fn exceeded(&self, limit: Limit) {
        if let Some(count) = self.limits.get(limit as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often that happened since the start.
    pub fn times_exceeded(&self, limit: Limit) -> u64 {
        self.limits.get(limit as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// It happened once more.
    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// It happened so many times more.
    pub fn add(&self, what: Count, times: usize) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(u64::try_from(times).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// How often it happened since the start.
    pub fn counted(&self, what: Count) -> u64 {
        self.counts.get(what as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// All numbers, and these gauges, in the text format of Prometheus 0.0.4.
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let mut out = String::new();
        let mut last = "";
        for count in Count::ALL {
            let family = count.name().split('{').next().unwrap_or_default();
            if family != last {
                heading(&mut out, family, count.help(), "counter");
            }
            last = family;
            let _infallible = writeln!(out, "{} {}", count.name(), self.counted(count));
        }
        let family = "mailade_limit_exceeded_total";
        heading(&mut out, family, "How often a key of [limits] was come up against.", "counter");
        for limit in Limit::ALL {
            let (name, times) = (limit.name(), self.times_exceeded(limit));
            let _infallible = writeln!(out, "{family}{{limit=\"{name}\"}} {times}");
        }
        for Gauge { name, help, value } in gauges {
            heading(&mut out, name, help, "gauge");
            let _infallible = writeln!(out, "{name} {value}");
        }
        out
    }
}

fn heading(out: &mut String, name: &str, help: &str, kind: &str) {
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_number_of_its_own() {
        let metrics = Metrics::new();
        metrics.exceeded(Limit::ImapDepthMax);
        metrics.exceeded(Limit::LogLinesPerPeerPerMinute);
        metrics.add(Count::Delivery, 3);
        metrics.count(Count::Panic);
        let limits = Limit::ALL.map(|limit| metrics.times_exceeded(limit));
        assert_eq!(limits.iter().sum::<u64>(), 2);
        assert_eq!(metrics.times_exceeded(Limit::ImapDepthMax), 1);
        assert_eq!((metrics.counted(Count::Delivery), metrics.counted(Count::Panic)), (3, 1));
        assert_eq!(metrics.counted(Count::DeliveryRefused), 0);
    }

    #[test]
    fn the_text_names_each_family_once_and_each_number() {
        let metrics = Metrics::new();
        metrics.count(Count::LoginRefused);
        metrics.exceeded(Limit::Quota);
        let gauge = Gauge { name: "mailade_connections", help: "Now.", value: 7 };
        let text = metrics.text(&[gauge]);
        assert_eq!(text.matches("# TYPE mailade_logins_total counter\n").count(), 1);
        for line in [
            "mailade_logins_total{outcome=\"ok\"} 0\nmailade_logins_total{outcome=\"refused\"} 1\n",
            "mailade_limit_exceeded_total{limit=\"quota\"} 1\n",
            "# TYPE mailade_connections gauge\nmailade_connections 7\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

//! `[limits]`: every bound of the house with its default. A limit of 0 means 0, never "unlimited".

use super::{
    section::section,
    values::{Network, Size, Span, loopback},
};

section! {
    /// Every bound of the house. A limit of 0 means 0, never "unlimited".
    pub struct Limits {
        /// Connections at all doors together.
        connections_max: usize = 12_000,
        /// Of these, kept for addresses that logged in during the last 24 hours.
        connections_reserved: usize = 1_000,
        /// Connections of one address (IPv4 address, IPv6 /64) that have not logged in.
        connections_per_address_before_login: usize = 20,
        /// Connections of one address that have logged in; many phones may share one.
        connections_per_address_after_login: usize = 1_000,
        /// New connections of one address in a minute.
        connections_per_address_per_minute: usize = 120,
        /// Networks to which the limits per address do not apply; authentication failures count
        /// from everywhere.
        unlimited_networks: Vec<Network> = loopback(),
        /// Time to log in, counted from the first packet.
        login_time: Span = Span::secs(60),
        /// Time for a TLS handshake.
        tls_handshake_time: Span = Span::secs(10),
        /// Silence of a logged-in IMAP session before it is ended (RFC 9051 §5.4 asks for 30 minutes).
        imap_idle_time: Span = Span::mins(30),
        /// The same within IDLE.
        imap_idle_command_time: Span = Span::mins(30),
        /// How often a mail program is told that its long command is still at work; 0 is never.
        imap_progress_every: Span = Span::secs(10),
        /// Silence of a `ManageSieve` session before it is ended.
        managesieve_idle_time: Span = Span::mins(30),
        /// Silence of an IMMP session before it is ended.
        immp_idle_time: Span = Span::mins(30),
        /// Wait for the next SMTP or LMTP command.
        smtp_command_time: Span = Span::mins(5),
        /// Wait for the next block of message data.
        smtp_data_time: Span = Span::mins(3),
        /// A whole session on port 25 or LMTP.
        smtp_session_time: Span = Span::mins(60),
        /// `smtp_command_time` while the house is under load.
        smtp_command_time_loaded: Span = Span::secs(30),
        /// `smtp_data_time` while the house is under load.
        smtp_data_time_loaded: Span = Span::secs(30),
        /// `smtp_session_time` while the house is under load.
        smtp_session_time_loaded: Span = Span::mins(10),
        /// Octets a second that message data and literals must reach at least.
        data_rate_min: Size = Size(500),
        /// How long data may come slower than that at its beginning.
        data_rate_after: Span = Span::secs(30),
        /// Commands in error before login, after which the connection is ended.
        bad_commands_before_login_max: usize = 3,
        /// Commands in error after login, after which the connection is ended.
        bad_commands_max: usize = 20,
        /// Output held in memory for a slow reader; then we stop reading from it.
        output_waiting_max: Size = Size::mib(1),
        /// How long a reader may not take its output before the connection is ended.
        output_waiting_time: Span = Span::mins(5),
        /// Lines of the log that one address may cause in a minute; errors of ours apart.
        log_lines_per_peer_per_minute: usize = 1_000,
        /// Memory of one connection.
        connection_memory_max: Size = Size::mib(4),
        /// Memory of all input buffers together.
        input_memory_max: Size = Size::mib(512),

        /// Failed logins of one address in a minute.
        auth_failures_per_address_per_minute: usize = 10,
        /// Failed logins of one address in a day.
        auth_failures_per_address_per_day: usize = 50,
        /// Failed logins of one account in an hour; beyond, unknown addresses are delayed.
        auth_failures_per_account_per_hour: usize = 20,
        /// Failed logins in one connection that end it.
        auth_failures_per_connection: usize = 10,
        /// The first delay after too many failures; it doubles each time.
        auth_delay_first: Span = Span::secs(1),
        /// The longest delay.
        auth_delay_max: Span = Span::secs(15),
        /// Octets of one SASL exchange.
        sasl_exchange_max: Size = Size::kib(12),
        /// Steps of one SASL exchange.
        sasl_steps_max: usize = 10,

        /// Octets of an SMTP command line with its CRLF.
        smtp_command_line_max: Size = Size(2_048),
        /// Octets of a line of SMTP authentication with its CRLF (RFC 4954 §4).
        smtp_auth_line_max: Size = Size(12_288),
        /// Octets of a text line of a message that is received.
        text_line_received_max: Size = Size::kib(64),
        /// Octets of a text line of a message that is sent, 78 to 998. Longer ones are folded or
        /// encoded; with less than 998 all text is, and what others signed is broken by that.
        text_line_sent_max: Size = Size(998),
        /// Octets of a message, by whatever door; announced by SIZE and APPENDLIMIT. CATENATE and
        /// its kind may build no larger one.
        message_size_max: Size = Size::mib(50),
        /// Recipients of one message on port 25.
        smtp_recipients_max: usize = 100,
        /// Recipients of one message on LMTP.
        lmtp_recipients_max: usize = 1_000,
        /// Recipients of one message that is submitted.
        submission_recipients_max: usize = 500,
        /// Unknown recipients in one session before each further one is delayed.
        smtp_unknown_recipients_free: usize = 10,
        /// The delay of each further one.
        smtp_unknown_recipient_delay: Span = Span::secs(1),
        /// Unknown recipients that end the session.
        smtp_unknown_recipients_max: usize = 50,
        /// Messages in one session on port 25.
        smtp_messages_per_session: usize = 1_000,
        /// Messages that a user may submit in an hour.
        submission_messages_per_hour: usize = 300,
        /// How long a message that a mail program has marked with `$Queued` is tried again when this
        /// server cannot send it for a reason of its own; then it is marked with `$SubmitFailed`.
        submission_retry_time: Span = Span::hours(4),
        /// Messages of one address in a minute on port 25.
        smtp_messages_per_address_per_minute: usize = 300,
        /// Received fields of a message; more mean a loop (RFC 5321 §6.3).
        received_fields_max: usize = 100,
        /// BDAT chunks of one message.
        bdat_chunks_max: usize = 1_000,
        /// BURL parts of one message.
        burl_parts_max: usize = 100,
        /// Time for another IMAP server of `[burl]` to connect, and to answer each command.
        burl_host_time: Span = Span::secs(20),
        /// How long such a server that cannot be reached is tried again within one BURL, where the mail
        /// program asks for that.
        burl_retry_time: Span = Span::secs(60),

        /// Octets of an IMAP command line before login.
        imap_line_before_login_max: Size = Size::kib(8),
        /// Octets of an IMAP command line after login.
        imap_line_max: Size = Size::kib(64),
        /// Octets of a literal before login.
        imap_literal_before_login_max: Size = Size::kib(4),
        /// Literals of a command before login.
        imap_literals_before_login_max: usize = 8,
        /// Octets of a literal after login, message data apart.
        imap_literal_max: Size = Size::kib(64),
        /// Octets of all literals of one command, message data apart.
        imap_literal_sum_max: Size = Size::mib(1),
        /// Literals of one command.
        imap_literals_max: usize = 200,
        /// Depth of parentheses and of search keys; at most 64.
        imap_depth_max: usize = 32,
        /// Search keys of one command.
        imap_search_keys_max: usize = 1_000,
        /// Items of one FETCH.
        imap_fetch_items_max: usize = 100,
        /// Ranges in one set of numbers.
        imap_set_ranges_max: usize = 10_000,
        /// Messages that one command may touch, announced as MESSAGELIMIT (RFC 9738); at least 1.
        imap_messages_per_command_max: usize = 1_000_000,
        /// Commands of one connection that wait; then we stop reading from it.
        imap_commands_waiting_max: usize = 100,
        /// Octets of a mailbox's name.
        mailbox_name_max: Size = Size(1_000),
        /// Depth of a mailbox's name.
        mailbox_depth_max: usize = 20,
        /// Mailboxes of one user, and names that one user subscribes.
        mailboxes_per_user_max: usize = 5_000,
        /// Entries of one mailbox's access control list: users, each with rights or without.
        acl_entries_max: usize = 500,
        /// Octets of a keyword.
        keyword_length_max: Size = Size(100),
        /// Keywords of one mailbox, the fixed ones not counted; at most 256.
        keywords_per_mailbox_max: usize = 256,
        /// Ranges of UIDs that the log of what is gone holds for one mailbox. A phone that was away
        /// for longer than the log reaches back learns what is gone from the whole list.
        expunge_log_ranges_max: usize = 10_000,
        /// Ranges of UIDs that the log of keywords taken from messages holds for one mailbox. Who
        /// changes a keyword only if nobody else did, and last looked before the log begins, is told
        /// to look again.
        keyword_log_ranges_max: usize = 10_000,
        /// Octets of a value of metadata or of an annotation.
        metadata_value_max: Size = Size::kib(64),
        /// Metadata entries of one mailbox, or annotations of one message, that one user sees.
        metadata_entries_max: usize = 100,
        /// Parts of one CATENATE.
        catenate_parts_max: usize = 100,
        /// Event groups of one NOTIFY.
        notify_groups_max: usize = 32,
        /// Search and sort contexts of one session.
        contexts_max: usize = 32,
        /// Octets of the inflating window of COMPRESS.
        compress_window_max: Size = Size::kib(64),
        /// How many octets one compressed octet may become.
        compress_ratio_max: usize = 200,
        /// Octets after which that ratio is looked at.
        compress_ratio_after: Size = Size::mib(1),

        /// Octets of a message's header that are read; the rest stays opaque.
        header_max: Size = Size::mib(1),
        /// Octets of one header line that are read.
        header_line_max: Size = Size::kib(64),
        /// Lines of a header that are read.
        header_lines_max: usize = 1_000,
        /// Addresses of a message that are read.
        addresses_max: usize = 10_000,
        /// Parameters of a header field that are read (RFC 2231).
        parameters_max: usize = 128,
        /// Depth of MIME parts that are told apart; deeper ones are opaque text.
        mime_depth_max: usize = 100,
        /// MIME parts of a message that are told apart, the message itself being one; what follows is
        /// one part more.
        mime_parts_max: usize = 1_000,
        /// Octets of a MIME boundary.
        mime_boundary_max: Size = Size(200),
        /// Depth of comments in header fields.
        comment_depth_max: usize = 50,
        /// Encoded words of a message that are decoded.
        encoded_words_max: usize = 10_000,
        /// Octets of text in a message's header, and in its body, up to which the full-text index
        /// takes them in. A search finds more than that too: it reads the message. A change holds for
        /// mail that comes from then on.
        text_indexed_max: Size = Size::mib(1),

        /// Octets that CONVERT reads.
        convert_input_max: Size = Size::mib(25),
        /// Pixels of a picture that CONVERT reads.
        convert_pixels_max: usize = 50_000_000,
        /// Octets of a picture once decoded.
        convert_decoded_max: Size = Size::mib(160),
        /// Pixels of a picture's longer side.
        convert_side_max: usize = 20_000,
        /// Time of one conversion.
        convert_time: Span = Span::secs(10),
        /// Conversions at the same time.
        convert_parallel_max: usize = 2,
        /// Octets that CONVERT writes.
        convert_output_max: Size = Size::mib(10),
        /// Messages of one CONVERT.
        convert_messages_max: usize = 100,
        /// Parts of one CONVERT.
        convert_parts_max: usize = 20,

        /// Octets of a Sieve script.
        sieve_script_max: Size = Size::kib(64),
        /// Sieve scripts of one user.
        sieve_scripts_max: usize = 30,
        /// Depth of blocks and tests.
        sieve_depth_max: usize = 32,
        /// Actions on one message.
        sieve_actions_max: usize = 32,
        /// Redirects of one message.
        sieve_redirects_max: usize = 4,
        /// Steps of one run.
        sieve_steps_max: usize = 10_000,
        /// Processor time of one run.
        sieve_time: Span = Span::millis(500),
        /// Depth of includes.
        sieve_include_depth_max: usize = 8,
        /// Octets of all variables.
        sieve_variables_max: Size = Size::kib(64),
        /// The least pause between two vacation answers to one sender by `:days`.
        vacation_interval_min: Span = Span::days(1),
        /// The same by `:seconds`.
        vacation_seconds_min: Span = Span::secs(0),
        /// Vacation answers of one user in a day.
        vacation_answers_per_day: usize = 500,
        /// Time of one SUBMIT through the proxy, in all.
        proxy_submit_time: Span = Span::mins(10),

        /// How long a message is tried before it is returned.
        queue_life: Span = Span::days(5),
        /// How long a bounce is tried before it is dropped.
        queue_bounce_life: Span = Span::days(1),
        /// Pauses before each further attempt; the last one repeats.
        queue_retry_after: Vec<Span> = vec![
            Span::mins(1), Span::mins(5), Span::mins(15), Span::mins(30),
            Span::hours(1), Span::hours(2), Span::hours(4),
        ],
        /// Connections to one destination.
        queue_connections_per_destination: usize = 5,
        /// Connections to all destinations together.
        queue_connections_max: usize = 50,
        /// Messages sent over one connection.
        queue_messages_per_connection: usize = 50,
        /// Messages of one user in the queue.
        queue_messages_per_user_max: usize = 2_000,
        /// Messages in the queue.
        queue_messages_max: usize = 100_000,

        /// Octets of an HTTP request's line and header.
        http_header_max: Size = Size::kib(16),
        /// Header fields of an HTTP request.
        http_header_fields_max: usize = 100,
        /// Octets of an HTTP request's body, uploads apart.
        http_body_max: Size = Size::mib(1),
        /// Time for the header of an HTTP request.
        http_header_time: Span = Span::secs(10),
        /// Time for a whole HTTP request.
        http_request_time: Span = Span::secs(30),
        /// Web sessions of one user.
        web_sessions_per_user_max: usize = 20,
        /// Life of a web session.
        web_session_life: Span = Span::hours(12),
        /// Silence after which a web session ends.
        web_session_idle_time: Span = Span::hours(1),
        /// Web Push and webhook subscriptions of one user.
        push_subscriptions_per_user_max: usize = 16,
        /// Octets read of a push service's answer.
        push_answer_max: Size = Size::kib(64),
        /// Time of one push.
        push_time: Span = Span::secs(10),

        /// DNS look-ups of one SPF check (RFC 7208 §4.6.4).
        spf_lookups_max: usize = 10,
        /// Of these, look-ups without an answer.
        spf_void_lookups_max: usize = 2,
        /// DNS queries for one message in all.
        dns_queries_per_message: usize = 50,
        /// Time of all DNS queries for one message.
        dns_time_per_message: Span = Span::secs(20),

        /// Free disk space below which no mail is added; twice `message_size_max` when that is more.
        disk_free_min: Size = Size::mib(256),
        /// Free disk space below which nothing is written.
        disk_free_stop: Size = Size::mib(32),
        /// Disk space put aside for the time when there is none: so long as it lasts, messages can
        /// still be flagged and expunged.
        disk_reserve: Size = Size::mib(64),
        /// Octets of mail that a user may keep, unless told otherwise for the account.
        quota: Size = Size::gib(5),
        /// How long mail for a full account is put off before it is refused for good.
        quota_refused_after: Span = Span::days(7),
        /// Pages in the database's log after which they are moved to their place.
        wal_checkpoint_pages: usize = 2_000,
        /// Size of the database's log that is worth an alarm; from half of it on the writer itself
        /// helps to move it.
        wal_alarm: Size = Size::mib(256),
        /// Size of the database's log at which old readers are cut off.
        wal_cut_readers: Size = Size::gib(1),
    }
}

//! The bounds of the configuration in the words of each room and door.

use std::{sync::Arc, time::Duration};

use crate::{
    auth::ThrottleLimits,
    config::{Config, Limits},
    imap,
    logging::peers::Peers,
    mail,
    mail::{name::NameLimits, structure, urls::Here},
    metrics::Metrics,
    net::{ConnectionLimits, InflationLimits, MemoryLimits, OutputLimits, Rate},
    proxy, smtp, store,
    wire::{
        Bounds,
        address::{Address, Domain},
    },
};

/// How many connections there may be.
pub(super) fn connections(limits: &Limits) -> ConnectionLimits {
    ConnectionLimits {
        total: limits.connections_max,
        reserve: limits.connections_reserved,
        before_login: count(limits.connections_per_address_before_login),
        after_login: count(limits.connections_per_address_after_login),
        per_minute: count(limits.connections_per_address_per_minute),
        exempt: limits.unlimited_networks.iter().map(|network| network.0).collect(),
    }
}

/// How many failed logins are taken as mishaps, and what others cost.
pub(super) fn throttle(limits: &Limits) -> ThrottleLimits {
    ThrottleLimits {
        address_minute: count(limits.auth_failures_per_address_per_minute),
        address_day: count(limits.auth_failures_per_address_per_day),
        account_hour: count(limits.auth_failures_per_account_per_hour),
        delay_first: limits.auth_delay_first.0,
        delay_max: limits.auth_delay_max.0,
    }
}

/// How much of the log one peer can fill.
pub(super) fn log_peers(limits: &Limits, metrics: &Arc<Metrics>) -> Peers {
    let exempt = limits.unlimited_networks.iter().map(|network| network.0).collect();
    Peers::new(limits.log_lines_per_peer_per_minute, exempt, metrics)
}

/// By what names and ports this server is known in URLs.
pub(super) fn here(config: &Config, hostname: &Domain) -> Here {
    let listen = &config.listen;
    let ports = listen.imap.iter().chain(&listen.imaps).map(|address| address.0.port());
    let submitters = config.urlauth.submit_users.iter();
    let key = |login: &String| Address::parse(login).ok().map(|address| address.key());
    Here {
        hostname: hostname.ascii().to_owned(),
        ports: ports.collect(),
        submitters: submitters.filter_map(key).collect(),
    }
}

/// What connections may hold in memory.
pub(super) fn memory(limits: &Limits) -> MemoryLimits {
    MemoryLimits {
        all: limits.input_memory_max.len(),
        connection: limits.connection_memory_max.len(),
        output: OutputLimits {
            waiting: limits.output_waiting_max.len(),
            stalled: limits.output_waiting_time.0,
        },
        inflation: InflationLimits {
            step: limits.compress_window_max.len(),
            ratio: limits.compress_ratio_max as u64,
            after: limits.compress_ratio_after.octets(),
        },
    }
}

/// The store: room on the disk, and how long its write-ahead log may grow.
pub(super) fn store(config: &Config) -> store::Options {
    let limits = &config.limits;
    let twice = limits.message_size_max.octets().saturating_mul(2);
    store::Options {
        least_for_adding: limits.disk_free_min.octets().max(twice),
        least_for_writing: limits.disk_free_stop.octets(),
        reserve: limits.disk_reserve.octets(),
        keywords: limits.keywords_per_mailbox_max,
        log_ranges: limits.expunge_log_ranges_max,
        unmarked_ranges: limits.keyword_log_ranges_max,
        log: store::LogLimits {
            checkpoint_pages: limits.wal_checkpoint_pages as u64,
            alarm: limits.wal_alarm.octets(),
            cut: limits.wal_cut_readers.octets(),
            ..store::LogLimits::default()
        },
        ..store::Options::new(&config.data_dir)
    }
}

/// The mail rooms.
pub(super) fn mail(limits: &Limits) -> mail::Limits {
    mail::Limits {
        message_size: limits.message_size_max.octets(),
        names: NameLimits {
            octets: limits.mailbox_name_max.len(),
            depth: limits.mailbox_depth_max,
        },
        mailboxes: limits.mailboxes_per_user_max,
        acl_entries: limits.acl_entries_max,
        quota_octets: limits.quota.octets(),
        keyword_octets: limits.keyword_length_max.len(),
        keywords: limits.keywords_per_mailbox_max,
        metadata_value: limits.metadata_value_max.len(),
        metadata_entries: limits.metadata_entries_max,
        parsing: structure::Limits {
            header: limits.header_max.len(),
            header_line: limits.header_line_max.len(),
            header_lines: limits.header_lines_max,
            addresses: limits.addresses_max,
            parameters: limits.parameters_max,
            depth: limits.mime_depth_max,
            parts: limits.mime_parts_max,
            boundary: limits.mime_boundary_max.len(),
            comment_depth: limits.comment_depth_max,
            encoded_words: limits.encoded_words_max,
        },
        text_indexed: limits.text_indexed_max.octets(),
    }
}

/// The IMAP door.
pub(super) fn imap(limits: &Limits) -> imap::Limits {
    imap::Limits {
        login_time: *limits.login_time,
        idle_time: *limits.imap_idle_time,
        idle_command_time: *limits.imap_idle_command_time,
        progress_every: *limits.imap_progress_every,
        line_before_login: limits.imap_line_before_login_max.len(),
        line: limits.imap_line_max.len(),
        literal_before_login: limits.imap_literal_before_login_max.octets(),
        literals_before_login: limits.imap_literals_before_login_max,
        literal: limits.imap_literal_max.octets(),
        value: limits.metadata_value_max.octets(),
        literal_sum: limits.imap_literal_sum_max.octets(),
        literals: limits.imap_literals_max,
        bad_before_login: count(limits.bad_commands_before_login_max),
        bad: count(limits.bad_commands_max),
        failed_logins: count(limits.auth_failures_per_connection),
        message: limits.message_size_max.octets(),
        contexts: limits.contexts_max,
        notify_groups: limits.notify_groups_max,
        messages_per_command: limits.imap_messages_per_command_max,
        catenate_parts: limits.catenate_parts_max,
        recipients: limits.submission_recipients_max,
        commands_waiting: limits.imap_commands_waiting_max,
        sasl: limits.sasl_exchange_max.len(),
        sasl_steps: limits.sasl_steps_max,
        rate: rate(limits),
        bounds: Bounds {
            depth: limits.imap_depth_max,
            ranges: limits.imap_set_ranges_max,
            search_keys: limits.imap_search_keys_max,
            fetch_items: limits.imap_fetch_items_max,
        },
    }
}

/// How fast octets must come.
pub(super) fn rate(limits: &Limits) -> Rate {
    Rate {
        least: limits.data_rate_min.octets(),
        grace: *limits.data_rate_after,
        pause: *limits.smtp_data_time,
    }
}

/// The proxy's door. The server behind it ends who is silent; a minute later so does the proxy.
pub(super) fn proxy(limits: &Limits) -> proxy::Limits {
    let idle_time = (*limits.imap_idle_time).max(*limits.imap_idle_command_time);
    proxy::Limits {
        login_time: *limits.login_time,
        idle_time: idle_time.saturating_add(Duration::from_mins(1)),
        commands_waiting: limits.imap_commands_waiting_max,
        message: limits.message_size_max.octets(),
        recipients: limits.submission_recipients_max,
        rate: rate(limits),
        submit_time: *limits.proxy_submit_time,
        parsing: mail(limits).parsing,
    }
}

/// The SMTP door in one of its roles.
pub(super) fn smtp(limits: &Limits, role: smtp::Role) -> smtp::Limits {
    smtp::Limits {
        command_line: limits.smtp_command_line_max.len(),
        auth_line: limits.smtp_auth_line_max.len(),
        auth_exchange: limits.sasl_exchange_max.len(),
        auth_steps: limits.sasl_steps_max,
        message_size: limits.message_size_max.octets(),
        text_line: limits.text_line_received_max.len(),
        recipients: match role {
            smtp::Role::Mx => limits.smtp_recipients_max,
            smtp::Role::Submission => limits.submission_recipients_max,
            smtp::Role::Lmtp => limits.lmtp_recipients_max,
        },
        unknown_recipients_free: limits.smtp_unknown_recipients_free,
        unknown_recipient_delay: *limits.smtp_unknown_recipient_delay,
        unknown_recipients: limits.smtp_unknown_recipients_max,
        messages_per_session: limits.smtp_messages_per_session,
        messages_per_address_and_minute: limits.smtp_messages_per_address_per_minute,
        chunks: limits.bdat_chunks_max,
        references: limits.burl_parts_max,
        bad_commands_at_first: limits.bad_commands_before_login_max,
        bad_commands: limits.bad_commands_max,
        failed_logins: limits.auth_failures_per_connection,
        login: *limits.login_time,
        least_rate: limits.data_rate_min.octets(),
        rate_grace: *limits.data_rate_after,
        times: smtp::Times {
            command: *limits.smtp_command_time,
            data: *limits.smtp_data_time,
            session: *limits.smtp_session_time,
        },
        times_loaded: smtp::Times {
            command: *limits.smtp_command_time_loaded,
            data: *limits.smtp_data_time_loaded,
            session: *limits.smtp_session_time_loaded,
        },
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::{config::example, metrics::Limit};

    #[test]
    fn what_is_counted_is_a_key_of_the_configuration() {
        let example = example();
        for limit in Limit::ALL {
            let line = format!("\n#{} = ", limit.name());
            assert!(example.contains(&line), "{}", limit.name());
        }
    }

    /// A door's own defaults are what the configuration's defaults say, so that tests of the door
    /// and the running server mean the same.
    #[test]
    fn defaults_here_and_there_agree() {
        let limits = Limits::default();
        let mx = smtp(&limits, smtp::Role::Mx);
        assert_eq!(mx, smtp::Limits::default());
        assert_eq!(format!("{:?}", imap(&limits)), format!("{:?}", imap::Limits::default()));
        assert_eq!(mail(&limits), mail::Limits::default());
        let same = |ours: &dyn Debug, theirs: &dyn Debug| {
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        };
        same(&connections(&limits), &ConnectionLimits::default());
        same(&memory(&limits), &MemoryLimits::default());
        same(&throttle(&limits), &ThrottleLimits::default());
        let config = Config { data_dir: "here".into(), ..Config::default() };
        let reserve = limits.disk_reserve.octets();
        same(&store(&config), &store::Options { reserve, ..store::Options::new("here") });
    }
}

//! What a new configuration changes while the server runs.

use crate::{config::Config, logging};

/// Sets the level of the log, and names what differs from the server's start and needs another one.
pub(super) fn tell(started: &Config, new: &Config) {
    if started.log.format == new.log.format {
        logging::set_level(new.log.level);
    }
    let waiting = waiting(started, new);
    if waiting.is_empty() {
        tracing::info!("configuration loaded anew");
    } else {
        let keys = waiting.join(" ");
        tracing::warn!(keys, "configuration loaded anew, but these keys need a new start");
    }
}

/// Keys and sections that differ and need a new start; all others hold from now on.
fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let (limits, others) = (&old.limits, &new.limits);
    let differ = [
        ("data_dir", old.data_dir != new.data_dir),
        ("listen", old.listen != new.listen),
        ("log.format", old.log.format != new.log.format),
        ("immp", old.immp != new.immp),
        ("burl", old.burl != new.burl),
        ("proxy", old.proxy != new.proxy),
        ("policy", old.policy != new.policy),
        ("web", old.web != new.web),
        ("smtp", old.smtp != new.smtp),
        (
            "limits.connection_memory_max",
            limits.connection_memory_max != others.connection_memory_max,
        ),
        ("limits.input_memory_max", limits.input_memory_max != others.input_memory_max),
        ("limits.output_waiting_max", limits.output_waiting_max != others.output_waiting_max),
        ("limits.output_waiting_time", limits.output_waiting_time != others.output_waiting_time),
        ("limits.disk_free_min", limits.disk_free_min != others.disk_free_min),
        ("limits.disk_free_stop", limits.disk_free_stop != others.disk_free_stop),
        ("limits.disk_reserve", limits.disk_reserve != others.disk_reserve),
        (
            "limits.log_lines_per_peer_per_minute",
            limits.log_lines_per_peer_per_minute != others.log_lines_per_peer_per_minute,
        ),
        ("limits.wal_checkpoint_pages", limits.wal_checkpoint_pages != others.wal_checkpoint_pages),
        ("limits.wal_alarm", limits.wal_alarm != others.wal_alarm),
        ("limits.wal_cut_readers", limits.wal_cut_readers != others.wal_cut_readers),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Size};

    #[test]
    fn what_needs_a_new_start_is_named() {
        let old = Config::default();
        let mut new = old.clone();
        new.log.level = LogLevel::Debug;
        new.limits.message_size_max = Size::mib(1);
        assert!(waiting(&old, &new).is_empty());
        new.listen.imap.clear();
        new.limits.disk_free_min = Size::mib(1);
        assert_eq!(waiting(&old, &new), ["listen", "limits.disk_free_min"]);
    }
}

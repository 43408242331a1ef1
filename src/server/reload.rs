//! What a new configuration changes while the server runs.

use crate::{config::Config, logging};

/// Applies what can be changed without a new start, and names the rest.
pub(super) fn apply(old: &Config, new: &Config) {
    if old.log.format == new.log.format {
        logging::set_level(new.log.level);
    }
    let waiting = waiting(old, new);
    if waiting.is_empty() {
        tracing::info!("configuration loaded anew");
    } else {
        tracing::warn!(keys = waiting.join(" "), "changed keys take effect at the next start");
    }
}

/// Keys and sections that differ and need a new start.
fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let differ = [
        ("hostname", old.hostname != new.hostname),
        ("data_dir", old.data_dir != new.data_dir),
        ("listen", old.listen != new.listen),
        ("tls", old.tls != new.tls),
        ("outbound", old.outbound != new.outbound),
        ("log.format", old.log.format != new.log.format),
        ("dns", old.dns != new.dns),
        ("smtp", old.smtp != new.smtp),
        ("immp", old.immp != new.immp),
        ("urlauth", old.urlauth != new.urlauth),
        ("burl", old.burl != new.burl),
        ("proxy", old.proxy != new.proxy),
        ("policy", old.policy != new.policy),
        ("web", old.web != new.web),
        ("limits", old.limits != new.limits),
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
        assert!(waiting(&old, &new).is_empty());
        new.limits.message_size_max = Size::mib(1);
        assert_eq!(waiting(&old, &new), ["limits"]);
    }
}

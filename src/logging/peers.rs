//! How much of the log one peer can fill: so many lines a minute, then one that says so.
//!
//! Lines count by their field `peer`; those without one are the house's own and always stand.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::runtime::Handle;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use crate::{
    ids::Neighbour,
    metrics::{Limit, Metrics},
};

const MINUTE: Duration = Duration::from_mins(1);
/// Peers remembered at most; all others have the lines of one together.
const MOST: usize = 10_000;

/// The limit of the log that runs; one log a process.
static PEERS: OnceLock<Peers> = OnceLock::new();

/// How many lines each peer has.
#[derive(Debug)]
pub struct Peers {
    most: usize,
    exempt: Vec<IpNet>,
    metrics: Arc<Metrics>,
    counts: Mutex<HashMap<Option<Neighbour>, (Instant, usize)>>,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    /// The first that is left out in this minute.
    LeaveOutAndSay,
    LeaveOut,
}

impl Peers {
    /// So many lines a minute for each peer that is not in one of these networks.
    pub fn new(most: usize, exempt: Vec<IpNet>, metrics: &Arc<Metrics>) -> Self {
        Self { most, exempt, metrics: Arc::clone(metrics), counts: Mutex::default() }
    }

    /// Holds the log of this process to it from now on.
    pub fn install(self) {
        // A second start, as in tests, keeps the first limit.
        let _ = PEERS.set(self);
    }

    fn judge(&self, ip: IpAddr, now: Instant) -> Verdict {
        let ip = ip.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&ip)) {
            return Verdict::Write;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut who = Some(Neighbour::from(ip));
        if counts.len() >= MOST && !counts.contains_key(&who) {
            counts.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
            if counts.len() >= MOST {
                who = None;
            }
        }
        let (since, lines) = counts.entry(who).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *lines) = (now, 0);
        }
        *lines = lines.saturating_add(1);
        if *lines <= self.most {
            return Verdict::Write;
        }
        self.metrics.exceeded(Limit::LogLinesPerPeerPerMinute);
        if *lines == self.most.saturating_add(1) {
            Verdict::LeaveOutAndSay
        } else {
            Verdict::LeaveOut
        }
    }
}

/// Leaves lines out as the installed limit says.
pub(super) struct PerPeer;

impl<S: Subscriber> Layer<S> for PerPeer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let Some(peers) = PEERS.get() else { return true };
        if *event.metadata().level() == Level::ERROR {
            return true;
        }
        let mut seen = SeenPeer(None);
        event.record(&mut seen);
        let Some(ip) = seen.0 else { return true };
        match peers.judge(ip, Instant::now()) {
            Verdict::Write => true,
            Verdict::LeaveOut => false,
            Verdict::LeaveOutAndSay => {
                // No line can be written from within a line.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(async move {
                        tracing::warn!(from = %ip, "more lines of this peer are left out for a minute");
                    });
                }
                false
            }
        }
    }
}

/// The address in the field `peer`.
struct SeenPeer(Option<IpAddr>);

impl Visit for SeenPeer {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            self.0 = address(&format!("{value:?}"));
        }
    }
}

/// An address, with or without its port, perhaps of an `Option`.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')'));
    let text = inner.unwrap_or(text);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn peers(most: usize) -> Peers {
        Peers::new(most, vec!["127.0.0.0/8".parse().unwrap()], &Metrics::new())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_peer_has_so_many_lines_a_minute_and_one_word_on_the_rest() {
        let (peers, now) = (peers(2), Instant::now());
        let verdicts = [(); 4].map(|()| peers.judge(ip("192.0.2.1"), now));
        let (write, leave_out) = (Verdict::Write, Verdict::LeaveOut);
        assert_eq!(verdicts, [write, write, Verdict::LeaveOutAndSay, leave_out]);
        assert_eq!(peers.judge(ip("192.0.2.2"), now), write);
        assert_eq!(peers.judge(ip("::ffff:192.0.2.1"), now), leave_out);
        assert_eq!(peers.judge(ip("192.0.2.1"), now + MINUTE), write);
        assert_eq!(peers.metrics.times_exceeded(Limit::LogLinesPerPeerPerMinute), 3);
    }

    #[test]
    fn listed_networks_may_fill_the_log() {
        let (peers, now) = (peers(0), Instant::now());
        assert_eq!(peers.judge(ip("127.0.0.1"), now), Verdict::Write);
        assert_eq!(peers.judge(ip("::1"), now), Verdict::LeaveOutAndSay);
    }

    #[test]
    fn a_peer_is_known_however_it_is_written() {
        for text in ["192.0.2.1", "192.0.2.1:25", "Some(192.0.2.1:25)"] {
            assert_eq!(address(text), Some(ip("192.0.2.1")), "{text}");
        }
        assert_eq!(address("[2001:db8::1]:25"), Some(ip("2001:db8::1")));
        assert_eq!(address("None"), None);
    }

    #[test]
    fn lines_are_left_out_of_the_log_itself() {
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Written {
            fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(octets)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        peers(1).install();
        let written = Written::default();
        let to = written.clone();
        let lines =
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || to.clone());
        let log = tracing_subscriber::registry().with(PerPeer).with(lines);
        tracing::subscriber::with_default(log, || {
            for line in 1..=3 {
                tracing::info!(peer = %ip("192.0.2.99"), "line {line}");
            }
            tracing::info!("the house's own");
            tracing::error!(peer = %ip("192.0.2.99"), "an error");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("line 1") && !text.contains("line 2") && !text.contains("line 3"));
        assert!(text.contains("the house's own") && text.contains("an error"));
    }
}

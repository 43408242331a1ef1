//! Mailade beside Dovecot: the same load on both in turns, medians and their ratio.
//!
//! Started by `benches/compare/run`, which installs Dovecot. Every answer is verified, so that a
//! wrong server can't look fast. A message counts when it is acknowledged, which both servers do only
//! when it is on the disk (Dovecot syncs mail, not flags).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench may stop"
)]
#![allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

mod client;
mod forward;
mod large;
mod loads;
mod mail;
mod phones;
mod proxy;
mod search;
mod servers;

use std::time::Duration;

use servers::Server;

/// How often each measurement is repeated on each server.
const REPEATS: usize = 3;

/// Takes a figure on a server; gets the number of the repeat.
type Take = dyn Fn(&Server, usize) -> f64;

/// One measurement: its name, its unit, and how it is taken.
struct Measure {
    name: String,
    unit: Unit,
    take: Box<Take>,
}

impl Measure {
    fn new(
        name: impl Into<String>,
        unit: Unit,
        take: impl Fn(&Server, usize) -> f64 + 'static,
    ) -> Self {
        Self { name: name.into(), unit, take: Box::new(take) }
    }
}

/// What a measurement gives that is not taken on a server.
const NOT_TAKEN: f64 = f64::NAN;

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    PerSecond,
    Milliseconds,
    Kibibytes,
    Octets,
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let servers = [Server::mailade(dir.path()), Server::dovecot(dir.path())];
    let (ours, theirs) = (servers[0].name, servers[1].name);
    println!("{:<40}{ours:>12}{theirs:>12}{:>8}{:>20}", "", "ratio", "processor time (ms)");
    let proxied = proxy::all(&servers[1]);
    for measure in
        [loads::all(), large::all(), search::all(), forward::all(), phones::all(), proxied]
            .into_iter()
            .flatten()
    {
        if wanted.is_empty() || wanted.iter().any(|word| measure.name.contains(word.as_str())) {
            report(&measure, &servers);
        }
    }
    for server in &servers {
        println!("{}: {} KiB resident at the end", server.name, server.resident() >> 10);
        server.stop();
    }
}

/// Takes a measurement on both servers in turns and prints a line of the table.
fn report(measure: &Measure, servers: &[Server; 2]) {
    let mut taken = [Vec::new(), Vec::new()];
    let mut used = [Vec::new(), Vec::new()];
    for repeat in 0..REPEATS {
        for ((server, taken), used) in servers.iter().zip(&mut taken).zip(&mut used) {
            let before = server.processor();
            taken.push((measure.take)(server, repeat));
            used.push(server.processor() - before);
            // What the one left to do must not slow the other.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let [ours, theirs] = taken.map(median);
    let ratio = if measure.unit == Unit::PerSecond { ours / theirs } else { theirs / ours };
    let unit = match measure.unit {
        Unit::PerSecond => "/s",
        Unit::Milliseconds => "ms",
        Unit::Kibibytes => "KiB",
        Unit::Octets => "octets",
    };
    let name = format!("{} ({unit})", measure.name);
    let [our_time, their_time] = used.map(median);
    println!("{name:<40}{ours:>12.2}{theirs:>12.2}{ratio:>7.1}x{our_time:>10.0}{their_time:>10.0}");
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

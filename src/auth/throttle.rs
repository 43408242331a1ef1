//! Patience with those who guess: who fails often waits longer, and is sent away in the end.
//!
//! Values in, values out: the time is passed in, and waiting is the caller's. Failures are counted
//! per address (IPv4 address, IPv6 network of 64 bits) and per account. An address from which
//! the account's owner logged in lately is never sent away, so that nobody can lock others out.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;

use crate::{ids::Neighbour, metrics::Limit};

/// Addresses, accounts and pairs of both that are remembered at most, the latest ones.
pub(super) const MOST: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// How long an address is known to be its owner's.
pub(super) const KNOWN: Duration = Duration::from_hours(30 * 24);

/// How many failures are taken as mishaps, and what others cost.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleLimits {
    pub address_minute: u32,
    pub address_day: u32,
    pub account_hour: u32,
    /// The first delay; each further one is twice as long.
    pub delay_first: Duration,
    /// The longest delay. Who fails again behind it is sent away.
    pub delay_max: Duration,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self {
            address_minute: 10,
            address_day: 50,
            account_hour: 20,
            delay_first: Duration::from_secs(1),
            delay_max: Duration::from_secs(15),
        }
    }
}

impl ThrottleLimits {
    /// What is waited at this attempt beyond the mishaps, counted from one.
    fn delay(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.delay_first.saturating_mul(doubled).min(self.delay_max)
    }
}

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Judge it.
    Go,
    /// Judge it, after so long, because of this bound.
    Wait(Duration, Limit),
    /// Send the client away unjudged, because of this bound.
    Refuse(Limit),
}

/// Failures since the window was opened.
#[derive(Clone, Copy)]
struct Window {
    opened: Instant,
    failures: u32,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { opened: now, failures: 0 }
    }

    fn failures(&self, length: Duration, now: Instant) -> u32 {
        if now.duration_since(self.opened) < length { self.failures } else { 0 }
    }

    fn failed(&mut self, length: Duration, now: Instant) {
        let failures = self.failures(length, now);
        if failures == 0 {
            self.opened = now;
        }
        self.failures = failures.saturating_add(1);
    }
}

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A login name that may be as long as it likes, in little.
pub(super) type AccountKey = [u8; 32];

/// All failures that are remembered.
pub struct Throttle {
    limits: ThrottleLimits,
    addresses: LruCache<Neighbour, (Window, Window)>,
    accounts: LruCache<AccountKey, Window>,
    /// Until when an address is its owner's.
    known: LruCache<(Neighbour, AccountKey), Instant>,
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new(limits: ThrottleLimits) -> Self {
        Self {
            limits,
            addresses: LruCache::new(MOST),
            accounts: LruCache::new(MOST),
            known: LruCache::new(MOST),
        }
    }

    /// Other limits, for the failures that are remembered too.
    pub fn renew(&mut self, limits: ThrottleLimits) {
        self.limits = limits;
    }

    /// May this address try to log in under this name?
    pub fn verdict(&mut self, ip: IpAddr, login: &str, now: Instant) -> Verdict {
        let (who, account) = (Neighbour::from(ip), key(login));
        let known = self.is_known(who, account, now);
        let limits = self.limits;
        let (minute, day) = self
            .addresses
            .get(&who)
            .map_or((0, 0), |(minute, day)| (minute.failures(MINUTE, now), day.failures(DAY, now)));
        let minute = over_limit(minute, limits.address_minute);
        let day = over_limit(day, limits.address_day);
        let (over, address) = if day > minute {
            (day, Limit::AuthFailuresPerAddressPerDay)
        } else {
            (minute, Limit::AuthFailuresPerAddressPerMinute)
        };
        let had_the_longest = over > 1 && limits.delay(over - 1) == limits.delay_max;
        if had_the_longest && !known {
            return Verdict::Refuse(address);
        }
        let hour = self.accounts.get(&account).map_or(0, |hour| hour.failures(HOUR, now));
        let guessed = if known { 0 } else { over_limit(hour, limits.account_hour) };
        match over.max(guessed) {
            0 => Verdict::Go,
            times if times == over => Verdict::Wait(limits.delay(times), address),
            times => Verdict::Wait(limits.delay(times), Limit::AuthFailuresPerAccountPerHour),
        }
    }

    /// It was wrong.
    pub fn failed(&mut self, ip: IpAddr, login: &str, now: Instant) {
        let fresh = || (Window::new(now), Window::new(now));
        let (minute, day) = self.addresses.get_or_insert_mut(Neighbour::from(ip), fresh);
        minute.failed(MINUTE, now);
        day.failed(DAY, now);
        self.accounts.get_or_insert_mut(key(login), || Window::new(now)).failed(HOUR, now);
    }

    /// It was right: the address is known as this account's owner's.
    pub fn succeeded(&mut self, ip: IpAddr, login: &str, now: Instant) {
        self.know(Neighbour::from(ip), key(login), now + KNOWN);
    }

    /// The address is known as this account's owner's until then.
    pub fn know(&mut self, who: Neighbour, account: AccountKey, until: Instant) {
        self.known.put((who, account), until);
    }

    fn is_known(&mut self, who: Neighbour, account: AccountKey, now: Instant) -> bool {
        self.known.get(&(who, account)).is_some_and(|until| now < *until)
    }
}

/// Which attempt this is beyond those that are taken as mishaps.
fn over_limit(failures: u32, limit: u32) -> u32 {
    failures.saturating_add(1).saturating_sub(limit)
}

pub(super) fn key(login: &str) -> AccountKey {
    *blake3::hash(login.to_lowercase().as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &mut Throttle, times: u32, login: &str, now: Instant) {
        for _ in 0..times {
            throttle.failed(ip(HERE), login, now);
        }
    }

    #[test]
    fn ten_mishaps_a_minute_are_free_then_delays_double_and_end() {
        let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
        fail(&mut throttle, 9, "a", now);
        assert_eq!(throttle.verdict(ip(HERE), "b", now), Verdict::Go);
        for seconds in [1, 2, 4, 8, 15] {
            fail(&mut throttle, 1, "a", now);
            let limit = Limit::AuthFailuresPerAddressPerMinute;
            let wait = Verdict::Wait(Duration::from_secs(seconds), limit);
            assert_eq!(throttle.verdict(ip(HERE), "b", now), wait);
        }
        fail(&mut throttle, 1, "a", now);
        let refused = Verdict::Refuse(Limit::AuthFailuresPerAddressPerMinute);
        assert_eq!(throttle.verdict(ip(HERE), "b", now), refused);
        assert_eq!(throttle.verdict(ip("192.0.2.2"), "b", now), Verdict::Go);
        assert_eq!(throttle.verdict(ip(HERE), "b", now + MINUTE), Verdict::Go);
    }

    #[test]
    fn fifty_failures_are_enough_for_a_day() {
        let (mut throttle, start) = (Throttle::new(ThrottleLimits::default()), Instant::now());
        for minute in 0..49 {
            fail(&mut throttle, 1, "a", start + MINUTE * minute);
        }
        let now = start + HOUR;
        assert_eq!(throttle.verdict(ip(HERE), "b", now), Verdict::Go);
        fail(&mut throttle, 1, "b", now);
        let wait = Verdict::Wait(Duration::from_secs(1), Limit::AuthFailuresPerAddressPerDay);
        assert_eq!(throttle.verdict(ip(HERE), "c", now), wait);
        assert_eq!(throttle.verdict(ip(HERE), "c", start + DAY), Verdict::Go);
    }

    #[test]
    fn an_account_under_attack_delays_strangers_and_never_its_owner() {
        let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
        throttle.succeeded(ip("2001:db8::1"), "Alice@x", now);
        for last in 0..20 {
            throttle.failed(ip(&format!("198.51.100.{last}")), "alice@x", now);
        }
        let wait = Verdict::Wait(Duration::from_secs(1), Limit::AuthFailuresPerAccountPerHour);
        assert_eq!(throttle.verdict(ip("203.0.113.9"), "alice@x", now), wait);
        assert_eq!(throttle.verdict(ip("203.0.113.9"), "bob@x", now), Verdict::Go);
        assert_eq!(throttle.verdict(ip("2001:db8::2"), "alice@x", now), Verdict::Go);
    }

    #[test]
    fn an_owner_behind_a_shared_address_waits_but_is_not_sent_away() {
        let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
        throttle.succeeded(ip(HERE), "alice@x", now);
        fail(&mut throttle, 40, "bob@x", now);
        let limit = Limit::AuthFailuresPerAddressPerMinute;
        let wait = Verdict::Wait(Duration::from_secs(15), limit);
        assert_eq!(throttle.verdict(ip(HERE), "alice@x", now), wait);
        assert_eq!(throttle.verdict(ip(HERE), "eve@x", now), Verdict::Refuse(limit));
    }
}

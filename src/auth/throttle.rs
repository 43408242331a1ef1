//! Patience with those who guess: who fails often waits longer, and is sent away in the end.
//!
//! Values in, values out: the time is passed in, and waiting is the caller's. Failures are counted
//! per address (IPv4 address, IPv6 network of 64 bits) and per account. An attempt counts from its
//! beginning, and what it counted is given back when it was right: so many tries at once are no way
//! around. An address from which the account's owner logged in lately is never sent away, so that
//! nobody can lock others out.

mod underway;
mod window;

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use lru::LruCache;

pub use self::underway::Turn;
use self::{
    underway::Underway,
    window::{DAY, HOUR, MINUTE, Window},
};
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
    /// As many others are under way as may still fail: ask again when one of them has ended.
    Queue,
    /// Send the client away unjudged, because of this bound.
    Refuse(Limit),
}

/// A login name that may be as long as it likes, in little.
pub(super) type AccountKey = [u8; 32];

pub(super) fn key(login: &str) -> AccountKey {
    *blake3::hash(login.to_lowercase().as_bytes()).as_bytes()
}

/// From where somebody claims to be whom.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    who: Neighbour,
    account: AccountKey,
}

impl Claim {
    /// Of a login name, from an address.
    pub fn new(ip: IpAddr, login: &str) -> Self {
        Self { who: ip.into(), account: key(login) }
    }
}

/// All failures that are remembered, and the attempts that are under way.
pub struct Throttle {
    limits: ThrottleLimits,
    addresses: LruCache<Neighbour, (Window, Window)>,
    accounts: LruCache<AccountKey, Window>,
    /// Until when an address is its owner's.
    known: LruCache<(Neighbour, AccountKey), Instant>,
    underway: Underway,
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new(limits: ThrottleLimits) -> Self {
        Self {
            limits,
            addresses: LruCache::new(MOST),
            accounts: LruCache::new(MOST),
            known: LruCache::new(MOST),
            underway: Underway::default(),
        }
    }

    /// Other limits, for the failures that are remembered too.
    pub fn renew(&mut self, limits: ThrottleLimits) {
        self.limits = limits;
    }

    /// Begins an attempt, unless it has to queue or is refused. Each that has begun ends with
    /// [`Self::failed`] or [`Self::give_back`].
    pub fn begin(&mut self, claim: Claim, now: Instant) -> Verdict {
        let verdict = self.verdict(claim, now);
        if let Verdict::Go | Verdict::Wait(..) = verdict {
            self.underway.begin(claim.who, claim.account);
        }
        verdict
    }

    /// The turn of one that was told to queue.
    pub fn turn(&mut self, claim: Claim) -> Turn {
        self.underway.turn(claim.who)
    }

    /// May this address try to log in under this name?
    fn verdict(&mut self, claim: Claim, now: Instant) -> Verdict {
        let limits = self.limits;
        let known = self.is_known(claim, now);
        let (minute, day) = self.failures(claim.who, now);
        let (others, alike) = self.underway.number(claim.who, claim.account);
        let left = self.left(claim.who, now);
        if left > 0 && others >= left {
            return Verdict::Queue;
        }
        let minute = over_limit(minute, others, limits.address_minute);
        let day = over_limit(day, others, limits.address_day);
        let (over, address) = if day > minute {
            (day, Limit::AuthFailuresPerAddressPerDay)
        } else {
            (minute, Limit::AuthFailuresPerAddressPerMinute)
        };
        let had_the_longest = over > 1 && limits.delay(over - 1) == limits.delay_max;
        if had_the_longest && !known {
            return Verdict::Refuse(address);
        }
        let hour = self.accounts.get(&claim.account).map_or(0, |hour| hour.failures(HOUR, now));
        let guessed = if known { 0 } else { over_limit(hour, alike, limits.account_hour) };
        match over.max(guessed) {
            0 => Verdict::Go,
            times if times == over => Verdict::Wait(limits.delay(times), address),
            times => Verdict::Wait(limits.delay(times), Limit::AuthFailuresPerAccountPerHour),
        }
    }

    /// An attempt was wrong, or nobody waited for the answer.
    pub fn failed(&mut self, claim: Claim, now: Instant) {
        let fresh = || (Window::new(now), Window::new(now));
        let (minute, day) = self.addresses.get_or_insert_mut(claim.who, fresh);
        minute.failed_until_quiet(MINUTE, self.limits.address_minute, now);
        day.failed(DAY, now);
        let hour = self.accounts.get_or_insert_mut(claim.account, || Window::new(now));
        hour.failed(HOUR, now);
        let left = self.left(claim.who, now);
        self.underway.end(claim.who, claim.account, left > 0);
    }

    /// An attempt was right, or could not be judged.
    pub fn give_back(&mut self, claim: Claim) {
        self.underway.end(claim.who, claim.account, true);
    }

    /// It was right: the address is known as this account's owner's.
    pub fn succeeded(&mut self, claim: Claim, now: Instant) {
        self.know(claim.who, claim.account, now + KNOWN);
    }

    /// The address is known as this account's owner's until then.
    pub fn know(&mut self, who: Neighbour, account: AccountKey, until: Instant) {
        self.known.put((who, account), until);
    }

    fn is_known(&mut self, claim: Claim, now: Instant) -> bool {
        self.known.get(&(claim.who, claim.account)).is_some_and(|until| now < *until)
    }

    /// Of an address within the minute and within the day. Beyond the mishaps a minute ends only when
    /// nobody has failed for so long, or the delays would begin anew while somebody guesses.
    fn failures(&mut self, who: Neighbour, now: Instant) -> (u32, u32) {
        let full = self.limits.address_minute;
        self.addresses.get(&who).map_or((0, 0), |(minute, day)| {
            (minute.failures_until_quiet(MINUTE, full, now), day.failures(DAY, now))
        })
    }

    /// How many mishaps an address has left.
    fn left(&mut self, who: Neighbour, now: Instant) -> u32 {
        let (minute, day) = self.failures(who, now);
        let ThrottleLimits { address_minute, address_day, .. } = self.limits;
        address_minute.saturating_sub(minute).min(address_day.saturating_sub(day))
    }
}

/// Which attempt this is beyond those that are taken as mishaps, when all under way fail.
fn over_limit(failures: u32, underway: u32, limit: u32) -> u32 {
    failures.saturating_add(underway).saturating_add(1).saturating_sub(limit)
}

#[cfg(test)]
mod tests;

//! Attempts by known answers: the time is made up.

use futures_util::FutureExt as _;

use super::*;

const HERE: &str = "192.0.2.1";
const MINUTES: Limit = Limit::AuthFailuresPerAddressPerMinute;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn claim(from: &str, login: &str) -> Claim {
    Claim::new(ip(from), login)
}

fn verdict(throttle: &mut Throttle, from: &str, login: &str, now: Instant) -> Verdict {
    throttle.verdict(claim(from, login), now)
}

/// One attempt after the other that is wrong.
fn fail(throttle: &mut Throttle, times: u32, login: &str, now: Instant) {
    for _ in 0..times {
        let claim = claim(HERE, login);
        throttle.underway.begin(claim.who, claim.account);
        throttle.failed(claim, now);
    }
}

#[test]
fn ten_mishaps_a_minute_are_free_then_delays_double_and_end() {
    let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    fail(&mut throttle, 9, "a", now);
    assert_eq!(verdict(&mut throttle, HERE, "b", now), Verdict::Go);
    for seconds in [1, 2, 4, 8, 15] {
        fail(&mut throttle, 1, "a", now);
        let wait = Verdict::Wait(Duration::from_secs(seconds), MINUTES);
        assert_eq!(verdict(&mut throttle, HERE, "b", now), wait);
    }
    fail(&mut throttle, 1, "a", now);
    assert_eq!(verdict(&mut throttle, HERE, "b", now), Verdict::Refuse(MINUTES));
    assert_eq!(verdict(&mut throttle, "192.0.2.2", "b", now), Verdict::Go);
    assert_eq!(verdict(&mut throttle, HERE, "b", now + MINUTE), Verdict::Go);
}

#[test]
fn delays_do_not_begin_anew_while_somebody_goes_on_guessing() {
    let (mut throttle, mut now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    // One each five seconds: the minute is over before the delays are.
    for _ in 0..10 {
        assert_eq!(throttle.begin(claim(HERE, "a"), now), Verdict::Go);
        throttle.failed(claim(HERE, "a"), now);
        now += Duration::from_secs(5);
    }
    for seconds in [1, 2, 4, 8, 15] {
        let delay = Duration::from_secs(seconds);
        assert_eq!(throttle.begin(claim(HERE, "a"), now), Verdict::Wait(delay, MINUTES));
        now += delay;
        throttle.failed(claim(HERE, "a"), now);
        now += Duration::from_secs(5);
    }
    assert_eq!(throttle.begin(claim(HERE, "a"), now), Verdict::Refuse(MINUTES));
    // Five seconds of the quiet minute are over.
    let almost = now + Duration::from_millis(54_999);
    assert_eq!(throttle.begin(claim(HERE, "a"), almost), Verdict::Refuse(MINUTES));
    let quiet = now + Duration::from_secs(55);
    assert_eq!(throttle.begin(claim(HERE, "a"), quiet), Verdict::Go);
}

#[test]
fn tries_at_once_count_from_their_beginning() {
    let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    let one = claim(HERE, "a");
    for _ in 0..10 {
        assert_eq!(throttle.begin(one, now), Verdict::Go);
    }
    let mut turns: Vec<_> = (0..8).map(|_| throttle.turn(one)).collect();
    assert_eq!(throttle.begin(one, now), Verdict::Queue);
    assert_eq!(throttle.begin(claim(HERE, "b"), now), Verdict::Queue);
    assert_eq!(throttle.begin(claim("192.0.2.2", "a"), now), Verdict::Go);

    // One that was right leaves its place to the next, and to nobody else.
    throttle.give_back(one);
    let called = |turns: &mut Vec<Turn>| {
        let before = turns.len();
        turns.retain_mut(|turn| turn.now_or_never().is_none());
        before - turns.len()
    };
    assert_eq!(called(&mut turns), 1);
    assert_eq!(throttle.begin(one, now), Verdict::Go);
    assert_eq!(throttle.begin(one, now), Verdict::Queue);
    assert_eq!(called(&mut turns), 0);

    // When all mishaps are used up, those that wait learn their delays.
    for _ in 0..10 {
        throttle.failed(one, now);
    }
    assert_eq!(called(&mut turns), 7);
    for seconds in [1, 2, 4, 8, 15] {
        let wait = Verdict::Wait(Duration::from_secs(seconds), MINUTES);
        assert_eq!(throttle.begin(one, now), wait, "those that wait count too");
    }
    assert_eq!(throttle.begin(one, now), Verdict::Refuse(MINUTES));
}

#[test]
fn right_passwords_leave_nothing_behind() {
    let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    for _ in 0..1_000 {
        assert_eq!(throttle.begin(claim(HERE, "a"), now), Verdict::Go);
        throttle.give_back(claim(HERE, "a"));
    }
    assert_eq!(throttle.left(ip(HERE).into(), now), 10);
    assert_eq!(throttle.underway.number(ip(HERE).into(), key("a")), (0, 0));
}

#[test]
fn nobody_waits_behind_the_last_that_was_under_way() {
    let limits = ThrottleLimits { address_minute: 1, ..ThrottleLimits::default() };
    let (mut throttle, now) = (Throttle::new(limits), Instant::now());
    let one = claim(HERE, "a");
    assert_eq!(throttle.begin(one, now), Verdict::Go);
    let mut turns = [throttle.turn(one), throttle.turn(one), throttle.turn(one)];
    throttle.give_back(one);
    assert!(turns.iter_mut().all(|turn| turn.now_or_never().is_some()));
}

#[test]
fn fifty_failures_are_enough_for_a_day() {
    let (mut throttle, start) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    for minute in 0..49 {
        fail(&mut throttle, 1, "a", start + MINUTE * minute);
    }
    let now = start + HOUR;
    assert_eq!(verdict(&mut throttle, HERE, "b", now), Verdict::Go);
    fail(&mut throttle, 1, "b", now);
    let wait = Verdict::Wait(Duration::from_secs(1), Limit::AuthFailuresPerAddressPerDay);
    assert_eq!(verdict(&mut throttle, HERE, "c", now), wait);
    assert_eq!(verdict(&mut throttle, HERE, "c", start + DAY), Verdict::Go);
}

#[test]
fn an_account_under_attack_delays_strangers_and_never_its_owner() {
    let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    throttle.succeeded(claim("2001:db8::1", "Alice@x"), now);
    let from = |last: u32| claim(&format!("198.51.100.{last}"), "alice@x");
    for last in 0..19 {
        assert_eq!(throttle.begin(from(last), now), Verdict::Go);
        throttle.failed(from(last), now);
    }
    // One that is still under way counts as the twentieth.
    assert_eq!(throttle.begin(from(19), now), Verdict::Go);
    let wait = Verdict::Wait(Duration::from_secs(1), Limit::AuthFailuresPerAccountPerHour);
    assert_eq!(verdict(&mut throttle, "203.0.113.9", "alice@x", now), wait);
    throttle.failed(from(19), now);
    assert_eq!(verdict(&mut throttle, "203.0.113.9", "alice@x", now), wait);
    assert_eq!(verdict(&mut throttle, "203.0.113.9", "bob@x", now), Verdict::Go);
    assert_eq!(verdict(&mut throttle, "2001:db8::2", "alice@x", now), Verdict::Go);
}

#[test]
fn an_owner_behind_a_shared_address_waits_but_is_not_sent_away() {
    let (mut throttle, now) = (Throttle::new(ThrottleLimits::default()), Instant::now());
    throttle.succeeded(claim(HERE, "alice@x"), now);
    fail(&mut throttle, 40, "bob@x", now);
    let wait = Verdict::Wait(Duration::from_secs(15), MINUTES);
    assert_eq!(throttle.begin(claim(HERE, "alice@x"), now), wait);
    throttle.give_back(claim(HERE, "alice@x"));
    assert_eq!(verdict(&mut throttle, HERE, "eve@x", now), Verdict::Refuse(MINUTES));
}

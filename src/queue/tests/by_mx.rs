//! By MX: a name server and several servers, all on loopback, each at an address of its own.

use super::{
    super::sink::{Script, Sink},
    Office, TEXT, deferred, script,
};
use crate::net::dns::{
    Resolver,
    responder::{Responder, Zone, a, aaaa, cname, mx},
};

/// Addresses at which servers of the test stand or do not stand.
const HOSTS: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];

struct Town {
    office: Office,
    responder: Responder,
}

impl Town {
    /// A house, the first server, and a zone with the hosts `one`, `two` and `three`.
    async fn new(first: Script, zone: Zone) -> Self {
        let mut zone = zone;
        for (name, ip) in ["one.example", "two.example", "three.example"].iter().zip(HOSTS) {
            zone = zone.with(name, &[a(ip)]);
        }
        Self { office: Office::new(first).await, responder: Responder::start(zone).await }
    }

    /// Another server, at the same port.
    async fn server(&self, ip: &str, script: Script) -> Sink {
        let mut address = self.office.sink.address;
        address.set_ip(ip.parse().unwrap());
        Sink::at(address, script).await
    }

    fn start(&self) -> super::Running {
        let names = Resolver::new(&[self.responder.address]).unwrap();
        self.office.start_by(names, |_| {})
    }

    /// Sends a message and waits until the queue is empty.
    async fn send(&self, to: &str) {
        let running = self.start();
        self.office.submit(&[to], |_| {}, TEXT).await;
        self.office.until_empty().await;
        running.end().await;
    }

    async fn reports(&self) -> String {
        self.office.house.inbox(super::ALICE).await.concat()
    }
}

fn count(sink: &Sink) -> usize {
    sink.notes().messages.len()
}

#[tokio::test]
async fn the_best_server_has_the_mail_and_another_one_when_it_is_down() {
    let exchanges = [mx(20, "one.example"), mx(10, "two.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let town = Town::new(Script::default(), zone).await;
    town.send("carol@there.example").await;
    assert_eq!(count(&town.office.sink), 1);
    let two = town.server(HOSTS[1], Script::default()).await;
    town.send("carol@there.example").await;
    assert_eq!((count(&two), count(&town.office.sink)), (1, 1));
}

#[tokio::test]
async fn a_server_in_a_bad_mood_is_passed_over() {
    for bad in [
        Script { greeting: Some("421 4.3.2 busy"), ..Script::default() },
        Script { greeting: Some("554 5.7.1 not you"), ..Script::default() },
        script(&[], &[("RCPT", "421 4.3.2 closing")]),
        Script { leaves_at: Some("DATA"), ..Script::default() },
    ] {
        let exchanges = [mx(10, "one.example"), mx(20, "two.example")];
        let town = Town::new(bad, Zone::default().with("there.example", &exchanges)).await;
        let two = town.server(HOSTS[1], Script::default()).await;
        town.send("carol@there.example").await;
        assert_eq!((count(&town.office.sink), count(&two)), (0, 1));
        assert!(town.reports().await.is_empty());
    }
}

#[tokio::test]
async fn what_may_have_been_taken_is_offered_to_no_other_server() {
    let exchanges = [mx(10, "one.example"), mx(20, "two.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let leaving = Script { leaves_at: Some("end"), ..Script::default() };
    let town = Town::new(leaving, zone).await;
    let two = town.server(HOSTS[1], Script::default()).await;
    let running = town.start();
    town.office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    town.office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    assert_eq!(two.notes().connections, 0);
    running.end().await;
}

#[tokio::test]
async fn who_is_put_off_by_one_server_is_offered_to_another_in_the_same_attempt() {
    let exchanges = [mx(10, "one.example"), mx(20, "two.example"), mx(30, "three.example")];
    for command in ["MAIL", "RCPT TO:<carol"] {
        let zone = Zone::default().with("there.example", &exchanges);
        let town = Town::new(script(&[], &[(command, "451 4.3.0 not now")]), zone).await;
        let two = town.server(HOSTS[1], Script::default()).await;
        let running = town.start();
        let to = ["carol@there.example", "dan@there.example"];
        town.office.submit(&to, |_| {}, TEXT).await;
        town.office.until_empty().await;
        running.end().await;
        let rcpt = |sink: &Sink| -> Vec<_> {
            sink.notes().messages.iter().flat_map(|heard| heard.rcpt.clone()).collect()
        };
        let (first, second) = (rcpt(&town.office.sink), rcpt(&two));
        if command == "MAIL" {
            assert!(first.is_empty());
            assert_eq!(second, ["RCPT TO:<carol@there.example>", "RCPT TO:<dan@there.example>"]);
        } else {
            assert_eq!(first, ["RCPT TO:<dan@there.example>"]);
            assert_eq!(second, ["RCPT TO:<carol@there.example>"]);
        }
    }
}

#[tokio::test]
async fn what_the_second_server_says_counts_and_a_third_one_is_not_asked() {
    let exchanges = [mx(10, "one.example"), mx(20, "two.example"), mx(30, "three.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let town = Town::new(script(&[], &[("RCPT", "450 4.2.0 grey")]), zone).await;
    let two = town.server(HOSTS[1], script(&[], &[("RCPT", "452 4.2.2 full")])).await;
    let three = town.server(HOSTS[2], Script::default()).await;
    let running = town.start();
    town.office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    let queue = town.office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    running.end().await;
    let carol = &queue[0].recipients[0];
    assert_eq!((carol.reply.as_str(), carol.attempts), ("4.2.2 452 4.2.2 full", 1));
    assert_eq!(carol.remote, "two.example");
    assert_eq!((two.notes().connections, three.notes().connections), (1, 0));
}

#[tokio::test]
async fn what_is_put_off_at_its_end_is_offered_to_no_other_server() {
    let exchanges = [mx(10, "one.example"), mx(20, "two.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let town = Town::new(script(&[], &[("end", "451 4.3.0 later")]), zone).await;
    let two = town.server(HOSTS[1], Script::default()).await;
    let running = town.start();
    town.office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    town.office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    running.end().await;
    assert_eq!(two.notes().connections, 0);
}

#[tokio::test]
async fn equals_share_the_work() {
    let exchanges = [mx(10, "one.example"), mx(10, "two.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let town = Town::new(Script::default(), zone).await;
    let two = town.server(HOSTS[1], Script::default()).await;
    // It would be one chance in a million that all go the same way.
    for _ in 0..20 {
        town.send("carol@there.example").await;
    }
    assert!(count(&two) > 0 && count(&town.office.sink) > 0);
    assert_eq!(count(&two) + count(&town.office.sink), 20);
}

#[tokio::test]
async fn a_domain_without_mx_is_its_own_server_by_either_family() {
    let zone = Zone::default()
        .with("bare.example", &[a(HOSTS[0])])
        .with("alias.example", &[cname("bare.example")])
        .with("six.example", &[aaaa("::1"), a(HOSTS[2])])
        .with("both.example", &[aaaa("::1"), a(HOSTS[1])]);
    let town = Town::new(Script::default(), zone).await;
    town.send("carol@bare.example").await;
    town.send("carol@alias.example").await;
    assert_eq!(count(&town.office.sink), 2);
    assert_eq!(town.office.sink.notes().messages[1].rcpt, ["RCPT TO:<carol@alias.example>"]);
    let six = town.server("::1", Script::default()).await;
    town.send("carol@six.example").await;
    assert_eq!(count(&six), 1);
    drop(six);
    let two = town.server(HOSTS[1], Script::default()).await;
    town.send("carol@both.example").await;
    assert_eq!(count(&two), 1);
}

#[tokio::test]
async fn domains_that_can_never_be_reached_are_reported_and_others_wait() {
    let zone = Zone::default()
        .with("null.example", &[mx(0, ".")])
        .with("dead.example", &[mx(10, "nowhere.example")])
        .with("ours.example", &[mx(10, "mail.here.example"), mx(20, "one.example")])
        .failing("broken.example");
    let town = Town::new(Script::default(), zone).await;
    let running = town.start();
    let to = ["a@null.example", "a@dead.example", "a@ours.example", "a@none.example"];
    town.office.submit(&to, |_| {}, TEXT).await;
    town.office.until_empty().await;
    let reports = town.reports().await;
    for status in ["5.1.10", "5.4.4", "5.4.6", "5.1.2"] {
        assert!(reports.contains(&format!("Status: {status}\r\n")), "{status}");
    }
    town.office.submit(&["a@broken.example"], |_| {}, TEXT).await;
    let waiting = town.office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    assert!(waiting[0].recipients[0].reply.starts_with("4.4.3 "));
    assert_eq!(town.office.sink.notes().connections, 0);
    running.end().await;
}

#[tokio::test]
async fn who_is_greylisted_comes_again_and_is_let_in() {
    let exchanges = [mx(10, "one.example")];
    let zone = Zone::default().with("there.example", &exchanges);
    let grey = script(&[], &[("RCPT TO:<carol", "450 4.7.1 greylisted, come back")]);
    let town = Town::new(grey, zone).await;
    let running = town.start();
    let to = ["carol@there.example", "dan@there.example"];
    town.office.submit(&to, |_| {}, TEXT).await;
    let queue = town.office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    running.end().await;
    assert_eq!(count(&town.office.sink), 1);
    let [carol] = queue[0].recipients.as_slice() else { panic!("{queue:?}") };
    let pause = carol.next_attempt - super::ORIGIN.at;
    assert!((60..=66).contains(&pause), "{pause}");
    town.office.sink.change(|script| script.replies.clear());
    town.office.clock.fetch_add(pause, std::sync::atomic::Ordering::Relaxed);
    let running = town.start();
    town.office.until_empty().await;
    running.end().await;
    let heard: Vec<_> =
        town.office.sink.notes().messages.into_iter().map(|heard| heard.rcpt).collect();
    assert_eq!(heard, [["RCPT TO:<dan@there.example>"], ["RCPT TO:<carol@there.example>"]]);
    assert!(town.reports().await.is_empty());
}

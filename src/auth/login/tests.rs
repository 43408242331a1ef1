//! Logins against a store with one account and its phone.

use futures_util::FutureExt;

use super::*;
use crate::{
    auth::{password::app_secret, scram::derive},
    events::Bus,
    store::{NewAccount, NewDevice, Options, ScramKeys, Tx},
};

/// A store with alice, her password and her phone.
async fn logins(limits: ThrottleLimits) -> (tempfile::TempDir, Logins) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
    let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
    let passwords = Arc::new(Passwords::new(2).unwrap());
    let hash = passwords.hash(Secret::new("right".into())).await.unwrap();
    let job = move |tx: &mut Tx<'_>| {
        tx.add_domain("here.example")?;
        let id = tx.add_account(&NewAccount {
            address: "Alice@here.example".into(),
            address_key: "alice@here.example".into(),
            domain: "here.example".into(),
            full_name: String::new(),
            owner: false,
            password: Some(hash),
            scram_salt: b"salt".to_vec(),
            scram_iterations: ROUNDS,
            scram: None,
        })?;
        let app = Secret::new("app".into());
        let scram: ScramKeys = derive(&app, b"salt", ROUNDS);
        tx.add_device(id, &NewDevice { name: "phone".into(), secret: app_secret(&app), scram })
    };
    let origin = Origin::new(Door::House, 0);
    store.write::<_, store::Error, _>(origin, job).await.unwrap().into_inner();
    let logins = Logins::open(&store, passwords, limits, &Metrics::new(), 0).await.unwrap();
    (folder, logins)
}

fn visitor() -> Visitor {
    let ip = "192.0.2.1".parse().unwrap();
    Visitor { ip, origin: Origin::new(Door::Imap, 0), now: Instant::now() }
}

fn credentials(name: &str, password: &str) -> Credentials {
    let password = Zeroizing::new(password.to_owned());
    Credentials { authorization: String::new(), name: name.to_owned(), password }
}

#[tokio::test]
async fn an_account_is_let_in_by_password_and_by_app_password() {
    let (_folder, logins) = logins(ThrottleLimits::default()).await;
    let main = logins.login(credentials("ALICE@here.example", "right"), visitor()).await;
    let main = main.unwrap();
    assert_eq!((main.address.as_str(), main.device), ("Alice@here.example", None));
    let phone = logins.login(credentials("alice@here.example", "app"), visitor()).await;
    assert_eq!(phone.unwrap().device, Some(DeviceId(1)));
    for (name, password) in [
        ("alice@here.example", "wrong"),
        ("bob@here.example", "right"),
        ("alice", "right"),
        ("", ""),
    ] {
        let refused = logins.login(credentials(name, password), visitor()).await;
        assert!(matches!(refused, Err(Refused::Wrong)), "{name}");
    }
    let as_bob = Credentials {
        authorization: "bob@here.example".into(),
        ..credentials("alice@here.example", "right")
    };
    assert!(matches!(logins.login(as_bob, visitor()).await, Err(Refused::Wrong)));
}

#[tokio::test]
async fn who_is_known_is_known_after_a_restart_too() {
    let limits = ThrottleLimits { account_hour: 1, ..ThrottleLimits::default() };
    let (_folder, before) = logins(limits).await;
    before.login(credentials("alice@here.example", "right"), visitor()).await.unwrap();
    // Nobody waits for what is written down; what is asked for later stands behind it.
    tokio::task::yield_now().await;
    let origin = Origin::new(Door::House, 0);
    before.store.write::<_, store::Error, _>(origin, |_| Ok(())).await.unwrap().into_inner();
    for (now, is_known) in [(0, true), (30 * 24 * 3_600, false)] {
        let passwords = Arc::new(Passwords::new(2).unwrap());
        let metrics = Metrics::new();
        let after = Logins::open(&before.store, passwords, limits, &metrics, now);
        let after = after.await.unwrap();
        for (known, ago) in lately(&before.store, now).await.unwrap() {
            after.remember(&known, ago, visitor().now);
        }
        let stranger = Visitor { ip: "198.51.100.9".parse().unwrap(), ..visitor() };
        let wrong = || credentials("alice@here.example", "wrong");
        assert!(matches!(after.login(wrong(), stranger).await, Err(Refused::Wrong)));
        let begin = |ip| {
            let claim = Claim::new(ip, "Alice@here.example");
            let verdict = after.throttle.lock().unwrap().begin(claim, Instant::now().into_std());
            if let Verdict::Go | Verdict::Wait(..) = verdict {
                after.throttle.lock().unwrap().give_back(claim);
            }
            verdict
        };
        assert_eq!(begin(visitor().ip) == Verdict::Go, is_known);
        assert_ne!(begin(stranger.ip), Verdict::Go);
    }
}

#[tokio::test]
async fn plain_and_login_lead_to_the_same_door() {
    let (_folder, logins) = logins(ThrottleLimits::default()).await;
    let mut plain = logins.exchange(Mechanism::Plain, None);
    let done = plain.start(Some(b"\0alice@here.example\0right"), visitor()).await;
    assert!(matches!(done, Ok(Step::Done(_))));
    let mut login = logins.exchange(Mechanism::Login, None);
    assert!(matches!(login.start(None, visitor()).await, Ok(Step::Challenge(_))));
    let name = login.respond(b"alice@here.example", visitor()).await;
    assert!(matches!(name, Ok(Step::Challenge(_))));
    assert!(matches!(login.respond(b"wrong", visitor()).await, Err(Refused::Wrong)));
    let behind_the_end = login.respond(b"right", visitor()).await;
    assert!(!matches!(behind_the_end, Ok(Step::Done(_))));
}

#[tokio::test]
async fn scram_answers_alike_for_somebody_and_nobody() {
    let (_folder, logins) = logins(ThrottleLimits::default()).await;
    for name in ["alice@here.example", "bob@here.example"] {
        let mut exchange = logins.exchange(Mechanism::ScramSha256, None);
        let first = format!("n,,n={name},r=abc");
        let step = exchange.start(Some(first.as_bytes()), visitor()).await;
        let Ok(Step::Challenge(challenge)) = step else { panic!("{step:?}") };
        let challenge = String::from_utf8(challenge).unwrap();
        assert!(challenge.ends_with(&format!(",i={ROUNDS}")), "{challenge}");
        let nonce = challenge.split(',').next().unwrap();
        let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
        let refused = exchange.respond(last.as_bytes(), visitor()).await;
        assert!(matches!(refused, Err(Refused::Wrong)), "{name}: {refused:?}");
    }
}

/// `client-final-message` of one who knows the password (RFC 5802 §3).
fn proof(password: &str, first: &str, challenge: &str) -> Vec<u8> {
    use aws_lc_rs::{digest, hmac, pbkdf2};
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let sign = |key: &[u8], data: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
    };
    let mut salted = [0; 32];
    let rounds = std::num::NonZeroU32::new(ROUNDS).unwrap();
    let (hash, secret) = (pbkdf2::PBKDF2_HMAC_SHA256, password.as_bytes());
    pbkdf2::derive(hash, rounds, b"salt", secret, &mut salted);
    let key = sign(&salted, b"Client Key");
    let without = format!("c=biws,{}", challenge.split(',').next().unwrap());
    let signed = format!("{},{challenge},{without}", first.strip_prefix("n,,").unwrap());
    let signature = sign(digest::digest(&digest::SHA256, &key).as_ref(), signed.as_bytes());
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
    format!("{without},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
}

#[tokio::test]
async fn scram_knows_a_device_by_the_proof_of_its_app_password() {
    let (_folder, logins) = logins(ThrottleLimits::default()).await;
    let first = "n,,n=alice@here.example,r=abc";
    for (password, device) in [("app", Some(DeviceId(1))), ("wrong", None)] {
        let mut exchange = logins.exchange(Mechanism::ScramSha256, None);
        let step = exchange.start(Some(first.as_bytes()), visitor()).await;
        let Ok(Step::Challenge(challenge)) = step else { panic!("{step:?}") };
        let last = proof(password, first, std::str::from_utf8(&challenge).unwrap());
        let step = exchange.respond(&last, visitor()).await;
        let Some(device) = device else {
            assert!(matches!(step, Err(Refused::Wrong)), "{step:?}");
            continue;
        };
        let Ok(Step::Challenge(server)) = step else { panic!("{step:?}") };
        assert!(server.starts_with(b"v="));
        let done = exchange.respond(b"", visitor()).await;
        let Ok(Step::Done(user)) = done else { panic!("{done:?}") };
        assert_eq!(user.device, Some(device));
    }
}

#[tokio::test]
async fn who_fails_on_and_on_waits_and_is_sent_away() {
    let limits = ThrottleLimits { address_minute: 1, ..ThrottleLimits::default() };
    let (_folder, logins) = logins(limits).await;
    let visitor = visitor();
    let first = logins.login(credentials("x@y", "z"), visitor).await;
    assert!(matches!(first, Err(Refused::Wrong)));
    let attempt = Attempt { name: "x@y", mechanism: Mechanism::Plain, visitor };
    // Who hangs up while it waits has tried all the same.
    for _ in 0..5 {
        assert!(logins.admit(attempt).now_or_never().is_none(), "let in at once");
    }
    let refused = logins.login(credentials("x@y", "z"), visitor).await;
    assert!(matches!(refused, Err(Refused::TooMany)));
}

#[tokio::test]
async fn so_many_are_judged_at_once_as_may_fail_and_a_right_password_lets_the_next_in() {
    let (_folder, logins) = logins(ThrottleLimits::default()).await;
    let attempt = Attempt { name: "x@y", mechanism: Mechanism::Plain, visitor: visitor() };
    let begin = || logins.admit(attempt).now_or_never();
    let mut slots: Vec<_> = (0..10).map(|_| begin().unwrap().ok().unwrap()).collect();
    let mut next = std::pin::pin!(logins.admit(attempt));
    assert!(next.as_mut().now_or_never().is_none());
    slots.pop().unwrap().give_back();
    let slot = next.as_mut().now_or_never().expect("its turn has come");
    assert!(begin().is_none(), "there is no other place");
    // All the others fail; this one is right, and known from then on.
    drop(slots);
    slot.ok().unwrap().give_back();
    assert!(begin().is_some(), "one mishap is left");
    assert!(begin().is_none(), "and then there are delays");
}

#[tokio::test]
async fn a_proof_is_counted_when_it_is_judged_and_not_while_the_client_thinks() {
    let limits = ThrottleLimits { address_minute: 1, ..ThrottleLimits::default() };
    let (_folder, logins) = logins(limits).await;
    let first = "n,,n=alice@here.example,r=abc";
    let mut asked = Vec::new();
    for _ in 0..20 {
        let mut exchange = logins.exchange(Mechanism::ScramSha256, None);
        let step = exchange.start(Some(first.as_bytes()), visitor()).await;
        let Ok(Step::Challenge(challenge)) = step else { panic!("{step:?}") };
        asked.push((exchange, String::from_utf8(challenge).unwrap()));
    }
    let (mut right, challenge) = asked.pop().unwrap();
    let step = right.respond(&proof("app", first, &challenge), visitor()).await;
    assert!(matches!(step, Ok(Step::Challenge(_))), "{step:?}");
    let (mut wrong, challenge) = asked.pop().unwrap();
    let step = wrong.respond(&proof("wrong", first, &challenge), visitor()).await;
    assert!(matches!(step, Err(Refused::Wrong)), "{step:?}");
    let (mut late, challenge) = asked.pop().unwrap();
    let last = proof("app", first, &challenge);
    assert!(late.respond(&last, visitor()).now_or_never().is_none(), "a delay");
}

//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS on submission, by a client of the test's own (RFC 5802,
//! RFC 7677, RFC 9266).

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};

use crate::{
    connection::Connection,
    house::{House, PASSWORD, Service},
};

/// What the client says of the channel: the GS2 header, and the data that binds to TLS.
struct Channel {
    header: &'static str,
    data: Vec<u8>,
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// Logs in as alice; the last answer.
fn log_in(smtp: &mut Connection, mechanism: &str, channel: &Channel, password: &str) -> String {
    let first = "n=alice@demo.example,r=fyko+d2lbbFgONRv9qkxdawL";
    let start = BASE64.encode(format!("{}{first}", channel.header));
    let challenge = smtp.command(&format!("AUTH {mechanism} {start}")).unwrap();
    let Some(challenge) = challenge.strip_prefix("334 ") else { return challenge };
    let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
    let field =
        |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
    let nonce = field("r=");
    assert!(nonce.starts_with("fyko+d2lbbFgONRv9qkxdawL") && nonce.len() > 40, "{challenge}");
    let salt = BASE64.decode(field("s=")).unwrap();
    let rounds: NonZeroU32 = field("i=").parse().unwrap();
    assert!(rounds.get() >= 4096);
    let mut salted = [0; 32];
    let secret = password.as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, &mut salted);
    let binding = [channel.header.as_bytes(), &channel.data].concat();
    let without_proof = format!("c={},r={nonce}", BASE64.encode(binding));
    let signed = format!("{first},{challenge},{without_proof}");
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), signed.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
    let last = BASE64.encode(format!("{without_proof},p={}", BASE64.encode(proof)));
    let verdict = smtp.command(&last).unwrap();
    let Some(verdict) = verdict.strip_prefix("334 ") else { return verdict };
    let server = BASE64.encode(sign(&sign(&salted, b"Server Key"), signed.as_bytes()));
    assert_eq!(BASE64.decode(verdict).unwrap(), format!("v={server}").into_bytes());
    smtp.command("").unwrap()
}

/// A connection that was greeted, with SCRAM keys for alice.
fn greeted(house: &House, service: Service) -> Connection {
    let mut smtp = house.connect(service);
    smtp.read_reply().unwrap();
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(offers.contains("SCRAM-SHA-256 "), "{offers}");
    smtp
}

#[test]
fn who_knows_the_password_proves_it_without_sending_it() {
    let house = House::open();
    let channel = Channel { header: "n,,", data: Vec::new() };
    let mut smtp = greeted(&house, Service::Submission);
    let refused = log_in(&mut smtp, "SCRAM-SHA-256", &channel, "wrong");
    assert!(refused.starts_with("535 5.7.8 "), "{refused}");
    let welcome = log_in(&mut smtp, "SCRAM-SHA-256", &channel, PASSWORD);
    assert!(welcome.starts_with("235 "), "{welcome}");
}

#[test]
fn within_tls_the_proof_is_bound_to_the_connection() {
    let house = House::open();
    let header = "p=tls-exporter,,";
    let mut smtp = greeted(&house, Service::Submissions);
    let elsewhere = Channel { header, data: vec![7; 32] };
    let refused = log_in(&mut smtp, "SCRAM-SHA-256-PLUS", &elsewhere, PASSWORD);
    assert!(refused.starts_with("535 "), "{refused}");
    let bound = Channel { header, data: smtp.channel_binding() };
    let welcome = log_in(&mut smtp, "SCRAM-SHA-256-PLUS", &bound, PASSWORD);
    assert!(welcome.starts_with("235 "), "{welcome}");
    // A client that could bind but saw no offer of it was misled by somebody on the way.
    let mut smtp = greeted(&house, Service::Submissions);
    let misled = Channel { header: "y,,", data: Vec::new() };
    let refused = log_in(&mut smtp, "SCRAM-SHA-256", &misled, PASSWORD);
    assert!(!refused.starts_with("235 "), "{refused}");
}

/// How often the password is hashed, by the challenge that an address gets.
fn rounds(smtp: &mut Connection, address: &str) -> String {
    let start = BASE64.encode(format!("n,,n={address},r=fyko+d2lbbFgONRv9qkxdawL"));
    let challenge = smtp.command(&format!("AUTH SCRAM-SHA-256 {start}")).unwrap();
    let challenge = BASE64.decode(challenge.strip_prefix("334 ").unwrap()).unwrap();
    assert!(smtp.command("*").unwrap().starts_with("501"));
    String::from_utf8(challenge).unwrap().rsplit_once(",i=").unwrap().1.to_owned()
}

#[test]
fn a_challenge_does_not_tell_whether_an_address_exists() {
    let house = House::open();
    let add = |address: &str, more: &[&str]| {
        let add = [&["user", "add", address, "--password-stdin"], more].concat();
        assert!(house.command(&add, "secret\n").status.success());
    };
    add("keyless@demo.example", &["--no-scram"]);
    add("keyed@demo.example", &[]);
    let mut smtp = greeted(&house, Service::Submission);
    let counts = ["keyless", "keyed", "nobody"]
        .map(|name| rounds(&mut smtp, &format!("{name}@demo.example")));
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

//! Tokens to the bit, and that a refusal tells nothing by its work.

use crate::{
    mail::urls::token::{proves, token},
    store::UrlKey,
    wire::work,
};

const KEY: [u8; 32] = [7; 32];
const RUMP: &str = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred";

#[test]
fn a_token_names_its_algorithm_and_is_the_hmac_of_the_very_octets() {
    let token = token(&KEY, RUMP);
    assert_eq!(token.len(), 66);
    assert!(token.starts_with("01") && token.bytes().all(|octet| octet.is_ascii_hexdigit()));
    assert!(proves(Some(&KEY), RUMP, &token));
    assert!(proves(Some(&KEY), RUMP, &token.to_ascii_uppercase()));
}

#[test]
fn every_bit_of_a_token_and_of_what_it_signs_counts() {
    let right = token(&KEY, RUMP);
    for bit in 0..right.len() * 8 {
        let mut octets = right.clone().into_bytes();
        octets[bit / 8] ^= 1 << (bit % 8);
        // A digit has two cases, which say the same.
        let same = octets.to_ascii_lowercase() == right.as_bytes();
        let forged = String::from_utf8_lossy(&octets);
        assert_eq!(proves(Some(&KEY), RUMP, &forged), same, "{forged}");
    }
    for bit in 0..RUMP.len() * 8 {
        let mut octets = RUMP.as_bytes().to_vec();
        octets[bit / 8] ^= 1 << (bit % 8);
        let altered = String::from_utf8_lossy(&octets);
        assert!(!proves(Some(&KEY), &altered, &right), "{altered}");
    }
    for wrong in ["", &right[..64], &right[2..], &format!("{right}0")] {
        assert!(!proves(Some(&KEY), RUMP, wrong), "{wrong}");
    }
}

#[test]
fn without_a_key_nothing_is_proven_not_even_by_the_decoy() {
    assert!(!proves(None, RUMP, &token(&[0; 32], RUMP)));
}

#[test]
fn valid_forged_and_keyless_cost_the_same_work() {
    let right = token(&KEY, RUMP);
    let forged = "0".repeat(66);
    let work = |key: Option<&UrlKey>, given: &str| {
        work::of(|| {
            proves(key, RUMP, given);
        })
    };
    let valid = work(Some(&KEY), &right);
    assert!(valid > 0);
    assert_eq!(valid, work(Some(&KEY), &forged));
    assert_eq!(valid, work(None, &forged));
}

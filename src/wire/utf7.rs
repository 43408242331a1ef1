//! Modified UTF-7, the coding of mailbox names for IMAP4rev1 (RFC 3501 §5.1.3).
//!
//! Decoding is strict: a name has exactly one coded form, so two different names on the wire can
//! never mean one mailbox.

use super::{Syntax, work::looked_at};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// The coded form: printable US-ASCII stands for itself, `&` becomes `&-`, all else is UTF-16 in
/// base64 between `&` and `-`.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u16> = Vec::new();
    for char in name.chars() {
        if matches!(char, ' '..='~') {
            end_shift(&mut shifted, &mut out);
            out.push(char);
            if char == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(char.encode_utf16(&mut [0; 2]).iter());
        }
    }
    end_shift(&mut shifted, &mut out);
    out
}

fn end_shift(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0_u32, 0_u32);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(digit(bits >> count));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(digit(bits << (6 - count)));
    }
    out.push('-');
}

fn digit(bits: u32) -> char {
    ALPHABET.get((bits & 63) as usize).map_or('A', |byte| char::from(*byte))
}

/// The name behind a coded form; refused is everything that [`encode`] would not have written.
pub fn decode(coded: &[u8]) -> Result<String, Syntax> {
    looked_at(coded.len());
    let mut out = String::with_capacity(coded.len());
    let mut bytes = coded.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'&' => shift(&mut bytes, &mut out)?,
            b' '..=b'~' => out.push(char::from(byte)),
            _ => return Err(Syntax::Expected("a mailbox name in modified UTF-7, not in 8 bit")),
        }
    }
    if encode(&out).as_bytes() == coded {
        Ok(out)
    } else {
        Err(Syntax::Expected("the one valid modified UTF-7 form of this mailbox name"))
    }
}

/// Reads what stands behind `&` up to and with its `-`.
fn shift(bytes: &mut impl Iterator<Item = u8>, out: &mut String) -> Result<(), Syntax> {
    let (mut bits, mut count, mut units) = (0_u32, 0_u32, Vec::new());
    let mut empty = true;
    loop {
        let byte = bytes.next().ok_or(Syntax::Expected("\"-\" at the end of modified UTF-7"))?;
        if byte == b'-' {
            break;
        }
        let value = ALPHABET.iter().zip(0_u32..).find(|(known, _)| **known == byte);
        let (_, value) = value.ok_or(Syntax::Expected("base64 behind \"&\", or \"&-\""))?;
        empty = false;
        bits = bits << 6 | value;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count & 0xffff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    if empty {
        out.push('&');
    }
    for char in char::decode_utf16(units) {
        out.push(char.map_err(|_| Syntax::Expected("whole UTF-16 characters"))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_go_both_ways() {
        for (name, coded) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("a & b", "a &- b"),
            ("☺!", "&Jjo-!"),
            ("😀", "&2D3eAA-"),
        ] {
            assert_eq!(encode(name), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn a_name_has_only_one_coded_form() {
        for bad in ["a&b", "&", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "Entw&APx-rfe", "&/w-"] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(decode("ü".as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn every_name_survives(name in "\\PC*") {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Ok(name));
        }

        #[test]
        fn no_octets_break_the_decoder(coded: Vec<u8>) {
            let _ = decode(&coded);
        }
    }
}

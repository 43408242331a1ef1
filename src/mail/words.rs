//! Header text for people: encoded words and stray eight-bit text to UTF-8 (RFC 2047).
//!
//! Used where text is compared, sorted or shown; IMAP itself passes the encoded form on.

use mail_parser::decoders::charsets::map::charset_decoder;

use super::{
    binary::decode::decode_all, budget::Budget, converted::Converting, encoding::Encoding,
};
use crate::wire::work::looked_at;

/// So many encoded words of a message are decoded when nothing else is said.
pub(super) const WORDS_MAX: usize = 10_000;

/// Turns octets of a named character set into text; unknown names count as UTF-8, and what is not
/// valid there as windows-1252.
pub fn text_in(charset: &[u8], octets: &[u8]) -> String {
    let utf8 = charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"us-ascii");
    match charset_decoder(charset) {
        Some(decode) if !utf8 && !charset.is_empty() => decode(octets),
        _ => plain(octets),
    }
}

fn plain(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned(),
    }
}

/// Decodes the encoded words of an unfolded value; everything else stays as it is.
///
/// Blanks between two encoded words vanish (RFC 2047 §6.2); words of one character set are joined
/// before they are decoded, since senders do split characters. Each takes one off `left`; when
/// nothing is left they stay as they are.
pub fn decode(value: &[u8], left: &mut usize) -> String {
    let mut budget = Budget::new(*left);
    let text = decode_within(value, &mut budget);
    *left = budget.left();
    text
}

/// The same, and the budget knows in the end whether there were more.
pub(super) fn decode_within(value: &[u8], budget: &mut Budget) -> String {
    let mut out = String::with_capacity(value.len());
    each_piece(value, budget, |charset, octets| out.push_str(&text_in(charset, octets)));
    out
}

/// The same as it is compared.
pub(super) fn convert(value: &[u8], left: &mut usize, to: &mut Converting) {
    let mut budget = Budget::new(*left);
    convert_within(value, &mut budget, to);
    *left = budget.left();
}

/// The same, and the budget knows in the end whether there were more words.
pub(super) fn convert_within(value: &[u8], budget: &mut Budget, to: &mut Converting) {
    each_piece(value, budget, |charset, octets| to.push(charset, octets));
}

/// Gives the pieces of a value without their encoding, each with its character set, which is empty where
/// none is named.
fn each_piece(value: &[u8], budget: &mut Budget, mut give: impl FnMut(&[u8], &[u8])) {
    let mut rest = value;
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    looked_at(value.len());
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        looked_at(start.saturating_add(2));
        let (before, here) = rest.split_at_checked(start).unwrap_or((rest, b""));
        let word = if budget.is_short() { None } else { Word::read(here) };
        let Some(word) = word.filter(|_| budget.take()) else {
            let (skipped, behind) = rest.split_at_checked(start + 2).unwrap_or((rest, b""));
            flush(&mut give, &mut pending);
            give(b"", skipped);
            rest = behind;
            continue;
        };
        let joins = pending.is_some() && before.iter().all(u8::is_ascii_whitespace);
        if !joins {
            flush(&mut give, &mut pending);
            give(b"", before);
        }
        match &mut pending {
            Some((charset, octets)) if charset.eq_ignore_ascii_case(word.charset) => {
                octets.extend(word.octets);
            }
            _ => {
                flush(&mut give, &mut pending);
                pending = Some((word.charset, word.octets));
            }
        }
        rest = word.rest;
    }
    flush(&mut give, &mut pending);
    give(b"", rest);
}

fn flush(give: &mut impl FnMut(&[u8], &[u8]), pending: &mut Option<(&[u8], Vec<u8>)>) {
    if let Some((charset, octets)) = pending.take() {
        give(charset, &octets);
    }
}

/// `encoded-word = "=?" charset "?" encoding "?" encoded-text "?="` (RFC 2047 §2)
struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    rest: &'a [u8],
}

impl<'a> Word<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut pieces = text.strip_prefix(b"=?")?.splitn(4, |octet| *octet == b'?');
        let (charset, encoding) = (pieces.next()?, pieces.next()?);
        let (encoded, rest) = (pieces.next()?, pieces.next()?.strip_prefix(b"=")?);
        // RFC 2231 §5: a language may follow the character set.
        let charset = charset.split(|octet| *octet == b'*').next().unwrap_or(charset);
        if charset.is_empty() || !charset.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        looked_at(charset.len().saturating_add(encoded.len()));
        let octets = match encoding {
            b"B" | b"b" => decode_all(Encoding::Base64, encoded),
            b"Q" | b"q" => q_decode(encoded),
            _ => return None,
        };
        Some(Self { charset, octets, rest })
    }
}

/// The Q encoding: quoted-printable with `_` for a blank (RFC 2047 §4.2).
fn q_decode(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter().copied();
    while let Some(octet) = rest.next() {
        match octet {
            b'_' => out.push(b' '),
            b'=' => {
                let mut ahead = rest.clone();
                match (ahead.next().and_then(hex), ahead.next().and_then(hex)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        rest = ahead;
                    }
                    _ => out.push(octet),
                }
            }
            _ => out.push(octet),
        }
    }
    out
}

/// The value of a hexadecimal digit, in either case.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &[u8]) -> String {
        decode(value, &mut { WORDS_MAX })
    }

    #[test]
    fn the_examples_of_rfc_2047_section_8() {
        for (encoded, text) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        ] {
            assert_eq!(all(encoded.as_bytes()), text);
        }
    }

    #[test]
    fn a_character_split_over_two_words_is_whole() {
        assert_eq!(all(b"=?utf-8?q?=C3?= =?UTF-8?q?=BC?="), "ü");
    }

    #[test]
    fn what_is_no_encoded_word_stays() {
        for text in ["=?", "a =?x?= b", "=?utf-8?x?abc?=", "=?utf-8?q?abc", "1 =? 2"] {
            assert_eq!(all(text.as_bytes()), text);
        }
    }

    #[test]
    fn eight_bit_text_is_utf_8_or_else_windows_1252() {
        assert_eq!(all("Grüße".as_bytes()), "Grüße");
        assert_eq!(all(b"Gr\xfc\xdfe"), "Grüße");
    }

    #[test]
    fn words_are_decoded_up_to_the_limit_over_several_values() {
        for (limit, decoded) in [(1, "a =?utf-8?q?b?="), (2, "ab"), (3, "ab")] {
            let mut left = limit;
            assert_eq!(decode(b"=?utf-8?q?a?= =?utf-8?q?b?=", &mut left), decoded);
            let third = decode(b"=?utf-8?q?c?=", &mut left);
            assert_eq!(third == "c", limit == 3, "{third}");
        }
    }
}

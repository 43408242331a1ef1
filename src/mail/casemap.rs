//! The collation `i;unicode-casemap` (RFC 5051): how names, searches and sort keys are compared.

use icu_casemap::CaseMapper;
use icu_normalizer::{
    ComposingNormalizer, DecomposingNormalizer, properties::CanonicalCombiningClassMap,
};

/// Text prepared for comparison (RFC 5051 §2): each character to simple titlecase, then NFKD.
///
/// US-ASCII is its own decomposition and parts the marks around it, so only what stands between is
/// worked on.
pub fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mapper, normalizer) = (CaseMapper::new(), DecomposingNormalizer::new_nfkd());
    let mut rest = text;
    while !rest.is_empty() {
        let (ascii, behind) = split_where(rest, |octet| !octet.is_ascii());
        let start = out.len();
        out.push_str(ascii);
        if let Some(ascii) = out.get_mut(start..) {
            ascii.make_ascii_uppercase();
        }
        let (other, behind) = split_where(behind, u8::is_ascii);
        let titled = other.chars().map(|character| mapper.simple_titlecase(character));
        out.extend(normalizer.normalize_iter(titled));
        rest = behind;
    }
    out
}

/// The last place where a text can be parted so that its parts, prepared each by itself, are the whole
/// prepared; its beginning when there is none. More text may follow.
///
/// That is before a letter which begins with no mark: marks are put in order among themselves, and
/// nothing is composed.
pub(super) fn last_seam(text: &str) -> usize {
    let (mapper, normalizer) = (CaseMapper::new(), DecomposingNormalizer::new_nfkd());
    let classes = CanonicalCombiningClassMap::new();
    let begins_anew = |letter: char| {
        let titled = mapper.simple_titlecase(letter);
        let first = normalizer.normalize_iter(std::iter::once(titled)).next();
        letter.is_ascii() || first.is_some_and(|first| classes.get_u8(first) == 0)
    };
    text.char_indices().rev().find(|(_, letter)| begins_anew(*letter)).map_or(0, |(place, _)| place)
}

/// Is there a letter that is a mark on another one? Parts of a text without any are found in it also
/// when both are prepared.
pub(super) fn has_marks(text: &str) -> bool {
    let classes = CanonicalCombiningClassMap::new();
    !text.is_ascii() && text.chars().any(|letter| classes.get_u8(letter) != 0)
}

/// Tells whether texts that were prepared before compare with texts that are prepared now: another
/// version of Unicode may know more letters.
pub fn fingerprint() -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    let mut some = String::new();
    for letter in '\u{80}'..='\u{2ffff}' {
        some.push(letter);
        if some.len() >= 1024 {
            hasher.update(casemap(&some).as_bytes());
            some.clear();
        }
    }
    hasher.update(casemap(&some).as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    first
}

/// Parts a text before the first octet that is so, which must begin a character.
fn split_where(text: &str, is_so: impl Fn(&u8) -> bool) -> (&str, &str) {
    let place = text.as_bytes().iter().position(is_so).unwrap_or(text.len());
    text.split_at_checked(place).unwrap_or((text, ""))
}

/// Text with composed characters, as names are kept (RFC 5198 §3).
pub fn nfc(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    ComposingNormalizer::new_nfc().normalize(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_are_compared_without_case_and_without_composition() {
        assert_eq!(casemap("inbox"), casemap("INBOX"));
        assert_eq!(casemap("Müller"), casemap("MU\u{308}LLER"));
        assert_eq!(casemap("ΣΑΣ"), casemap("σας"));
        assert_eq!(casemap("ｍａｉｌ"), casemap("mail"));
        assert_ne!(casemap("ß"), casemap("ss"));
    }

    proptest! {
        #[test]
        fn parts_between_ascii_are_as_the_whole(text in "[a-zé\\u{300}-\\u{316}ßŉＡ가-깋]{0,24}") {
            let mapper = CaseMapper::new();
            let titled = text.chars().map(|character| mapper.simple_titlecase(character));
            let whole: String = DecomposingNormalizer::new_nfkd().normalize_iter(titled).collect();
            prop_assert_eq!(casemap(&text), whole);
        }

        #[test]
        fn parts_at_a_seam_are_as_the_whole(
            text in "[a-zé\\u{300}-\\u{316}\\u{f73}\\u{344}\\u{1100}\\u{1161}ßŉＡ가-깋]{0,24}",
        ) {
            let (head, tail) = text.split_at(last_seam(&text));
            prop_assert_eq!(casemap(head) + &casemap(tail), casemap(&text));
        }
    }
}

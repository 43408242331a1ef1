//! The collation `i;unicode-casemap` (RFC 5051): how names, searches and sort keys are compared.

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};

/// Text prepared for comparison (RFC 5051 §2): each character to simple titlecase, then NFKD.
pub fn casemap(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mapper = CaseMapper::new();
    let titled = text.chars().map(|character| mapper.simple_titlecase(character));
    DecomposingNormalizer::new_nfkd().normalize_iter(titled).collect()
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
    use super::*;

    #[test]
    fn letters_are_compared_without_case_and_without_composition() {
        assert_eq!(casemap("inbox"), casemap("INBOX"));
        assert_eq!(casemap("Müller"), casemap("MU\u{308}LLER"));
        assert_eq!(casemap("ΣΑΣ"), casemap("σας"));
        assert_eq!(casemap("ｍａｉｌ"), casemap("mail"));
        assert_ne!(casemap("ß"), casemap("ss"));
    }
}

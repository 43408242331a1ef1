//! Names that everybody can write: `Müller & Co` is `mueller-co`.

use icu_normalizer::{DecomposingNormalizer, properties::CanonicalCombiningClassMap};

use crate::mail::{casemap::nfc, name::SEPARATOR};

/// Letters with a mark that are written as two without it.
const UMLAUTS: [(char, &str); 3] = [('ä', "ae"), ('ö', "oe"), ('ü', "ue")];
/// Letters that are no others with a mark.
const LIGATURES: [(char, &str); 11] = [
    ('ß', "ss"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ø', "o"),
    ('đ', "d"),
    ('ð', "d"),
    ('þ', "th"),
    ('ł', "l"),
    ('ħ', "h"),
    ('ŧ', "t"),
    ('ı', "i"),
];

/// The slugs of a name's levels; None when one of them has none.
pub(super) fn slugs(name: &str) -> Option<String> {
    let levels: Vec<_> = name.split(SEPARATOR).map(slug).collect();
    (!levels.iter().any(String::is_empty)).then(|| levels.join("/"))
}

/// A name in small letters and digits, without marks, and a hyphen for each run of anything else
/// between them. Letters of other scripts stay.
fn slug(name: &str) -> String {
    if name.is_ascii() {
        return hyphenated(name.chars().map(|c| c.to_ascii_lowercase()));
    }
    let classes = CanonicalCombiningClassMap::new();
    let lower = nfc(name).chars().flat_map(char::to_lowercase).collect::<String>();
    let plain = written(&nfc(&lower), &UMLAUTS);
    let letters = DecomposingNormalizer::new_nfkd();
    let letters = letters.normalize_iter(plain.chars()).flat_map(char::to_lowercase);
    let letters = letters.filter(|c| classes.get_u8(*c) == 0).collect::<String>();
    nfc(&hyphenated(written(&letters, &LIGATURES).chars()))
}

fn written(text: &str, as_others: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match as_others.iter().find(|(letter, _)| *letter == c) {
            Some((_, letters)) => out.push_str(letters),
            None => out.push(c),
        }
    }
    out
}

fn hyphenated(letters: impl Iterator<Item = char>) -> String {
    let (mut out, mut between) = (String::new(), false);
    for c in letters {
        if !c.is_alphanumeric() {
            between = true;
            continue;
        }
        if std::mem::take(&mut between) && !out.is_empty() {
            out.push('-');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slug_is_what_people_write_in_place_of_a_name() {
        for (name, expected) in [
            ("Müller & Co", "mueller-co"),
            ("MU\u{308}LLER", "mueller"),
            ("  My  Box.2 ", "my-box-2"),
            ("Reçus d'été", "recus-d-ete"),
            ("Straße", "strasse"),
            ("Łódź", "lodz"),
            ("Письма 2", "письма-2"),
            ("&+/=", ""),
            ("", ""),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
        assert_eq!(slugs("INBOX/My Box/é"), Some("inbox/my-box/e".into()));
        assert_eq!(slugs("INBOX/++"), None);
    }

    proptest! {
        #[test]
        fn a_slug_is_its_own_slug(name in "[\\PC]{0,12}") {
            let once = slug(&name);
            prop_assert_eq!(slug(&once), once);
        }

        #[test]
        fn a_slug_of_latin_letters_needs_no_quotes(name in "[a-zA-Zäöüßéñçøåł0-9 .&+/'\"\\\\-]{0,16}") {
            let slug = slug(&name);
            prop_assert!(slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }
}

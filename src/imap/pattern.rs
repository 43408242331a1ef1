//! Patterns of LIST and LSUB: `*` is anything, `%` anything within one level (RFC 9051 §6.3.9).

use crate::{
    mail::{casemap::nfc, name::SEPARATOR},
    wire::work::looked_at,
};

/// A reference and a pattern, joined, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    steps: Vec<Step>,
    /// The characters that the steps name, in order.
    chars: Vec<char>,
    /// Steps that take a character: no shorter name matches.
    plain: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// `*`
    Anything,
    /// `%`
    WithinLevel,
    /// The character at this place among those that are named.
    Char(usize),
}

impl Pattern {
    /// The pattern as it is meant under this reference, composed as names are. INBOX matches in any
    /// case.
    pub fn new(reference: &str, pattern: &str) -> Self {
        let joined = joined(reference, pattern);
        let is_wild = |char: &char| matches!(char, '*' | '%');
        let mut chars: Vec<char> = joined.iter().copied().filter(|char| !is_wild(char)).collect();
        let plain = chars.len();
        chars.sort_unstable();
        chars.dedup();
        let step = |char| match char {
            '*' => Step::Anything,
            '%' => Step::WithinLevel,
            char => Step::Char(chars.binary_search(&char).unwrap_or(usize::MAX)),
        };
        Self { steps: joined.into_iter().map(step).collect(), chars, plain }
    }

    /// Are levels above mailboxes meant too, where nothing else is (RFC 9051 §6.3.9)?
    pub fn asks_for_levels(&self) -> bool {
        self.steps.last() == Some(&Step::WithinLevel)
    }

    /// Does a mailbox of this name match?
    ///
    /// Walks the pattern once, with the set of all places in the name that it may have reached: a bit
    /// for each, so that the longest pattern costs little more than a short one.
    pub fn matches(&self, name: &str) -> bool {
        let length = name.chars().count();
        if self.plain > length {
            return false;
        }
        let mut of_char = vec![Places::none(length); self.chars.len()];
        let mut within_level = Places::none(length);
        for (place, char) in name.chars().enumerate() {
            let named = self.chars.binary_search(&char).ok();
            if let Some(places) = named.and_then(|named| of_char.get_mut(named)) {
                places.add(place);
            }
            if char != SEPARATOR {
                within_level.add(place);
            }
        }
        let mut reached = Places::none(length);
        reached.add(0);
        for step in &self.steps {
            looked_at(reached.0.len());
            match step {
                Step::Anything => reached.fill(),
                Step::WithinLevel => reached.spread(&within_level),
                Step::Char(named) => {
                    let Some(places) = of_char.get(*named) else { return false };
                    reached.advance(places);
                }
            }
            if reached.are_none() {
                return false;
            }
        }
        reached.has(length)
    }
}

fn joined(reference: &str, pattern: &str) -> Vec<char> {
    let mut joined: Vec<char> = Vec::new();
    for char in nfc(&format!("{reference}{pattern}")).chars() {
        match (joined.last(), char) {
            // Next to `*` nothing else that is wild means anything.
            (Some('*'), '*' | '%') | (Some('%'), '%') => continue,
            (Some('%'), '*') => {
                joined.pop();
            }
            _ => {}
        }
        joined.push(char);
    }
    let first = joined.split(|char| *char == SEPARATOR).next().unwrap_or_default();
    let inbox = "INBOX".chars();
    if first.len() == 5 && first.iter().zip(inbox.clone()).all(|(a, b)| a.eq_ignore_ascii_case(&b))
    {
        joined.splice(..5, inbox);
    }
    joined
}

/// Places in a name, each a bit; the lowest stands before its first character.
#[derive(Clone, Debug)]
struct Places(Vec<u64>);

impl Places {
    const WORD: usize = u64::BITS as usize;

    /// None of those in a name of so many characters, its end included.
    fn none(length: usize) -> Self {
        Self(vec![0; length / Self::WORD + 1])
    }

    fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / Self::WORD) {
            *word |= 1 << (place % Self::WORD);
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place / Self::WORD).is_some_and(|word| word >> (place % Self::WORD) & 1 == 1)
    }

    fn are_none(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Every place from the first of them on; some lie behind the name's end and mean nothing.
    fn fill(&mut self) {
        let mut begun = false;
        for word in &mut self.0 {
            *word = match (begun, *word) {
                (true, _) => u64::MAX,
                (false, first) => first.wrapping_neg() | first,
            };
            begun |= *word != 0;
        }
    }

    /// One place on, where this character stands.
    fn advance(&mut self, char: &Self) {
        let mut carried = 0;
        for (word, places) in self.0.iter_mut().zip(&char.0) {
            let on = *word & places;
            *word = on << 1 | carried;
            carried = on >> (Self::WORD - 1);
        }
    }

    /// From each on through all characters that stand in a row and may be passed: adding its bit to
    /// the row's carries it to the row's end, and what changed is what was passed.
    fn spread(&mut self, passable: &Self) {
        let mut carried = false;
        for (word, row) in self.0.iter_mut().zip(&passable.0) {
            let (sum, one) = row.overflowing_add(*word & row);
            let (sum, two) = sum.overflowing_add(u64::from(carried));
            carried = one || two;
            *word |= sum ^ row;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new("", pattern).matches(name)
    }

    #[test]
    fn percent_stays_in_its_level_and_star_does_not() {
        assert!(matches("%", "INBOX") && !matches("%", "a/b"));
        assert!(matches("*", "a/b") && matches("", "") && !matches("", "a"));
        assert!(matches("a/%", "a/b") && !matches("a/%", "a/b/c") && !matches("a/%", "a"));
        assert!(matches("%/b%", "a/bc") && matches("*b", "a/b") && !matches("*b", "a/bc"));
        assert!(matches("%*%", "a/b/c") && matches("x%/a%b", "x/ab"));
        assert!(!matches("x%/a%b", "x/a/ab"));
    }

    #[test]
    fn composition_does_not_matter() {
        assert!(matches("e\u{301}%", "\u{e9}t\u{e9}"));
    }

    #[test]
    fn inbox_is_matched_in_any_case_and_other_names_are_not() {
        assert!(matches("inbox", "INBOX") && matches("iNbOx/%", "INBOX/a"));
        assert!(!matches("archive", "Archive"));
        assert!(Pattern::new("INBOX/", "%").matches("INBOX/a"));
    }

    /// What the matcher means, said as slowly and plainly as possible.
    fn slow(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some(('*', rest)), next) => {
                slow(rest, name) || next.is_some_and(|(_, name)| slow(pattern, name))
            }
            (Some(('%', rest)), next) => {
                slow(rest, name) || next.is_some_and(|(c, name)| *c != '/' && slow(pattern, name))
            }
            (Some((wanted, rest)), Some((char, name))) => wanted == char && slow(rest, name),
            (Some(_), None) => false,
        }
    }

    #[test]
    fn names_longer_than_a_word_of_bits_match_as_short_ones_do() {
        for length in [62, 63, 64, 65, 127, 128, 129, 200] {
            let (one, two) = ("a".repeat(length), "a".repeat(length - 1));
            for name in [format!("{one}/b"), format!("{two}b/b"), format!("{two}\u{e9}/b")] {
                assert!(matches("%/b", &name) && matches("*b", &name) && matches("a%/%", &name));
                assert!(matches(&format!("{two}%/*"), &name) && matches("%%a%/b*", &name));
                assert!(!matches("%b", &name) && !matches("%/", &name) && !matches("*%c", &name));
            }
            assert!(matches(&one, &one) && !matches(&one, &two) && !matches(&two, &one));
        }
    }

    #[test]
    fn many_wild_cards_cost_little_more_than_one() {
        let name = "a".repeat(1_000);
        let pattern = "%a".repeat(499) + "b";
        let work = crate::wire::work::of(|| assert!(!matches(&pattern, &name)));
        assert!(work <= 999 * 16, "{work}");
    }

    proptest! {
        #[test]
        fn it_matches_what_the_plain_words_say(pattern in "[ab/%*]{0,6}", name in "[ab/]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &name), slow(&chars(&pattern), &chars(&name)));
        }
    }
}

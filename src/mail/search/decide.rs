//! How a program is decided, with whatever is known.

use super::key::{Key, Program};
use crate::mail::error::Result;

/// What is known of one message.
pub(super) trait Facts {
    /// Does this key, which joins no others, hold? None when what is known does not tell.
    fn holds(&mut self, key: &Key) -> Result<Option<bool>>;
}

impl Program {
    /// Does a message match? None when what is known of it does not tell.
    pub(super) fn matches(&self, facts: &mut impl Facts) -> Result<Option<bool>> {
        decide(&self.key, facts)
    }
}

/// As deep as the key nests, which its maker bounds.
fn decide(key: &Key, facts: &mut impl Facts) -> Result<Option<bool>> {
    match key {
        Key::And(keys) => first(keys, false, facts),
        Key::Or(keys) => first(keys, true, facts),
        Key::Not(key) => Ok(decide(key, facts)?.map(|holds| !holds)),
        key => facts.holds(key),
    }
}

/// The answer as soon as one of the keys gives it; else the opposite, if all are known.
fn first(keys: &[Key], answer: bool, facts: &mut impl Facts) -> Result<Option<bool>> {
    let mut all_known = true;
    for key in keys {
        match decide(key, facts)? {
            Some(holds) if holds == answer => return Ok(Some(answer)),
            Some(_) => {}
            None => all_known = false,
        }
    }
    Ok(all_known.then_some(!answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Collation;
    use crate::mail::search::Needle;

    /// Knows what stands in the view, and not what stands in texts.
    struct Cheap;

    impl Facts for Cheap {
        fn holds(&mut self, key: &Key) -> Result<Option<bool>> {
            Ok((key.cost() == 0).then_some(matches!(key, Key::All)))
        }
    }

    fn decided(key: Key) -> Option<bool> {
        Program::new(key).matches(&mut Cheap).unwrap()
    }

    #[test]
    fn what_is_unknown_matters_only_where_nothing_else_decides() {
        let unknown = || Key::Text(Needle::new("x", Collation::default()));
        let never = || Key::Larger(1);
        let not = |key| Key::Not(Box::new(key));
        assert_eq!(decided(unknown()), None);
        assert_eq!(decided(not(unknown())), None);
        assert_eq!(decided(Key::And(vec![unknown(), never()])), Some(false));
        assert_eq!(decided(Key::And(vec![unknown(), Key::All])), None);
        assert_eq!(decided(Key::Or(vec![unknown(), Key::All])), Some(true));
        assert_eq!(decided(Key::Or(vec![unknown(), never()])), None);
        assert_eq!(decided(not(Key::Or(vec![never(), never()]))), Some(true));
        assert_eq!(decided(Key::And(vec![])), Some(true));
        assert_eq!(decided(Key::Or(vec![])), Some(false));
    }
}

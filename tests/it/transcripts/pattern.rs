//! A line as a transcript writes it: text, `...` for anything, `<name>` for a word to be kept.

use std::collections::HashMap;

/// Words that were kept, by name.
pub(super) type Words = HashMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Anything,
    Word(String),
}

/// Does the line read as the pattern says? Keeps the words it names.
pub(super) fn matches(pattern: &str, line: &str, words: &mut Words) -> bool {
    let mut found = words.clone();
    let fits = fit(&pieces(pattern), line, &mut found);
    if fits {
        *words = found;
    }
    fits
}

/// The line that is sent: kept words and `<c*n>`, n times the character c, are filled in.
pub(super) fn fill(text: &str, words: &Words) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, inner, after)) = bracketed(rest) {
        out.push_str(before);
        match (words.get(inner), repeated(inner)) {
            (Some(word), _) => out.push_str(word),
            (None, Some(run)) => out.push_str(&run),
            (None, None) => out.push_str(&format!("<{inner}>")),
        }
        rest = after;
    }
    out + rest
}

fn repeated(inner: &str) -> Option<String> {
    let (what, times) = inner.rsplit_once('*')?;
    Some(what.repeat(times.parse().ok()?)).filter(|_| !what.is_empty())
}

/// The first `<…>` of a text, with what stands before and behind it.
fn bracketed(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find('<')?;
    let close = text[open..].find('>')? + open;
    let open = text[..close].rfind('<')?;
    Some((&text[..open], &text[open + 1..close], &text[close + 1..]))
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut out = Vec::new();
    for (index, part) in pattern.split("...").enumerate() {
        if index > 0 {
            out.push(Piece::Anything);
        }
        let mut rest = part;
        let mut text = String::new();
        while let Some((before, inner, after)) = bracketed(rest) {
            text.push_str(before);
            if is_name(inner) {
                out.push(Piece::Text(std::mem::take(&mut text)));
                out.push(Piece::Word(inner.to_owned()));
            } else {
                text.push_str(&repeated(inner).unwrap_or_else(|| format!("<{inner}>")));
            }
            rest = after;
        }
        out.push(Piece::Text(text + rest));
    }
    out
}

fn is_name(inner: &str) -> bool {
    inner.starts_with(|c: char| c.is_ascii_lowercase())
        && inner.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_word(c: char) -> bool {
    !c.is_whitespace() && !"()[]{}<>\"".contains(c)
}

fn fit(pieces: &[Piece], line: &str, words: &mut Words) -> bool {
    match pieces {
        [] => line.is_empty(),
        [Piece::Text(text), rest @ ..] => {
            line.strip_prefix(text.as_str()).is_some_and(|line| fit(rest, line, words))
        }
        [Piece::Anything, rest @ ..] => {
            let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
            ends.into_iter().any(|at| fit(rest, &line[at..], words))
        }
        [Piece::Word(name), rest @ ..] => {
            if let Some(known) = words.get(name) {
                let known = known.clone();
                return line.strip_prefix(&known).is_some_and(|line| fit(rest, line, words));
            }
            let longest = line.find(|c| !is_word(c)).unwrap_or(line.len());
            let ends = line[..longest].char_indices().skip(1).map(|(at, _)| at).chain([longest]);
            for at in ends.filter(|&at| at > 0).collect::<Vec<_>>().into_iter().rev() {
                let mut with = words.clone();
                with.insert(name.clone(), line[..at].to_owned());
                if fit(rest, &line[at..], &mut with) {
                    *words = with;
                    return true;
                }
            }
            false
        }
    }
}

#[test]
fn a_kept_word_is_filled_in_and_matched_later() {
    let mut words = Words::new();
    assert!(matches("* OK [UIDVALIDITY <v>] ...", "* OK [UIDVALIDITY 42] kept", &mut words));
    assert!(matches("a OK [APPENDUID <v> <u>]...", "a OK [APPENDUID 42 7] done", &mut words));
    assert!(!matches("x <v>", "x 43", &mut words));
    assert_eq!(fill("UID FETCH <u> (FLAGS)", &words), "UID FETCH 7 (FLAGS)");
}

#[test]
fn addresses_in_brackets_are_text() {
    let mut words = Words::new();
    assert_eq!(fill("RCPT TO:<alice@demo.example>", &words), "RCPT TO:<alice@demo.example>");
    assert!(matches("250 <a@b.example> ok", "250 <a@b.example> ok", &mut words));
    assert!(words.is_empty());
}

#[test]
fn a_long_run_is_written_short() {
    assert_eq!(fill("a NOOP <x*5>", &Words::new()), "a NOOP xxxxx");
}

//! Reads the MIME fields of a part: type, parameters, disposition, languages (RFC 2045, 2183,
//! 2231, 3282).
//!
//! Knows values only; where a part begins and ends is the scanner's affair.

use std::collections::{HashMap, HashSet};

use super::{Damage, Disposition, Limits, Media, Param, Part};
use crate::{
    mail::{
        budget::Budget,
        encoding::Encoding,
        field::{fields, unfold},
        lexer::{Lexer, is_blank},
    },
    metrics::Limit,
};

/// More languages of a part are not read.
const LANGUAGES_MAX: usize = 128;

/// Fills in what the header says of the part. Adds to `beyond` the bounds behind which the rest was not
/// read.
pub(super) fn describe(
    part: &mut Part,
    header: &[u8],
    default: fn() -> Media,
    limits: &Limits,
    beyond: &mut Vec<Limit>,
) {
    let mut media = None;
    let mut encoding = None;
    for field in fields(header) {
        let value = || unfold(field.value);
        let text = || Some(value().into_owned()).filter(|text| !text.is_empty());
        match field.name.to_ascii_lowercase().as_slice() {
            b"content-type" if media.is_none() => {
                media = Some(read_media(&value(), limits, beyond));
            }
            b"content-transfer-encoding" if encoding.is_none() => {
                encoding = Some(read_encoding(&value(), limits, beyond));
            }
            b"content-id" if part.id.is_none() => part.id = text(),
            b"content-description" if part.description.is_none() => part.description = text(),
            b"content-md5" if part.md5.is_none() => part.md5 = text(),
            b"content-location" if part.location.is_none() => part.location = text(),
            b"content-disposition" if part.disposition.is_none() => {
                part.disposition = read_disposition(&value(), limits, beyond);
            }
            b"content-language" if part.languages.is_empty() => {
                part.languages = read_languages(&value(), limits, beyond);
            }
            _ => {}
        }
    }
    part.encoding = encoding.filter(|name| !name.is_empty()).unwrap_or_else(|| b"7bit".to_vec());
    part.media = match media {
        None => default(),
        Some(Some(media)) => media,
        Some(None) => {
            part.damage.add(Damage::BAD_TYPE);
            match Encoding::of(&part.encoding) {
                Encoding::Base64 => Media::new("application", "octet-stream", Vec::new()),
                _ => Media::plain_text(),
            }
        }
    };
}

/// `content = type "/" subtype *(";" parameter)` (RFC 2045 §5.1); a lone `text` is text/plain.
fn read_media(value: &[u8], limits: &Limits, beyond: &mut Vec<Limit>) -> Option<Media> {
    let mut lexer = Lexer::new(value, limits.comment_depth);
    lexer.skip();
    let name = lexer.token();
    lexer.skip();
    let subtype = if lexer.take(b'/') {
        lexer.skip();
        lexer.token()
    } else if name.eq_ignore_ascii_case(b"text") {
        &b"plain"[..]
    } else {
        b""
    };
    if name.is_empty() || subtype.is_empty() {
        tell_cut(&lexer, beyond);
        return None;
    }
    let params = read_params(&mut lexer, limits.parameters, beyond);
    Some(Media { name: name.to_vec(), subtype: subtype.to_vec(), params })
}

/// `mechanism := token` (RFC 2045 §6.1)
fn read_encoding(value: &[u8], limits: &Limits, beyond: &mut Vec<Limit>) -> Vec<u8> {
    let mut lexer = Lexer::new(value, limits.comment_depth);
    lexer.skip();
    lexer.take(b'"');
    tell_cut(&lexer, beyond);
    lexer.token().to_vec()
}

/// Says if a comment was too deep.
fn tell_cut(lexer: &Lexer<'_>, beyond: &mut Vec<Limit>) {
    beyond.extend(lexer.is_cut().then_some(Limit::CommentDepthMax));
}

/// `disposition-type *(";" disposition-parm)` (RFC 2183 §2)
fn read_disposition(value: &[u8], limits: &Limits, beyond: &mut Vec<Limit>) -> Option<Disposition> {
    let mut lexer = Lexer::new(value, limits.comment_depth);
    lexer.skip();
    let name = match lexer.peek() {
        Some(b'"') => lexer.quoted(),
        _ => lexer.token().to_vec(),
    };
    let params = read_params(&mut lexer, limits.parameters, beyond);
    let name = match name.is_empty() {
        true if params.is_empty() => return None,
        true => b"attachment".to_vec(),
        false => name,
    };
    Some(Disposition { name, params })
}

/// `Language-List = Language-Tag [CFWS] *("," [CFWS] Language-Tag [CFWS])` (RFC 3282 §2)
fn read_languages(value: &[u8], limits: &Limits, beyond: &mut Vec<Limit>) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(value, limits.comment_depth);
    let mut languages = Vec::new();
    while languages.len() < LANGUAGES_MAX && lexer.peek().is_some() {
        lexer.skip();
        let tag = lexer.token();
        if tag.is_empty() {
            lexer.bump();
        } else {
            languages.push(tag.to_vec());
        }
    }
    tell_cut(&lexer, beyond);
    languages
}

/// `parameter := attribute "=" value` (RFC 2045 §5.1), each behind a semicolon.
///
/// A value without quotes goes to the next semicolon or comment, so that file names with blanks
/// survive.
fn read_params(lexer: &mut Lexer<'_>, most: usize, beyond: &mut Vec<Limit>) -> Vec<Param> {
    let (mut params, mut left) = (Vec::new(), Budget::new(most));
    while lexer.peek().is_some() {
        lexer.skip();
        let name = lexer.token();
        lexer.skip();
        if name.is_empty() || !lexer.take(b'=') {
            lexer.run(|octet| !matches!(octet, b';' | b'(' | b'"'));
            match lexer.peek() {
                Some(b'"') => drop(lexer.quoted()),
                Some(b'(') => lexer.skip(),
                _ => drop(lexer.bump()),
            }
            continue;
        }
        if !left.take() {
            beyond.push(Limit::ParametersMax);
            break;
        }
        lexer.skip();
        let value = match lexer.peek() {
            Some(b'"') => lexer.quoted(),
            _ => bare_value(lexer),
        };
        params.push(Param { name: name.to_vec(), value });
    }
    tell_cut(lexer, beyond);
    join(params)
}

fn bare_value(lexer: &mut Lexer<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    loop {
        value.extend_from_slice(lexer.run(|octet| octet != b';' && !is_blank(octet)));
        let blanks = lexer.run(is_blank);
        if blanks.is_empty() || matches!(lexer.peek(), None | Some(b';' | b'(')) {
            return value;
        }
        value.extend_from_slice(blanks);
    }
}

/// A piece of a continued parameter.
struct Piece {
    section: u32,
    extended: bool,
    value: Vec<u8>,
}

/// Puts continued parameters together, each in the place of its first piece (RFC 2231 §3, §4).
fn join(params: Vec<Param>) -> Vec<Param> {
    let mut pieces: HashMap<Vec<u8>, Vec<Piece>> = HashMap::new();
    let mut joined: Vec<Param> = Vec::with_capacity(params.len());
    let mut places = Vec::new();
    for Param { name, value } in params {
        match continued(&name) {
            Some((base, section, extended)) => {
                let list = pieces.entry(base.to_ascii_lowercase()).or_default();
                if list.is_empty() {
                    places.push(joined.len());
                    joined.push(Param { name: base.to_vec(), value: Vec::new() });
                }
                list.push(Piece { section, extended, value });
            }
            None => joined.push(Param { name, value }),
        }
    }
    for place in places {
        if let Some(param) = joined.get_mut(place)
            && let Some(list) = pieces.remove(&param.name.to_ascii_lowercase())
        {
            whole(param, list);
        }
    }
    first_of_each(joined)
}

/// `name*0`, `name*0*`: the name, the section and whether it is percent-encoded.
fn continued(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let star = memchr::memchr(b'*', name)?;
    let (base, tail) = name.split_at_checked(star)?;
    let tail = tail.strip_prefix(b"*")?;
    let (digits, extended) = match tail.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (tail, false),
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    if base.is_empty() || !all_digits {
        return None;
    }
    Some((base, digits.parse().ok()?, extended))
}

fn whole(param: &mut Param, mut pieces: Vec<Piece>) {
    pieces.sort_by_key(|piece| piece.section);
    pieces.dedup_by_key(|piece| piece.section);
    let first = pieces.first().map_or(0, |piece| piece.section);
    let row = (first..).zip(&pieces).take_while(|(section, piece)| *section == piece.section);
    let pieces: Vec<&Piece> = row.map(|(_, piece)| piece).collect();
    let extended = pieces.iter().any(|piece| piece.extended);
    if extended {
        param.name.push(b'*');
        if !pieces.first().is_some_and(|piece| piece.extended) {
            param.value.extend_from_slice(b"''");
        }
    }
    for piece in pieces {
        if extended && !piece.extended {
            percent_encode(&mut param.value, &piece.value);
        } else {
            param.value.extend_from_slice(&piece.value);
        }
    }
}

/// `attribute-char` stays, all else is `%` and two digits (RFC 2231 §7).
fn percent_encode(out: &mut Vec<u8>, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in value {
        if octet.is_ascii_graphic() && !b"*'%()<>@,;:\\\"/[]?=".contains(octet) {
            out.push(*octet);
        } else {
            out.push(b'%');
            out.extend(DIGITS.get(usize::from(octet >> 4)));
            out.extend(DIGITS.get(usize::from(octet & 15)));
        }
    }
}

fn first_of_each(params: Vec<Param>) -> Vec<Param> {
    let mut names = HashSet::with_capacity(params.len());
    let first = |param: &Param| names.insert(param.name.to_ascii_lowercase());
    params.into_iter().filter(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(value: &[u8]) -> Option<Media> {
        read_media(value, &Limits::default(), &mut Vec::new())
    }

    fn params(value: &str) -> Vec<(String, String)> {
        let media = typed(format!("a/b; {value}").as_bytes()).unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        media.params.into_iter().map(|param| (text(param.name), text(param.value))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_and_quotes_do_not_count() {
        let media = typed(b"text/plain; charset=us-ascii (Plain text)").unwrap();
        assert_eq!(media.param("Charset"), Some(&b"us-ascii"[..]));
        let media = typed(b" (a) text (b) / (c) plain ; charset=\"us-ascii\"").unwrap();
        assert!(media.is("TEXT", "Plain"));
        assert_eq!(media.param("charset"), Some(&b"us-ascii"[..]));
    }

    #[test]
    fn continuations_of_rfc_2231_section_3_are_joined() {
        assert_eq!(
            params("URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub\""),
            [pair("URL", "ftp://cs.utk.edu/pub")]
        );
    }

    #[test]
    fn extended_continuations_of_rfc_2231_section_4_stay_extended() {
        assert_eq!(
            params(
                "title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\""
            ),
            [pair(
                "title*",
                "us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"
            )]
        );
        assert_eq!(params("x*=utf-8''a%20b; x=ab"), [pair("x*", "utf-8''a%20b"), pair("x", "ab")]);
    }

    #[test]
    fn pieces_may_come_in_any_order_and_end_at_a_gap() {
        assert_eq!(params("a*2=z; a*1=y; b=1; a*0=x; a*4=w"), [pair("a", "xyz"), pair("b", "1")]);
    }

    #[test]
    fn file_names_without_quotes_keep_their_blanks() {
        assert_eq!(
            params("name=My nice  File.pdf ; x=1"),
            [pair("name", "My nice  File.pdf"), pair("x", "1")]
        );
    }

    #[test]
    fn the_first_of_two_counts_and_rubbish_is_passed_over() {
        assert_eq!(params("; = ; a=1 ; foo ; A=2; \"x;y\" b=3"), [pair("a", "1"), pair("b", "3")]);
    }

    #[test]
    fn types_without_a_subtype_are_broken() {
        for broken in ["", "multipart", "/plain", "text/", "тип/x", ";", "()"] {
            assert!(typed(broken.as_bytes()).is_none(), "{broken}");
        }
        assert!(typed(b"text; charset=utf-8").unwrap().is("text", "plain"));
    }

    #[test]
    fn no_more_parameters_than_the_limit() {
        for (number, read, beyond) in [(127, 127, 0), (128, 128, 0), (129, 128, 1)] {
            let many: String = (0..number).map(|n| format!("; p{n}=1")).collect();
            let mut told = Vec::new();
            let value = format!("a/b{many};;");
            let media = read_media(value.as_bytes(), &Limits::default(), &mut told).unwrap();
            assert_eq!((media.params.len(), told.len()), (read, beyond), "{number}");
        }
    }
}

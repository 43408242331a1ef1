//! Makes a message fit for a next hop that takes less: without 8BITMIME only seven bits (RFC 6152
//! §3), without BINARYMIME no binary parts (RFC 3030 §3), and in no case lines of more than 998
//! octets, or of fewer if we shall send only such.
//!
//! Text becomes quoted-printable, other content base64; what fits already is not touched, so a
//! signed message that fits arrives as it was signed. Header fields of eight bits, in whatever part,
//! are written in seven for a hop without SMTPUTF8 (RFC 6857 says how); whether the envelope can be
//! said to it is for the queue to see. Parts beyond the structure's limits stay as they are.

use super::{
    encoding::Encoding,
    rewrite::{Edit, How, Mask, Rewrite, Seen, Treatment, plan},
    structure::{Kind, Octets, PartRef, StructureRef},
};

/// What the next hop takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Seven bits.
    SevenBit,
    /// 8BITMIME
    EightBit,
    /// SMTPUTF8 too, and was told that the header needs it (RFC 6531).
    International,
}

impl Hop {
    /// Octets and lines that it does not take.
    fn refuses(self) -> Octets {
        let never = Octets::LONG_LINE.with(Octets::NUL).with(Octets::BARE_CR).with(Octets::BARE_LF);
        match self {
            Self::SevenBit => never.with(Octets::EIGHT_BIT),
            Self::EightBit | Self::International => never,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::EightBit | Self::International => "8bit",
        }
    }

    /// Whether a transfer encoding of that name says more than the hop takes.
    fn minds(self, encoding: &[u8]) -> bool {
        let eight_bit = self == Self::SevenBit && encoding.eq_ignore_ascii_case(b"8bit");
        eight_bit || encoding.eq_ignore_ascii_case(b"binary")
    }
}

/// Octets of a line, its end apart (RFC 5322 §2.1.1).
pub const LINE_MAX: usize = 998;

/// Parts of reports that hold header fields in UTF-8 (RFC 6533).
const GLOBAL: [&str; 3] =
    ["global-headers", "global-delivery-status", "global-disposition-notification"];

/// What has to be done before the hop can take the message; nothing if it can.
pub fn downgrade(structure: StructureRef<'_>, hop: Hop) -> Option<Rewrite> {
    downgrade_to_lines(structure, hop, LINE_MAX)
}

/// The same, and no line has more octets than this: all text is encoded, whose lines are then short,
/// when it is fewer than a line may have.
pub fn downgrade_to_lines(
    structure: StructureRef<'_>,
    hop: Hop,
    line_max: usize,
) -> Option<Rewrite> {
    let mut text_follows = false;
    let refused = |octets: Octets| line_max < LINE_MAX || octets.has(hop.refuses());
    plan(structure, |seen| {
        if std::mem::take(&mut text_follows) {
            return Treatment { header: Edit::default(), body: How::Quoted };
        }
        text_follows = seen.only_text.is_some_and(|text| refused(text.octets));
        treat(&seen, hop, line_max, text_follows)
    })
}

fn treat(seen: &Seen<'_>, hop: Hop, line_max: usize, becomes_text: bool) -> Treatment {
    let part = &seen.part;
    let short = line_max < LINE_MAX;
    let ascii = hop != Hop::International && part.header_octets.has(Octets::EIGHT_BIT);
    let mut header = Edit {
        of_message: seen.of_message,
        fold: (short || part.header_octets.has(Octets::LONG_LINE)).then_some(line_max),
        line_ends: part.header_octets.has(Octets::NUL.with(Octets::BARE_CR).with(Octets::BARE_LF)),
        ascii,
        ..Edit::default()
    };
    // These are what a header is, and a hop that takes no such header takes them encoded
    // (RFC 6533 §4.5).
    let of_header = GLOBAL.iter().any(|name| part.is("message", name));
    let as_header = of_header && hop != Hop::International && part.octets.has(Octets::EIGHT_BIT);
    let refused = short || part.octets.has(hop.refuses()) || as_header;
    let body = match (part.kind, refused) {
        (Kind::Leaf, true) => encoded(part, hop, seen.has_header),
        (Kind::Multipart | Kind::Message, true) => {
            How::Mask(Mask { line: line_max, ascii: ascii || hop == Hop::SevenBit })
        }
        // The boundary may be among what changes.
        (Kind::Multipart, false) if ascii => How::Mask(Mask { line: line_max, ascii }),
        (_, false) => How::Copy,
    };
    header.encoding = match body {
        _ if becomes_text => Some("quoted-printable"),
        How::Quoted => Some("quoted-printable"),
        How::Base64 => Some("base64"),
        // A label alone is not worth breaking a signature.
        _ if hop.minds(part.encoding) && !seen.signed => Some(hop.label()),
        _ => None,
    };
    header.as_text = becomes_text;
    Treatment { header, body }
}

/// How a leaf that the hop refuses is written.
fn encoded(part: &PartRef<'_>, hop: Hop, has_header: bool) -> How {
    // What nobody can decode is sent as it is, but not at any price.
    let never = hop == Hop::SevenBit && part.octets.has(Octets::EIGHT_BIT);
    let is_text = part.is_text() || part.name.eq_ignore_ascii_case(b"message");
    match Encoding::of(part.encoding) {
        Encoding::Base64 => How::Rewrap,
        Encoding::QuotedPrintable => How::Requote,
        Encoding::Unknown if !never => How::Copy,
        // Without a header nothing could say how it is encoded.
        _ if !has_header => How::Copy,
        _ if is_text && !part.octets.has(Octets::NUL) => How::Quoted,
        _ => How::Base64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::{
        binary::decode::decode_all,
        structure::{Part, scan},
    };

    fn downgraded(message: &[u8], hop: Hop) -> Vec<u8> {
        let stored = scan(message).structure.encode();
        match downgrade(StructureRef::parse(&stored).unwrap(), hop) {
            Some(rewrite) => rewrite.apply(message),
            None => message.to_vec(),
        }
    }

    fn shown(octets: &[u8]) -> String {
        octets.escape_ascii().to_string()
    }

    #[test]
    fn what_fits_is_not_touched() {
        let signed = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\
            Content-Transfer-Encoding: 8bit\r\n\r\ntext\r\n--b--\r\n";
        assert_eq!(shown(&downgraded(signed, Hop::SevenBit)), shown(signed));
        let eight = b"Content-Transfer-Encoding: 8bit\r\n\r\n\xe4\r\n";
        assert_eq!(downgraded(eight, Hop::EightBit), eight);
    }

    #[test]
    fn labels_tell_what_is_there() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
            K\xc3\xa4se = gut\r\n\r\n--b\r\nContent-Type: image/x\r\n\r\n\xff\xfe\r\n--b--\r\n";
        let want = b"Content-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: 7bit\r\nMIME-Version: 1.0\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: quoted-printable\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\r\n\
            K=C3=A4se =3D gut\r\n\r\n--b\r\nContent-Type: image/x\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n//4=\r\n--b--\r\n";
        assert_eq!(shown(&downgraded(message, Hop::SevenBit)), shown(want));
    }

    #[test]
    fn a_message_without_mime_gets_it() {
        let want = b"Subject: x\r\nContent-Transfer-Encoding: quoted-printable\r\n\
            MIME-Version: 1.0\r\n\r\n=FC\r\n";
        assert_eq!(shown(&downgraded(b"Subject: x\r\n\r\n\xfc\r\n", Hop::SevenBit)), shown(want));
    }

    #[test]
    fn an_encoding_that_nobody_knows_is_kept_unless_its_octets_are_refused() {
        let message = |text: &str| format!("Content-Transfer-Encoding: 7bits\r\n\r\n{text}\r\n");
        let kept = message("ue");
        assert_eq!(shown(&downgraded(kept.as_bytes(), Hop::SevenBit)), shown(kept.as_bytes()));
        let want =
            "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\n=C3=BC\r\n";
        assert_eq!(
            shown(&downgraded(message("ü").as_bytes(), Hop::SevenBit)),
            shown(want.as_bytes())
        );
    }

    #[test]
    fn reports_about_international_mail_are_encoded_for_who_takes_no_such_header() {
        let report = "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
            Subject: ü\r\n";
        let sent = downgraded(report.as_bytes(), Hop::EightBit);
        assert!(shown(&sent).contains("quoted-printable"), "{}", shown(&sent));
        assert!(sent.ends_with(b"\r\nSubject: =C3=BC\r\n"));
        assert_eq!(downgraded(report.as_bytes(), Hop::International), report.as_bytes());
    }

    #[test]
    fn long_lines_go_in_any_case() {
        let message = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(2000));
        let sent = downgraded(message.as_bytes(), Hop::EightBit);
        assert!(!scan(&sent).octets.has(Octets::LONG_LINE));
        let part = &scan(&sent).structure.parts[0];
        assert_eq!(content(&sent, part), message.as_bytes()[14..]);
    }

    fn content(message: &[u8], part: &Part) -> Vec<u8> {
        let range = usize::try_from(part.body).unwrap()..usize::try_from(part.end).unwrap();
        decode_all(Encoding::of(&part.encoding), &message[range])
    }

    proptest! {
        #[test]
        fn parts_keep_their_content(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "--b\r\n", "--b--\r\n", "\r\n", "text = x \r\n", "\u{e4}\r\n", "Subject: x\r\n",
                "Content-Transfer-Encoding: 8bit\r\n", "Content-Type: image/png\r\n",
                "Content-Type: message/rfc822\r\n", "Content-Type: multipart/mixed; boundary=b\r\n",
                "\r\n--b\r\n\r\n", "Subject: \u{e4}\r\n", "To: \u{e4} <a@b>\r\n",
                "Content-Type: text/x; name=\u{e4}\r\n",
            ]), 0..30),
            chunk in 1usize..50,
        ) {
            let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n";
            let message = format!("{head}{}", pieces.concat());
            let before = scan(message.as_bytes());
            let stored = before.structure.encode();
            let sent = match downgrade(StructureRef::parse(&stored).unwrap(), Hop::SevenBit) {
                None => message.clone().into_bytes(),
                Some(mut rewrite) => {
                    let mut out = Vec::new();
                    message.as_bytes().chunks(chunk).for_each(|piece| rewrite.feed(piece, &mut out));
                    rewrite.finish(&mut out);
                    out
                }
            };
            let after = scan(&sent);
            let whole = |part: &Part| part.kind == Kind::Leaf;
            let parts = &before.structure.parts;
            let empty = parts.iter().any(|part| part.kind == Kind::Multipart && part.size == 2);
            if empty {
                return Ok(());
            }
            prop_assert!(!after.has_8bit, "{}", String::from_utf8_lossy(&sent));
            let old: Vec<_> = before.structure.parts.iter().filter(|p| whole(p))
                .map(|part| content(message.as_bytes(), part)).collect();
            let new: Vec<_> = after.structure.parts.iter().filter(|p| whole(p))
                .map(|part| content(&sent, part)).collect();
            prop_assert_eq!(old, new);
        }
    }
}

//! Parts as the octets they stand for (RFC 3516), and the one view of a message whose parts are
//! binary: on arrival they become base64, from which BINARY decodes them again.
//!
//! Whether a part is binary is said by its transfer encoding, or by NUL octets that no literal can
//! carry.

pub(super) mod decode;

pub use self::decode::{Decoder, UndecodableContent};
use super::{
    encoding::Encoding,
    rewrite::{Edit, How, Rewrite, Treatment, plan},
    structure::{Kind, Octets, PartRef, StructureRef},
};

const ODD: Octets = Octets(Octets::NUL.0 | Octets::BARE_CR.0 | Octets::BARE_LF.0);

/// How many octets the decoded content has (BINARY.SIZE, RFC 3516 §4.3): feed all of the body.
#[derive(Debug)]
pub struct Measure {
    decoder: Decoder,
    scratch: Vec<u8>,
    size: u64,
}

impl Measure {
    pub fn new(encoding: Encoding) -> Result<Self, UndecodableContent> {
        Ok(Self { decoder: Decoder::new(encoding)?, scratch: Vec::new(), size: 0 })
    }

    /// Counts what the next octets stand for.
    pub fn feed(&mut self, encoded: &[u8]) {
        self.decoder.feed(encoded, &mut self.scratch);
        self.count();
    }

    /// The body is complete.
    pub fn finish(mut self) -> Result<u64, UndecodableContent> {
        let decoder = std::mem::replace(&mut self.decoder, Decoder::new(Encoding::Binary)?);
        decoder.finish(&mut self.scratch)?;
        self.count();
        Ok(self.size)
    }

    fn count(&mut self) {
        self.size = self.size.saturating_add(u64::try_from(self.scratch.len()).unwrap_or(u64::MAX));
        self.scratch.clear();
    }
}

/// What makes a message storable: binary parts become base64, everywhere else bare CR and bare LF
/// become CRLF. Nothing if it is so already.
///
/// The message has to be scanned again afterwards, and asked again: behind a bare CR there may
/// have been a header that is one only now.
pub fn one_view(structure: StructureRef<'_>) -> Option<Rewrite> {
    let odd = structure.parts().any(|part| part.octets.with(part.header_octets).has(ODD));
    if !odd && !structure.parts().any(|part| Encoding::of(part.encoding) == Encoding::Binary) {
        return None;
    }
    let eight_bit = structure.parts().any(|part| {
        part.header_octets.has(Octets::EIGHT_BIT)
            || (part.octets.has(Octets::EIGHT_BIT) && !becomes_base64(&part))
    });
    let label = if eight_bit { "8bit" } else { "7bit" };
    let mut text_follows = false;
    plan(structure, |seen| {
        if std::mem::take(&mut text_follows) {
            // The multipart around it has said so already.
            return Treatment { header: Edit::default(), body: How::Base64 };
        }
        text_follows = seen.only_text.is_some_and(|text| text.octets.has(Octets::NUL));
        let between = if odd { How::LineEnds } else { How::Copy };
        let mut header = Edit { of_message: seen.of_message, line_ends: odd, ..Edit::default() };
        if text_follows {
            header.encoding = Some("base64");
            header.as_text = true;
        } else if seen.part.kind != Kind::Leaf {
            let binary = Encoding::of(seen.part.encoding) == Encoding::Binary;
            header.encoding = binary.then_some(label);
        } else if seen.has_header && becomes_base64(&seen.part) {
            header.encoding = Some("base64");
            return Treatment { header, body: How::Base64 };
        }
        Treatment { header, body: between }
    })
}

/// A leaf whose body has to be encoded.
fn becomes_base64(part: &PartRef<'_>) -> bool {
    let binary = match Encoding::of(part.encoding) {
        Encoding::Binary => true,
        Encoding::Lines => part.octets.has(Octets::NUL),
        _ => false,
    };
    binary && part.kind == Kind::Leaf
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::structure::scan;

    fn viewed(message: &[u8]) -> Vec<u8> {
        let stored = scan(message).structure.encode();
        match one_view(StructureRef::parse(&stored).unwrap()) {
            Some(rewrite) => rewrite.apply(message),
            None => message.to_vec(),
        }
    }

    #[test]
    fn what_is_storable_stays() {
        let message = b"Subject: x\r\n\r\n\xfc\r\n";
        let stored = scan(message).structure.encode();
        assert!(one_view(StructureRef::parse(&stored).unwrap()).is_none());
    }

    #[test]
    fn binary_parts_become_base64_and_nothing_else_changes() {
        let message = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: binary\r\n\r\npreamble\r\n\
            --b\r\nX: 1\r\nContent-Transfer-Encoding: BINARY\r\nContent-Type: image/x\r\n\r\n\
            \0\r\x01\n\xff\r\n--b\r\n\r\ntext\r\n--b--\r\n";
        let want = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
            Content-Transfer-Encoding: 7bit\r\n\r\npreamble\r\n\
            --b\r\nX: 1\r\nContent-Transfer-Encoding: base64\r\nContent-Type: image/x\r\n\r\n\
            AA0BCv8=\r\n--b\r\n\r\ntext\r\n--b--\r\n";
        assert_eq!(viewed(message).escape_ascii().to_string(), want.escape_ascii().to_string());
    }

    #[test]
    fn line_ends_become_crlf_but_not_in_binary() {
        let message = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\na\nb\r\n--b\n\
            Content-Transfer-Encoding: binary\n\nc\nd\n--b--\n";
        let want = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\na\r\nb\r\n--b\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nYwpk\r\n--b--\r\n";
        assert_eq!(viewed(message).escape_ascii().to_string(), want.escape_ascii().to_string());
    }

    #[test]
    fn nul_octets_make_a_part_binary() {
        let want = b"A: 1\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\nYQBi";
        assert_eq!(viewed(b"A: 1\r\n\r\na\0b"), want);
        let multipart = b"Content-Type: multipart/mixed; boundary=b\r\n\r\na\0b";
        let want = b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\
            MIME-Version: 1.0\r\n\r\nYQBi";
        assert_eq!(viewed(multipart), want);
    }

    #[test]
    fn the_decoded_size_is_counted() {
        let mut measure = Measure::new(Encoding::Base64).unwrap();
        measure.feed(b"SGVs\r");
        measure.feed(b"\nbG8h");
        assert_eq!(measure.finish(), Ok(6));
    }

    proptest! {
        #[test]
        fn decoding_gives_the_octets_that_came(body in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assume!(!body.windows(3).any(|window| window == b"--b"));
            let mut message = b"Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\
                Content-Transfer-Encoding: binary\r\n\r\n".to_vec();
            message.extend_from_slice(&body);
            message.extend_from_slice(b"\r\n--bb--\r\n");
            let stored = viewed(&message);
            let scanned = scan(&stored);
            prop_assert!(!scanned.has_binary);
            let part = &scanned.structure.parts[1];
            let range = usize::try_from(part.body).unwrap()..usize::try_from(part.end).unwrap();
            prop_assert_eq!(decode::decode_all(Encoding::of(&part.encoding), &stored[range]), body);
        }

        #[test]
        fn after_a_few_rounds_nothing_is_left_to_do(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "--b\r", "--b\n", "--b--\r\n", "\r", "\n", "\r\n", "\0", "text", "\u{e4}",
                "Content-Transfer-Encoding: binary\r\n", "Content-Type: message/rfc822\n",
                "Content-Type: multipart/digest; boundary=b\r\n\r\n",
            ]),
            0..30,
        )) {
            let mut message = pieces.concat().into_bytes();
            for _ in 0..4 {
                message = viewed(&message);
            }
            prop_assert_eq!(viewed(&message), message.clone());
            prop_assert!(!message.contains(&0));
        }
    }
}

//! Pieces of stored messages: sections as they are stored, parts as the octets they stand for.
//!
//! [`Mail::extract`] brings what is wanted of several messages in one job of the store, as many as
//! weigh little together. A piece that is large is only described; [`Mail::stream`] brings its octets
//! in steps, so that a message of 50 MB costs no 50 MB. Nothing here parses a message: its stored
//! structure says where everything stands.

use std::{ops::Range, sync::Arc};

mod cut;
mod pick;
mod stream;

pub use self::{cut::decode, stream::Stream};
use super::{
    Mail, binary::UndecodableContent, encoding::Encoding, error::Result, section::Section,
};
use crate::{ids::ContentId, store::Reader};

/// Once so much was gathered, the job ends.
const PER_JOB: u64 = 2 << 20;

/// What is wanted of each of some messages.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The encoded summary and structure.
    pub listing: bool,
    /// The hash of all octets.
    pub hash: bool,
    /// The first words.
    pub preview: bool,
    /// Pieces of it.
    pub cuts: Vec<Cut>,
}

/// One wanted piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which section.
    pub section: Section,
    /// In what form.
    pub form: Form,
    /// Only these octets of it: where they begin, and how many.
    pub window: Option<(u64, u64)>,
}

/// In what form a section is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is stored.
    Stored,
    /// Without its transfer encoding (RFC 3516 §4.3).
    Decoded,
    /// Only how many octets it has without its transfer encoding.
    DecodedSize,
}

/// What was wanted of one message.
#[derive(Debug, Default)]
pub struct Extract {
    /// The encoded summary.
    pub summary: Vec<u8>,
    /// The encoded structure.
    pub structure: Vec<u8>,
    /// The hash of all octets.
    pub hash: [u8; 32],
    /// The first words.
    pub preview: String,
    /// The pieces, in the order they were wanted.
    pub pieces: Vec<Piece>,
}

/// One piece of one message.
#[derive(Debug)]
pub enum Piece {
    /// There is no such section.
    Absent,
    /// Here it is.
    Octets(Vec<u8>),
    /// It is large: stream it.
    Large(Large),
    /// Its decoded size.
    Size(u64),
    /// Its transfer encoding can't be taken off.
    Undecodable(UndecodableContent),
}

/// A piece to be streamed.
#[derive(Clone, Debug)]
pub struct Large {
    content: ContentId,
    /// Where it is stored.
    range: Range<u64>,
    /// What makes the wanted octets of the stored ones.
    change: Change,
    /// Of the changed octets these.
    window: Range<u64>,
    has_nul: bool,
}

/// What is done with stored octets on their way out.
#[derive(Clone, Debug)]
enum Change {
    /// Nothing.
    None,
    /// This is taken off.
    Decode(Encoding),
    /// Of a header the fields with these names, or without them.
    Pick(Arc<[Vec<u8>]>, bool),
}

impl Large {
    /// How many octets the stream will bring.
    pub fn len(&self) -> u64 {
        self.window.end.saturating_sub(self.window.start)
    }

    /// Nothing at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they are stored, if they are told just so.
    pub(super) fn stored(&self) -> Option<(ContentId, Range<u64>)> {
        match self.change {
            Change::None => Some((self.content, self.window.clone())),
            Change::Decode(_) | Change::Pick(..) => None,
        }
    }

    /// Is there a NUL among them, or may there be?
    pub fn has_nul(&self) -> bool {
        self.has_nul
    }
}

impl Mail {
    /// What is wanted of some messages, given with their sizes, in their order: of as many as weigh
    /// little together, at least one. A damaged one is an error of its own.
    pub async fn extract(
        &self,
        messages: Vec<(ContentId, u64)>,
        wanted: Arc<Wanted>,
    ) -> Result<Vec<Result<Extract>>> {
        let job = move |r: &Reader<'_>| {
            let mut extracts = Vec::with_capacity(messages.len());
            let mut weight = 0;
            for (content, size) in messages {
                r.check_cancelled()?;
                let extract = wanted.of(r, content, size);
                weight += extract.as_ref().map_or(0, Extract::weight);
                extracts.push(extract);
                if weight >= PER_JOB {
                    break;
                }
            }
            Ok(extracts)
        };
        self.store.read(job).await
    }

    /// The octets of a large piece, in steps.
    pub fn stream(&self, large: &Large) -> Stream {
        Stream::new(self, large)
    }
}

impl Extract {
    fn weight(&self) -> u64 {
        let pieces = self.pieces.iter().map(Piece::weight).sum::<u64>();
        pieces
            .saturating_add((self.summary.len() + self.structure.len() + self.preview.len()) as u64)
    }
}

impl Piece {
    fn weight(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        events::{Bus, Door, Origin},
        mail::{Limits, section::SectionText},
        store::{Options, Store},
    };

    /// A house with one message in its store.
    struct Stored {
        _dir: tempfile::TempDir,
        mail: Mail,
        content: ContentId,
        size: u64,
    }

    async fn store(message: &[u8]) -> Stored {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store, Limits::default());
        let mut spool = mail.spool();
        message.chunks(50_000).for_each(|chunk| spool.write(chunk).unwrap());
        let prepared = mail.prepare(spool, |header| header).await.unwrap();
        let size = prepared.size();
        let origin = Origin::new(Door::House, 1);
        let job = move |tx: &mut crate::store::Tx<'_>| tx.add_content(prepared.content());
        let content = mail.store().write(origin, job).await.unwrap().into_inner();
        Stored { _dir: dir, mail, content, size }
    }

    impl Stored {
        async fn cut(&self, path: &[u32], form: Form, window: Option<(u64, u64)>) -> Piece {
            let section = Section { path: path.to_vec(), text: SectionText::All };
            self.piece(Cut { section, form, window }).await
        }

        async fn piece(&self, cut: Cut) -> Piece {
            let wanted = Wanted { cuts: vec![cut], ..Wanted::default() };
            let messages = vec![(self.content, self.size)];
            let mut extracts = self.mail.extract(messages, Arc::new(wanted)).await.unwrap();
            extracts.remove(0).unwrap().pieces.remove(0)
        }

        async fn whole(&self, piece: Piece) -> Vec<u8> {
            match piece {
                Piece::Octets(octets) => octets,
                Piece::Large(large) => {
                    let mut stream = self.mail.stream(&large);
                    let mut octets = Vec::new();
                    while let Some(more) = stream.next().await {
                        octets.extend(more.unwrap());
                    }
                    assert_eq!(octets.len() as u64, large.len());
                    octets
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn base64_message(content: &[u8]) -> (Vec<u8>, usize) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let head = b"Subject: x\r\nContent-Type: image/png\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n";
        let encoded = STANDARD.encode(content);
        let lines: Vec<_> =
            encoded.as_bytes().chunks(76).map(|line| [line, b"\r\n"].concat()).collect();
        ([&head[..], &lines.concat()].concat(), head.len())
    }

    #[tokio::test]
    async fn large_parts_are_decoded_as_they_stream() {
        let content: Vec<u8> =
            (0..600_000_u32).flat_map(|n| n.to_le_bytes().into_iter().take(1)).collect();
        let (message, body) = base64_message(&content);
        let stored = store(&message).await;
        let piece = stored.cut(&[1], Form::Decoded, None).await;
        assert!(matches!(&piece, Piece::Large(large) if large.has_nul()));
        assert_eq!(stored.whole(piece).await, content);
        let piece = stored.cut(&[1], Form::Decoded, Some((100_001, 400_000))).await;
        assert_eq!(stored.whole(piece).await, content[100_001..500_001]);
        let size = stored.cut(&[1], Form::DecodedSize, None).await;
        assert!(matches!(size, Piece::Size(600_000)), "{size:?}");
        let piece = stored.cut(&[1], Form::Stored, Some((7, 300_000))).await;
        assert_eq!(stored.whole(piece).await, message[body + 7..body + 300_007]);
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_cannot_be_decoded_are_told_apart() {
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
            Content-Transfer-Encoding: x-unknown\r\n\r\nx\r\n--b\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n\r\n--b--\r\n";
        let stored = store(head.as_bytes()).await;
        let cut = |path, form| stored.cut(path, form, None);
        assert!(matches!(cut(&[3], Form::Decoded).await, Piece::Absent));
        assert!(matches!(cut(&[1, 1], Form::Stored).await, Piece::Absent));
        let unknown = cut(&[1], Form::DecodedSize).await;
        assert!(matches!(unknown, Piece::Undecodable(UndecodableContent::UnknownEncoding)));
        let empty = cut(&[2], Form::Decoded).await;
        assert!(stored.whole(empty).await.is_empty());
    }

    #[tokio::test]
    async fn header_fields_come_from_the_header_alone() {
        let stored = store(b"From: a\r\nTo: b\r\nfrom: c\r\n d\r\n\r\nFrom: body\r\n").await;
        let fields = |name: &str, not| {
            let text = SectionText::HeaderFields { names: vec![name.into()], not };
            let section = Section { path: vec![], text };
            Cut { section, form: Form::Stored, window: None }
        };
        let piece = stored.piece(fields("FROM", false)).await;
        assert_eq!(stored.whole(piece).await, b"From: a\r\nfrom: c\r\n d\r\n\r\n");
        let piece = stored.piece(fields("FROM", true)).await;
        assert_eq!(stored.whole(piece).await, b"To: b\r\n\r\n");
    }

    #[tokio::test]
    async fn fields_are_picked_from_the_longest_header_to_its_end() {
        let filler = format!("X-Filler: {}\r\n", "x".repeat(980));
        let header = format!("To: first\r\n{}To: last\r\n", filler.repeat(5_000));
        let stored = store(format!("{header}\r\nTo: body\r\n").as_bytes()).await;
        let fields = |not, window| {
            let text = SectionText::HeaderFields { names: vec![b"to".to_vec()], not };
            let section = Section { path: vec![], text };
            stored.piece(Cut { section, form: Form::Stored, window })
        };
        let picked = "To: first\r\nTo: last\r\n\r\n";
        assert_eq!(stored.whole(fields(false, None).await).await, picked.as_bytes());
        let window = Some((4, 15));
        assert_eq!(stored.whole(fields(false, window).await).await, picked.as_bytes()[4..19]);
        let others = format!("{}\r\n", filler.repeat(5_000));
        assert_eq!(stored.whole(fields(true, None).await).await, others.as_bytes());
    }

    #[tokio::test]
    async fn a_job_brings_at_least_one_message_and_not_too_much() {
        let stored = store(&b"0123456789abcdef".repeat(16_000)).await;
        let section = Section::default();
        let cut = Cut { section, form: Form::Stored, window: None };
        let wanted = Arc::new(Wanted { cuts: vec![cut], ..Wanted::default() });
        let many = vec![(stored.content, stored.size); 50];
        let extracts = stored.mail.extract(many, wanted).await.unwrap();
        assert!((2..20).contains(&extracts.len()), "{}", extracts.len());
    }

    /// Lines of whatever octets a message may hold as it is.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let octet = any::<u8>().prop_filter("ends a line", |octet| !b"\0\r\n".contains(octet));
        let word = prop_oneof![
            proptest::collection::vec(octet, 0..40),
            proptest::sample::select(vec![
                "a: ",
                "--b",
                "Content-Type: multipart/mixed; boundary=b"
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
        ];
        let line = proptest::collection::vec(word, 0..4).prop_map(|words| words.concat());
        proptest::collection::vec(line, 0..40)
            .prop_map(|lines| lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// What was put in comes back, whole and by any split.
        #[test]
        fn any_message_comes_back_octet_for_octet(
            header in prop_oneof![Just(b"Subject: x\r\n\r\n".to_vec()), lines()],
            body in lines(),
            repeat in prop_oneof![Just(1_usize), Just(300)],
            splits in proptest::collection::vec(1_u64..40_000, 1..12),
        ) {
            let message = [header, body.repeat(repeat)].concat();
            prop_assume!(!message.is_empty());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let stored = store(&message).await;
                let piece = stored.cut(&[], Form::Stored, None).await;
                assert_eq!(stored.whole(piece).await, message);
                let text = |text| Section { path: vec![], text };
                let mut halves = Vec::new();
                for section in [text(SectionText::Header), text(SectionText::Text)] {
                    let cut = Cut { section, form: Form::Stored, window: None };
                    halves.extend(stored.whole(stored.piece(cut).await).await);
                }
                assert_eq!(halves, message);
                let mut from = 0;
                for length in splits.iter().cycle() {
                    let piece = stored.cut(&[], Form::Stored, Some((from, *length))).await;
                    let octets = stored.whole(piece).await;
                    let rest = message.get(usize::try_from(from).unwrap()..).unwrap_or_default();
                    let wanted = rest.len().min(usize::try_from(*length).unwrap());
                    assert_eq!(octets, rest[..wanted]);
                    from += length;
                    if octets.is_empty() || from > 400_000 {
                        break;
                    }
                }
            });
        }
    }
}

//! What is assembled is what a client would have sent who downloads and uploads all of it.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    events::{Bus, Door, Origin},
    ids::ContentId,
    mail::{
        Limits,
        extract::{Cut, Form},
        section::Section,
    },
    store::{NewPiece, Options, Store},
};

struct House {
    mail: Mail,
    _dir: tempfile::TempDir,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
    House { mail: Mail::new(store, Limits::default()), _dir: dir }
}

/// A message of so many lines, no two alike.
fn message(lines: usize) -> Vec<u8> {
    let mut text = "Subject: source\r\n\r\n".to_owned();
    for line in 0..lines {
        text += &format!("this is line {line:07} of the source\r\n");
    }
    text.into_bytes()
}

async fn stored(mail: &Mail, octets: &[u8]) -> ContentId {
    let mut spool = mail.spool();
    for chunk in octets.chunks(40_000) {
        spool.write(chunk).unwrap();
    }
    let prepared = mail.prepare(spool, |header| header).await.unwrap();
    keep(mail, prepared).await
}

async fn keep(mail: &Mail, prepared: crate::mail::Prepared) -> ContentId {
    let origin = Origin::new(Door::Imap, 0);
    let job =
        move |tx: &mut crate::store::Tx<'_>| Ok::<_, Error>(tx.add_content(prepared.content())?);
    mail.store().write(origin, job).await.unwrap().into_inner()
}

async fn read(mail: &Mail, content: ContentId) -> Vec<u8> {
    let mut octets = mail.octets(content, 0..u64::MAX / 2);
    let mut all = Vec::new();
    while let Some(piece) = octets.next().await {
        all.extend(piece.unwrap());
    }
    all
}

fn linked(content: ContentId, size: usize, window: (u64, u64)) -> Linked {
    let cut = Cut { section: Section::default(), form: Form::Stored, window: Some(window) };
    Linked { content, size: size as u64, cut }
}

#[tokio::test]
async fn a_large_part_is_shared_and_the_rest_is_inline() {
    let house = house();
    let mail = &house.mail;
    let source = message(20_000);
    let content = stored(mail, &source).await;
    let mut spool = mail.spool();
    spool.write(b"Subject: new\r\n\r\nbefore\r\n").unwrap();
    let link = linked(content, source.len(), (1000, 600_000));
    assert!(mail.add_linked(&mut spool, link).await.unwrap());
    spool.write(b"\r\nbehind\r\n").unwrap();
    let prepared = mail.prepare(spool, |header| header).await.unwrap();
    let pieces = &prepared.content().pieces[..];
    assert!(
        matches!(pieces, [NewPiece::Octets(_), NewPiece::Shared(_), NewPiece::Octets(_)]),
        "{pieces:?}"
    );
    let expected =
        [b"Subject: new\r\n\r\nbefore\r\n", &source[1000..601_000], b"\r\nbehind\r\n"].concat();
    assert_eq!(prepared.content().hash, *blake3::hash(&expected).as_bytes());
    let new = keep(mail, prepared).await;
    assert!(read(mail, new).await == expected);
}

#[tokio::test]
async fn a_sum_beyond_the_bound_is_refused_before_it_is_copied() {
    let house = house();
    let limits = Limits { message_size: 1 << 20, ..Limits::default() };
    let mail = house.mail.with_limits(limits);
    let source = message(20_000);
    let content = stored(&house.mail, &source).await;
    let mut spool = mail.spool();
    let link = || linked(content, source.len(), (0, 600_000));
    assert!(mail.add_linked(&mut spool, link()).await.unwrap());
    let refused = mail.add_linked(&mut spool, link()).await;
    assert!(matches!(refused, Err(Error::TooBig(_))), "{refused:?}");
    assert_eq!(spool.len(), 600_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn any_parts_in_any_order(
        parts in proptest::collection::vec(
            prop_oneof![
                (0_usize..300_000).prop_map(Err),
                (0_u64..900_000, 0_u64..700_000).prop_map(Ok),
            ],
            1..6,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let house = house();
            let mail = &house.mail;
            let source = message(22_000);
            let content = stored(mail, &source).await;
            let mut spool = mail.spool();
            let mut expected = b"Subject: new\r\n\r\n".to_vec();
            spool.write(&expected).unwrap();
            for part in parts {
                match part {
                    Err(own) => {
                        let own = "0123456\r\n".repeat(own / 9).into_bytes();
                        own.chunks(50_000).for_each(|chunk| spool.write(chunk).unwrap());
                        expected.extend(own);
                    }
                    Ok((from, length)) => {
                        // Whole lines, so that no CR loses its LF.
                        let (from, length) = (from / 36 * 36, length / 36 * 36);
                        let link = linked(content, source.len(), (from + 19, length));
                        prop_assert!(mail.add_linked(&mut spool, link).await.unwrap());
                        let from = usize::try_from(from + 19).unwrap().min(source.len());
                        let to = (from + usize::try_from(length).unwrap()).min(source.len());
                        expected.extend(&source[from..to]);
                    }
                }
            }
            prop_assert_eq!(spool.len(), expected.len() as u64);
            let prepared = mail.prepare(spool, |header| header).await.unwrap();
            prop_assert_eq!(prepared.content().hash, *blake3::hash(&expected).as_bytes());
            let new = keep(mail, prepared).await;
            prop_assert!(read(mail, new).await == expected);
            Ok(())
        })?;
    }
}

//! A damaged index is made anew and makes no search wrong.

use crate::mail::Collation;
use std::{fs, path::Path};

use super::house::House;
use crate::{
    mail::search::{Field, Key, Needle},
    metrics::Count,
    store::{self, MarkNames, rot},
};

fn subject(text: &str) -> Key {
    Key::Field(Field::Subject, Needle::new(text, Collation::default()))
}

async fn indexed() -> House {
    let house = House::open().await;
    house.add_many("steady", 40).await;
    house.mail.index_all().await.unwrap();
    house
}

/// Finds what is there, with what is left of the index and again when it was made anew.
async fn finds_all(house: &House) {
    for _ in 0..2 {
        assert_eq!(house.found(subject("steady")).await.len(), 40);
        assert_eq!(house.found(subject("steady 39")).await, [40]);
        house.mail.index_all().await.unwrap();
    }
    assert_eq!(house.candidates("steady 39").await, Some(1));
}

fn spoil(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut octets = fs::read(path).unwrap();
    how(&mut octets);
    fs::write(path, octets).unwrap();
}

#[tokio::test]
async fn a_missing_index_is_made_anew() {
    let house = indexed().await;
    let house = house.reopen(|path| fs::remove_file(path).unwrap()).await;
    finds_all(&house).await;
}

#[tokio::test]
async fn an_index_that_is_no_database_is_made_anew() {
    let house = indexed().await;
    let house = house.reopen(|path| fs::write(path, b"no database at all").unwrap()).await;
    finds_all(&house).await;
}

#[tokio::test]
async fn an_index_that_was_cut_is_made_anew() {
    let house = indexed().await;
    let cut = |path: std::path::PathBuf| {
        let _ = fs::remove_file(path.with_extension("db-wal"));
        spoil(&path, |octets| octets.truncate(octets.len() / 2));
    };
    let house = house.reopen(cut).await;
    finds_all(&house).await;
}

#[tokio::test]
async fn the_index_of_another_store_is_made_anew() {
    let (house, other) = (indexed().await, House::open().await);
    other.add_many("foreign", 60).await;
    other.mail.index_all().await.unwrap();
    let foreign = other.mail.store().fulltext_path();
    other.mail.store().close().await;
    let house = house
        .reopen(|path| {
            for end in ["db", "db-wal"] {
                let _ = fs::remove_file(path.with_extension(end));
                let _ = fs::copy(foreign.with_extension(end), path.with_extension(end));
            }
        })
        .await;
    finds_all(&house).await;
    assert!(house.found(subject("foreign")).await.is_empty());
}

/// What rots without anybody's notice lies until the next look at it, and no longer.
#[tokio::test]
async fn an_index_that_rots_is_found_out_and_made_anew() {
    let house = indexed().await;
    house.add("Subject: zqx\r\n\r\n", MarkNames::default()).await;
    house.mail.index_all().await.unwrap();
    house.mail.scrub_index(1).await.unwrap();
    assert_eq!(house.candidates("zqx").await, Some(1));
    let house = house.reopen(|path| rot::hide(&path, "ZQX")).await;
    house.mail.index_all().await.unwrap();
    assert!(house.found(subject("zqx")).await.is_empty(), "it lies");
    house.mail.scrub_index(1).await.unwrap();
    assert_eq!(house.found(subject("zqx")).await, [41]);
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("zqx").await, Some(1));
    assert_eq!(house.mail.metrics.counted(Count::FulltextRebuild), 1);
    assert_eq!(house.mail.check_index().await.unwrap(), Vec::<String>::new());
}

/// A message of letters that are nowhere else, enough of them for some blocks.
fn letters(number: u32) -> String {
    let mut state = number;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from((state >> 24) % 26).unwrap())
    };
    let letters: String = (0..2_000).map(|_| letter()).collect();
    format!("Subject: letters {number}\r\n\r\n{letters}\r\n")
}

#[tokio::test]
async fn an_index_that_has_lost_its_way_is_found_out() {
    let house = House::open().await;
    house.add_all((0..60).map(letters), MarkNames::default()).await;
    house.mail.index_all().await.unwrap();
    house.mail.scrub_index(24).await.unwrap();
    assert_eq!(house.mail.check_index().await.unwrap(), Vec::<String>::new());
    let house = house.reopen(|path| rot::lose_the_way(&path)).await;
    house.mail.index_all().await.unwrap();
    house.mail.scrub_index(1).await.unwrap();
    assert_eq!(house.candidates("letters").await, None);
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("letters 7").await, Some(1));
}

/// As long as it is not known whether an index is whole, nobody asks it.
#[tokio::test]
async fn an_index_is_asked_only_when_it_is_known_to_be_whole() {
    let house = indexed().await;
    let house = house.reopen(|path| rot::forget(&path, 40)).await;
    let index = house.mail.index().await.unwrap();
    index.work(|_, _| Ok::<_, store::Error>(())).await.unwrap();
    assert_eq!(house.candidates("steady").await, None);
    assert_eq!(house.found(subject("steady 39")).await, [40]);
    assert!(!house.mail.compare_index().await.unwrap());
    assert_eq!(house.candidates("steady").await, None);
    finds_all(&house).await;
}

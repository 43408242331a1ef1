//! A damaged index is made anew and makes no search wrong.

use crate::mail::Collation;
use std::{fs, path::Path};

use super::house::House;
use crate::mail::search::{Field, Key, Needle};

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

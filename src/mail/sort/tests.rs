//! Sorting and threading by what is kept with a view, while messages come and go.

use std::cmp::Ordering;

use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use super::{SortCriterion, SortKey};
use crate::{
    flags::Flags,
    ids::Uid,
    mail::{Collation, Mail, ThreadAlgorithm, search::tests::house::House},
    store::MarkNames,
};

#[derive(Clone, Debug)]
enum Deed {
    /// So many messages come: subject, day, sender, size.
    Add(Vec<(u8, u8, u8, u8)>),
    /// Some of the messages go.
    Expunge(Vec<bool>),
    /// Some, or all, are sorted.
    Sort(Vec<(SortKey, bool)>, Option<Vec<bool>>),
    /// All are threaded.
    Thread(ThreadAlgorithm),
}

#[derive(Clone, Debug)]
struct Known {
    uid: u32,
    subject: u8,
    day: u8,
    sender: u8,
    size: u8,
}

fn message(subject: u8, day: u8, sender: u8, size: u8) -> String {
    format!(
        "Subject: Re: topic {subject}\r\nDate: {} Jan 2026 10:00:00 +0000\r\n\
         From: {sender}@x\r\nReferences: <{subject}@x>\r\n\r\n{}\r\n",
        day + 1,
        "-".repeat(usize::from(size) * 100)
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    let message = (0_u8..9, 0_u8..9, 0_u8..9, 0_u8..3);
    let keys = [SortKey::Subject, SortKey::Date, SortKey::From, SortKey::To, SortKey::Size];
    let criteria = proptest::collection::vec((select(keys.to_vec()), any::<bool>()), 1..4);
    let some = || proptest::collection::vec(any::<bool>(), 120);
    let algorithms =
        [ThreadAlgorithm::OrderedSubject, ThreadAlgorithm::References, ThreadAlgorithm::Refs];
    prop_oneof![
        2 => proptest::collection::vec(message, 1..4).prop_map(Deed::Add),
        1 => some().prop_map(Deed::Expunge),
        4 => (criteria, proptest::option::of(some())).prop_map(|(all, some)| Deed::Sort(all, some)),
        1 => select(algorithms.to_vec()).prop_map(Deed::Thread),
    ]
}

fn compare(one: &Known, other: &Known, criteria: &[(SortKey, bool)]) -> Ordering {
    let orders = criteria.iter().map(|(key, reverse)| {
        let order = match key {
            SortKey::Subject => one.subject.cmp(&other.subject),
            SortKey::Date => one.day.cmp(&other.day),
            SortKey::From => one.sender.cmp(&other.sender),
            SortKey::Size => one.size.cmp(&other.size),
            _ => Ordering::Equal,
        };
        if *reverse { order.reverse() } else { order }
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

async fn do_all(deeds: Vec<Deed>) -> Result<(), TestCaseError> {
    let house = House::open().await;
    let (mut known, mut next): (Vec<Known>, u32) = (Vec::new(), 1);
    let first = (0..70).map(|n| (n % 9, n % 7, n % 5, n % 3)).collect();
    for deed in std::iter::once(Deed::Add(first)).chain(deeds) {
        match deed {
            Deed::Add(new) => {
                for (subject, day, sender, size) in &new {
                    known.push(Known {
                        uid: next,
                        subject: *subject,
                        day: *day,
                        sender: *sender,
                        size: *size,
                    });
                    next += 1;
                }
                let new = new.into_iter().map(|(a, b, c, d)| message(a, b, c, d));
                house.add_all(new, MarkNames::flags(Flags::DELETED)).await;
            }
            Deed::Expunge(which) => {
                let mut which = which.into_iter().step_by(3).cycle();
                let gone = known.extract_if(.., |_| which.next().unwrap_or(false));
                let gone = gone.filter_map(|known| Uid::new(known.uid)).collect();
                let _ = house.mail.expunge(&house.actor, &house.inbox, Some(gone)).await.unwrap();
            }
            Deed::Sort(criteria, which) => {
                let mut which = which.unwrap_or_else(|| vec![true]).into_iter().cycle();
                let mut expected = known.clone();
                expected.retain(|_| which.next().unwrap_or(true));
                let uids = expected.iter().filter_map(|known| Uid::new(known.uid)).collect();
                expected.sort_by(|one, other| compare(one, other, &criteria));
                let expected: Vec<u32> = expected.iter().map(|known| known.uid).collect();
                let criterion = |(key, reverse): &(SortKey, bool)| SortCriterion {
                    key: *key,
                    reverse: *reverse,
                    collation: Collation::default(),
                };
                let by = criteria.iter().map(criterion).collect();
                let sorted = house.mail.sort(&house.inbox, uids, by).await.unwrap();
                let sorted: Vec<u32> = sorted.iter().map(|uid| uid.get()).collect();
                prop_assert_eq!(sorted, expected, "{:?}", criteria);
            }
            Deed::Thread(algorithm) => {
                let uids: Vec<Uid> = known.iter().filter_map(|known| Uid::new(known.uid)).collect();
                let fresh = Mail::new(house.mail.store().clone(), *house.mail.limits());
                let expected = fresh
                    .thread(&house.inbox, &uids, algorithm, Collation::default())
                    .await
                    .unwrap();
                for _ in 0..2 {
                    let threads = house
                        .mail
                        .thread(&house.inbox, &uids, algorithm, Collation::default())
                        .await
                        .unwrap();
                    prop_assert_eq!(&threads, &expected);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_kept_with_the_view_stays_true_while_messages_come_and_go() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = ProptestConfig { cases: 12, ..ProptestConfig::default() };
    let deeds = proptest::collection::vec(deed(), 10..40);
    TestRunner::new(config).run(&deeds, |deeds| runtime.block_on(do_all(deeds))).unwrap();
}

#[tokio::test]
async fn ranks_and_threads_are_kept_for_few_octets_each() {
    let house = House::open().await;
    house.add_many("topic", 300).await;
    let view = house.mail.view(&house.inbox).await.unwrap();
    let uids = view.messages().uids().to_vec();
    let before = view.messages().cost();
    let keys = [SortKey::Subject, SortKey::Date, SortKey::From, SortKey::To, SortKey::Cc];
    for key in keys {
        let by = vec![SortCriterion { key, reverse: false, collation: Collation::default() }];
        let _ = house.mail.sort(&house.inbox, uids.clone(), by).await.unwrap();
    }
    for algorithm in [ThreadAlgorithm::References, ThreadAlgorithm::Refs] {
        let _ =
            house.mail.thread(&house.inbox, &uids, algorithm, Collation::default()).await.unwrap();
    }
    assert!(view.messages().cost() - before <= uids.len() * (3 * 4 + 8));
    // A mailbox of 100,000 takes less than 6 MiB with all of it.
    let fixed = 64 << 10;
    assert!((view.messages().cost() - 1024) / uids.len() * 100_000 + fixed < 6 << 20);
}

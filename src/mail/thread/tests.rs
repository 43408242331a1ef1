//! Threads by hand, and by chance.

use proptest::prelude::*;

use super::*;
use crate::mail::converted::Sorted;

/// A message with its id, its references and its subject, sent at its number.
fn mail(number: i64, id: &str, references: &str, subject: &str) -> Facts {
    thread_local!(static IDS: Ids = Ids::default());
    let of = |id: &str| IDS.with(|ids| ids.id(id.as_bytes()));
    let base = subject.trim_start_matches("Re: ");
    Facts {
        sent: number,
        arrived: number,
        subject: Sorted::Text(base.to_uppercase()),
        is_reply: base != subject,
        id: (!id.is_empty()).then(|| of(id)),
        references: references.split_whitespace().map(of).collect(),
    }
}

/// As IMAP writes threads, but without blanks before brackets.
fn written(threads: &Threads) -> String {
    let mut out = String::new();
    // By fork: how many nodes of it are not written yet.
    let mut forks: Vec<u32> = Vec::new();
    let mut is_only = false;
    for node in threads.nodes() {
        out.push(if is_only { ' ' } else { '(' });
        match node.message {
            Some(uid) => out.push_str(&uid.to_string()),
            None => assert!(node.below > 1, "a gap with one child"),
        }
        is_only = node.below == 1;
        match node.below {
            0 => {
                out.push(')');
                while let Some(left) = forks.last_mut() {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    forks.pop();
                    out.push(')');
                }
            }
            1 => {}
            several => forks.push(several),
        }
    }
    assert!(forks.is_empty());
    out
}

fn by(algorithm: ThreadAlgorithm, facts: &[Facts]) -> String {
    let uids: Vec<Uid> = (1..).filter_map(Uid::new).take(facts.len()).collect();
    written(&threads(algorithm, facts, &uids))
}

#[test]
fn replies_stand_below_what_they_answer() {
    let all = [
        mail(1, "a", "", "x"),
        mail(2, "b", "a", "Re: x"),
        mail(3, "c", "a b", "Re: x"),
        mail(4, "d", "a", "Re: x"),
        mail(5, "e", "", "y"),
    ];
    assert_eq!(by(ThreadAlgorithm::References, &all), "(1(2 3)(4))(5)");
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1(2 3)(4))(5)");
    assert_eq!(by(ThreadAlgorithm::OrderedSubject, &all), "(1(2)(3)(4))(5)");
}

#[test]
fn children_of_a_missing_message_are_siblings_and_an_only_one_moves_up() {
    let all = [mail(1, "b", "a", "Re: x"), mail(2, "c", "a", "Re: x"), mail(3, "e", "d", "z")];
    assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2))(3)");
    // What is missing in between is left out.
    let all = [mail(1, "a", "", "x"), mail(2, "c", "a b", "y"), mail(3, "d", "a b", "z")];
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1(2)(3))");
}

#[test]
fn references_that_go_in_circles_make_no_loop() {
    let all = [mail(1, "a", "b", "x"), mail(2, "b", "a", "x"), mail(3, "c", "c", "z")];
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(2 1)(3)");
}

#[test]
fn the_last_reference_is_the_parent_though_it_came_before() {
    let all = [
        mail(1, "g", "", "x"),
        mail(2, "p", "g", "x"),
        mail(3, "q", "g", "x"),
        mail(4, "c", "p g p", "x"),
    ];
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1(2 4)(3))");
}

#[test]
fn a_message_that_refers_to_itself_makes_no_loop() {
    let with = |references| [mail(1, "g", "", "x"), mail(2, "c", references, "x")];
    assert_eq!(by(ThreadAlgorithm::Refs, &with("g c g")), "(1 2)");
    // RFC 5256 §3 REFERENCES (1)(B): the last reference would be a loop, and no other counts.
    assert_eq!(by(ThreadAlgorithm::Refs, &with("g c")), "(1)(2)");
    // (1)(A) has put g below c.
    assert_eq!(by(ThreadAlgorithm::Refs, &with("c g")), "(2 1)");
}

#[test]
fn an_id_given_twice_is_that_of_the_first_message_and_quotes_do_not_matter() {
    let all = [mail(1, "a", "", "x"), mail(2, "a", "", "y"), mail(3, "b", "\"a\"", "z")];
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(2)(1 3)");
}

#[test]
fn truncated_references_are_mended_by_the_message_itself() {
    // The third says that c follows a; c itself knows that b does.
    let all = [
        mail(1, "a", "", "x"),
        mail(2, "b", "a", "x"),
        mail(3, "d", "a c", "x"),
        mail(4, "c", "a b", "x"),
    ];
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1 2 4 3)");
}

#[test]
fn threads_of_one_subject_are_one() {
    // A reply goes below the message of that subject, wherever it stands.
    let all = [mail(1, "b", "", "Re: x"), mail(2, "a", "", "x")];
    assert_eq!(by(ThreadAlgorithm::References, &all), "(2 1)");
    assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1)(2)");
    // Two that are no replies get a gap above them.
    let all = [mail(1, "a", "", "x"), mail(2, "b", "", "x"), mail(3, "c", "", "Re: x")];
    assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2)(3))");
    // Two gaps become one.
    let all = [
        mail(1, "a", "z", "x"),
        mail(2, "b", "z", "x"),
        mail(3, "c", "y", "x"),
        mail(4, "d", "y", "x"),
    ];
    assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2)(3)(4))");
    // Nothing has no subject in common.
    let all = [mail(1, "a", "", ""), mail(2, "b", "", "")];
    assert_eq!(by(ThreadAlgorithm::References, &all), "(1)(2)");
}

#[test]
fn siblings_stand_by_their_dates() {
    let all = [
        mail(9, "a", "", "x"),
        mail(8, "b", "a", "x"),
        mail(7, "c", "a", "x"),
        mail(1, "d", "", "y"),
    ];
    assert_eq!(by(ThreadAlgorithm::References, &all), "(4)(1(3)(2))");
    assert_eq!(by(ThreadAlgorithm::OrderedSubject, &all), "(4)(3(2)(1))");
    let newest = [mail(1, "a", "", "x"), mail(2, "b", "", "y"), mail(3, "c", "a", "x")];
    assert_eq!(by(ThreadAlgorithm::Refs, &newest), "(2)(1 3)");
    assert_eq!(by(ThreadAlgorithm::References, &newest), "(1 3)(2)");
}

#[test]
fn a_thread_may_be_as_deep_as_there_are_messages() {
    let deep: Vec<Facts> =
        (1..20_000).map(|n| mail(n, &n.to_string(), &(n - 1).to_string(), "x")).collect();
    let upwards: Vec<Facts> = deep.iter().rev().cloned().collect();
    let uids: Vec<Uid> = (1..).filter_map(Uid::new).take(deep.len()).collect();
    let is_one_line = |threads: &Threads| {
        let (last, others) = threads.nodes().split_last().unwrap();
        threads.nodes().len() == uids.len()
            && last.below == 0
            && others.iter().all(|node| node.below == 1)
    };
    for algorithm in [ThreadAlgorithm::References, ThreadAlgorithm::Refs] {
        assert!(is_one_line(&threads(algorithm, &deep, &uids)));
    }
    let threads = threads(ThreadAlgorithm::Refs, &upwards, &uids);
    assert!(is_one_line(&threads));
    assert_eq!(threads.nodes()[0].message, uids.last().copied());
}

proptest! {
    #[test]
    fn every_message_stands_in_one_place(
        all in proptest::collection::vec(
            (0_i64..20, 0_u8..14, proptest::collection::vec(0_u8..14, 0..4), 0_u8..4),
            0..30,
        ),
    ) {
        let facts: Vec<Facts> = all
            .iter()
            .map(|(sent, id, references, subject)| {
                let references: Vec<_> = references.iter().map(u8::to_string).collect();
                let subject = ["", "x", "Re: x", "y"][usize::from(*subject)];
                mail(*sent, &id.to_string(), &references.join(" "), subject)
            })
            .collect();
        let uids: Vec<Uid> = (1..).filter_map(Uid::new).take(facts.len()).collect();
        for algorithm in [
            ThreadAlgorithm::OrderedSubject,
            ThreadAlgorithm::References,
            ThreadAlgorithm::Refs,
        ] {
            let threads = threads(algorithm, &facts, &uids);
            // Writing checks that all brackets close.
            let _ = written(&threads);
            let mut seen: Vec<Uid> = threads.nodes().iter().filter_map(|n| n.message).collect();
            seen.sort_unstable();
            prop_assert_eq!(&seen, &uids);
        }
    }
}

//! Searches in a house with mail in it.

mod damage;
pub(in crate::mail) mod house;
mod indexed;

use self::house::House;
use super::{Days, Field, Key, Keyword, Needle};
use crate::mail::Collation;
use crate::{flags::Flags, store::MarkNames};

#[tokio::test]
async fn cheap_and_dear_keys_meet_in_one_search() {
    let house = House::open().await;
    let mut marks = MarkNames::flags(Flags::SEEN);
    marks.add("Work");
    house.add("Subject: one\r\n\r\nGr\u{fc}\u{df}e\r\n", marks).await;
    let encoded = "Subject: =?utf-8?q?zw=C3=B6lf?=\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe an alle\r\n";
    house.add(encoded, MarkNames::default()).await;
    let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: image/png; name=gruesse.png\r\nContent-Transfer-Encoding: base64\r\n\r\n\
        R3LDvMOfZQ==\r\n--b--\r\n";
    house.add(attached, MarkNames::default()).await;
    let body = |text: &str| Key::Body(Needle::new(text, Collation::default()));
    let seen = || Key::Flags(Flags::SEEN);
    let not = |key| Key::Not(Box::new(key));
    assert_eq!(house.found(body("GR\u{dc}\u{df}E")).await, [1, 2]);
    assert_eq!(house.found(Key::And(vec![body("gr\u{fc}\u{df}e"), not(seen())])).await, [2]);
    assert_eq!(house.found(Key::Or(vec![seen(), body("gruesse.PNG")])).await, [1, 3]);
    assert_eq!(
        house
            .found(Key::Field(Field::Subject, Needle::new("W\u{d6}lf", Collation::default())))
            .await,
        [2]
    );
    assert_eq!(house.found(Key::Keyword(Keyword::new("work"))).await, [1]);
    assert_eq!(house.found(not(Key::Keyword(Keyword::new("home")))).await, [1, 2, 3]);
    let date = jiff::civil::Date::constant(1970, 1, 1);
    assert_eq!(house.found(Key::Saved(Days::on(date))).await, [1, 2, 3]);
}

#[tokio::test]
async fn what_comes_in_many_jobs_is_found_in_order() {
    let house = House::open().await;
    for number in 0..1_200 {
        let subject = if number % 3 == 0 { "fizz" } else { "no" };
        let message = format!("Subject: {subject} {}\r\n\r\n", number % 7);
        house.add(&message, MarkNames::default()).await;
    }
    let fizz = Key::Text(Needle::new("FIZZ", Collation::default()));
    let expected: Vec<u32> = (0..1_200).step_by(3).map(|number| number + 1).collect();
    assert_eq!(house.found(fizz).await, expected);
}

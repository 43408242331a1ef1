//! Mail that is not written by friends: newsletters, receipts, parcels, reports, invitations, junk.

use super::{
    papers,
    people::{
        ALICE, ANA, BOB, CHLOE, CI, GARTEN, GAZETTE, PARCELS, PRIYA, PRIZES, Person, RECIPES, SHOP,
        ZOE,
    },
    pictures,
    sketch::{Attachment, Sketch},
};

const DAY: i64 = 86_400;

/// Pictures that were drawn once and go with many messages.
pub(super) struct Album {
    landscapes: Vec<Attachment>,
    charts: Vec<Attachment>,
    banners: Vec<Attachment>,
}

impl Album {
    pub(super) fn draw() -> Self {
        Self {
            landscapes: (0..6).map(pictures::landscape).collect(),
            charts: (0..3).map(pictures::chart).collect(),
            banners: [40, 120, 210].map(pictures::banner).to_vec(),
        }
    }

    fn one(of: &[Attachment], number: i64) -> Option<Attachment> {
        let at = usize::try_from(number).unwrap_or(0) % of.len().max(1);
        of.get(at).cloned()
    }
}

/// Newsletters with pictures in their HTML, from three publishers.
pub(super) fn newsletters(now: i64, album: &Album) -> Vec<Sketch> {
    let gazette = [
        "Harbour wall repaired ahead of winter",
        "Ferry adds a late crossing on Fridays",
        "Seals return to the inner basin",
        "Council votes on the new cycle path",
        "Old lighthouse opens its doors",
    ];
    let garten = [
        "Jetzt ist Pflanzzeit für Tulpen und Krokusse",
        "So übersteht der Rosmarin den Frost",
        "Äpfel richtig lagern – fünf Tipps",
        "Laub liegen lassen: Igel sagen danke 🦔",
    ];
    let recipes = [
        "Five soups for cold days 🍲",
        "Bread without kneading",
        "What to do with all those plums",
    ];
    let publishers: [(Person, &str, &[&str], i64); 3] = [
        (GAZETTE, "list.gazette.example", &gazette, 5),
        (GARTEN, "brief.gartenfreunde.example", &garten, 7),
        (RECIPES, "weekly.sundaykitchen.example", &recipes, 7),
    ];
    let mut all = Vec::new();
    for ((from, list, titles, every), hue) in publishers.into_iter().zip(0_i64..) {
        for issue in 0..16_i64 {
            let at = usize::try_from(issue).unwrap_or(0);
            let title = titles.get(at % titles.len()).copied().unwrap_or_default();
            let subject = format!("{title} (No. {})", 240 - issue);
            let text =
                format!("{title}\n\nRead on: https://{list}/{}\n\n{}", 240 - issue, from.name);
            let date = now - issue * every * DAY - hue * 7_200 - 3_000;
            let mut sketch = Sketch::new(from, &[ALICE], &subject, &text, date);
            sketch.html = Some(page(from.name, title, list));
            sketch.list = Some(list);
            sketch.attachments.extend(Album::one(&album.banners, hue));
            all.push(sketch);
        }
    }
    all
}

/// The HTML of a newsletter.
fn page(publisher: &str, title: &str, list: &str) -> String {
    let publisher = publisher.replace('&', "&amp;");
    format!(
        "<!DOCTYPE html><html><head><style>body{{font-family:sans-serif;color:#222}} \
         h1{{font-size:20px}} .foot{{color:#888;font-size:11px}}</style></head><body><img \
         src=\"cid:banner\" width=\"240\" height=\"40\" alt=\"{publisher}\"><h1>{title}</h1><p>Dear \
         reader,</p><p>this and more in today&rsquo;s issue. <a href=\"https://{list}/read\">Read \
         on</a> with a cup of tea.</p><ul><li>What moved this week</li><li>Letters</li><li>The \
         weather, as always too late</li></ul><p class=\"foot\">{publisher} &middot; <a \
         href=\"https://{list}/unsubscribe\">unsubscribe</a></p></body></html>"
    )
}

/// Receipts with a paper, and news of parcels.
pub(super) fn orders(now: i64) -> Vec<Sketch> {
    const THINGS: [(&str, u32); 6] = [
        ("Notebook A5, dotted", 1_190),
        ("Fountain pen, fine", 3_450),
        ("Ink, midnight blue", 980),
        ("Envelopes, 50 pieces", 640),
        ("Sealing wax, red", 720),
        ("Pencil set, 12 pieces", 1_575),
    ];
    let mut all = Vec::new();
    for order in 0..24_i64 {
        let at = usize::try_from(order).unwrap_or(0);
        let Some((thing, cents)) = THINGS.get(at % THINGS.len()) else {
            continue;
        };
        let number = 88_200 - order * 13;
        let date = now - order * 9 * DAY - 20_000;
        let price = format!("EUR {}.{:02}", cents / 100, cents % 100);
        let text =
            format!("Thank you for your order {number}.\n\n1 x {thing}: {price}\n\nPaper & Ink");
        let paper = papers::pdf(
            &format!("receipt-{number}.pdf"),
            &["Paper and Ink".to_owned(), format!("Receipt {number}"), format!("{thing}  {price}")],
        );
        let subject = format!("Your receipt no. {number}");
        let mut receipt = Sketch::new(SHOP, &[ALICE], &subject, &text, date);
        receipt.attachments.push(paper);
        all.push(receipt);
        if order < 20 {
            let text =
                format!("Parcel {number}-1 is on its way and comes tomorrow between 9 and 12.");
            let subject = format!("📦 Parcel {number}-1 is on its way");
            all.push(Sketch::new(PARCELS, &[ALICE], &subject, &text, date + 30_000));
        }
    }
    all
}

/// Reports of the build robot to Bob.
pub(super) fn builds(now: i64, album: &Album) -> Vec<Sketch> {
    let mut all = Vec::new();
    for build in 0..40_i64 {
        let failed = build % 7 == 3;
        let word = if failed { "FAILED" } else { "passed" };
        let number = 1_940 - build;
        let text = format!(
            "Build {number} {word}.\n\n  compile   ok\n  tests     {}\n  package   {}\n",
            if failed { "2 of 318 failed" } else { "318 passed" },
            if failed { "skipped" } else { "ok" }
        );
        let date = now - build * 3 * DAY / 2 - 1_500;
        let subject = format!("[harbour-site] build {number} {word}");
        let mut report = Sketch::new(CI, &[BOB], &subject, &text, date);
        report.list = Some("builds.ci.example");
        if failed {
            let log = "error: assertion failed: left == right\n".repeat(60);
            report.attachments.push(papers::notes("test.log", &log));
        } else if build % 5 == 0 {
            report.attachments.extend(Album::one(&album.charts, build));
        }
        all.push(report);
    }
    all
}

/// Invitations, tables and photographs from people.
pub(super) fn files(now: i64, album: &Album) -> Vec<Sketch> {
    let mut all = Vec::new();
    for week in 0..12_i64 {
        let start = now - (week * 7 - 2) * DAY;
        let mut invitation = Sketch::new(
            PRIYA,
            &[ALICE, BOB],
            "Invitation: planning",
            "Please see the attached invitation. Room 3, or by video.",
            start - 2 * DAY - 9_000,
        );
        invitation.attachments.push(papers::calendar("Planning", "Room 3", start, PRIYA.address));
        all.push(invitation);
    }
    for month in 0..6_i64 {
        let text = "Hi Alice,\n\nthe figures of last month are attached, chart included.\n\nPriya";
        let date = now - month * 30 * DAY - 50_000;
        let mut figures = Sketch::new(PRIYA, &[ALICE], "Budget figures", text, date);
        figures.cc = vec![BOB];
        let rows = ["month,planned,spent", "September,1200,1180.50", "October,1200,1344.10"];
        figures.attachments.push(papers::csv("budget.csv", &rows));
        figures.attachments.extend(Album::one(&album.charts, month));
        all.push(figures);
    }
    let places = ["Brittany", "Lofoten", "the lake", "the old harbour", "Madeira", "the garden"];
    for (place, number) in places.into_iter().zip(0_i64..) {
        let from = [CHLOE, ZOE, ANA].into_iter().cycle().nth(usize::try_from(number).unwrap_or(0));
        let subject = format!("📷 Photos from {place}");
        let text = "As promised. The second one is my favourite!";
        let date = now - number * 17 * DAY - 80_000;
        let mut photos = Sketch::new(from.unwrap_or(ZOE), &[ALICE, BOB], &subject, text, date);
        photos.attachments.extend(Album::one(&album.landscapes, number));
        photos.attachments.extend(Album::one(&album.landscapes, number + 1));
        all.push(photos);
    }
    all
}

/// What nobody asked for.
pub(super) fn junk(now: i64) -> Vec<Sketch> {
    let subjects = [
        "CONGRATULATIONS!!! You have been selected",
        "Re: your invoice",
        "💰💰 Double your savings in 3 days 💰💰",
        "Last warning: your mailbox will be closed",
    ];
    let mut all = Vec::new();
    for number in 0..24_i64 {
        let at = usize::try_from(number).unwrap_or(0);
        let subject = subjects.get(at % subjects.len()).copied().unwrap_or_default();
        let text = "Dear Friend,\n\nclaim your prize of 1,000,000.00 at once. Send us only your name, \
                    your age and your password.\n\nMr. Director";
        let date = now - number * 2 * DAY - 40_000;
        let mut sketch = Sketch::new(PRIZES, &[ALICE], subject, text, date);
        sketch.html =
            Some(format!("<html><body><h1 style=\"color:red\">{subject}</h1></body></html>"));
        all.push(sketch);
    }
    all
}

/// Letters that were never finished.
pub(super) fn drafts(now: i64) -> Vec<Sketch> {
    let texts = [
        ("Idea for the regatta", "What if we started from the old pier instead? The wind"),
        ("", "Dear Hanako,\n\n"),
        ("Apfelkuchen", "Zutaten:\n- 1 kg Äpfel\n- 250 g Mehl\n- "),
        ("Re: Night train or flight?", "By the way, do we need a reservation for the bikes?"),
    ];
    let draft = |((subject, text), number): ((&str, &str), i64)| {
        Sketch::new(ALICE, &[ZOE], subject, text, now - number * 3 * DAY - 7_000)
    };
    texts.into_iter().zip(0_i64..).map(draft).collect()
}

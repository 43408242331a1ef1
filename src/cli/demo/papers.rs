//! Files that go with messages: papers, tables, calendars.

use std::fmt::Write as _;

use super::sketch::Attachment;

/// A page of text as PDF, with the few objects that such a page needs.
pub(super) fn pdf(name: &str, lines: &[String]) -> Attachment {
    let mut page = String::from("BT /F1 12 Tf 72 770 Td 16 TL\n");
    for line in lines {
        let plain: String = line.chars().filter(|c| c.is_ascii() && !"()\\".contains(*c)).collect();
        page.extend(["(", &plain, ") Tj T*\n"]);
    }
    page.push_str("ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font \
         << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{page}\nendstream", page.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = String::from("%PDF-1.4\n");
    let mut places = String::from("0000000000 65535 f \n");
    for (at, object) in objects.iter().enumerate() {
        let _ = writeln!(places, "{:010} 00000 n ", out.len());
        let _ = write!(out, "{} 0 obj\n{object}\nendobj\n", at + 1);
    }
    let start = out.len();
    let _ = write!(
        out,
        "xref\n0 6\n{places}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    );
    file("application/pdf", name, out)
}

/// A table as CSV.
pub(super) fn csv(name: &str, rows: &[&str]) -> Attachment {
    file("text/csv", name, rows.join("\r\n") + "\r\n")
}

/// A calendar entry of one hour.
pub(super) fn calendar(summary: &str, place: &str, start: i64, organizer: &str) -> Attachment {
    let stamp = |seconds: i64| {
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        time.strftime("%Y%m%dT%H%M%SZ").to_string()
    };
    let text = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//demo.example//Mailade demonstration//EN".to_owned(),
        "METHOD:REQUEST".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{start}@demo.example"),
        format!("DTSTAMP:{}", stamp(start - 86_400)),
        format!("DTSTART:{}", stamp(start)),
        format!("DTEND:{}", stamp(start + 3_600)),
        format!("SUMMARY:{summary}"),
        format!("LOCATION:{place}"),
        format!("ORGANIZER:mailto:{organizer}"),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
        String::new(),
    ];
    file("text/calendar", "invitation.ics", text.join("\r\n"))
}

/// Plain notes.
pub(super) fn notes(name: &str, text: &str) -> Attachment {
    file("text/plain", name, text.to_owned())
}

fn file(kind: &'static str, name: &str, text: String) -> Attachment {
    Attachment { kind, name: name.to_owned(), octets: text.into_bytes(), inline: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_says_truly_where_its_objects_are() {
        let paper = pdf("a.pdf", &["one".to_owned(), "two (2)".to_owned()]);
        let text = String::from_utf8(paper.octets).unwrap();
        let table = text.split("xref\n0 6\n").nth(1).unwrap();
        for (number, line) in table.lines().skip(1).take(5).enumerate() {
            let place: usize = line.get(..10).unwrap().parse().unwrap();
            assert!(text.get(place..).unwrap().starts_with(&format!("{} 0 obj", number + 1)));
        }
    }
}

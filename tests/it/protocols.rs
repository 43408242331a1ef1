//! Holds docs/PROTOCOLS.md against the tables that the doors go by.

use std::{fmt::Write as _, fs, path::Path};

use mailade::{imap, smtp};

/// What the page must say.
fn page() -> String {
    let mut out = String::from(
        "# What Mailade speaks\n\nPrinted from the tables in `src/imap/extensions.rs` and \
         `src/smtp/extensions.rs`; a test holds it against them.\nTo write it anew: \
         `WRITE_PROTOCOLS=1 cargo test --test it protocols`.\n\n## IMAP\n\n\
         | capability | RFC | commands |\n|---|---|---|\n",
    );
    for extension in imap::extensions::EXTENSIONS {
        let commands: Vec<_> = extension.rows.iter().map(|row| row.name).collect();
        let (word, rfc) = (extension.capability, extension.source);
        let _infallible = writeln!(out, "| {word} | {rfc} | {} |", commands.join(", "));
    }
    out.push_str("\n## SMTP, submission, LMTP\n\n| keyword | RFC |\n|---|---|\n");
    for extension in smtp::extensions::EXTENSIONS {
        let _infallible = writeln!(out, "| {} | {} |", extension.keyword, extension.rfc);
    }
    out
}

#[test]
fn the_page_of_protocols_says_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOLS.md");
    if std::env::var_os("WRITE_PROTOCOLS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page(), "docs/PROTOCOLS.md is not what the tables say:\n{}", page());
}

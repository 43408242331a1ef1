//! Several sessions on the same mailboxes, each held against a client's own memory; see
//! `tests/tools/imap_model.py`. `MODEL_STEPS=2000 MODEL_SEED=7` makes a long run of it.

use std::{env, path::Path, process::Command};

use super::house::{House, PASSWORD, Service};

#[test]
fn no_session_is_told_what_contradicts_what_it_was_told() {
    let house = House::open();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/imap_model.py");
    let port = house.address(Service::Imap).port().to_string();
    let number = |name: &str, usual: &str| env::var(name).unwrap_or_else(|_| usual.to_owned());
    let output = Command::new("python3")
        .arg(tool)
        .args([&port, "alice@demo.example", PASSWORD, "5"])
        .args([number("MODEL_STEPS", "80"), number("MODEL_SEED", "1")])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: no python3: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}\n{}", house.log());
}

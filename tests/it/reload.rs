//! SIGHUP: what holds at once, and what says that it needs a new start.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    connection::Connection,
    house::{House, Service},
    outbound::{last_message, submit},
};

const MESSAGE: &[u8] = b"From: alice@demo.example\r\n\r\nhi\r\n";

fn ehlo(smtp: &mut Connection) -> String {
    smtp.read_reply().unwrap() + "\n" + &smtp.command("EHLO relay.example").unwrap()
}

#[test]
fn limits_and_the_name_hold_for_conversations_that_begin() {
    let house = House::open();
    let mut standing = house.connect(Service::Smtp);
    assert!(ehlo(&mut standing).contains("SIZE 52428800"));
    let limits =
        "[limits]\nmessage_size_max = \"1 MiB\"\nquota = \"1 KiB\"\nmailbox_depth_max = 1\n";
    house.reconfigure(|file| file.replace("[limits]\n", limits));
    house.reload();
    let said = ehlo(&mut house.connect(Service::Smtp));
    assert!(said.contains("SIZE 1048576"), "{said}");
    assert!(standing.command("EHLO relay.example").unwrap().contains("SIZE 52428800"));
    let mut mx = house.connect(Service::Smtp);
    ehlo(&mut mx);
    mx.command("MAIL FROM:<carol@remote.example> SIZE=2000").unwrap();
    let full = mx.command("RCPT TO:<alice@demo.example>").unwrap();
    assert!(full.starts_with("452 4.2.2 "), "{full}");
    let mut imap = house.log_in("alice@demo.example");
    imap.send_line("a CREATE one/two").unwrap();
    assert!(imap.read_line().unwrap().starts_with(b"a NO"));

    let text = "hostname = \"mx.demo.example\"";
    house.reconfigure(|file| file.replace("hostname = \"mail.demo.example\"", text));
    house.reload();
    let said = ehlo(&mut house.connect(Service::Smtp));
    assert!(said.starts_with("220 mx.demo.example "), "{said}");
}

#[test]
fn mail_that_waits_leaves_by_the_new_smarthost() {
    let far = House::with(&[("hostname", "mail.remote.example")]);
    assert!(far.command(&["domain", "add", "remote.example"], "").status.success());
    let add = ["user", "add", "carol@remote.example", "--password-stdin"];
    assert!(far.command(&add, "secret\n").status.success());
    let house = House::open();
    house.configure("[outbound]\nrelay = \"127.0.0.1:1\"\n");
    house.reload();
    submit(&house, "carol@remote.example", "", MESSAGE);
    house.until_logged("deferred", 1);
    house.configure(&format!("[outbound]\nrelay = \"{}\"\n", far.address(Service::Smtp)));
    house.reload();
    assert!(house.command(&["queue", "retry"], "").status.success());
    assert!(last_message(&far, "carol@remote.example", 1).contains("hi"));
}

#[test]
fn another_certificate_is_shown_at_once_and_a_fault_changes_nothing() {
    let house = House::open();
    let before = house.connect(Service::Submissions).certificate();
    let made = rcgen::generate_simple_self_signed(vec!["mail.demo.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n");

    house.configure("[limits]\nmessage_size_max = \"no size\"\n");
    house.signal(rustix::process::Signal::HUP);
    house.until_logged("the configuration stays as it was", 1);
    assert_eq!(house.connect(Service::Submissions).certificate(), before);

    // Others may read the key.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    house.configure(&tls);
    house.reload();
    house.until_logged("the certificate stays as it was", 1);
    assert_eq!(house.connect(Service::Submissions).certificate(), before);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    house.reload();
    assert_eq!(house.connect(Service::Submissions).certificate(), made.cert.der().to_vec());
    house.configure("");
    house.reload();
    assert_eq!(house.connect(Service::Submissions).certificate(), before);
}

#[test]
fn what_needs_a_new_start_is_named() {
    let house = House::open();
    house.configure("[log]\nformat = \"json\"\n");
    house.reload();
    house.until_logged("keys=\"log.format\"", 1);
    house.reconfigure(|file| file.replace("smtp = [\"127.0.0.1:0\"]", "smtp = []"));
    house.reload();
    house.until_logged("keys=\"listen log.format\"", 1);
}

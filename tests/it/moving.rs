//! Mail moves out and in again, by mbox and by maildir: the same octets, flags and dates for real and
//! nasty mail.

use std::{fs, path::Path};

use crate::{
    fetched::corpus,
    house::{House, PASSWORD},
};

/// What tempts a reader of files to see something else.
const NASTY: &[&[u8]] = &[
    b"",
    b"\n",
    b"\n\n",
    b"\r",
    b"x",
    b"no header at all\n",
    b"Subject: no body",
    b"Subject: no body\n",
    b"Subject: no body\n\n",
    b"Subject: no last line end\n\nbody",
    b"\nbody without a header\n",
    b"\n\nFrom a@b Thu Jan  1 00:01:00 1970\n",
    b"From a@b Thu Jan  1 00:01:00 1970\nSubject: x\n\nFrom here\n>From there\n>>From far\n\n",
    b"Subject: x\n\nbody\n\nFrom a@b Thu Jan  1 00:01:00 1970\n\nno other message\n\n",
    b"Status: RO\nX-Status: AF\nX-Keywords: one, two\nX-Mailade-End: open\n\nnotes of its own\n",
    b"STATUS: delivered\n folded\nX-Mailade-Own-Status: R\n",
    b"X-Mailade-Own-X-Mailade-Own-Status: R\nstatus:R",
    b"Subject: lone\rreturn\r\n\r\n\rbody\r\r\nend\r",
    b"Subject: nul\0here\n\nand \0 here\n",
    b"Subject: nul\n\nin a text \0",
    b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nnul \0\n--b\nStatus: O\n\nFrom x\n--b--",
    b"Content-Type: multipart/mixed; boundary=b\n\nno parts, and a nul \0",
    b"Content-Transfer-Encoding: binary\n\nlone \r and \n and \0",
    b"Content-Type: message/rfc822\nContent-Transfer-Encoding: binary\n\nSubject: x\n\n\0\n",
    b"Content-Transfer-Encoding: base64\n\nAA\0AA==\n",
    b"\xef\xbb\xbfSubject: byte order mark\n\n\xff\xfe\n",
    b" folded\n first\n\nbody\n",
    b"Subject: x\n \t \n\nblank fold\n",
];

/// Flags of a maildir's file names, with keywords.
const FLAGS: &[&str] = &["", "S", "DFPRST", "a", "Fab", "RS", "c"];

/// A message as IMAP shows it: its octets, flags in order, and date of arrival.
type Shown = (Vec<u8>, Vec<String>, String);

/// The messages of INBOX in any order.
fn inbox(house: &House, user: &str) -> Vec<Shown> {
    let mut imap = house.connect(crate::house::Service::Imap);
    let commands = "b SELECT INBOX\r\nc FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])\r\n";
    imap.send(format!("a LOGIN {user} {PASSWORD}\r\n{commands}").as_bytes()).unwrap();
    let mut all = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        assert!(!line.contains(" NO ") && !line.contains(" BAD "), "{line}");
        if line.starts_with("c OK") {
            all.sort();
            return all;
        }
        let Some((_, items)) = line.split_once(" FETCH (FLAGS (") else { continue };
        let (flags, rest) = items.split_once(") INTERNALDATE \"").unwrap();
        let (date, rest) = rest.split_once('"').unwrap();
        let size = rest.strip_prefix(" BODY[] {").and_then(|rest| rest.strip_suffix('}'));
        let octets = if let Some(size) = size {
            imap.read_octets(size.parse().unwrap()).unwrap()
        } else {
            let quoted = rest.strip_prefix(" BODY[] \"").and_then(|rest| rest.strip_suffix("\")"));
            quoted.unwrap_or_else(|| panic!("{line}")).as_bytes().to_vec()
        };
        let mut flags: Vec<_> = flags.split_whitespace().map(str::to_owned).collect();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        all.push((octets, flags, date.to_owned()));
    }
}

/// A maildir of all these messages, with flags one after the other.
fn maildir(folder: &Path, messages: &[Vec<u8>]) {
    fs::create_dir_all(folder.join("cur")).unwrap();
    for (number, (octets, flags)) in messages.iter().zip(FLAGS.iter().cycle()).enumerate() {
        fs::write(folder.join(format!("cur/{number}.x:2,{flags}")), octets).unwrap();
    }
    fs::write(folder.join("dovecot-keywords"), "0 Work\n1 with,comma\n2 $Junk\n").unwrap();
}

#[test]
fn what_moves_out_moves_in_again_by_either_kind() {
    let house = House::open();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |arguments: &[&str]| {
        let output = house.command(arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut messages: Vec<Vec<u8>> = corpus().iter().map(|path| fs::read(path).unwrap()).collect();
    messages.extend(NASTY.iter().map(|octets| octets.to_vec()));
    maildir(&folder.path().join("in"), &messages);
    run(&["import", "alice@demo.example", "maildir", &path("in")]);
    let wanted = inbox(&house, "alice@demo.example");
    assert_eq!(wanted.len(), messages.len());
    assert!(wanted.iter().any(|(_, flags, _)| flags.contains(&"with,comma".to_owned())));
    for (user, kind) in [("bob@demo.example", "mbox"), ("carol@demo.example", "maildir")] {
        let add = house.command(&["user", "add", user, "--password-stdin"], PASSWORD);
        assert_eq!(add.status.success(), kind == "maildir", "bob is there already");
        run(&["export", "alice@demo.example", kind, &path(kind)]);
        let said = run(&["import", user, kind, &path(kind)]);
        assert!(said.starts_with(&format!("{} added ", messages.len())), "{kind}: {said}");
        let shown = inbox(&house, user);
        for (shown, wanted) in shown.iter().zip(&wanted) {
            let (a, b) = (shown.0.escape_ascii(), wanted.0.escape_ascii());
            assert!(shown == wanted, "{kind}:\n{a}\n{:?}\n{b}\n{:?}", shown.1, wanted.1);
        }
        assert_eq!(shown.len(), wanted.len());
        // What came out once and in again is there: nothing comes twice.
        let said = run(&["import", "alice@demo.example", kind, &path(kind)]);
        assert!(said.starts_with("0 added "), "{kind}: {said}");
    }
    assert_eq!(run(&["check"]), "no faults found\n");
}

#[test]
fn how_a_message_with_nul_octets_is_kept_is_said() {
    let house = House::open();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nul.eml");
    fs::write(&file, b"Subject: x\n\na\0b\n").unwrap();
    let import = ["import", "alice@demo.example", "eml", file.to_str().unwrap()];
    let output = house.command(&import, "");
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    let wanted = format!(
        "mailade: {}: it holds NUL octets; the part with them is kept in base64; in a header they \
         become blanks\n",
        file.display()
    );
    assert_eq!(said, wanted);
    let mut imap = house.log_in("alice@demo.example");
    imap.send(b"a SELECT INBOX\r\nb FETCH 1 (BINARY.PEEK[1] BODY.PEEK[TEXT])\r\n").unwrap();
    let mut told = Vec::new();
    while !told.windows(4).any(|octets| octets == b"b OK") {
        told.extend(imap.read_line_with_end().unwrap());
    }
    let told = told.escape_ascii().to_string();
    // Octet for octet: the line end of a binary part is its own.
    assert!(told.contains(r"BINARY[1] ~{4}\r\na\x00b\n BODY"), "{told}");
    assert!(told.contains("YQBi"), "{told}");
}

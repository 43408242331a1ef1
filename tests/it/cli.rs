//! The program as its owner uses it: commands before the first start and while the server runs, the
//! server's life, import and export, the demonstration.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::house::House;

/// A data directory of its own, and the program to work on it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) data: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::named("data")
    }

    fn named(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join(name);
        Self { dir, data }
    }

    /// The program in an environment without settings of ours.
    fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailade"));
        command.env_clear().env("TMPDIR", self.dir.path());
        command
    }

    /// The same with its data directory and arguments.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare();
        command.arg("--data-dir").arg(&self.data).args(arguments);
        command
    }

    /// The demonstration on any ports.
    fn demo(&self, arguments: &[&str]) -> Running {
        let mut command = self.bare();
        command.args(["demo", "--announce", "--any-ports"]).args(arguments);
        Running::start(command)
    }

    /// Runs a command to its end with this on its standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.program(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed; gives what it prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.run_with(arguments, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail; gives its exit status and its complaint.
    pub(crate) fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run_with(arguments, "");
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said)
    }

    fn add_user(&self, address: &str) {
        let output = self.run_with(&["user", "add", address, "--password-stdin"], "secret\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the server on free ports of loopback and waits until it is open.
    fn serve(&self) -> Running {
        let mut arguments = vec!["serve", "--announce"];
        for service in ["imap", "imaps", "smtp", "lmtp", "submission", "submissions"] {
            arguments.push("--set");
            arguments.push(match service {
                "imap" => "listen.imap=127.0.0.1:0",
                "imaps" => "listen.imaps=127.0.0.1:0",
                "smtp" => "listen.smtp=127.0.0.1:0",
                "lmtp" => "listen.lmtp=127.0.0.1:0",
                "submission" => "listen.submission=127.0.0.1:0",
                _ => "listen.submissions=127.0.0.1:0",
            });
        }
        Running::start(self.program(&arguments))
    }
}

/// A server that has said that it is ready.
struct Running {
    child: Child,
    /// What it said before.
    said: String,
    services: BTreeMap<String, Vec<SocketAddr>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let ready = lines.map(Result::unwrap).find_map(|line| {
            said += &line;
            said += "\n";
            line.strip_prefix("ready ").map(|json| serde_json::from_str(json).unwrap())
        });
        Self { child, said, services: ready.expect("the server ended before it was ready") }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// The first line that a service says.
    fn greeting(&self, service: &str) -> String {
        let stream = TcpStream::connect(self.services[service][0]).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_fault_in_the_configuration_is_one_line_and_status_two() {
    let place = Place::new();
    let file = place.dir.path().join("mailade.toml");
    fs::write(&file, "[limits]\nlogin_time = \"soon\"\n").unwrap();
    let file = file.to_str().unwrap();
    for command in [&["config", "check"][..], &["serve"], &["user", "list"]] {
        let (status, said) = place.refused(&[&["--config", file], command].concat());
        let wanted = format!(
            "mailade: {file}: limits.login_time: \"soon\" will not do; allowed: a duration such as \
             \"30 min\", or a number of seconds\n"
        );
        assert_eq!((status, said), (2, wanted));
    }
    assert!(!place.data.exists());
}

#[test]
fn the_example_is_a_configuration() {
    let place = Place::new();
    let file = place.dir.path().join("mailade.toml");
    fs::write(&file, place.run(&["config", "example"])).unwrap();
    let said = place.run(&["--config", file.to_str().unwrap(), "config", "check"]);
    assert_eq!(said, format!("{} can be used\n", file.display()));
}

#[test]
fn a_variable_of_the_environment_sets_a_key() {
    let place = Place::new();
    let output = place.program(&["config", "check"]).env("MAILADE_LOG__LEVEL", "loud").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.contains("MAILADE_LOG__LEVEL: log.level: \"loud\" will not do"), "{said}");
}

/// Everything that accounts can do; the same whether the server runs or not.
fn live_with_accounts(place: &Place, domain: &str) {
    let [alice, bob] = ["alice", "bob"].map(|name| format!("{name}@{domain}"));
    let [sales, old] = ["sales", "old"].map(|name| format!("{name}@{domain}"));
    let (status, said) = place.refused(&["user", "remove", &alice]);
    assert_eq!((status, said.as_str()), (1, "mailade: no such user\n"));
    place.run(&["domain", "add", domain]);
    assert!(place.run(&["domain", "list"]).contains(domain));
    place.add_user(&alice);
    place.add_user(&bob);
    let again = place.run_with(&["user", "add", &alice, "--password-stdin"], "x\n");
    assert_eq!(String::from_utf8_lossy(&again.stderr), "mailade: address exists already\n");
    assert_eq!(place.run(&["user", "list", "--domain", domain]).lines().count(), 3);
    place.run(&["alias", "add", &sales, &bob]);
    assert!(place.run(&["alias", "list"]).contains(&sales));
    place.run(&["domain", "catch-all", domain, &alice]);
    let password = place.run(&["app-password", "add", &alice, "--name", "phone"]);
    assert_eq!(password.trim().len(), 20);
    let devices = place.run(&["app-password", "list", &alice]);
    assert!(devices.contains("phone") && !devices.contains(password.trim()));
    let id = devices.lines().nth(1).unwrap().split(' ').next().unwrap();
    place.run(&["app-password", "revoke", &alice, id]);
    assert_eq!(place.run(&["app-password", "list", &alice]), "");
    let changed = place.run_with(&["user", "password", &bob, "--password-stdin"], "better\n");
    assert!(changed.status.success());
    let (longest, longer) = ("x".repeat(1_024), "x".repeat(1_025));
    for (input, said) in [
        (longest.as_str(), ""),
        (&longer, "mailade: the password is longer than 1024 octets\n"),
        ("a\0b\n", "mailade: a password has at least one character, and no NUL\n"),
        ("\n", "mailade: standard input holds no password\n"),
    ] {
        let changed = place.run_with(&["user", "password", &bob, "--password-stdin"], input);
        assert_eq!(String::from_utf8_lossy(&changed.stderr), said);
    }
    place.run(&["user", "quota", &bob, "--octets", "1 GiB"]);
    place.run(&["user", "disable", &bob]);
    assert!(place.run(&["user", "list"]).contains("disabled"));
    place.run(&["alias", "remove", &sales]);
    let (_, said) = place.refused(&["alias", "remove", &old]);
    assert_eq!(said, "mailade: no such alias\n");
    place.run(&["user", "remove", &bob]);
    let (_, said) = place.refused(&["domain", "remove", domain]);
    assert_eq!(said, "mailade: the domain still has users\n");
    place.run(&["user", "remove", &alice]);
    place.run(&["domain", "remove", domain]);
    assert_eq!(place.run(&["queue", "list"]), "");
    assert_eq!(place.run(&["check"]), "no faults found\n");
}

#[test]
fn accounts_are_kept_before_the_first_start_and_while_the_server_runs() {
    let place = Place::new();
    live_with_accounts(&place, "before.example");
    assert_eq!(fs::metadata(&place.data).unwrap().mode() & 0o777, 0o700);
    let server = place.serve();
    let socket = place.data.join("control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    live_with_accounts(&place, "while.example");
    assert!(server.end(Signal::TERM).success());
    assert!(!socket.exists());
    live_with_accounts(&place, "after.example");
}

#[test]
fn shared_mailboxes_are_made_and_given_and_stay_apart_from_users_and_domains() {
    let place = Place::new();
    place.run(&["domain", "add", "demo.example"]);
    place.add_user("alice@demo.example");
    assert_eq!(place.run(&["shared", "add", "Team"]), "added Shared/Team\n");
    place.run(&["shared", "add", "Shared/Team/2026"]);
    let said = place.run(&["shared", "allow", "Team", "alice@demo.example", "lrsw"]);
    assert_eq!(said, "Shared/Team: alice@demo.example=lrsw\n");
    place.run(&["shared", "allow", "Team", "alice@demo.example", "-w"]);
    place.run(&["shared", "allow", "Team", "-alice@demo.example", "p"]);
    place.run(&["shared", "allow", "Team", "anyone", "+l"]);
    let listed = place.run(&["shared", "list"]);
    let rows: Vec<Vec<&str>> =
        listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][0], "Shared/Team");
    let mut rights = rows[1][rows[1].len() - 3..].to_vec();
    rights.sort_unstable();
    assert_eq!(rights, ["-alice@demo.example=p", "alice@demo.example=lrs", "anyone=l"]);
    assert_eq!((rows[2][0], rows[2].last()), ("Shared/Team/2026", Some(&"-")));
    place.run(&["shared", "allow", "Team", "anyone", ""]);
    assert!(!place.run(&["shared", "list"]).contains("anyone"));
    for (arguments, why) in [
        (["shared", "allow", "Team", "nobody@demo.example", "l"], "no such user"),
        (["shared", "allow", "Team", "anyone", "q"], "rights are letters"),
        (["shared", "allow", "Nowhere", "anyone", "l"], "no such mailbox"),
    ] {
        let (status, said) = place.refused(&arguments);
        assert!(status == 1 && said.contains(why), "{arguments:?}: {said}");
    }
    assert!(place.refused(&["shared", "add", "INBOX"]).1.contains("no right"));
    // Whose tree it is stands nowhere.
    assert_eq!(place.run(&["user", "list"]).lines().count(), 2);
    assert_eq!(place.run(&["domain", "list"]).lines().count(), 2);
    place.run(&["shared", "quota", "--octets", "1 MiB"]);
    assert_eq!(place.run(&["check"]), "no faults found\n");
    place.run(&["shared", "remove", "Team/2026"]);
    place.run(&["shared", "remove", "Team"]);
    assert_eq!(place.run(&["shared", "list"]), "");
}

#[test]
fn a_data_directory_with_a_long_name_is_reached_while_the_server_runs() {
    let place = Place::named(&"long".repeat(40));
    let server = place.serve();
    place.run(&["domain", "add", "long.example"]);
    assert!(place.run(&["domain", "list"]).contains("long.example"));
    assert!(server.end(Signal::TERM).success());
}

#[test]
fn every_service_greets_and_a_hangup_changes_nothing() {
    let place = Place::new();
    let server = place.serve();
    for (service, word) in [("imap", "* OK "), ("smtp", "220 "), ("lmtp", "220 ")] {
        let said = server.greeting(service);
        assert!(said.starts_with(word), "{service}: {said}");
    }
    assert_eq!(server.services.len(), 6);
    server.signal(Signal::HUP);
    assert!(server.greeting("submission").starts_with("220 "));
    assert!(server.end(Signal::INT).success());
}

#[test]
fn the_server_says_goodbye_to_those_who_are_connected() {
    let place = Place::new();
    let server = place.serve();
    let stream = TcpStream::connect(server.services["imap"][0]).unwrap();
    let mut lines = BufReader::new(stream).lines();
    lines.next().unwrap().unwrap();
    assert!(server.end(Signal::TERM).success());
    assert!(lines.next().unwrap().unwrap().starts_with("* BYE"));
}

#[test]
fn it_says_goodbye_to_who_is_sending_a_message_too() {
    let house = House::with(&[]);
    let mut imap = house.log_in("alice@demo.example");
    imap.send(b"x APPEND INBOX {100}\r\n").unwrap();
    assert!(imap.read_line().unwrap().starts_with(b"+ "));
    imap.send(b"Subject: half").unwrap();
    house.stop_now();
    assert!(imap.read_line().unwrap().starts_with(b"* BYE [UNAVAILABLE]"));
}

#[test]
fn nobody_else_looks_into_the_data() {
    let place = Place::new();
    fs::create_dir_all(&place.data).unwrap();
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o755)).unwrap();
    let server = place.serve();
    assert_eq!(fs::metadata(&place.data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(server.end(Signal::TERM).success());
}

/// A maildir with flags, dates and a subfolder; gives its messages by mailbox.
fn maildir(root: &Path) {
    for folder in ["cur", "new", ".Work.Pl&AOQ-ne/cur"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let put = |name: &str, text: &str, date: u64| {
        let mut file = fs::File::create(root.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(date);
        file.set_modified(date).unwrap();
    };
    put("cur/1.a:2,RS", "From: a@b.example\nSubject: one\n\nFrom the start\n", 1_000_000_000);
    put("cur/2.a:2,Fa", "From: a@b.example\nSubject: two\n\nbody\n", 1_000_000_100);
    put("new/3.a", "no header here\n", 1_000_000_200);
    put(".Work.Pl&AOQ-ne/cur/4.a:2,P", "Subject: three\n\nbody\n", 1_000_000_300);
    fs::write(root.join("dovecot-keywords"), "0 Receipts\n").unwrap();
}

/// What a folder of exported mail holds: names without what changes from one export to the next,
/// with their octets.
fn held(root: &Path) -> Vec<(String, String)> {
    let mut held = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains(":2,") {
                let folder = path.parent().unwrap().strip_prefix(root).unwrap();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let date = name.split('.').next().unwrap();
                let flags = name.rsplit(":2,").next().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                held.push((format!("{} {date} {flags}", folder.display()), text));
            }
        }
    }
    held.sort();
    held
}

#[test]
fn mail_moves_in_and_out_with_flags_and_dates_and_nothing_comes_twice() {
    let place = Place::new();
    place.run(&["domain", "add", "demo.example"]);
    place.add_user("alice@demo.example");
    place.add_user("bob@demo.example");
    let path = |name: &str| place.dir.path().join(name);
    maildir(&path("in"));
    let import = |user: &str, kind: &str, from: &Path, into: &[&str]| {
        let arguments = [&["import", user, kind, from.to_str().unwrap()], into].concat();
        place.run(&arguments)
    };
    let alice = "alice@demo.example";
    let said = import(alice, "maildir", &path("in"), &[]);
    assert_eq!(said, "4 added (1 of them broken), 0 already there\n");
    let server = place.serve();
    let said = import(alice, "maildir", &path("in"), &[]);
    assert_eq!(said, "0 added (0 of them broken), 4 already there\n");
    place.run(&["export", alice, "maildir", path("out").to_str().unwrap()]);
    let told = held(&path("out"));
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            ".Work.Pl&AOQ-ne/cur 1000000300 P",
            "cur 1000000000 RS",
            "cur 1000000100 Fa",
            "cur 1000000200 ",
        ]
    );
    assert_eq!(told[3].1, "no header here\n");
    place.run(&["export", alice, "mbox", path("boxes").to_str().unwrap()]);
    assert!(server.end(Signal::TERM).success());
    let bob = "bob@demo.example";
    import(bob, "mbox", &path("boxes"), &[]);
    place.run(&["export", bob, "maildir", path("bobs").to_str().unwrap()]);
    assert_eq!(held(&path("bobs")), told);
    let said = import(bob, "mbox", &path("boxes/INBOX.mbox"), &["--into", "Old/Box"]);
    assert_eq!(said, "3 added (1 of them broken), 0 already there\n");
    assert_eq!(place.run(&["check"]), "no faults found\n");
}

#[test]
fn why_an_import_is_refused_is_told_however_much_was_to_be_sent() {
    let place = Place::new();
    place.run(&["domain", "add", "demo.example"]);
    place.add_user("alice@demo.example");
    let file = place.dir.path().join("long.eml");
    fs::write(&file, format!("Subject: x\n\n{}", "line\n".repeat(1 << 20))).unwrap();
    let import = ["import", "alice@demo.example", "eml", file.to_str().unwrap(), "--into", "a//b"];
    let alone = place.refused(&import);
    let server = place.serve();
    assert_eq!(place.refused(&import), alone, "over the socket as without a server");
    assert!(server.end(Signal::TERM).success());
    assert_eq!(alone.0, 1);
    assert!(alone.1.starts_with("mailade: ") && !alone.1.contains("broke off"), "{}", alone.1);
}

#[test]
fn a_message_above_the_limit_is_reported_and_the_others_come_in() {
    let place = Place::new();
    place.run(&["domain", "add", "demo.example"]);
    place.add_user("alice@demo.example");
    let box_path = place.dir.path().join("box");
    let long = "long\n".repeat(1_000);
    let from = "From a@b.example Thu Jan  1 00:00:00 1970\n";
    fs::write(&box_path, format!("{from}Subject: a\n\n{long}\n{from}Subject: b\n\nx\n")).unwrap();
    let limit = ["--set", "limits.message_size_max=1 KiB"];
    let import = ["import", "alice@demo.example", "mbox", box_path.to_str().unwrap()];
    let (status, said) = place.refused(&[&limit[..], &import].concat());
    assert_eq!(status, 1);
    assert!(said.contains("message 1: larger than message_size_max, 1024 octets"), "{said}");
    assert!(said.ends_with("mailade: 1 could not be imported\n"), "{said}");
    assert!(place.run(&["user", "list"]).lines().nth(1).unwrap().contains(" 1 "));
}

#[test]
fn the_demonstration_shows_mail_and_leaves_nothing_behind() {
    let place = Place::new();
    let server = place.demo(&[]);
    for (service, addresses) in &server.services {
        let row = |line: &str| {
            line.starts_with(service.as_str()) && line.contains(&addresses[0].to_string())
        };
        assert!(server.said.lines().any(row), "{service} in {}", server.said);
    }
    for login in ["alice@demo.example", "bob@demo.example"] {
        let row = |line: &str| line.starts_with(login) && line.contains("mailade-demo");
        assert!(server.said.lines().any(row), "{}", server.said);
    }
    let mut imap = BufReader::new(TcpStream::connect(server.services["imap"][0]).unwrap());
    let commands = "a LOGIN alice@demo.example mailade-demo\r\nb SELECT INBOX\r\nc IDLE\r\n";
    imap.get_mut().write_all(commands.as_bytes()).unwrap();
    let mut lines = imap.lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("* OK "));
    assert!(lines.any(|line| line.starts_with("+ ")));
    // Within 20 seconds.
    assert!(lines.any(|line| line.ends_with(" EXISTS")), "a message trickles in");
    let mut said = String::new();
    let status = server.end(Signal::INT);
    assert!(status.success());
    for entry in fs::read_dir(place.dir.path()).unwrap() {
        said.push_str(&entry.unwrap().path().display().to_string());
    }
    assert_eq!(said, "");
}

#[test]
fn the_demonstrations_mail_can_be_kept() {
    let place = Place::new();
    let kept = place.data.to_str().unwrap();
    for _ in 0..2 {
        let server = place.demo(&["--keep", kept]);
        assert!(server.end(Signal::INT).success());
    }
    let users = place.run(&["user", "list"]);
    let alice = users.lines().find(|line| line.starts_with("alice@demo.example")).unwrap();
    let messages: usize = alice.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert!((200..500).contains(&messages), "{alice}");
}

#[test]
fn the_demonstration_takes_no_settings_that_it_would_not_follow() {
    let place = Place::new();
    for arguments in [&["demo"][..], &["--set", "listen.imap=127.0.0.1:1", "demo"]] {
        let (status, said) = place.refused(arguments);
        assert!(status == 2 && said.contains("settings of its own"), "{said}");
    }
}

#[test]
fn a_pipe_that_closes_early_is_no_fault() {
    let place = Place::new();
    let mut child = place.program(&["config", "example"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert!(child.wait().unwrap().success());
}

//! A house of its own for a test: the real program on free ports, with its own data directory.
//!
//! Every house has the domain demo.example with the users alice and bob, whose password is
//! "secret". They are made once by the command line, stopped, and copied from then on, so that a
//! house opens within a few milliseconds. A house that is dropped is killed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::connection::Connection;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mailade");
/// What the users of every house log in with.
pub(crate) const PASSWORD: &str = "secret";
/// The longest that a house may take to open or to close.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service of the house, as `[listen]` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Imap,
    Imaps,
    Smtp,
    Lmtp,
    Submission,
    Submissions,
}

impl Service {
    const ALL: [Self; 6] =
        [Self::Imap, Self::Imaps, Self::Smtp, Self::Lmtp, Self::Submission, Self::Submissions];
    /// Services that a house of the tests has no use for.
    const OFF: [&str; 5] = ["immp", "managesieve", "admin", "https", "http"];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
        }
    }

    /// Does TLS begin before anything is said?
    fn is_tls(self) -> bool {
        matches!(self, Self::Imaps | Self::Submissions)
    }
}

/// A running house.
pub(crate) struct House {
    dir: TempDir,
    log: PathBuf,
    settings: Vec<(String, String)>,
    running: Option<Child>,
    addresses: BTreeMap<Service, SocketAddr>,
}

impl House {
    /// Opens a house with the usual settings.
    pub(crate) fn open() -> Self {
        Self::with(&[])
    }

    /// Opens a house with further settings, such as `("limits.imap_literal_max", "1000")`.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        Self::below(&std::env::temp_dir(), settings)
    }

    /// The same with everything it writes, its log too, below a folder of the caller's.
    pub(crate) fn below(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::logging_to(None, folder, settings)
    }

    /// Opens a house that logs into a file of the caller's.
    pub(crate) fn with_log(log: &str) -> Self {
        Self::logging_to(Some(log.into()), &std::env::temp_dir(), &[])
    }

    fn logging_to(log: Option<PathBuf>, folder: &Path, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("mailade-").tempdir_in(folder).unwrap();
        let log = log.unwrap_or_else(|| dir.path().join("log"));
        copy(&model(), &data_dir(dir.path()));
        let settings = settings.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        let mut house = Self { dir, log, settings, running: None, addresses: BTreeMap::new() };
        house.start();
        house
    }

    /// Where a service listens.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        *self.addresses.get(&service).unwrap_or_else(|| panic!("no {service:?}"))
    }

    /// A new connection, past its TLS handshake where the service begins with one.
    pub(crate) fn connect(&self, service: Service) -> Connection {
        let connection = Connection::open(self.address(service));
        if service.is_tls() { connection.with_tls() } else { connection }
    }

    /// A connection to IMAP, logged in.
    pub(crate) fn log_in(&self, user: &str) -> Connection {
        let mut connection = self.connect(Service::Imap);
        connection.read_line().unwrap();
        connection.send_line(&format!("login LOGIN {user} {PASSWORD}")).unwrap();
        loop {
            let line = connection.read_line().unwrap();
            if line.starts_with(b"login ") {
                assert!(line.starts_with(b"login OK"), "{}", String::from_utf8_lossy(&line));
                return connection;
            }
        }
    }

    /// Delivers a message over LMTP; the answer for each recipient.
    pub(crate) fn deliver(&self, message: &[u8], sender: &str, recipients: &[&str]) -> Vec<String> {
        let mut lmtp = self.connect(Service::Lmtp);
        lmtp.read_reply().unwrap();
        lmtp.command("LHLO test.example").unwrap();
        lmtp.command(&format!("MAIL FROM:<{sender}>")).unwrap();
        let mut answers = Vec::new();
        for recipient in recipients {
            answers.push(lmtp.command(&format!("RCPT TO:<{recipient}>")).unwrap());
        }
        let go_ahead = lmtp.command("DATA").unwrap();
        assert!(go_ahead.starts_with("354"), "{go_ahead}; recipients: {answers:?}");
        lmtp.send(&dotted(message)).unwrap();
        for answer in answers.iter_mut().filter(|answer| answer.starts_with('2')) {
            *answer = lmtp.read_reply().unwrap();
        }
        answers
    }

    /// Runs the command line beside the server.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Output {
        command(&data_dir(self.dir.path()), &self.settings, arguments, input)
    }

    /// Changes a setting of the next start.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.into(), value.into()));
    }

    /// Puts more lines at the end of the configuration file.
    pub(crate) fn configure(&self, more: &str) {
        let data_dir = data_dir(self.dir.path());
        let text = configuration(&data_dir) + more;
        fs::write(data_dir.with_extension("toml"), text).unwrap();
    }

    /// Changes the configuration file.
    pub(crate) fn reconfigure(&self, change: impl FnOnce(&str) -> String) {
        let file = data_dir(self.dir.path()).with_extension("toml");
        fs::write(&file, change(&fs::read_to_string(&file).unwrap())).unwrap();
    }

    /// Sends the server a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.running.as_ref().expect("the server runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Has the configuration loaded anew, and waits for the word that it was.
    pub(crate) fn reload(&self) {
        const LOADED: &str = "configuration loaded anew";
        let before = self.log().matches(LOADED).count();
        self.signal(Signal::HUP);
        self.until_logged(LOADED, before + 1);
    }

    /// Waits until the log holds a text so many times.
    pub(crate) fn until_logged(&self, text: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "no {text:?} in:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the server has logged up to now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the server has logged these words.
    pub(crate) fn wait_for_log(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "{words:?} is not in the log:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the server at once, as a power switch does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The same while others still use the house; [`Self::kill`] must follow.
    pub(crate) fn kill_now(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }

    /// Tells the server to stop.
    pub(crate) fn stop_now(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Tells the server to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.stop_now();
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.running.take().expect("the server runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("the server does not end:\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").id()
    }

    /// Where the server keeps everything.
    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(self.dir.path())
    }

    /// Starts the server that was killed or stopped; its ports are new.
    pub(crate) fn start(&mut self) {
        let data_dir = data_dir(self.dir.path());
        let ready = self.dir.path().join("ready");
        let _none_before_the_first_start = fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = program(&data_dir, &self.settings)
            .args(["serve", "--announce"])
            .stdin(Stdio::null())
            .stdout(File::create(&ready).unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.hear_addresses(&ready) {
            let ended = self.running.as_mut().and_then(|child| child.try_wait().unwrap());
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "no start ({ended:?}):\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Reads the line that the server prints when its doors are open; false when they are not.
    fn hear_addresses(&mut self, file: &Path) -> bool {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let Some(json) = whole.find_map(|line| line.strip_prefix("ready ")) else {
            return false;
        };
        let services: BTreeMap<String, Vec<SocketAddr>> = serde_json::from_str(json).unwrap();
        let known = Service::ALL
            .into_iter()
            .filter_map(|service| Some((service, *services.get(service.key())?.first()?)));
        self.addresses = known.collect();
        true
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A message as DATA carries it: dots doubled, and the end behind it.
pub(crate) fn dotted(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") && !out.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// A message of tests/mail with the line ends of the wire.
pub(crate) fn mail(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(bare) => {
                out.extend_from_slice(bare.strip_suffix(b"\r").unwrap_or(bare));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// The program with the settings of a house of the tests.
fn program(data_dir: &Path, settings: &[(String, String)]) -> Command {
    let mut program = Command::new(PROGRAM);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("MAILADE_")) {
        program.env_remove(name);
    }
    program.arg("--config").arg(data_dir.with_extension("toml"));
    for (key, value) in settings {
        program.arg("--set").arg(format!("{key}={value}"));
    }
    program
}

/// The configuration file of a house of the tests.
fn configuration(data_dir: &Path) -> String {
    let mut text = format!("hostname = \"mail.demo.example\"\ndata_dir = {data_dir:?}\n[listen]\n");
    for service in Service::ALL {
        text += &format!("{} = [\"127.0.0.1:0\"]\n", service.key());
    }
    for service in Service::OFF {
        text += &format!("{service} = []\n");
    }
    // Every house is copied; one that is to have a reserve says so.
    text + "[limits]\ndisk_reserve = \"0\"\n"
}

fn command(
    data_dir: &Path,
    settings: &[(String, String)],
    arguments: &[&str],
    input: &str,
) -> Output {
    let piped = program(data_dir, settings)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = piped.unwrap();
    let _it_may_not_read = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The data directory that all houses are copies of; made once for each build of the program.
fn model() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = fs::metadata(PROGRAM).unwrap();
    let model = folder.join(format!("model-{}-{}", built.mtime(), built.mtime_nsec()));
    let lock = File::create(folder.join("model.lock")).unwrap();
    lock.lock().unwrap();
    if !model.exists() {
        for old in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            if old.file_name().to_string_lossy().starts_with("model-") {
                fs::remove_dir_all(old.path()).unwrap();
            }
        }
        let made = tempfile::tempdir_in(folder).unwrap();
        let data_dir = data_dir(made.path());
        fs::create_dir(&data_dir).unwrap();
        fs::write(data_dir.with_extension("toml"), configuration(&data_dir)).unwrap();
        let run = |arguments: &[&str], input| {
            let output = command(&data_dir, &[], arguments, input);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run(&["domain", "add", "demo.example"], "");
        run(
            &["user", "add", "alice@demo.example", "--name", "Alice", "--password-stdin"],
            PASSWORD,
        );
        run(&["user", "add", "bob@demo.example", "--name", "Bob", "--password-stdin"], PASSWORD);
        fs::rename(&data_dir, &model).unwrap();
    }
    model
}

/// Copies the model and writes the configuration beside it.
fn copy(model: &Path, data_dir: &Path) {
    copy_folder(model, data_dir);
    fs::write(data_dir.with_extension("toml"), configuration(data_dir)).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

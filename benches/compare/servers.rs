//! The two servers, each in a directory of its own with ports of its own.

use std::{
    collections::HashSet,
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How many accounts the phones are of: `u0@demo.example` and so on, all with the password `secret`.
pub(crate) const USERS: usize = 1_000;

/// Makes an account of this address.
type Make = Box<dyn Fn(&str) + Send + Sync>;

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) imap: u16,
    /// IMAP over TLS, where it is measured.
    pub(crate) imaps: Option<u16>,
    pub(crate) lmtp: u16,
    /// Submission, where it is measured.
    pub(crate) submission: Option<u16>,
    /// Where mail is kept, where that is measured.
    data: Option<PathBuf>,
    start: Box<dyn Fn() -> Child + Send + Sync>,
    child: Mutex<Child>,
    /// Makes an account; Dovecot takes every name.
    make: Option<Make>,
    made: Mutex<HashSet<usize>>,
}

impl Server {
    pub(crate) fn mailade(dir: &Path) -> Self {
        let home = dir.join("mailade");
        fs::create_dir(&home).unwrap();
        let (imap, imaps, lmtp) = (free_port(), free_port(), free_port());
        let (submission, data) = (free_port(), home.join("data"));
        let config = home.join("mailade.toml");
        let text = format!(
            "hostname = \"mail.demo.example\"\ndata_dir = \"{}\"\n[listen]\n\
             imap = [\"127.0.0.1:{imap}\"]\nimaps = [\"127.0.0.1:{imaps}\"]\nlmtp = [\"127.0.0.1:{lmtp}\"]\nsmtp = []\n\
             submission = [\"127.0.0.1:{submission}\"]\nsubmissions = []\nimmp = []\nmanagesieve = []\nadmin = []\nhttps = []\n\
             [limits]\nconnections_max = 30000\nquota = \"500 GiB\"\nsubmission_messages_per_hour = 100000\nauth_failures_per_address_per_day = 100000\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/mailade");
        let (program, file) = (binary.clone(), config.clone());
        let run = move |args: &[&str], input: &str| {
            let mut child = Command::new(&program)
                .arg("--config")
                .arg(&file)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{args:?}");
        };
        run(&["domain", "add", "demo.example"], "");
        let log = home.join("log");
        let start = move || {
            let log = fs::File::options().create(true).append(true).open(&log).unwrap();
            let mut serve = Command::new(&binary);
            serve.arg("--config").arg(&config).arg("serve");
            serve.stdout(Stdio::null()).stderr(log).spawn().unwrap()
        };
        let make = move |user: &str| {
            run(&["user", "add", user, "--password-stdin", "--no-scram"], "secret\n");
        };
        let server = Self::new("Mailade", imap, lmtp, Box::new(start), Some(Box::new(make)));
        Self { imaps: Some(imaps), submission: Some(submission), data: Some(data), ..server }
    }

    pub(crate) fn dovecot(dir: &Path) -> Self {
        let home = dir.join("dovecot");
        fs::create_dir(&home).unwrap();
        let (imap, lmtp) = (free_port(), free_port());
        let config = home.join("dovecot.conf");
        fs::write(&config, dovecot_conf(&home, imap, lmtp)).unwrap();
        let status = Command::new("chown").args(["-R", "nobody:nogroup"]).arg(&home).status();
        assert!(status.unwrap().success());
        open_to_all(dir);
        let start =
            move || Command::new("dovecot").arg("-F").arg("-c").arg(&config).spawn().unwrap();
        Self::new("Dovecot", imap, lmtp, Box::new(start), None)
    }

    fn new(
        name: &'static str,
        imap: u16,
        lmtp: u16,
        start: Box<dyn Fn() -> Child + Send + Sync>,
        make: Option<Make>,
    ) -> Self {
        let child = Mutex::new(start());
        let made = Mutex::default();
        let (imaps, submission, data) = (None, None, None);
        let server = Self { name, imap, imaps, lmtp, submission, data, start, child, make, made };
        server.wait();
        server
    }

    /// The address of an account, made when it is first asked for.
    pub(crate) fn user(&self, number: usize) -> String {
        let user = format!("u{number}@demo.example");
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.insert(number)
            && let Some(make) = &self.make
        {
            make(&user);
        }
        user
    }

    /// Ends the server and starts it anew: nothing is in its memory, all in the page cache.
    pub(crate) fn restart(&self) {
        self.stop();
        *self.child() = (self.start)();
        self.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.imap)).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{} did not start", self.name);
    }

    /// Octets of memory of the server's processes: what is theirs alone, and their share of the rest.
    pub(crate) fn resident(&self) -> usize {
        family(self.child().id()).iter().map(|pid| proportional(*pid)).sum()
    }

    /// Octets of memory of the server's own process, by the pages it has.
    pub(crate) fn resident_now(&self) -> usize {
        self.told("VmRSS:")
    }

    /// The most that has been, since the start or [`Self::forget_peak`].
    pub(crate) fn peak(&self) -> usize {
        self.told("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child().id()), "5").unwrap();
    }

    fn told(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child().id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }

    /// Octets of the files in which it keeps mail.
    pub(crate) fn octets_stored(&self) -> u64 {
        fn below(path: &Path) -> u64 {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let size = |entry: fs::DirEntry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => below(&entry.path()),
                Ok(meta) => meta.len(),
                // A temporary file that is no longer there.
                Err(_) => 0,
            };
            entries.map(size).sum()
        }
        self.data.as_deref().map_or(0, below)
    }

    /// Processor time the server's processes have used, in milliseconds: other work on the machine
    /// hardly changes it.
    pub(crate) fn processor(&self) -> f64 {
        family(self.child().id()).iter().map(|pid| ticks(*pid)).sum::<u64>() as f64 * 10.0
    }

    /// Waits until what was left to be done in the background is done.
    pub(crate) fn wait_until_idle(&self) {
        loop {
            let before = self.processor();
            thread::sleep(Duration::from_secs(3));
            if self.processor() - before < 50.0 {
                return;
            }
        }
    }

    pub(crate) fn stop(&self) {
        let mut child = self.child();
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let _ = child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Dovecot's processes run as another user and must be able to reach their directory.
fn open_to_all(dir: &Path) {
    let mut up: Option<PathBuf> = Some(dir.to_path_buf());
    while let Some(path) = up.filter(|path| path.components().count() > 1) {
        let _ = Command::new("chmod").arg("o+x").arg(&path).status();
        up = path.parent().map(Path::to_path_buf);
    }
}

/// A process and all below it.
fn family(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while at < all.len() {
        let children = format!("/proc/{}/task/{}/children", all[at], all[at]);
        let text = fs::read_to_string(children).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    all
}

fn proportional(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0) << 10
}

/// Hundredths of a second that a process and those of its children that have ended have computed.
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    behind_name.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn dovecot_conf(home: &Path, imap: u16, lmtp: u16) -> String {
    let home = home.display();
    format!(
        "protocols = imap lmtp
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = mdbox:{home}/mail/%u
mail_max_userip_connections = 30000
first_valid_uid = 1
default_client_limit = 30000
default_process_limit = 2000
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={home}/mail/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = create
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  process_min_avail = 2
}}
service imap {{
  service_count = 1000
  process_min_avail = 4
  process_limit = 12000
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
  process_min_avail = 8
  service_count = 1000
}}
service anvil {{
  client_limit = 30000
}}
service auth {{
  client_limit = 60000
}}
protocol imap {{
  imap_hibernate_timeout = 0
}}
"
    )
}

//! strace beside a running house: what it asks of the kernel in which order, and a kernel that
//! refuses.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::house::House;

/// A tracer that is attached to all threads of a house.
pub(crate) struct Strace {
    child: Child,
    out: PathBuf,
    _dir: tempfile::TempDir,
}

impl Strace {
    /// Attaches; None, with a word on why, where no process may be traced.
    pub(crate) fn attach(house: &House, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("trace");
        File::create(&out).unwrap();
        let started = Command::new("strace")
            .args(["-f", "-y", "-s", "4096", "-p", &house.pid().to_string(), "-o"])
            .arg(&out)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                println!("SKIPPED: strace cannot be started: {error}");
                return None;
            }
        };
        let mut told = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
        if told.contains("attached") {
            return Some(Self { child, out, _dir: dir });
        }
        println!("SKIPPED: strace may not trace here: {told}");
        child.wait().unwrap();
        None
    }

    /// Lets the house go on alone; what it did meanwhile.
    pub(crate) fn detach(mut self) -> Vec<Call> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _it_may_have_ended_with_the_house =
            rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        self.child.wait().unwrap();
        calls(&fs::read_to_string(&self.out).unwrap())
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name.
    pub(crate) name: String,
    /// Its arguments as strace prints them: files with their path, octets with escapes.
    pub(crate) arguments: String,
    /// What it gave back; None when it did not come back.
    pub(crate) gave: Option<i64>,
    /// The lines of the trace at which it began and ended.
    pub(crate) began: usize,
    pub(crate) ended: usize,
}

impl Call {
    /// A sync of this file that went well.
    pub(crate) fn is_sync_of(&self, path: &Path) -> bool {
        matches!(&*self.name, "fsync" | "fdatasync")
            && self.gave == Some(0)
            && self.arguments.contains(&format!("<{}>", path.display()))
    }

    /// A write into this file that went well.
    pub(crate) fn is_write_to(&self, path: &Path) -> bool {
        matches!(&*self.name, "pwrite64" | "write" | "pwritev" | "writev")
            && self.gave.is_some_and(|octets| octets > 0)
            && self.arguments.contains(&format!("<{}>", path.display()))
    }

    /// Octets that go to a peer.
    pub(crate) fn is_sending(&self, text: &str) -> bool {
        matches!(&*self.name, "sendto" | "sendmsg" | "write" | "writev")
            && self.arguments.contains("<socket:")
            && self.arguments.contains(text)
    }

    /// Octets that come from a peer.
    pub(crate) fn is_receiving(&self, text: &str) -> bool {
        matches!(&*self.name, "recvfrom" | "read" | "recvmsg" | "readv")
            && self.arguments.contains("<socket:")
            && self.arguments.contains(text)
    }
}

/// Reads a trace: `PID name(arguments) = gave`, or the same in two pieces,
/// `PID name(arg <unfinished ...>` and `PID <... name resumed>uments) = gave`.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: std::collections::HashMap<&str, Call> = std::collections::HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((_, rest)) = resumed.split_once(" resumed>") else { continue };
            let Some(mut call) = open.remove(pid) else { continue };
            let (arguments, gave) = arguments_and_result(rest);
            call.arguments.push_str(arguments);
            (call.gave, call.ended) = (gave, number);
            calls.push(call);
            continue;
        }
        let Some((name, rest)) = rest.split_once('(') else { continue };
        let name = name.to_owned();
        if let Some(arguments) = rest.strip_suffix(" <unfinished ...>") {
            let arguments = arguments.to_owned();
            let (gave, began, ended) = (None, number, usize::MAX);
            open.insert(pid, Call { name, arguments, gave, began, ended });
        } else {
            let (arguments, gave) = arguments_and_result(rest);
            let arguments = arguments.to_owned();
            calls.push(Call { name, arguments, gave, began: number, ended: number });
        }
    }
    calls.extend(open.into_values());
    calls.sort_by_key(|call| call.began);
    calls
}

fn arguments_and_result(rest: &str) -> (&str, Option<i64>) {
    let Some((arguments, result)) = rest.rsplit_once(") = ") else {
        return match rest.rsplit_once(')') {
            Some((arguments, result)) => (arguments, number(result.trim_start_matches([' ', '=']))),
            None => (rest, None),
        };
    };
    (arguments, number(result))
}

fn number(result: &str) -> Option<i64> {
    result.trim().split([' ', '<']).next().and_then(|number| number.parse().ok())
}

#[test]
fn a_trace_is_read_with_calls_in_one_piece_and_in_two() {
    let trace = "\
12  fsync(7</d/mailade.db-wal> <unfinished ...>
13  sendto(9<socket:[77]>, \"t1 OK (done) = 1\\r\\n\", 17, MSG_NOSIGNAL, NULL, 0) = 17
12  <... fsync resumed>)                = 0
14  pwrite64(7</d/mailade.db-wal>, \"\\1\\2\", 2, 0) = -1 EIO (Input/output error) (INJECTED)
15  futex(0x1, FUTEX_WAIT <unfinished ...>
";
    let calls = calls(trace);
    let [sync, send, write, never] = &calls[..] else { panic!("{calls:?}") };
    assert!(sync.is_sync_of(Path::new("/d/mailade.db-wal")));
    assert!(!sync.is_sync_of(Path::new("/d/mailade.db")));
    assert_eq!((sync.began, sync.ended), (0, 2));
    assert!(send.is_sending("t1 OK") && send.gave == Some(17));
    assert!(!write.is_write_to(Path::new("/d/mailade.db-wal")), "it failed");
    assert_eq!((write.gave, never.gave), (Some(-1), None));
}

//! A network of its own for a test: a loopback that has other addresses too, where port 25 is free and
//! nothing outside can be reached.
//!
//! A test enters it by running itself once more inside. Where the system does not allow that (it takes
//! root or user namespaces) the test says that it was skipped.

use std::process::{Command, Stdio};

/// An address of this network that is not loopback to anybody who looks at it (RFC 5737).
pub(crate) const ELSEWHERE: &str = "192.0.2.1";

const INSIDE: &str = "TEST_IN_A_NETWORK_OF_ITS_OWN";

/// True inside of such a network. Outside, the test of this name is run inside, and this is false.
pub(crate) fn enter(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(way) =
        ways().into_iter().find(|way| inside(way, &["true"]).output().unwrap().status.success())
    else {
        println!("SKIPPED {test}: no network namespaces on this machine");
        return false;
    };
    let program = std::env::current_exe().unwrap();
    let arguments = [program.to_str().unwrap(), "--exact", test, "--nocapture"];
    let output = inside(&way, &arguments).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "inside:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// As root of this machine, or as root of a user namespace.
fn ways() -> [Vec<&'static str>; 2] {
    [vec!["--net"], vec!["--net", "--map-root-user"]]
}

fn inside(way: &[&str], arguments: &[&str]) -> Command {
    let set_up =
        format!("ip link set lo up && ip address add {ELSEWHERE}/32 dev lo && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", &set_up, "sh"]).args(arguments).stdin(Stdio::null());
    command
}

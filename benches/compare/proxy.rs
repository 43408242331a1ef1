//! `mailade proxy` before Dovecot, in Mailade's column, and Dovecot alone: what standing in between costs.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
};

use tempfile::TempDir;

use crate::{
    Measure, Unit,
    client::Imap,
    loads::milliseconds,
    servers::{Server, free_port},
};

const MEBIBYTE: usize = 1 << 20;
/// Messages of a mebibyte each.
const MESSAGES: usize = 64;
/// Commands of which the time is taken.
const COMMANDS: usize = 2_000;

/// A proxy that runs.
struct Proxy {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Where Dovecot is reached, with what is between and without.
struct Ways {
    dovecot: u16,
    user: String,
    proxy: OnceLock<Proxy>,
}

pub(crate) fn all(dovecot: &Server) -> Vec<Measure> {
    let (port, user) = (dovecot.imap, dovecot.user(0));
    let ways = Arc::new(Ways { dovecot: port, user, proxy: OnceLock::new() });
    let (one, two, three) = (Arc::clone(&ways), Arc::clone(&ways), ways);
    vec![
        Measure::new("a proxy: MiB fetched", Unit::PerSecond, move |server, _| one.fetch(server)),
        Measure::new("a proxy: MiB appended", Unit::PerSecond, move |server, _| two.append(server)),
        Measure::new("a proxy: NOOP, median", Unit::Milliseconds, move |server, _| {
            three.noop(server)
        }),
    ]
}

impl Ways {
    fn login(&self, server: &Server) -> Imap {
        let through = server.imap != self.dovecot;
        let port =
            if through { self.proxy.get_or_init(|| self.start()).port } else { self.dovecot };
        Imap::login(port, &self.user)
    }

    fn start(&self) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let (port, file) = (free_port(), folder.path().join("proxy.toml"));
        let text = format!(
            "hostname = \"proxy.example\"\n[proxy]\nlisten = [\"127.0.0.1:{port}\"]\n\
             imap = \"127.0.0.1:{}\"\nsmtp = \"127.0.0.1:1\"\nlisten_tls = \"none\"\nimap_tls = \"none\"\n\
             smtp_tls = \"none\"\n",
            self.dovecot
        );
        fs::write(&file, text).unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/mailade");
        let mut proxy = Command::new(program);
        proxy.arg("--config").arg(&file).args(["proxy", "--announce"]);
        let mut child = proxy.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Its first word says that it takes connections.
        child.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
        Proxy { child, port, _folder: folder }
    }

    /// Puts the messages there, if they are not yet.
    fn fill(&self) {
        let mut client = Imap::login(self.dovecot, &self.user);
        if client.command("LIST \"\" proxied").lines > 0 {
            return;
        }
        client.command("CREATE proxied");
        let message = message();
        (0..MESSAGES).for_each(|_| client.append("proxied", &message));
    }

    fn fetch(&self, server: &Server) -> f64 {
        self.fill();
        let mut client = self.login(server);
        client.command("SELECT proxied");
        let all = format!("FETCH 1:{MESSAGES} BODY.PEEK[]");
        let taken = milliseconds(|| {
            let answer = client.command(&all);
            assert_eq!(answer.literal.len(), MEBIBYTE);
        });
        MESSAGES as f64 * 1000.0 / taken
    }

    fn append(&self, server: &Server) -> f64 {
        let mut client = self.login(server);
        client.command("CREATE given");
        let message = message();
        let taken = milliseconds(|| (0..16).for_each(|_| client.append("given", &message)));
        client.command("DELETE given");
        16_000.0 / taken
    }

    fn noop(&self, server: &Server) -> f64 {
        let mut client = self.login(server);
        let times = (0..COMMANDS).map(|_| {
            milliseconds(|| {
                client.command("NOOP");
            })
        });
        crate::median(times.collect())
    }
}

fn message() -> Vec<u8> {
    let mut message = b"From: a@demo.example\r\nSubject: large\r\n\r\n".to_vec();
    while message.len() < MEBIBYTE {
        message.extend_from_slice(
            b"seventy-two octets of text in a line, so that nobody has to fold it. ..\r\n",
        );
    }
    message.truncate(MEBIBYTE - 2);
    message.extend_from_slice(b"\r\n");
    message
}

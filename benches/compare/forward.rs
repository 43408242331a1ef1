//! A phone forwards a message with 20 MiB attached without downloading it: CATENATE, GENURLAUTH, BURL.
//!
//! In Dovecot's place stands the plain writing of 20 MiB to the disk, synced.

use std::{
    fs,
    io::Write as _,
    sync::{Barrier, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    Measure, NOT_TAKEN, Unit,
    client::{Imap, Smtp},
    loads::milliseconds,
    servers::Server,
};

/// Octets of the attachment as it is stored.
const ATTACHED: usize = 20 << 20;
/// Forwards at the same time.
const AT_ONCE: usize = 100;
/// Whose mail is forwarded, and who gets it.
const WHO: usize = 500;
const TO_WHOM: usize = 501;

pub(crate) fn all() -> Vec<Measure> {
    vec![
        Measure::new("forward of 20 MiB; writing it", Unit::Milliseconds, one),
        Measure::new("forward of 20 MiB, client sends", Unit::Octets, sent),
        Measure::new("forward of 20 MiB, new on the disk", Unit::Octets, stored),
        Measure::new("forward of 20 MiB, memory", Unit::Kibibytes, memory),
        Measure::new("100 forwards at once; writing 100", Unit::Milliseconds, crowd),
        Measure::new("100 forwards at once, resident", Unit::Kibibytes, crowd_memory),
    ]
}

/// A phone with both its connections open.
struct Phone {
    imap: Imap,
    smtp: Smtp,
    who: String,
    to_whom: String,
}

impl Phone {
    fn connect(server: &Server, submission: u16) -> Self {
        let (who, to_whom) = (server.user(WHO), server.user(TO_WHOM));
        let smtp = Smtp::login(submission, &who);
        Self { imap: Imap::login(server.imap, &who), smtp, who, to_whom }
    }

    /// Forwards the large message; gives the octets that it took to say so.
    fn forward(&mut self, note: usize) -> usize {
        let front = format!(
            "From: {}\r\nTo: {}\r\nSubject: forward {note}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee what came\r\n--b\r\n",
            self.who, self.to_whom
        );
        let end = "\r\n--b--\r\n";
        let append = format!(
            "APPEND Sent (\\Seen) CATENATE (TEXT {{{}+}}\r\n{front} URL \"/Big/;UID=1/;SECTION=2.MIME\" \
             URL \"/Big/;UID=1/;SECTION=2\" TEXT {{{}+}}\r\n{end})",
            front.len(),
            end.len()
        );
        let status = self.imap.command(&append).status;
        let uid = status.split_whitespace().nth(3).unwrap().trim_end_matches(']').to_owned();
        let user = self.who.replace('@', "%40");
        let rump = format!("imap://{user}@mail.demo.example/Sent/;UID={uid};URLAUTH=submit+{user}");
        let generate = format!("GENURLAUTH \"{rump}\" INTERNAL");
        let answer = self.imap.command(&generate).text;
        let url = answer.split('"').nth(1).unwrap();
        let burl = format!(
            "MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nBURL {url} LAST\r\n",
            self.who, self.to_whom
        );
        self.smtp.send(&burl, &["250", "250", "250"]);
        append.len() + generate.len() + burl.len()
    }
}

/// Puts the large message where it is forwarded from, once; None in Dovecot's place.
fn prepared(server: &Server) -> Option<u16> {
    let submission = server.submission?;
    let mut client = Imap::login(server.imap, &server.user(WHO));
    server.user(TO_WHOM);
    if client.command("LIST \"\" Big").lines == 0 {
        client.command("CREATE Big");
        let mut message = b"Subject: big\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; \
            boundary=x\r\n\r\n--x\r\n\r\nhere it is\r\n--x\r\nContent-Type: application/x-big\r\n\
            Content-Transfer-Encoding: base64\r\n\r\n"
            .to_vec();
        while message.len() < ATTACHED {
            message.extend_from_slice(format!("{:0>76}\r\n", message.len()).as_bytes());
        }
        message.extend_from_slice(b"--x--\r\n");
        client.append("Big", &message);
    }
    Some(submission)
}

/// Writes so many octets to a new file and syncs it.
fn write_out(number: usize) {
    let path = format!("{}/forward-{number}", env!("CARGO_TARGET_TMPDIR"));
    let mut file = fs::File::create(&path).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    (0..ATTACHED / chunk.len()).for_each(|_| file.write_all(&chunk).unwrap());
    file.sync_data().unwrap();
    fs::remove_file(path).unwrap();
}

fn one(server: &Server, repeat: usize) -> f64 {
    let Some(submission) = prepared(server) else { return milliseconds(|| write_out(repeat)) };
    let mut phone = Phone::connect(server, submission);
    let took = milliseconds(|| assert!(phone.forward(repeat) < 4 << 10));
    let mut reader = Imap::login(server.imap, &phone.to_whom);
    reader.command("SELECT INBOX");
    let size = reader.command("FETCH * RFC822.SIZE").text;
    let size = size.rsplit("SIZE ").next().and_then(|text| text.split(')').next());
    assert!(size.and_then(|size| size.parse::<usize>().ok()) > Some(ATTACHED), "all of it came");
    took
}

fn sent(server: &Server, repeat: usize) -> f64 {
    let Some(submission) = prepared(server) else { return NOT_TAKEN };
    Phone::connect(server, submission).forward(repeat) as f64
}

fn stored(server: &Server, repeat: usize) -> f64 {
    let Some(submission) = prepared(server) else { return NOT_TAKEN };
    let mut phone = Phone::connect(server, submission);
    let before = server.octets_stored();
    phone.forward(repeat);
    server.octets_stored().saturating_sub(before) as f64
}

fn memory(server: &Server, repeat: usize) -> f64 {
    let Some(submission) = prepared(server) else { return NOT_TAKEN };
    server.restart();
    let mut phone = Phone::connect(server, submission);
    // What the first one needs for good is no matter of a forward.
    phone.forward(repeat);
    let before = server.resident_now();
    server.forget_peak();
    phone.forward(repeat);
    server.peak().saturating_sub(before) as f64 / 1024.0
}

static CROWD: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All forwards at once; gives how long they took together.
fn rush(server: &Server, submission: u16) -> f64 {
    let _alone = alone();
    let connect = |_| Phone::connect(server, submission);
    let phones: Vec<Phone> = (0..AT_ONCE).map(connect).collect();
    let ready = Barrier::new(AT_ONCE + 1);
    thread::scope(|scope| {
        let forward = |(number, mut phone): (usize, Phone)| {
            let ready = &ready;
            scope.spawn(move || {
                ready.wait();
                phone.forward(number)
            })
        };
        let threads: Vec<_> = phones.into_iter().enumerate().map(forward).collect();
        milliseconds(|| {
            ready.wait();
            for thread in threads {
                assert!(thread.join().unwrap() < 4 << 10);
            }
        })
    })
}

fn crowd(server: &Server, _: usize) -> f64 {
    match prepared(server) {
        Some(submission) => rush(server, submission),
        None => milliseconds(|| (0..AT_ONCE).for_each(write_out)),
    }
}

fn crowd_memory(server: &Server, _: usize) -> f64 {
    let Some(submission) = prepared(server) else { return NOT_TAKEN };
    server.restart();
    rush(server, submission);
    server.peak() as f64 / 1024.0
}

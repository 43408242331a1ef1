//! Mail for the loads: lognormal sizes with median 25 KiB and mean 46 KiB, each message different.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A small generator of random numbers (splitmix64): the same mail in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (a, b) = (self.unit().max(1e-12), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// How large the next message is, in octets.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size is small")]
pub(crate) fn size(random: &mut Random) -> usize {
    (25.0 * 1024.0 * (1.104 * random.normal()).exp()).clamp(600.0, 4e6) as usize
}

/// Fills a message up to its size with an attachment, and ends it; its boundary is `=_b`.
pub(crate) fn attachment(text: &mut String, size: usize, random: &mut Random) {
    text.push_str(
        "--=_b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n",
    );
    while text.len() < size {
        let line = random.next();
        let _ = write!(text, "{line:016x}{line:016x}{line:016x}{line:016x}\r\n");
    }
    text.push_str("--=_b--\r\n");
}

/// The next message, with CRLF line ends and no line that begins with a dot.
pub(crate) fn message(random: &mut Random) -> Vec<u8> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let size = size(random);
    let mut text = format!(
        "From: Sender {number} <sender{number}@example.org>\r\nTo: user@demo.example\r\n\
         Subject: message {number} of the load\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{number}.{:x}@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=_{number}\"\r\n\r\n\
         --=_{number}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello, this is {number}.\r\n\
         --=_{number}\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n",
        random.next()
    );
    while text.len() < size {
        let line = random.next();
        let _ = write!(text, "{line:016x}{line:016x}{line:016x}{line:016x}\r\n");
    }
    let _ = write!(text, "--=_{number}--\r\n");
    text.into_bytes()
}

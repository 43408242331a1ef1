//! A scripted SMTP server for tests: it writes down every octet it hears.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use super::client::{Security, Times, Ways};
use crate::{
    metrics::Metrics,
    net::{
        ClientTls, Input, LineEnds, Memory, MemoryLimits, Octets, Output, Rate, ServerTls, Stream,
        open,
    },
};

/// What the server does besides the usual.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) greeting: Option<&'static str>,
    pub(super) offers: Vec<&'static str>,
    /// Offered once TLS is on, in place of `offers`.
    pub(super) offers_in_tls: Vec<&'static str>,
    /// The reply to a command that starts so; the longest that fits counts.
    pub(super) replies: HashMap<&'static str, &'static str>,
    /// Leaves without a word where it would say this.
    pub(super) leaves_at: Option<&'static str>,
    /// Waits before it says this, until it is released.
    pub(super) holds_at: Option<&'static str>,
    /// What stands behind the go-ahead of STARTTLS, in the same packet.
    pub(super) injected: &'static str,
    pub(super) tls: Option<Arc<ServerTls>>,
}

/// A message as it came over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) mail: String,
    pub(super) rcpt: Vec<String>,
    /// Dots and all.
    pub(super) data: String,
    pub(super) in_tls: bool,
}

/// What was heard on all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) connections: usize,
    pub(super) commands: Vec<String>,
    pub(super) messages: Vec<Heard>,
}

pub(super) struct Sink {
    pub(super) address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    script: Arc<Mutex<Script>>,
    gate: Arc<Gate>,
    task: JoinHandle<()>,
}

/// Where a conversation waits.
#[derive(Default)]
struct Gate {
    held: Notify,
    release: Notify,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    pub(super) async fn start(script: Script) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub(super) async fn at(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let notes = Arc::new(Mutex::new(Notes::default()));
        let script = Arc::new(Mutex::new(script));
        let gate = Arc::new(Gate::default());
        let (heard, says, hold) = (Arc::clone(&notes), Arc::clone(&script), Arc::clone(&gate));
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                heard.lock().unwrap().connections += 1;
                let script = says.lock().unwrap().clone();
                let (input, output) = open(Stream::new(tcp).unwrap(), LineEnds::Strict, &memory());
                let (notes, gate) = (Arc::clone(&heard), Arc::clone(&hold));
                let talk = Talk { input, output, script, notes, gate, lost: false };
                tokio::spawn(talk.serve());
            }
        });
        Self { address, notes, script, gate, task }
    }

    pub(super) fn notes(&self) -> Notes {
        self.notes.lock().unwrap().clone()
    }

    /// Waits until a conversation stands where the script holds it.
    pub(super) async fn held(&self) {
        self.gate.held.notified().await;
    }

    /// Lets it go on.
    pub(super) fn release(&self) {
        self.gate.release.notify_one();
    }

    /// From the next connection on.
    pub(super) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

struct Talk {
    input: Input,
    output: Output,
    script: Script,
    notes: Arc<Mutex<Notes>>,
    gate: Arc<Gate>,
    lost: bool,
}

impl Talk {
    async fn serve(mut self) {
        let greeting = self.script.greeting.unwrap_or("220 sink.example");
        self.say(greeting).await;
        let mut heard = Heard::default();
        while !self.lost {
            let Ok(Some(line)) = self.input.line(1 << 20).await else { return };
            let line = String::from_utf8(line).unwrap();
            self.notes.lock().unwrap().commands.push(line.clone());
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello(&line).await,
                "STARTTLS" => self.start_tls(&line).await,
                "MAIL" => {
                    heard = Heard { mail: line.clone(), in_tls: self.input.is_tls(), ..heard };
                    self.reply(&line, "250 2.1.0 ok").await;
                }
                "RCPT" => {
                    if self.reply(&line, "250 2.1.5 ok").await {
                        heard.rcpt.push(line);
                    }
                }
                "DATA" => {
                    if self.reply(&line, "354 go on").await {
                        heard.data = self.data().await;
                        self.end(std::mem::take(&mut heard)).await;
                    }
                }
                "BDAT" => {
                    let mut words = line.split(' ').skip(1);
                    let size = words.next().unwrap().parse().unwrap();
                    let mut octets = Vec::new();
                    let mut run = Octets::new(size, Rate::default());
                    self.input.whole(&mut run, &mut octets).await.unwrap();
                    heard.data.push_str(&String::from_utf8(octets).unwrap());
                    if words.next() == Some("LAST") {
                        self.end(std::mem::take(&mut heard)).await;
                    } else {
                        self.reply("chunk", "250 2.0.0 more").await;
                    }
                }
                "QUIT" => {
                    self.say("221 2.0.0 bye").await;
                    return;
                }
                _ => _ = self.reply(&line, "250 2.0.0 ok").await,
            }
        }
    }

    async fn hello(&mut self, line: &str) {
        let tls = self.input.is_tls();
        let offers = if tls { &self.script.offers_in_tls } else { &self.script.offers };
        let mut text = "250-sink.example".to_owned();
        for offer in offers {
            text.push_str("\r\n250-");
            text.push_str(offer);
        }
        let last = text.rfind("250-").unwrap();
        text.replace_range(last..last + 4, "250 ");
        self.reply(line, &text).await;
    }

    async fn start_tls(&mut self, line: &str) {
        let go_ahead = format!("220 go ahead\r\n{}", self.script.injected);
        let go_ahead = go_ahead.strip_suffix("\r\n").unwrap_or(&go_ahead).to_owned();
        if self.reply(line, &go_ahead).await {
            self.lost |= match self.script.tls.clone() {
                Some(tls) => self.input.start_tls(&tls).await.is_err(),
                None => true,
            };
        }
    }

    async fn data(&mut self) -> String {
        let mut data = String::new();
        loop {
            let Ok(Some(line)) = self.input.line(1 << 20).await else {
                self.lost = true;
                return data;
            };
            data.push_str(&String::from_utf8(line.clone()).unwrap());
            data.push_str("\r\n");
            if line == b"." {
                return data;
            }
        }
    }

    /// The end of a message; it is written down when the script takes it.
    async fn end(&mut self, heard: Heard) {
        if !self.lost && self.planned("end", "250").starts_with('2') {
            self.notes.lock().unwrap().messages.push(heard);
        }
        self.reply("end", "250 2.0.0 taken").await;
    }

    fn planned(&self, line: &str, usual: &str) -> String {
        let fits = self.script.replies.iter().filter(|(start, _)| line.starts_with(**start));
        let reply = fits.max_by_key(|(start, _)| start.len()).map(|(_, reply)| *reply);
        reply.unwrap_or(usual).to_owned()
    }

    /// Says what the script says, or else the usual; whether that was a yes.
    async fn reply(&mut self, line: &str, usual: &str) -> bool {
        if self.script.leaves_at.is_some_and(|at| line.starts_with(at)) {
            self.lost = true;
            return false;
        }
        if self.script.holds_at.is_some_and(|at| line.starts_with(at)) {
            self.gate.held.notify_one();
            self.gate.release.notified().await;
        }
        let text = self.planned(line, usual);
        self.say(&text).await;
        text.starts_with(['2', '3'])
    }

    async fn say(&mut self, text: &str) {
        self.output.put(text);
        self.output.put("\r\n");
        self.lost |= self.output.flush().await.is_err();
    }
}

fn memory() -> Arc<Memory> {
    Memory::new(MemoryLimits::default(), &Metrics::new())
}

/// How a client in a test connects.
pub(super) fn ways(security: Security) -> Ways {
    crate::net::tls::install_provider();
    let anybody = ClientTls::opportunistic().unwrap();
    Ways {
        hostname: "here.example".into(),
        security,
        login: None,
        times: Times::default(),
        verified: ClientTls::verified(None).unwrap_or_else(|_| anybody.clone()),
        anybody,
        memory: memory(),
    }
}

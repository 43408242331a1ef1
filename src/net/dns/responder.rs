//! A name server for tests, on this machine's loopback: it answers out of a zone and counts what it
//! is asked.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, MX},
    },
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// What a name server knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    records: HashMap<String, Vec<RData>>,
    failing: HashSet<String>,
    silent: HashSet<String>,
}

impl Zone {
    /// A name has these records, and no others.
    pub(crate) fn with(mut self, name: &str, records: &[RData]) -> Self {
        self.records.insert(name.to_owned(), records.to_vec());
        self
    }

    /// Every question about this name is answered by SERVFAIL.
    pub(crate) fn failing(mut self, name: &str) -> Self {
        self.failing.insert(name.to_owned());
        self
    }

    /// No question about this name is answered.
    pub(crate) fn silent(mut self, name: &str) -> Self {
        self.silent.insert(name.to_owned());
        self
    }
}

pub(crate) fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, Name::from_ascii(host).unwrap()))
}

pub(crate) fn a(ip: &str) -> RData {
    RData::A(A(ip.parse().unwrap()))
}

pub(crate) fn aaaa(ip: &str) -> RData {
    RData::AAAA(AAAA(ip.parse().unwrap()))
}

pub(crate) fn cname(name: &str) -> RData {
    RData::CNAME(CNAME(Name::from_ascii(name).unwrap()))
}

type Asked = Arc<Mutex<HashMap<(String, RecordType), usize>>>;

/// A name server at work; it ends when it is dropped.
pub(crate) struct Responder {
    pub(crate) address: SocketAddr,
    asked: Asked,
    task: JoinHandle<()>,
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Responder {
    pub(crate) async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Asked::default();
        let counts = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let (length, peer) = socket.recv_from(&mut packet).await.unwrap();
                let question = Message::from_vec(&packet[..length]).unwrap();
                let query = &question.queries[0];
                let name = key(query.name());
                *counts.lock().unwrap().entry((name.clone(), query.query_type())).or_default() += 1;
                if !zone.silent.contains(&name) {
                    let answer = zone.answer(&question).to_vec().unwrap();
                    socket.send_to(&answer, peer).await.unwrap();
                }
            }
        });
        Self { address, asked, task }
    }

    /// How often it was asked this.
    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(&(name.to_owned(), kind)).copied().unwrap_or(0)
    }
}

fn key(name: &Name) -> String {
    name.to_ascii().to_lowercase().trim_end_matches('.').to_owned()
}

impl Zone {
    /// Aliases are followed within the zone, as name servers do (RFC 1034 §4.3.2).
    fn answer(&self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        let mut name = query.name().clone();
        loop {
            if self.failing.contains(&key(&name)) {
                answer.metadata.response_code = ResponseCode::ServFail;
                break;
            }
            let Some(records) = self.records.get(&key(&name)) else {
                answer.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            for data in records.iter().filter(|data| data.record_type() == query.query_type()) {
                answer.add_answer(Record::from_rdata(name.clone(), 60, data.clone()));
            }
            let alias = records.iter().find_map(|data| match data {
                RData::CNAME(alias) => Some(alias.0.clone()),
                _ => None,
            });
            let Some(alias) = alias else { break };
            answer.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(alias.clone()))));
            name = alias;
        }
        answer.add_query(query);
        answer
    }
}

//! A message that only passes: handed to one server at once, to all its recipients or to nobody, and
//! never queued.

use std::sync::Arc;

use super::{
    Outside,
    answer::Answer,
    client::{Client, Login, Mailing, OpenEnd, Security, Submitter, Times, Unsent, Ways},
    route,
    source::Letter,
};
use crate::{
    mail::{Spool, structure},
    net::dns::Resolver,
    wire::{
        address::Address,
        envelope::{Envelope, Recipient},
    },
};

/// Where messages are taken to.
pub struct Courier {
    names: Arc<Resolver>,
    host: String,
    port: u16,
    hostname: String,
    security: Security,
    times: Times,
    outside: Outside,
    parsing: structure::Limits,
    line_max: usize,
}

/// Why nobody has a message.
#[derive(Debug)]
pub enum Undelivered {
    /// These recipients were refused.
    Recipients(Vec<Address>),
    /// In words.
    Refused(String),
}

/// One message under way. Dropped, it still tells whether the server may have all of it.
#[derive(Clone, Debug, Default)]
pub struct Errand(Arc<std::sync::Mutex<OpenEnd>>);

impl Errand {
    /// Was all of the message sent, and nothing heard of it?
    pub fn is_open_ended(&self) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_open()
    }

    fn follow(&self, client: &Client) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = client.open_end();
    }
}

impl Courier {
    /// To this server.
    pub fn new(
        hostname: String,
        (host, port): (String, u16),
        security: Security,
        times: Times,
        outside: Outside,
        parsing: structure::Limits,
        line_max: usize,
    ) -> Self {
        let names = Arc::clone(&outside.names);
        Self { names, host, port, hostname, security, times, outside, parsing, line_max }
    }

    /// Takes a message there, under this login.
    pub async fn send(
        &self,
        login: Option<Login>,
        envelope: &Envelope,
        message: Spool,
        errand: &Errand,
    ) -> Result<(), Undelivered> {
        let (parsing, line_max) = (self.parsing, self.line_max);
        let look = move || Letter::spooled(message, &parsing, line_max);
        let letter = tokio::task::spawn_blocking(look).await;
        let letter = letter.map_err(|error| Undelivered::Refused(error.to_string()))?;
        let letter = letter.map_err(|error| {
            tracing::error!(%error, cause = ?error, "a message that passes could not be read");
            Undelivered::Refused(error.to_string())
        })?;
        let acts_as = login.as_ref().and_then(|login| login.acts_as.as_deref());
        let author = acts_as.and_then(|name| Address::parse(name).ok());
        let submitter = author.as_ref().map_or(Submitter::LoggedIn, Submitter::Known);
        let mut client = self.connect(login).await.map_err(|answer| refused(&answer))?;
        errand.follow(&client);
        let mailing = Mailing { envelope, letter: &letter, submitter };
        let recipients: Vec<&Recipient> = envelope.recipients.iter().collect();
        let sent = client.send_to_all(&mailing, &recipients).await;
        // Whoever waits for the answer need not wait for the goodbye.
        tokio::spawn(client.quit());
        sent.map_err(|unsent| match unsent {
            Unsent::Server(answer) | Unsent::Message(answer) => refused(&answer),
            Unsent::Recipients(those) => {
                let address = |at: usize| envelope.recipients.get(at).map(|to| to.address.clone());
                let those = those.into_iter().filter_map(|(at, _)| address(at));
                Undelivered::Recipients(those.collect())
            }
        })
    }

    async fn connect(&self, login: Option<Login>) -> Result<Client, Answer> {
        let ways = Ways {
            hostname: self.hostname.clone(),
            security: self.security,
            login,
            times: self.times,
            anybody: self.outside.anybody.clone(),
            verified: self.outside.verified.clone(),
            memory: Arc::clone(&self.outside.memory),
        };
        let hops = route::by_names(&self.names, vec![self.host.clone()], self.port).await?;
        let mut last = None;
        for hop in hops {
            match Client::connect(&ways, &hop.name, hop.address).await {
                Ok(client) => return Ok(client),
                // What a server has said, no other address of it says otherwise.
                Err(answer) if answer.remote.is_some() => return Err(answer),
                Err(answer) => last = Some(answer),
            }
        }
        Err(last.unwrap_or_else(|| {
            Answer::own(super::answer::Status(4, 4, 1), "the mail server has no address")
        }))
    }
}

fn refused(answer: &Answer) -> Undelivered {
    Undelivered::Refused(answer.text.clone())
}

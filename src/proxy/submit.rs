//! SUBMIT: a message goes out under the login of whoever sent it, with what it names of the IMAP server
//! put in first. All get it or nobody does.
//!
//! What is said when it fails is the draft's: what is wrong in general, a comma, then the recipients that
//! were refused, with commas between.

use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    door::{Door, FromRule},
    login::Login,
};
use crate::{
    ids::trace_id,
    mail::{
        self, Spool,
        skeleton::{Skeleton, SkeletonError},
    },
    metrics::{Count, Limit},
    net::imap_client::{self, Form, ImapClient, ImapError},
    queue::{self, Errand, Undelivered},
    submission::{self, Passage, addressed, mended, writers},
    wire::{
        address::Address,
        envelope::Envelope,
        url::{ImapUrl, UrlMailbox, UrlMessage},
    },
};

/// Characters of others' words that are passed on.
const WORDS_MAX: usize = 500;

/// What to say behind NO.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

/// A message to be sent, and by whom.
pub(super) struct Order {
    pub(super) message: Spool,
    pub(super) login: Login,
    /// Is it beyond doubt who that is?
    pub(super) understood: bool,
    /// The mailbox that is open: relative URLs begin there.
    pub(super) open: Option<String>,
}

impl Refusal {
    /// What is wrong, without a recipient: a comma ends it, and none stands in it.
    pub(super) fn in_general(text: &str) -> Self {
        let plain = |c: char| match c {
            ',' => ';',
            c if c.is_control() || !c.is_ascii() => ' ',
            c => c,
        };
        Self(text.chars().map(plain).take(WORDS_MAX).chain([',']).collect())
    }

    /// These recipients. One that can't stand in the list is named in the text.
    fn of_recipients(those: &[Address]) -> Self {
        let (mut text, mut list) = (String::new(), Vec::new());
        for address in those {
            let address = address.with_ascii_domain().to_string();
            if address.contains(',') || !address.is_ascii() {
                text = format!("{address} was refused");
            } else {
                list.push(address);
            }
        }
        let Self(text) =
            if text.is_empty() { Self(",".to_owned()) } else { Self::in_general(&text) };
        Self(text + &list.join(","))
    }
}

impl Door {
    /// Sends a message; it takes no longer than the limits say.
    pub(super) async fn submit(&self, order: Order) -> Result<(), Refusal> {
        let errand = Errand::default();
        let sending = Box::pin(self.send(order, &errand));
        let sent = timeout(self.limits.submit_time, sending).await.unwrap_or_else(|_| {
            self.exceeded(Limit::ProxySubmitTime);
            Err(Refusal("upstream timeout,".to_owned()))
        });
        let sent = sent.map_err(|Refusal(text)| match text.strip_suffix(',') {
            // The server has all of it, and has said neither yes nor no.
            Some(text) if errand.is_open_ended() => {
                Refusal(format!("{text}; the message may have been sent,"))
            }
            _ => Refusal(text),
        });
        let outcome = if sent.is_ok() { Count::Submission } else { Count::SubmissionRefused };
        self.means.metrics.count(outcome);
        sent
    }

    async fn send(&self, order: Order, errand: &Errand) -> Result<(), Refusal> {
        let Order { message, login, understood, open } = order;
        let account = self.account(&login, understood)?;
        let message = self.fill(message, &login, open.as_deref()).await?;
        let header = message.header().map_err(|error| in_general(&error))?;
        let found = addressed(&header).map_err(|error| in_general(&error))?;
        if found.recipients.len() > self.limits.recipients {
            self.exceeded(Limit::SubmissionRecipientsMax);
            return Err(Refusal::in_general("too many recipients"));
        }
        self.check_writers(&login, &found.sender, &header)?;
        let trace = trace_id(Timestamp::now());
        let passage = Passage {
            hostname: &self.means.hostname,
            protocol: "IMAP",
            trace: &trace,
            now: Timestamp::now().as_second(),
        };
        let parsing = self.limits.parsing;
        let message = mended(message, parsing, passage).await.map_err(|error| match error {
            submission::Error::Mail(error) => in_general(&error),
            error => in_general(&error),
        })?;
        let envelope = Envelope::from(found);
        let (size, user) = (message.len(), login.user.as_deref().unwrap_or_default());
        let sent = self.means.courier.send(account, &envelope, message, errand).await;
        tracing::info!(trace, user, size, sent = sent.is_ok(), "proxy submit");
        sent.map_err(|undelivered| match undelivered {
            Undelivered::Recipients(those) => Refusal::of_recipients(&those),
            Undelivered::Refused(text) => Refusal::in_general(&text),
        })
    }

    /// The login at the submission server.
    fn account(&self, login: &Login, understood: bool) -> Result<Option<queue::Login>, Refusal> {
        if let Some(proof) = self.means.relay.clone() {
            // The relay is believed whom it names: so it must be certain.
            if !understood {
                return Err(Refusal::in_general(
                    "not all that you said was understood; connect and log in anew",
                ));
            }
            let acts_as = login.user.clone();
            // A relay may know nobody but itself, where nobody asks who writes.
            if acts_as.is_none() && self.means.from != FromRule::Any {
                return Err(Refusal::in_general("your login did not tell the proxy who you are"));
            }
            return Ok(Some(queue::Login { acts_as, proof }));
        }
        let secret = login.secret.as_ref();
        let secret = secret.ok_or_else(|| {
            Refusal::in_general("to send; log in by LOGIN or PLAIN: the proxy needs your password")
        })?;
        let imap_client::Login { acts_as, name, password } = secret.clone();
        let proof = queue::Proof::Password { user: name, password };
        Ok(Some(queue::Login { acts_as, proof }))
    }

    /// May this user be the sender, and all whom the header says to have written it?
    fn check_writers(&self, login: &Login, sender: &Address, header: &[u8]) -> Result<(), Refusal> {
        if self.means.from == FromRule::Any {
            return Ok(());
        }
        self.check_writer(login, sender)?;
        let writers = writers(header).map_err(|error| in_general(&error))?;
        writers.iter().try_for_each(|writer| self.check_writer(login, writer))
    }

    /// May this user write as this one?
    fn check_writer(&self, login: &Login, writer: &Address) -> Result<(), Refusal> {
        let refused = || Refusal::in_general(&format!("{writer} is not an address of yours"));
        let own = login.user.as_deref().map(Address::parse);
        match (self.means.from, own) {
            (FromRule::Any, _) => Ok(()),
            (FromRule::Login, Some(Ok(own))) if own.key() == writer.key() => Ok(()),
            (FromRule::Domain, Some(Ok(own)))
                if own.domain().ascii() == writer.domain().ascii() =>
            {
                Ok(())
            }
            (FromRule::Login | FromRule::Domain, Some(Ok(_))) => Err(refused()),
            (FromRule::Login | FromRule::Domain, _) => Err(Refusal::in_general(
                "your login is no address to hold From against ([proxy] from)",
            )),
        }
    }

    /// Puts in what the message names, fetched from the IMAP server by its very reader.
    async fn fill(
        &self,
        message: Spool,
        login: &Login,
        open: Option<&str>,
    ) -> Result<Spool, Refusal> {
        let parsing = self.limits.parsing;
        let skeleton = tokio::task::spawn_blocking(move || Skeleton::read(message, &parsing)).await;
        let skeleton = skeleton.map_err(|error| in_general(&error))?;
        let mut skeleton = skeleton.map_err(|error| in_general(&error))?;
        let mut client = None;
        while let Some(url) = skeleton.next_gap().map_err(|error| in_general(&error))? {
            let message = self.named(&url, login, open).ok_or_else(|| absent(&url))?;
            let client = match &mut client {
                Some(client) => client,
                none => none.insert(self.log_in(login).await?),
            };
            let authorised = message.authorisation.is_some();
            let body = if authorised {
                client.url_fetch(&url, Form::Stored).await
            } else {
                client.fetch(&message, Form::Stored).await
            };
            let mut body = body.map_err(|error| away(&error))?.ok_or_else(|| absent(&url))?;
            let whole = skeleton.whole();
            whole.check_room(body.size).map_err(|error| in_general(&error))?;
            while let Some(piece) = client.piece(&mut body).await.map_err(|error| away(&error))? {
                whole.write(&piece).map_err(|error| in_general(&error))?;
            }
        }
        if let Some(client) = client {
            tokio::spawn(client.log_out());
        }
        skeleton.finish().map_err(|error| in_general(&error))
    }

    /// The message that a URL names on the server behind; None when it names none there.
    fn named(&self, url: &str, login: &Login, open: Option<&str>) -> Option<UrlMessage> {
        let url = ImapUrl::parse(url).ok()?;
        if let Some(server) = &url.server {
            let host = server.host.to_ascii_lowercase();
            let known = [self.means.server.host.as_str(), self.means.hostname.ascii(), "localhost"];
            if !known.iter().any(|known| known.eq_ignore_ascii_case(&host)) {
                return None;
            }
            let same = |name: &str| {
                let user = login.user.as_deref().unwrap_or_default();
                let local = user.rsplit_once('@').map_or(user, |(local, _)| local);
                name.eq_ignore_ascii_case(user) || name.eq_ignore_ascii_case(local)
            };
            let authorised = url.message()?.authorisation.is_some();
            if !authorised && server.user.as_ref().is_some_and(|name| !same(name)) {
                return None;
            }
        }
        let mut message = url.message()?.clone();
        if message.mailbox.is_none() {
            let name = open?.to_owned();
            message.mailbox = Some(UrlMailbox { name, uid_validity: None });
        }
        Some(message)
    }

    async fn log_in(&self, login: &Login) -> Result<ImapClient, Refusal> {
        let secret = login.secret.as_ref().ok_or_else(|| {
            Refusal::in_general(
                "to put in parts by URL; the proxy needs your password: log in by LOGIN or PLAIN",
            )
        })?;
        let mut client = self.reach().await.map_err(|error| away(&error))?;
        client.log_in(secret).await.map_err(|error| away(&error))?;
        Ok(client)
    }
}

/// Why not, in general; what is no fault of the message is told to the owner too.
fn in_general(error: &(dyn std::error::Error + 'static)) -> Refusal {
    if let Some(mail::Error::Internal(cause)) = error.downcast_ref::<mail::Error>() {
        tracing::error!(%error, ?cause, "a message could not be kept while it passes");
    }
    Refusal::in_general(&error.to_string())
}

fn absent(url: &str) -> Refusal {
    in_general(&SkeletonError::absent(url))
}

fn away(error: &ImapError) -> Refusal {
    Refusal::in_general(&format!("the IMAP server: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(those: &[&str]) -> String {
        let those: Vec<_> = those.iter().map(|text| Address::parse(text).unwrap()).collect();
        Refusal::of_recipients(&those).0
    }

    #[test]
    fn what_is_said_has_its_commas_where_the_draft_has_them() {
        assert_eq!(Refusal::in_general("no, not\r\nnow").0, "no; not  now,");
        assert_eq!(listed(&["a@x.example", "b@x.example"]), ",a@x.example,b@x.example");
        assert_eq!(listed(&["a@bücher.example"]), ",a@xn--bcher-kva.example");
        assert_eq!(
            listed(&["\"a,b\"@x.example", "c@x.example"]),
            "\"a;b\"@x.example was refused,c@x.example"
        );
    }
}

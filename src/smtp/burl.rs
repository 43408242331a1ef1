//! BURL (RFC 4468): octets of a message that are named instead of sent. Only at the door of submission,
//! only with an authorisation for it, and mixed with BDAT as one likes. URLs of this server are followed
//! inside the process; of others, those that [`super::foreign`] knows are asked.

use super::{
    Reply, Role,
    command::{AsEncoded, Reference},
    foreign::{Asked, Miss},
    session::{Done, Session},
    transaction::{Chunks, Transaction},
};
use crate::{
    mail::{
        self,
        assemble::{Unfit, WrittenAs},
        urls::{Follower, LinkError},
    },
    metrics::Limit,
    wire::url::ImapUrl,
};

impl Session {
    /// BURL: the next octets are those of this URL.
    pub(super) async fn burl(&mut self, reference: Reference) -> Done {
        let Some(mut transaction) = self.begin_burl() else { return Ok(()) };
        let mut chunks = transaction.chunks.take().unwrap_or_else(|| self.chunks());
        chunks.references = chunks.references.saturating_add(1);
        if chunks.references > self.door.limits.references {
            let too_many = || Reply::new(554, "5.3.4", "too many BURL parts");
            chunks.intake.refuse(Limit::BurlPartsMax, too_many);
        }
        if chunks.intake.fault().is_none() {
            let stop = self.entry.stop().clone();
            let added = stop.run_until_cancelled(self.add_reference(&mut chunks, &reference)).await;
            match added {
                Some(Ok(())) => {}
                Some(Err(reply)) => {
                    self.log_refusal("BURL", &shown(&reference.url), &reply);
                    chunks.intake.fail_by(reply);
                }
                None => return self.end_by_stop(),
            }
        }
        if reference.last {
            return self.hand_over(transaction, chunks.intake).await;
        }
        let taken = || Reply::new(250, "2.5.0", "waiting for more BURL or BDAT");
        let reply = chunks.intake.fault().cloned().unwrap_or_else(taken);
        // A message that was refused stays so until RSET or its last chunk.
        transaction.chunks = Some(chunks);
        self.transaction = Some(transaction);
        self.say(&reply);
        Ok(())
    }

    /// BURL was meant, but cannot be read: without that part nothing leaves (RFC 4468 §3.2). It may have
    /// been the last, so whatever would add to the message is told that there is none.
    pub(super) fn fail_by_burl(&mut self, reply: &Reply) {
        if self.door.role == Role::Submission && self.transaction.is_some() {
            self.log_refusal("BURL", "", reply);
            self.transaction = None;
        }
    }

    /// Takes the transaction, if BURL may come now.
    fn begin_burl(&mut self) -> Option<Transaction> {
        let is_ready = |now: &mut Transaction| !now.envelope.recipients.is_empty();
        if let Some(transaction) = self.transaction.take_if(is_ready) {
            return Some(transaction);
        }
        if self.transaction.is_some() {
            self.say(&Reply::new(554, "5.5.0", "no recipients have been specified"));
        } else {
            self.faults.count();
            self.say(&Reply::new(503, "5.5.1", "MAIL and RCPT first"));
        }
        None
    }

    async fn add_reference(&self, chunks: &mut Chunks, reference: &Reference) -> Result<(), Reply> {
        let user = self.user.as_ref().ok_or_else(|| Reply::new(530, "5.7.0", "log in first"))?;
        let follower = Follower::Submission(user.account);
        let urls = &self.door.means.urls;
        let linked = urls.authorised(follower, self.origin().at, &reference.url).await;
        let form = match reference.encoding {
            None => WrittenAs::Stored,
            Some(AsEncoded::SevenBit) => WrittenAs::SevenBit,
            Some(AsEncoded::EightBit) => WrittenAs::EightBit,
            Some(AsEncoded::Binary) => WrittenAs::Binary,
            Some(AsEncoded::Base64) => WrittenAs::Base64,
            Some(AsEncoded::QuotedPrintable) => WrittenAs::QuotedPrintable,
        };
        let linked = match linked {
            Err(LinkError::Elsewhere) => {
                return self.add_foreign(chunks, reference, form, &user.address).await;
            }
            linked => linked.map_err(|error| reply_to_link(&error))?,
        };
        let Some(spool) = chunks.intake.spool() else { return Ok(()) };
        let added = self.door.means.delivery.mail().add_linked_as(spool, linked, form).await;
        match added {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Unfit::Absent)) => Err(gone()),
            Ok(Err(Unfit::Encoding)) => {
                Err(Reply::new(554, "5.6.3", "the content does not fit this encoding"))
            }
            Err(error) => Err(self.unwritten(&error)),
        }
    }

    /// Octets of a server that the owner has named.
    async fn add_foreign(
        &self,
        chunks: &mut Chunks,
        reference: &Reference,
        form: WrittenAs,
        submitter: &str,
    ) -> Result<(), Reply> {
        let Some(spool) = chunks.intake.spool() else { return Ok(()) };
        let url = ImapUrl::parse(&reference.url).map_err(|_| gone())?;
        let (text, retry) = (&*reference.url, reference.retry);
        let asked = Asked { text, url: &url, submitter, form, retry };
        let fetched = self.door.means.foreign.fetch(&asked, || spool.for_the_rest()).await;
        let added = fetched.and_then(|octets| Ok(spool.append(&octets)?));
        added.map_err(|miss| match miss {
            Miss::NoTrust => reply_to_link(&LinkError::Elsewhere),
            Miss::NoAccess => reply_to_link(&LinkError::NoAccess),
            Miss::Gone => gone(),
            Miss::Unfit => Reply::new(554, "5.6.3", "the content does not fit this encoding"),
            Miss::Away(_) => Reply::new(451, "4.4.1", "the IMAP server cannot be reached now"),
            Miss::Mail(error) => self.unwritten(&error),
        })
    }

    fn unwritten(&self, error: &mail::Error) -> Reply {
        let mail::Error::TooBig(_) = error else { return Reply::from(error) };
        self.door.exceeded(Limit::MessageSizeMax);
        let most = self.door.limits.message_size;
        Reply::new(554, "5.3.4", format!("the message is larger than {most} octets"))
    }
}

/// Is this line, or what has come of it, meant as BURL?
pub(super) fn is_burl(line: &[u8]) -> bool {
    let (verb, behind) = line.split_at_checked(4).unwrap_or((line, b""));
    let ends = behind.first().is_none_or(|octet| matches!(octet, b' ' | b'\t'));
    ends && verb.eq_ignore_ascii_case(b"BURL")
}

fn gone() -> Reply {
    Reply::new(554, "5.6.6", "IMAP URL resolution failed")
}

/// Why a URL gives no octets (RFC 4468 §6).
fn reply_to_link(error: &LinkError) -> Reply {
    match error {
        LinkError::Elsewhere => {
            Reply::new(554, "5.7.14", "URL resolution requires a trust relationship")
        }
        LinkError::NoAccess => Reply::new(554, "5.7.0", "IMAP URL authorization failed"),
        LinkError::Syntax(_) | LinkError::NoMessage | LinkError::Gone => gone(),
        LinkError::Mail(error) => Reply::from(error),
    }
}

/// A URL without its token, which is a secret.
fn shown(url: &str) -> String {
    let lower = url.to_ascii_lowercase();
    let end = lower.find(";urlauth=").unwrap_or(url.len());
    url.get(..end).unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

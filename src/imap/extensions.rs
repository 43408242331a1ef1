//! THE table: what we speak, by which RFC, with which commands.
//!
//! Capabilities, dispatch and `docs/PROTOCOLS.md` follow from it. To add an extension: its row
//! here, its command in a file of its own, its transcript.

use std::sync::Arc;

#[allow(clippy::wildcard_imports, reason = "the table names every command there is")]
use super::command::*;
use super::incoming;
use super::reply::Code;
use crate::wire::{Buffer, Cursor, Encode};

/// When a command may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every state.
    Always,
    /// Before login only.
    BeforeLogin,
    /// After login, with or without a mailbox.
    LoggedIn,
    /// With a mailbox selected.
    Selected,
}

/// May message numbers change their meaning when the command ends (RFC 3501 §7.4.1)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// EXPUNGE may be told.
    MayChange,
    /// EXPUNGE waits: the client may have counted on.
    Still,
}

/// One command: when it may be given and how its arguments are read.
pub struct Row {
    /// Its name, with `UID ` before it where that belongs to it.
    pub name: &'static str,
    /// When it may be given.
    pub when: When,
    /// What it does to message numbers.
    pub numbers: Numbers,
    /// Reads what follows the name, the space before it included.
    pub parse: fn(&mut Cursor<'_>) -> Parsed,
    /// For commands that take message data: does the literal announced behind these arguments hold
    /// it? Such a literal is not kept in memory; the running command reads it.
    pub data: Option<fn(&[u8]) -> bool>,
    /// For commands that take values of metadata: what is said when one is longer than this.
    pub too_long: Option<fn(u64) -> Code>,
    /// It names messages by number; the command of the same name with `UID ` before it does not.
    pub by_number: bool,
    /// It changes nothing: it can be dropped half way when the client goes or the server closes.
    pub reads_only: bool,
}

impl Row {
    const fn new(name: &'static str, when: When, parse: fn(&mut Cursor<'_>) -> Parsed) -> Self {
        Self {
            name,
            when,
            numbers: Numbers::MayChange,
            parse,
            data: None,
            by_number: false,
            too_long: None,
            reads_only: false,
        }
    }

    /// A command that counts by message number: nothing is renumbered when it ends.
    const fn still(self) -> Self {
        Self { numbers: Numbers::Still, ..self }
    }

    /// A command that names messages by number.
    const fn by_number(self) -> Self {
        Self { by_number: true, ..self }
    }

    /// A command that changes nothing.
    const fn reads(self) -> Self {
        Self { reads_only: true, ..self }
    }

    /// A command with values; see [`Row::too_long`].
    const fn values(self, too_long: fn(u64) -> Code) -> Self {
        Self { too_long: Some(too_long), ..self }
    }

    /// A command with message data; see [`Row::data`].
    const fn data(self, is_data: fn(&[u8]) -> bool) -> Self {
        Self { data: Some(is_data), ..self }
    }
}

const fn any(name: &'static str, parse: fn(&mut Cursor<'_>) -> Parsed) -> Row {
    Row::new(name, When::Always, parse)
}

const fn before(name: &'static str, parse: fn(&mut Cursor<'_>) -> Parsed) -> Row {
    Row::new(name, When::BeforeLogin, parse)
}

const fn logged_in(name: &'static str, parse: fn(&mut Cursor<'_>) -> Parsed) -> Row {
    Row::new(name, When::LoggedIn, parse)
}

const fn selected(name: &'static str, parse: fn(&mut Cursor<'_>) -> Parsed) -> Row {
    Row::new(name, When::Selected, parse)
}

/// What a capability's showing hangs on.
#[allow(clippy::struct_excessive_bools, reason = "they are facts, independent of each other")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Somebody is logged in.
    pub logged_in: bool,
    /// TLS is on.
    pub tls: bool,
    /// What comes and leaves is deflated.
    pub compressed: bool,
    /// TLS is on, or the peer is on this very machine.
    pub secured: bool,
    /// The connection has a channel binding (RFC 9266).
    pub can_bind: bool,
    /// TLS could be turned on.
    pub can_start_tls: bool,
    /// The most octets of a message.
    pub message_max: u64,
    /// The most messages of one command.
    pub messages_max: u64,
}

/// Where an extension is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An RFC.
    Rfc(u16),
    /// A draft that never became one.
    Draft(&'static str),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rfc(number) => write!(f, "{number}"),
            Self::Draft(name) => f.write_str(name),
        }
    }
}

/// What stands behind the `=` at the end of a capability word.
#[derive(Clone, Copy)]
pub enum Behind {
    /// There is no such end.
    Nothing,
    /// A number.
    Number(fn(&Facts) -> u64),
    /// A submission server; the word stands once for each, or not at all.
    SubmissionServer,
}

/// One extension: its word, its RFC, when its word is shown, and what commands it brings.
pub struct Extension {
    /// The capability word; it ends with `=` when something follows.
    pub capability: &'static str,
    /// What follows.
    pub behind: Behind,
    /// Where it is defined.
    pub source: Source,
    /// Is the word shown now?
    pub shown: fn(&Facts) -> bool,
    /// The commands it brings.
    pub rows: &'static [Row],
}

const fn extension(
    capability: &'static str,
    rfc: u16,
    shown: fn(&Facts) -> bool,
    rows: &'static [Row],
) -> Extension {
    Extension { capability, behind: Behind::Nothing, source: Source::Rfc(rfc), shown, rows }
}

/// One that a draft defines.
const fn drafted(capability: &'static str, draft: &'static str, rows: &'static [Row]) -> Extension {
    let (behind, source) = (Behind::Nothing, Source::Draft(draft));
    Extension { capability, behind, source, shown: always, rows }
}

/// One whose word ends with a number.
const fn numbered(capability: &'static str, rfc: u16, number: fn(&Facts) -> u64) -> Extension {
    let (behind, source) = (Behind::Number(number), Source::Rfc(rfc));
    Extension { capability, behind, source, shown: always, rows: &[] }
}

fn always(_: &Facts) -> bool {
    true
}

fn before_login(facts: &Facts) -> bool {
    !facts.logged_in
}

fn after_login(facts: &Facts) -> bool {
    facts.logged_in
}

fn is_uncompressed(facts: &Facts) -> bool {
    facts.logged_in && !facts.compressed
}

fn can_login(facts: &Facts) -> bool {
    !facts.logged_in && facts.secured
}

fn cannot_login(facts: &Facts) -> bool {
    !facts.logged_in && !facts.secured
}

fn can_bind_channel(facts: &Facts) -> bool {
    !facts.logged_in && facts.can_bind
}

fn can_start_tls(facts: &Facts) -> bool {
    !facts.logged_in && facts.can_start_tls
}

/// Everything this door speaks.
#[rustfmt::skip]
pub static EXTENSIONS: &[Extension] = &[
    extension("IMAP4rev1", 3501, always, &[
        any("CAPABILITY", capability::parse),
        any("NOOP", noop::parse).reads(),
        any("LOGOUT", logout::parse),
        before("LOGIN", login::parse),
        before("AUTHENTICATE", authenticate::parse),
        // Clients take an EXPUNGE in their answer for one of the mailbox before.
        logged_in("SELECT", select::parse).still().reads(),
        logged_in("EXAMINE", select::parse_examine).still().reads(),
        logged_in("CREATE", create::parse),
        logged_in("DELETE", delete::parse),
        logged_in("RENAME", rename::parse),
        logged_in("SUBSCRIBE", subscribe::parse),
        logged_in("UNSUBSCRIBE", subscribe::parse_unsubscribe),
        logged_in("LIST", list::parse).reads(),
        logged_in("LSUB", lsub::parse).reads(),
        logged_in("STATUS", status::parse).reads(),
        logged_in("APPEND", append::parse).data(incoming::is_data).values(store::too_long),
        selected("CHECK", noop::parse).reads(),
        selected("CLOSE", close::parse),
        selected("EXPUNGE", expunge::parse),
        selected("SEARCH", search::parse).by_number().still().reads(),
        selected("UID SEARCH", search::parse_uid).reads(),
        selected("FETCH", fetch::parse).by_number().still().reads(),
        selected("UID FETCH", fetch::parse_uid).reads(),
        selected("STORE", store::parse).by_number().still().values(store::too_long),
        selected("UID STORE", store::parse_uid).values(store::too_long),
        selected("COPY", copy::parse).by_number(),
        selected("UID COPY", copy::parse_uid),
    ]),
    extension("IMAP4rev2", 9051, always, &[]),
    extension("STARTTLS", 3501, can_start_tls, &[before("STARTTLS", starttls::parse)]),
    extension("LOGINDISABLED", 3501, cannot_login, &[]),
    extension("AUTH=PLAIN", 4616, can_login, &[]),
    extension("AUTH=SCRAM-SHA-256", 7677, can_login, &[]),
    extension("AUTH=SCRAM-SHA-256-PLUS", 7677, can_bind_channel, &[]),
    extension("SASL-IR", 4959, before_login, &[]),
    extension("LITERAL-", 7888, before_login, &[]),
    extension("LITERAL+", 7888, after_login, &[]),
    extension("ID", 2971, always, &[any("ID", id::parse)]),
    extension("IDLE", 2177, always, &[logged_in("IDLE", idle::parse)]),
    extension("NOTIFY", 5465, always, &[logged_in("NOTIFY", notify::parse).reads()]),
    extension("NAMESPACE", 2342, always, &[logged_in("NAMESPACE", namespace::parse)]),
    extension("UIDPLUS", 4315, always, &[selected("UID EXPUNGE", expunge::parse_uid)]),
    extension("UNSELECT", 3691, always, &[selected("UNSELECT", close::parse_unselect)]),
    extension("MOVE", 6851, always, &[
        selected("MOVE", move_::parse).by_number(),
        selected("UID MOVE", move_::parse_uid),
    ]),
    extension("ENABLE", 5161, always, &[logged_in("ENABLE", enable::parse)]),
    extension("CHILDREN", 3348, always, &[]),
    extension("SPECIAL-USE", 6154, always, &[]),
    extension("CREATE-SPECIAL-USE", 6154, always, &[]),
    extension("LIST-EXTENDED", 5258, always, &[]),
    extension("LIST-STATUS", 5819, always, &[]),
    extension("STATUS=SIZE", 8438, always, &[]),
    numbered("APPENDLIMIT=", 7889, |facts| facts.message_max),
    extension("MULTIAPPEND", 3502, always, &[]),
    extension("WITHIN", 5032, always, &[]),
    extension("BINARY", 3516, always, &[]),
    extension("OBJECTID", 8474, always, &[]),
    extension("SAVEDATE", 8514, always, &[]),
    extension("UTF8=ACCEPT", 6855, always, &[]),
    extension("QUOTA", 9208, always, &[
        logged_in("GETQUOTA", quota::parse),
        logged_in("GETQUOTAROOT", quota::parse_root),
        logged_in("SETQUOTA", quota::parse_set),
    ]),
    extension("QUOTA=RES-STORAGE", 9208, always, &[]),
    extension("QUOTA=RES-MESSAGE", 9208, always, &[]),
    extension("METADATA", 5464, always, &[
        logged_in("GETMETADATA", getmetadata::parse).reads(),
        logged_in("SETMETADATA", setmetadata::parse).values(Code::MetadataMaxSize),
    ]),
    extension("METADATA-SERVER", 5464, always, &[]),
    extension("LIST-METADATA", 9590, always, &[]),
    extension("FILTERS", 5466, always, &[]),
    extension("ACL", 4314, always, &[
        logged_in("SETACL", acl::parse_set),
        logged_in("DELETEACL", acl::parse_delete),
        logged_in("GETACL", acl::parse).reads(),
        logged_in("LISTRIGHTS", rights::parse_list).reads(),
        logged_in("MYRIGHTS", rights::parse).reads(),
    ]),
    extension("RIGHTS=kxte", 4314, always, &[]),
    extension("LIST-MYRIGHTS", 8440, always, &[]),
    extension("ANNOTATE-EXPERIMENT-1", 5257, always, &[]),
    extension("PREVIEW", 8970, always, &[]),
    extension("SORT", 5256, always, &[
        selected("SORT", sort::parse).by_number().still().reads(),
        selected("UID SORT", sort::parse_uid).reads(),
    ]),
    extension("SORT=DISPLAY", 5957, always, &[]),
    extension("ESORT", 5267, always, &[]),
    extension("CONTEXT=SEARCH", 5267, always, &[
        selected("CANCELUPDATE", cancelupdate::parse).reads(),
    ]),
    extension("CONTEXT=SORT", 5267, always, &[]),
    extension("THREAD=ORDEREDSUBJECT", 5256, always, &[
        selected("THREAD", thread::parse).by_number().still().reads(),
        selected("UID THREAD", thread::parse_uid).reads(),
    ]),
    extension("THREAD=REFERENCES", 5256, always, &[]),
    extension("THREAD=REFS", 5256, always, &[]),
    extension("CONDSTORE", 7162, always, &[]),
    extension("QRESYNC", 7162, always, &[]),
    extension("ESEARCH", 4731, always, &[]),
    extension("SEARCHRES", 5182, always, &[]),
    extension(
        "MULTISEARCH",
        7377,
        always,
        &[
            logged_in("ESEARCH", esearch::parse).reads(),
            // Its example writes it so (RFC 7377 §2): it is of UIDs either way.
            logged_in("UID ESEARCH", esearch::parse).reads(),
        ],
    ),
    extension("PARTIAL", 9394, always, &[]),
    extension("REPLACE", 8508, always, &[
        selected("REPLACE", replace::parse).by_number().data(replace::is_data),
        selected("UID REPLACE", replace::parse_uid).data(replace::is_data),
    ]),
    extension("I18NLEVEL=2", 5255, always, &[logged_in("COMPARATOR", comparator::parse)]),
    extension("INPROGRESS", 9585, always, &[]),
    extension("UIDONLY", 9586, always, &[]),
    extension("COMPRESS=DEFLATE", 4978, is_uncompressed, &[logged_in("COMPRESS", compress::parse)]),
    extension("UNAUTHENTICATE", 8437, is_uncompressed, &[
        logged_in("UNAUTHENTICATE", unauthenticate::parse),
    ]),
    extension("CATENATE", 4469, always, &[]),
    extension("URLAUTH", 4467, always, &[
        logged_in("GENURLAUTH", genurlauth::parse),
        logged_in("URLFETCH", urlfetch::parse).reads(),
        logged_in("RESETKEY", resetkey::parse),
    ]),
    extension("URLAUTH=BINARY", 5524, always, &[]),
    extension("URL-PARTIAL", 5550, always, &[]),
    drafted("COMPOSE", "draft-ietf-lemonade-submit-01", &[
        logged_in("COMPOSE", compose::parse).data(compose::is_data),
    ]),
    drafted("CAN-SUBMIT", "draft-royer-lemonade-submit-01", &[
        logged_in("SUBMIT", submit::parse).data(submit::is_data),
    ]),
    drafted("SUBMIT=EXT", "draft-ietf-lemonade-submit-01", &[
        logged_in("EHLO", ehlo::parse).reads(),
    ]),
    Extension {
        capability: "SUBMIT-SERVER=",
        behind: Behind::SubmissionServer,
        source: Source::Draft("draft-ietf-lemonade-submit-01"),
        shown: after_login,
        rows: &[],
    },
    drafted("SEND", "imap-send-extension", &[
        selected("SEND", send::parse).by_number().still(),
        selected("UID SEND", send::parse_uid),
    ]),
    drafted("X-DRAFT-I01-SENDMAIL", "draft-imap-sendmail-01", &[
        selected("UID SENDMAIL", sendmail::parse),
    ]),
    numbered("MESSAGELIMIT=", 9738, |facts| facts.messages_max),
];

/// The row of a command by its name in any case.
pub fn row(name: &str) -> Option<&'static Row> {
    let rows = EXTENSIONS.iter().flat_map(|extension| extension.rows);
    rows.into_iter().find(|row| row.name.eq_ignore_ascii_case(name))
}

/// The words of CAPABILITY at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What decides on it.
    pub facts: Facts,
    /// Submission servers that may follow our users' URLs, each as `host:port`.
    pub submission_servers: Arc<[String]>,
}

impl Encode for Capabilities {
    fn encode(&self, out: &mut Buffer) {
        out.put("CAPABILITY");
        for extension in EXTENSIONS.iter().filter(|extension| (extension.shown)(&self.facts)) {
            let word = |out: &mut Buffer| {
                out.put(" ");
                out.put(extension.capability);
            };
            match extension.behind {
                Behind::Nothing => word(out),
                Behind::Number(number) => {
                    word(out);
                    out.put(number(&self.facts));
                }
                Behind::SubmissionServer => {
                    for server in &*self.submission_servers {
                        word(out);
                        out.put(server.as_str());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(facts: Facts) -> String {
        let mut out = Buffer::default();
        let submission_servers = ["mail.x:465".to_owned(), "mail.x:587".to_owned()].into();
        out.put(Capabilities { facts, submission_servers });
        String::from_utf8(out.into_bytes()).unwrap() + " "
    }

    const PLAIN: Facts = Facts {
        compressed: false,
        logged_in: false,
        tls: false,
        secured: false,
        can_start_tls: true,
        can_bind: false,
        message_max: 52_428_800,
        messages_max: 1_000_000,
    };

    #[test]
    fn before_tls_nothing_invites_a_password() {
        let words = words(PLAIN);
        assert!(words.contains(" STARTTLS ") && words.contains(" LOGINDISABLED "));
        assert!(!words.contains(" AUTH="));
    }

    #[test]
    fn only_tls_offers_channel_binding() {
        assert!(!words(Facts { secured: true, ..PLAIN }).contains("-PLUS "));
        let tls = words(Facts {
            secured: true,
            tls: true,
            can_bind: true,
            can_start_tls: false,
            ..PLAIN
        });
        assert!(tls.contains(" AUTH=SCRAM-SHA-256-PLUS ") && !tls.contains(" STARTTLS "));
    }

    #[test]
    fn literals_grow_with_the_login_and_never_both_words_stand() {
        let after = words(Facts { logged_in: true, secured: true, ..PLAIN });
        assert!(words(PLAIN).contains(" LITERAL- ") && !words(PLAIN).contains(" LITERAL+ "));
        assert!(after.contains(" LITERAL+ ") && !after.contains(" LITERAL- "));
        assert!(after.contains(" MESSAGELIMIT=1000000 "));
        assert!(after.contains(" APPENDLIMIT=52428800 ") && !after.contains(" AUTH="));
    }

    #[test]
    fn users_learn_each_submission_server_that_is_trusted() {
        assert!(!words(PLAIN).contains("SUBMIT-SERVER"));
        let after = words(Facts { logged_in: true, ..PLAIN });
        assert!(after.contains(" SUBMIT-SERVER=mail.x:465 SUBMIT-SERVER=mail.x:587 "));
    }

    #[test]
    fn a_mailbox_is_not_renumbered_while_it_is_opened() {
        let rows = EXTENSIONS.iter().flat_map(|extension| extension.rows);
        let opening = rows.filter(|row| ["SELECT", "EXAMINE"].contains(&row.name));
        assert!(opening.map(|row| row.numbers).eq([Numbers::Still; 2]));
    }

    proptest! {
        #[test]
        fn no_arguments_break_a_parser(text in "[ -~\\r\\n\\PC]{0,40}", likely in "[ ()\\[\\]{}\"*%$<>:,.0-9a-zA-Z\\\\]{0,40}") {
            for row in EXTENSIONS.iter().flat_map(|extension| extension.rows) {
                for text in [&text, &likely] {
                    let _ = (row.parse)(&mut Cursor::new(text.as_bytes()));
                    let _ = (row.parse)(&mut Cursor::new(format!(" {text}").as_bytes()));
                }
            }
        }
    }

    #[test]
    fn a_command_stands_in_the_table_once() {
        let mut names: Vec<_> =
            EXTENSIONS.iter().flat_map(|extension| extension.rows).map(|row| row.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(row("select").is_some() && row("XYZZY").is_none());
    }
}

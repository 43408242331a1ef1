//! The configuration by known answers: what is read, and what each fault says.

use super::{sections::standard, *};

/// Loads a file of this text with these variables and flags; the folder's name is cut from errors.
fn with(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mailade.toml");
    std::fs::write(&file, text).unwrap();
    let owned = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let sources =
        Sources { file: Some(file), environment: owned(environment), flags: owned(flags) };
    let place = format!("{}/", folder.path().display());
    load(&sources).map_err(|error| error.to_string().replace(&place, ""))
}

fn fault(text: &str) -> String {
    with(text, &[], &[]).expect_err(text)
}

#[test]
fn a_whole_file_is_read() {
    let loaded = with(
        r#"
        hostname = "Mail.Example.Org"
        data_dir = "/srv/mail"
        [listen]
        imap = ["127.0.0.1:1143"]
        lmtp = ["127.0.0.1:1024", "[::1]:1024"]
        immp = []
        [tls]
        cert = "fullchain.pem"
        key = "/etc/key.pem"
        [outbound]
        relay = "127.0.0.1:2525"
        [burl.host."imap.example.net"]
        identity = "submit"
        password = "secret"
        tls = "starttls"
        [limits]
        message_size_max = "10 MiB"
        login_time = 30
        queue_retry_after = ["1 min", 120]
        "#,
        &[],
        &[],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.hostname.as_str(), "mail.example.org");
    assert_eq!(config.listen.lmtp.len(), 2);
    assert_eq!(config.listen.smtp, standard(25));
    assert!(config.listen.immp.is_empty());
    assert_eq!(config.outbound.relay.unwrap().port, 2525);
    assert_eq!(config.burl.host["imap.example.net"].tls, Security::StartTls);
    assert_eq!(config.limits.message_size_max, Size::mib(10));
    assert_eq!(config.limits.login_time, Span::secs(30));
    assert_eq!(config.limits.queue_retry_after, [Span::mins(1), Span::mins(2)]);
    assert!(config.tls.cert.unwrap().is_absolute());
    assert_eq!(config.tls.key.unwrap(), Path::new("/etc/key.pem"));
    assert!(
        loaded.explicit.contains_key("listen.immp") && !loaded.explicit.contains_key("listen.smtp")
    );
}

#[test]
fn relative_paths_start_at_the_files_folder() {
    let loaded = with("data_dir = \"data\"", &[], &[]).unwrap();
    let folder = loaded.sources.file.unwrap().parent().unwrap().to_owned();
    assert_eq!(loaded.config.data_dir, folder.join("data"));
}

#[test]
fn variables_win_over_the_file_and_flags_over_variables() {
    let file = "[limits]\nimap_depth_max = 1\nlogin_time = 1\nsasl_steps_max = 1";
    let variables =
        [("MAILADE_LIMITS__LOGIN_TIME", "2 min"), ("MAILADE_LIMITS__SASL_STEPS_MAX", "2")];
    let loaded = with(file, &variables, &[("limits.sasl_steps_max", "3")]).unwrap();
    let limits = loaded.config.limits;
    assert_eq!(limits.imap_depth_max, 1);
    assert_eq!(limits.login_time, Span::mins(2));
    assert_eq!(limits.sasl_steps_max, 3);
}

#[test]
fn a_variable_that_looks_like_a_number_is_text_where_text_is_due() {
    let variables = [
        ("MAILADE_HOSTNAME", "1234"),
        ("MAILADE_OUTBOUND__RELAY", "[::1]:25"),
        ("MAILADE_OUTBOUND__USER", "7"),
        ("MAILADE_OUTBOUND__PASSWORD", "007"),
        ("MAILADE_LISTEN__IMAP", "[::1]:143, 127.0.0.1:143"),
    ];
    let config = with("", &variables, &[]).unwrap().config;
    assert_eq!(config.hostname.as_str(), "1234");
    assert_eq!(config.outbound.password.unwrap().reveal(), "007");
    assert_eq!(config.listen.imap.len(), 2);
}

#[test]
fn a_variable_of_another_program_is_ignored_and_told() {
    let loaded =
        with("", &[("MAILADE_BIN", "/x"), ("HOME", "/root"), (FILE_VARIABLE, "/y")], &[]).unwrap();
    assert_eq!(loaded.ignored, ["MAILADE_BIN"]);
}

#[test]
fn each_fault_names_the_key_the_place_and_what_is_allowed() {
    for (text, said) in [
        (
            "hostnam = \"x\"",
            "mailade.toml: hostnam: there is no such key; allowed: hostname, data_dir, source_url, \
             listen, tls, outbound, log, dns, smtp, immp, urlauth, burl, proxy, policy, web, limits",
        ),
        (
            "[limits]\nimap_litral_max = 1",
            "mailade.toml: limits.imap_litral_max: there is no such key; allowed: imap_literal_max and ",
        ),
        ("limits = [12000]", "mailade.toml: limits: a list will not do; allowed: a section"),
        (
            "burl = { host = [1] }",
            "mailade.toml: burl.host: a list will not do; allowed: a section",
        ),
        ("data_dir = \"\"", "mailade.toml: data_dir: is empty; allowed: a folder of its own"),
        ("[tls]\ncrt = \"x\"", "mailade.toml: tls.crt: there is no such key; allowed: cert, key"),
        (
            "[burl.host.\"a.example\"]\nuser = \"x\"",
            "mailade.toml: burl.host.a.example.user: there is no such key; allowed: identity, password, tls",
        ),
        (
            "[limits]\nimap_literal_max = \"5 apples\"",
            "mailade.toml: limits.imap_literal_max: \"5 apples\" will not do; allowed: a size such as \
             \"50 MiB\", or a number of octets",
        ),
        (
            "[limits]\nlogin_time = -1",
            "mailade.toml: limits.login_time: -1 will not do; allowed: a duration such as \"30 min\", \
             or a number of seconds",
        ),
        (
            "[limits]\nsasl_steps_max = \"many\"",
            "mailade.toml: limits.sasl_steps_max: \"many\" will not do; allowed: a whole number, 0 or more",
        ),
        (
            "[listen]\nimap = [\"localhost:143\"]",
            "mailade.toml: listen.imap.0: \"localhost:143\" will not do; allowed: an address and port",
        ),
        (
            "[listen]\nimap = \"127.0.0.1:143\"",
            "mailade.toml: listen.imap: \"127.0.0.1:143\" will not do; allowed: a list in brackets",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "mailade.toml: log.level: \"loud\" will not do; allowed: \"error\", \"warn\", \"info\", \
             \"debug\", \"trace\"",
        ),
        ("hostname = 7", "mailade.toml: hostname: 7 will not do; allowed: a text in quotes"),
        ("listen = 7", "mailade.toml: listen: 7 will not do; allowed: a section"),
        (
            "[tls]\ncert = \"x\"",
            "mailade.toml: tls.cert: stands without tls.key; allowed: both or none",
        ),
        (
            "[listen]\nimap = [\"[::]:25\"]",
            "mailade.toml: listen.smtp: [::]:25 is taken by listen.imap; allowed: each address once",
        ),
        (
            "[limits]\nwal_alarm = \"2 GiB\"",
            "mailade.toml: limits.wal_alarm: is too much; allowed: at most wal_cut_readers, 1 GiB",
        ),
        (
            "[limits]\nimap_depth_max = 65",
            "mailade.toml: limits.imap_depth_max: is too much; allowed: 0 to 64",
        ),
        (
            "[limits]\nimap_messages_per_command_max = 0",
            "mailade.toml: limits.imap_messages_per_command_max: cannot be announced (RFC 9738 §5); \
             allowed: 1 or more",
        ),
        (
            "[limits]\nmime_parts_max = 0",
            "mailade.toml: limits.mime_parts_max: is too few; allowed: 1 or more",
        ),
        (
            "[limits]\nkeywords_per_mailbox_max = 257",
            "mailade.toml: limits.keywords_per_mailbox_max: is too much; allowed: 0 to 256",
        ),
        ("hostname = ", "mailade.toml: TOML parse error at line 1, column 12: "),
    ] {
        is_told(text, said);
    }
}

#[test]
fn what_cannot_work_for_mail_that_leaves_is_told() {
    for (text, said) in [
        (
            "[outbound]\nrelay = \"smtp.example.org:25\"\nuser = \"x\"\npassword = \"y\"\ntls = \"none\"",
            "mailade.toml: outbound.tls: a password is never sent in the clear, except to loopback; \
             allowed: \"starttls\", \"tls\"",
        ),
        (
            "[outbound]\nrelay = \"smtp.example.org:25\"\nuser = \"x\"",
            "mailade.toml: outbound.user: stands alone; allowed: outbound.user and ",
        ),
        (
            "[outbound]\nuser = \"x\"\npassword = \"y\"",
            "mailade.toml: outbound.user: there is no outbound.relay; allowed: both or none",
        ),
        (
            "[outbound]\nrelay = \"smtp.example.org:0\"",
            "mailade.toml: outbound.relay: \"smtp.example.org:0\" will not do; allowed: a host and port",
        ),
        (
            "hostname = \"127.0.0.1\"",
            "mailade.toml: hostname: \"127.0.0.1\" will not do; allowed: a host name such as",
        ),
    ] {
        is_told(text, said);
    }
}

fn is_told(text: &str, said: &str) {
    let told = fault(text);
    let told = told.replace("the defaults: listen.smtp", "mailade.toml: listen.smtp");
    assert!(told.starts_with(said), "{text}\n told: {told}\n want: {said}");
    assert!(!told.contains('\n'), "{told}");
}

#[test]
fn a_variable_in_error_is_named() {
    for (name, value, said) in [
        (
            "MAILADE_TLS__CRT",
            "x",
            "the environment variable MAILADE_TLS__CRT: tls.crt: there is no such key; allowed: cert, key",
        ),
        (
            "MAILADE_LIMITS__LOGIN_TIME",
            "soon",
            "the environment variable MAILADE_LIMITS__LOGIN_TIME: limits.login_time: \"soon\" will not \
             do; allowed: a duration such as \"30 min\", or a number of seconds",
        ),
        (
            "MAILADE_TLS",
            "x",
            "the environment variable MAILADE_TLS: tls: this is a section, not a key; allowed: cert, key",
        ),
    ] {
        assert_eq!(with("", &[(name, value)], &[]).unwrap_err(), said);
    }
    let told = with("", &[], &[("listen.imap", "nowhere")]).unwrap_err();
    assert!(told.starts_with("the command line: listen.imap.0: \"nowhere\" will not do"), "{told}");
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources { file: Some("/nowhere/mailade.toml".into()), ..Sources::default() };
    let told = load(&sources).unwrap_err().to_string();
    assert!(told.starts_with("/nowhere/mailade.toml: cannot be read: No such file"), "{told}");
}

#[test]
fn a_limit_of_zero_means_zero() {
    let limits = with("[limits]\nimap_literal_max = 0\nlogin_time = \"0 s\"", &[], &[]);
    let limits = limits.unwrap().config.limits;
    assert_eq!(limits.imap_literal_max.octets(), 0);
    assert!(limits.login_time.is_zero());
}

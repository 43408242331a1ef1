//! The command line: one file a subcommand.
//!
//! A command that looks at mail or accounts speaks the API of `control`: to the running server over
//! its socket, else to the same functions in its own process. What a command prints goes to standard
//! output, what went wrong is one line on standard error; the exit status is 2 for a fault in the
//! configuration or the arguments, 1 for any other.

mod access;
mod alias;
mod app_password;
mod check;
mod config;
mod demo;
mod domain;
mod export;
mod import;
mod metrics;
mod notes;
mod out;
mod process;
mod proxy;
mod queue;
mod serve;
mod shared;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::{
    config::{Error as ConfigError, FILE_VARIABLE, Loaded, Sources, load},
    server,
};

/// Where the configuration is looked for when nobody says.
const USUAL_FILE: &str = "/etc/mailade/mailade.toml";

/// A mail appliance for phones: IMAP, SMTP, submission and delivery in one process.
#[derive(Debug, Parser)]
#[command(name = "mailade", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
struct Settings {
    /// The configuration file; /etc/mailade/mailade.toml when there is one.
    #[arg(long, short, global = true, value_name = "FILE", env = FILE_VARIABLE)]
    config: Option<PathBuf>,
    /// The folder that holds all mail and accounts, in place of the file's.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Sets any key of the configuration: --set listen.imap=127.0.0.1:1143
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server until it is told to stop.
    Serve(serve::Serve),
    /// Lets phones send mail over another IMAP server, by standing before it.
    Proxy(proxy::Proxy),
    /// Runs a throw-away appliance on loopback with mail in it; Ctrl-C removes it all.
    Demo(demo::Demo),
    /// Checks the configuration, or prints an example of it.
    #[command(subcommand)]
    Config(config::Config),
    /// The domains that this server has mail for.
    #[command(subcommand)]
    Domain(domain::Domain),
    /// The users.
    #[command(subcommand)]
    User(user::User),
    /// Further addresses of users.
    #[command(subcommand)]
    Alias(alias::Alias),
    /// A password of its own for each device.
    #[command(subcommand)]
    AppPassword(app_password::AppPassword),
    /// Mailboxes that belong to nobody alone, and who may use them.
    #[command(subcommand)]
    Shared(shared::Shared),
    /// Mail on its way out.
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Reads mail from files into a user's mailboxes; what is there already is not added again.
    Import(import::Import),
    /// Writes a user's mailboxes to files.
    Export(export::Export),
    /// Looks for damage in the store.
    Check,
    /// Prints what the running server has counted, as Prometheus reads it.
    Metrics,
}

/// Runs what the arguments say.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = &arguments.settings;
    let outcome = match arguments.command {
        Command::Serve(serve) => serve.run(settings),
        Command::Proxy(proxy) => proxy.run(settings),
        Command::Demo(demo) => {
            settings.refuse_for_demo();
            demo.run()
        }
        Command::Config(config) => config.run(settings),
        Command::Domain(domain) => access::with(settings, |access, _| domain.run(access)),
        Command::User(user) => access::with(settings, |access, _| user.run(access)),
        Command::Alias(alias) => access::with(settings, |access, _| alias.run(access)),
        Command::AppPassword(password) => access::with(settings, |access, _| password.run(access)),
        Command::Shared(shared) => access::with(settings, |access, _| shared.run(access)),
        Command::Queue(queue) => access::with(settings, |access, _| queue.run(access)),
        Command::Check => access::with(settings, |access, _| check::run(access)),
        Command::Metrics => access::with(settings, |access, _| metrics::run(access)),
        Command::Import(import) => access::with(settings, |access, config| {
            let max = config.limits.message_size_max.octets();
            import.run(access, max)
        }),
        Command::Export(export) => access::with(settings, |access, _| export.run(access)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(&in_one_line(&error));
            if is_of_configuration(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// An error and its causes; what an error has said of its cause is not said again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Is it a fault that the configuration's owner mends?
fn is_of_configuration(error: &anyhow::Error) -> bool {
    let at_start = error.downcast_ref::<server::Error>();
    error.is::<ConfigError>() || matches!(at_start, Some(server::Error::Config(_)))
}

impl Settings {
    /// The demonstration has settings of its own: whoever gives it others must not believe that they
    /// hold.
    fn refuse_for_demo(&self) {
        if self.data_dir.is_some() || !self.set.is_empty() {
            let text = "the demonstration has settings of its own; --keep DIR names its folder";
            Arguments::command().error(ErrorKind::ArgumentConflict, text).exit();
        }
    }

    /// The configuration that these arguments mean.
    fn load(&self) -> Result<Loaded, ConfigError> {
        let usual = || Some(PathBuf::from(USUAL_FILE)).filter(|file| file.exists());
        let file = self.config.clone().or_else(usual);
        let data_dir = self.data_dir.iter().map(|dir| ("data_dir".to_owned(), dir.clone()));
        let flags = data_dir.chain(self.set.iter().cloned()).collect();
        load(&Sources::of_this_process(file, flags))
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("no room");
        let error = anyhow::Error::from(cause).context("box: no room").context("import");
        assert_eq!(in_one_line(&error), "import: box: no room");
    }

    #[test]
    fn a_flag_is_a_key_with_its_value() {
        let pair = key_and_value("outbound.password=a=b").unwrap();
        assert_eq!(pair, ("outbound.password".to_owned(), "a=b".to_owned()));
        assert!(key_and_value("hostname").is_err());
    }
}

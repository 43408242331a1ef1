//! `mailade config`: looks at the configuration without running anything.

use clap::Subcommand;

use super::{Settings, out, process};
use crate::server;

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Says whether the configuration can be used, with the files that it names; exit status 2 when
    /// it can't. Whether its addresses are free only a start shows.
    Check,
    /// Prints an example with every key, its description and its default.
    Example,
}

impl Config {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match self {
            Self::Check => {
                let loaded = settings.load()?;
                process::become_owner(&loaded.config.data_dir)?;
                server::check(&loaded)?;
                for name in &loaded.ignored {
                    out::line(format_args!("ignored: {name} is no key of the configuration"));
                }
                match &loaded.sources.file {
                    Some(file) => out::line(format_args!("{} can be used", file.display())),
                    None => out::line("there is no configuration file; the defaults are used"),
                }
            }
            Self::Example => out::text(&crate::config::example()),
        }
        Ok(())
    }
}

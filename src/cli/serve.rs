//! `mailade serve`: runs the server until it is told to stop.

use clap::Args;

use super::{Settings, out, process};
use crate::{
    logging,
    server::{self, Server, Services},
};

/// Runs the server until it is told to stop (SIGTERM); SIGHUP loads certificates and configuration
/// anew.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Prints one line on standard output once every service is open: "ready" and the services with
    /// their addresses as JSON.
    #[arg(long)]
    announce: bool,
}

impl Serve {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let loaded = settings.load()?;
        let config = &loaded.config;
        process::keep_files_private();
        process::keep_memory_small();
        process::become_owner_with_ports(&config.data_dir)?;
        server::check(&loaded)?;
        logging::start(&config.log);
        let connections = config.limits.connections_max;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let server = Server::start(loaded).await?;
            tell_open_files(connections);
            if self.announce {
                announce(server.services());
            }
            server.run().await
        });
        // What hangs in a thread after all was closed has nothing to lose.
        runtime.shutdown_background();
        Ok(outcome?)
    }
}

/// The line that scripts and tests wait for.
pub(super) fn announce(services: &Services) {
    let services = serde_json::to_string(services).unwrap_or_default();
    out::line(format_args!("ready {services}"));
}

/// Raises the number of open files and says so when it may not suffice: a connection can need a
/// file besides its socket.
pub(super) fn tell_open_files(connections: usize) {
    let Some(files) = process::open_many_files() else {
        return;
    };
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2);
    if files < wanted {
        tracing::warn!(files, wanted, "few open files are allowed (ulimit -n) for connections_max");
    }
}

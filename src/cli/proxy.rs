//! `mailade proxy`: stands before another IMAP server and adds SUBMIT to it.

use clap::Args;

use super::{Settings, process, serve};
use crate::{
    logging,
    server::proxy::{self, Proxy as Running},
};

/// Stands before another IMAP server and another submission server, as [proxy] in the configuration
/// says, and lets phones send mail over IMAP alone; until it is told to stop (SIGTERM). SIGHUP loads the
/// certificate anew.
#[derive(Args, Debug)]
pub(super) struct Proxy {
    /// Prints one line on standard output once connections are taken: "ready" and the addresses as
    /// JSON.
    #[arg(long)]
    announce: bool,
}

impl Proxy {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let loaded = settings.load()?;
        process::keep_files_private();
        process::keep_memory_small();
        proxy::check(&loaded)?;
        logging::start(&loaded.config.log);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let proxy = Running::start(&loaded)?;
            serve::tell_open_files(loaded.config.limits.connections_max);
            if self.announce {
                serve::announce(proxy.services());
            }
            proxy.run().await;
            anyhow::Ok(())
        })?;
        runtime.shutdown_background();
        Ok(())
    }
}

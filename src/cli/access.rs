//! How a command reaches mail and accounts: over the control socket of the running server, else by
//! opening the store itself.

use std::future::Future;

use super::{Settings, process};
use crate::{config::Config, control::Access, server};

/// Runs a command that needs the house, whoever has it open.
pub(super) fn with<F, R>(settings: &Settings, command: F) -> anyhow::Result<()>
where
    F: FnOnce(Access, &Config) -> R,
    R: Future<Output = anyhow::Result<()>>,
{
    let loaded = settings.load()?;
    process::keep_files_private();
    process::become_owner(&loaded.config.data_dir)?;
    server::check_house(&loaded)?;
    crate::logging::start(&crate::config::Log {
        level: crate::config::LogLevel::Warn,
        ..loaded.config.log.clone()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let access = Access::open(&loaded.config).await?;
        let outcome = command(access.clone(), &loaded.config).await;
        access.close().await;
        outcome
    })
}

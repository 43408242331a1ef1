//! `mailade check`: looks for damage in the store.

use anyhow::bail;

use super::out;
use crate::control::Access;

/// Prints every finding; an error when there are any.
pub(super) async fn run(access: Access) -> anyhow::Result<()> {
    let found: Vec<String> = access.get("check", &[]).await?;
    found.iter().for_each(out::line);
    if !found.is_empty() {
        bail!("{} faults found", found.len());
    }
    out::line("no faults found");
    Ok(())
}

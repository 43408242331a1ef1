//! `mailade metrics`: what the running server has counted.

use anyhow::bail;

use super::out;
use crate::control::Access;

/// Prints all numbers in the text format of Prometheus.
pub(super) async fn run(access: Access) -> anyhow::Result<()> {
    if !access.is_to_a_server() {
        bail!("no server runs on this data directory, so nothing is counted");
    }
    let text = access.get_octets("metrics", &[]).await?;
    out::text(&String::from_utf8_lossy(&text));
    Ok(())
}

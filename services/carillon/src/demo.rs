//! placeholder
use crate::cli::DemoArgs;
pub async fn run(_: DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("x")
}

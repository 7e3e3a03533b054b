use super::connect::Connection;
pub struct Gathered;
pub async fn gather(_: Connection, _: &str) -> anyhow::Result<Gathered> {
    anyhow::bail!("x")
}
pub async fn run(_: crate::cli::LadderArgs) -> anyhow::Result<()> {
    anyhow::bail!("x")
}

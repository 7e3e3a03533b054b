//! `carillon healthcheck`: asks the admin listener, for images that have neither shell nor curl.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};

/// A probe that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Succeeds when the process is alive and ready.
///
/// # Errors
/// What the process says is wrong, or that nobody answers.
pub fn run(admin: &str) -> anyhow::Result<()> {
    for path in ["/livez", "/readyz"] {
        let answer = get(admin, path).with_context(|| format!("{admin}{path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{admin}{path}: {}", body.trim());
        }
    }
    Ok(())
}

fn get(admin: &str, path: &str) -> anyhow::Result<String> {
    let address = admin.to_socket_addrs()?.next().context("expected ADDR:PORT")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

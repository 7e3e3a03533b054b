//! The machine of RFC 3263 run against a DNS: asks what it wants asked, all of one level at once.

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::dns::{Dns, DnsError};
use crate::hop::Transport;
use crate::locating::{Locating, Output, Reply};
use crate::target::{Destination, Target};

/// All destinations of a target, best first, by the transports that the caller can send by, the one it likes best first. The same
/// draw finds the same order among servers of equal standing.
///
/// # Errors
/// When the name leads nowhere, no transport is in common, or DNS is out of order.
pub async fn locate(
    target: &Target,
    supported: &[Transport],
    dns: &dyn Dns,
    draw: u64,
) -> Result<Vec<Destination>, DnsError> {
    let mut machine = Locating::new(target, supported, draw);
    let mut asked: FuturesUnordered<BoxFuture<'_, Reply>> = FuturesUnordered::new();
    loop {
        while let Some(output) = machine.poll_output() {
            match output {
                Output::AskPointers(domain) => {
                    asked.push(async move { Reply::Pointers(dns.pointers(&domain).await) }.boxed());
                }
                Output::AskServices(at, name) => {
                    asked.push(async move { Reply::Services(at, dns.services(&name).await) }.boxed());
                }
                Output::AskAddresses(at, host) => {
                    asked.push(async move { Reply::Addresses(at, dns.addresses(&host).await) }.boxed());
                }
                Output::Found(destinations) => return Ok(destinations),
                Output::Failed(error) => return Err(error),
            }
        }
        match asked.next().await {
            Some(reply) => machine.handle_reply(reply),
            // The machine is over or waits for an answer; it does not come here.
            None => return Err(DnsError::Unavailable),
        }
    }
}

//! Ends of connections that do not overtake what was said last.
//!
//! Who closes a socket in which octets lie unread, or to which more come, has its kernel reset the connection, and then the peer may lose the
//! answer that it has not read yet (RFC 1122 4.2.2.13, RFC 9293 3.10.4). So the writing half is ended alone, and what still comes
//! is thrown away until the peer has read to the end and ended its half too, or its time is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::counters::Counters;

/// A round trip of the slowest network, with a loss. Who reads at all has read an answer by then.
const LONGEST: Duration = Duration::from_secs(2);

/// Connections that may end so at a time. They are counted among nobody's any more; one for which there is no place ends at once.
const MOST: usize = 1_000;

/// What is thrown away of one connection at most: the rest of the longest message that somebody may have begun.
const OCTETS: usize = 1 << 20;

/// The connections of an endpoint that have said their last word.
#[derive(Debug)]
pub(crate) struct Lingering {
    places: Semaphore,
    counters: Arc<Counters>,
}

impl Lingering {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { places: Semaphore::new(MOST), counters }
    }

    /// Waits until the peer has ended its half, after ours has ended.
    pub(crate) async fn leave(&self, stream: &mut (impl AsyncRead + Unpin)) {
        let Ok(_place) = self.places.try_acquire() else {
            self.counters.ends_cut_short.one_more();
            return;
        };
        let to_the_end = async {
            let mut left = [0; 1024];
            let mut taken = 0;
            while let Ok(read @ 1..) = stream.read(&mut left).await
                && taken < OCTETS
            {
                taken += read;
            }
        };
        // Either way it is over.
        let _ = timeout(LONGEST, to_the_end).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// T15, T14: who never ends his half, and who never ends sending, are not waited for; beyond the bound nobody is.
    #[tokio::test(start_paused = true)]
    async fn nobody_keeps_a_connection_that_has_ended() {
        let counters = Arc::new(Counters::default());
        let lingering = Lingering::new(counters.clone());
        let (mut ours, theirs) = tokio::io::duplex(64);
        let start = tokio::time::Instant::now();
        lingering.leave(&mut ours).await;
        assert_eq!(start.elapsed(), LONGEST, "a silent peer");
        drop(theirs);
        lingering.leave(&mut ours).await;
        assert_eq!(start.elapsed(), LONGEST, "a peer that has ended too");

        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let sending = async move {
            let mut sent = 0;
            while theirs.write_all(&[b'x'; 1024]).await.is_ok() {
                sent += 1024;
            }
            sent
        };
        let leaving = async {
            lingering.leave(&mut ours).await;
            drop(ours);
        };
        let (sent, ()) = tokio::join!(sending, leaving);
        assert!((OCTETS..OCTETS + 16 * 1024).contains(&sent), "{sent}");
        assert_eq!(start.elapsed(), LONGEST, "no time passes for one that never stops");

        assert_eq!(counters.ends_cut_short.count(), 0);
        let all = lingering.places.acquire_many(MOST as u32).await.unwrap();
        let (mut ours, _theirs) = tokio::io::duplex(64);
        lingering.leave(&mut ours).await;
        assert_eq!((start.elapsed(), counters.ends_cut_short.count()), (LONGEST, 1));
        drop(all);
    }
}

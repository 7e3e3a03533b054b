//! OPTIONS to the peers of a trunk, and what their answers mean for routing.

use std::time::{Duration, SystemTime};

use cluster_api::edge::v1::{ExchangeRequest, SendRequest};
use cluster_api::registrar::v1::{Trunk, TrunkProbe, trunk_peer_health::State};
use cluster_rpc::RequestsLink;
use futures_util::future::join_all;
use prost::Message as _;
use store::{Due, Expect, Op, StoreError};
use tokio::time::timeout;

use super::standing::{HealthRecord, INDEX, PeerRecord, of_health};
use super::work::forget;
use crate::{Shared, aors::millis};

/// Who needs longer for an answer is no use to a call either.
const PATIENCE: Duration = Duration::from_secs(5);

impl Shared {
    /// Asks every peer once, and plans the next time.
    pub(super) async fn probe_peers(
        &self,
        requests: &RequestsLink,
        due: &Due,
        trunk_id: &str,
    ) -> Result<(), StoreError> {
        let table = self.trunks.refresh().await?;
        let wanted = table.trunk(trunk_id).and_then(|trunk| Some((trunk, trunk.probe.as_ref()?)));
        let Some((trunk, probe)) = wanted else {
            return self.settle(due, None, forget(of_health(trunk_id))).await.map(drop);
        };
        let asked = trunk.peers.iter().map(|peer| self.ask(requests, trunk_id, &peer.uri));
        let answers = join_all(asked).await;
        let now = self.aors.store().now();
        let before = table.standings.health.get(trunk_id).cloned().unwrap_or_default();
        let after = fold(&before, trunk, &answers, now);
        let finding = if after == before { Vec::new() } else { health_ops(trunk_id, &after) };
        self.settle(due, Some(now + self.pause(probe)), finding).await?;
        tell(trunk_id, &before, &after);
        Ok(())
    }

    /// The status of the answer; nothing when there was none.
    async fn ask(&self, requests: &RequestsLink, trunk_id: &str, uri: &str) -> Option<u32> {
        let token = self.entropy.token(12);
        let request = SendRequest {
            method: "OPTIONS".to_owned(),
            request_uri: uri.to_owned(),
            from_uri: format!("sip:carillon@{}", self.domains.home().name),
            from_tag: token[..12].to_owned(),
            to_uri: uri.to_owned(),
            sip_call_id: format!("probe-{token}"),
            cseq: 1,
            trunk: trunk_id.to_owned(),
            ..SendRequest::default()
        };
        let exchange = ExchangeRequest { exchange_id: format!("probe-{token}"), request: Some(request) };
        let answer = timeout(PATIENCE, requests.exchange(None, exchange)).await;
        let status =
            answer.ok().and_then(Result::ok).filter(|answer| !answer.local).map(|answer| answer.status);
        let label = match status {
            Some(408 | 503) => "unavailable",
            Some(_) => "answered",
            None => "silent",
        };
        self.meters.trunk_probes.with_label_values(&[label]).inc();
        status
    }

    /// The interval, a tenth more or less, so that trunks made together are not asked together for ever.
    fn pause(&self, probe: &TrunkProbe) -> Duration {
        let interval = probe.interval.and_then(|interval| Duration::try_from(interval).ok());
        let interval = interval.unwrap_or(DEFAULT_INTERVAL);
        interval / 10 * 9 + interval / 5_000 * u32::try_from(self.entropy.below(1_000)).unwrap_or(0)
    }
}

/// Time between two OPTIONS where the trunk does not say.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// Failures until a peer counts as down where the trunk does not say.
const DEFAULT_FAILURES: u32 = 2;

/// The health of the peers after these answers, in the order of the peers. Any answer is one, but 408 and 503 (RFC 3263 4.3).
fn fold(before: &HealthRecord, trunk: &Trunk, answers: &[Option<u32>], now: SystemTime) -> HealthRecord {
    let limit = match trunk.probe.as_ref().map_or(0, |probe| probe.failures) {
        0 => DEFAULT_FAILURES,
        failures => failures,
    };
    let peers = trunk.peers.iter().zip(answers).map(|(peer, answer)| {
        let known = before.peers.iter().find(|known| known.uri == peer.uri);
        let unknown = || PeerRecord { uri: peer.uri.clone(), since_ms: millis(now), ..PeerRecord::default() };
        let known = known.cloned().unwrap_or_else(unknown);
        let is_alive = answer.is_some_and(|status| !matches!(status, 408 | 503));
        let failures = if is_alive { 0 } else { (known.failures + 1).min(limit) };
        let state = match (is_alive, known.state()) {
            (true, _) => State::Up,
            (false, _) if failures >= limit => State::Down,
            (false, State::Unspecified | State::Unknown) => State::Unknown,
            (false, State::Up) => State::Up,
            (false, State::Down) => State::Down,
        };
        let since_ms = if state == known.state() { known.since_ms } else { millis(now) };
        PeerRecord { state: state.into(), since_ms, failures, status: answer.unwrap_or(0), uri: known.uri }
    });
    HealthRecord { peers: peers.collect() }
}

/// What stores the health of peers, and shows it to the others.
fn health_ops(trunk_id: &str, health: &HealthRecord) -> Vec<Op> {
    let (name, value) = (of_health(trunk_id), bytes::Bytes::from(health.encode_to_vec()));
    vec![
        Op::Put { name: name.clone(), value: value.clone(), expect: Expect::Any, ttl: None },
        Op::IndexAdd { index: INDEX.to_owned(), member: name, value },
    ]
}

/// Once for each change.
fn tell(trunk: &str, before: &HealthRecord, after: &HealthRecord) {
    for peer in &after.peers {
        let known = before.peers.iter().find(|known| known.uri == peer.uri).map(PeerRecord::state);
        match (known, peer.state()) {
            (Some(State::Down), State::Up) => {
                tracing::info!(trunk, peer = peer.uri, "a trunk's peer answers again")
            }
            (Some(State::Down), _) => {}
            (_, State::Down) => tracing::warn!(
                trunk,
                peer = peer.uri,
                status = peer.status,
                "a trunk's peer does not serve; calls go by the others"
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use cluster_api::registrar::v1::TrunkPeer;

    use super::*;

    fn trunk(failures: u32) -> Trunk {
        let peer = |uri: &str| TrunkPeer { uri: uri.into(), ..TrunkPeer::default() };
        let probe = Some(TrunkProbe { failures, ..TrunkProbe::default() });
        Trunk { peers: vec![peer("sip:a"), peer("sip:b")], probe, ..Trunk::default() }
    }

    fn states(health: &HealthRecord) -> Vec<State> {
        health.peers.iter().map(PeerRecord::state).collect()
    }

    /// DNS-05, F23: so many failures in a row put a peer out, any answer but 408 and 503 puts it back, and a peer that never answered is
    /// not up.
    #[test]
    fn failures_in_a_row_put_a_peer_out_and_an_answer_back() {
        let (trunk, at) = (trunk(2), |seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let mut health = fold(&HealthRecord::default(), &trunk, &[Some(404), None], at(1));
        assert_eq!(states(&health), [State::Up, State::Unknown]);
        health = fold(&health, &trunk, &[Some(503), Some(408)], at(2));
        assert_eq!(states(&health), [State::Up, State::Down]);
        health = fold(&health, &trunk, &[Some(200), None], at(3));
        assert_eq!(states(&health), [State::Up, State::Down]);
        assert_eq!((health.peers[0].since_ms, health.peers[1].since_ms), (1_000, 2_000));
        health = fold(&health, &trunk, &[None, Some(481)], at(4));
        assert_eq!(states(&health), [State::Up, State::Up]);
        let settled = fold(&health, &trunk, &[Some(200), Some(200)], at(5));
        assert_eq!(fold(&settled, &trunk, &[Some(200), Some(200)], at(6)), settled, "nothing to write");
    }

    #[test]
    fn peers_that_are_no_more_are_forgotten() {
        let mut smaller = trunk(0);
        let health = fold(&HealthRecord::default(), &smaller, &[None, None], UNIX_EPOCH);
        smaller.peers.remove(0);
        let health = fold(&health, &smaller, &[None], UNIX_EPOCH);
        assert_eq!((health.peers.len(), states(&health)[0]), (1, State::Down));
    }
}

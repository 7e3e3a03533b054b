//! What is done to calls, over two edges, two replicas of call-control and Redis, each a process; a replica of call-control dies on the way.

mod anchored;
mod callbacks;
mod claims;
mod conferences;
mod frozen;
mod joins;
mod media;
mod mixing;
mod python;
mod referred_outside;

use std::time::Duration;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{CallEvent, call_event};
use scripted_phone::{Answer, Happening, Script};
use test_support::{Carillon, Redis, Starting, TestPhone};
use tonic::transport::Channel;

use crate::calls::Watch;

/// The processes.
struct Cluster {
    registrar: Carillon,
    calls: [Carillon; 2],
    edges: [Carillon; 2],
    _redis: Redis,
}

impl Cluster {
    /// All of them with these further variables.
    fn start(variables: &[(&str, &str)]) -> Self {
        let redis = Redis::start();
        let url = redis.url();
        let serve = |arguments: &[&str]| Starting::with(arguments, variables).ready();
        let registrar = serve(&["--roles", "registrar", "--redis", &url, "--id", "registrar-1"]);
        let at = format!("registrar={}", registrar.api);
        let calls = ["calls-1", "calls-2"]
            .map(|id| serve(&["--roles", "call-control", "--redis", &url, "--id", id, "--peers", &at]));
        let engines = calls.each_ref().map(|calls| format!("call-control={}", calls.api));
        let edges = ["edge-1", "edge-2"].map(|id| {
            let peers = ["--peers", &at, "--peers", &engines[0], "--peers", &engines[1]];
            serve(&[&["--roles", "edge", "--id", id][..], &peers[..]].concat())
        });
        Self { registrar, calls, edges, _redis: redis }
    }

    /// A phone that has registered at an edge.
    async fn phone(&self, name: &str, edge: usize, answer: Answer) -> TestPhone {
        let aor = format!("sip:{name}@localhost");
        self.registrar.account(&aor, "secret");
        let script = Script { answer, ..Script::default() };
        TestPhone::registered(&self.edges[edge].sip, &aor, "secret", script).await
    }

    /// Has the calls of an account run through call-control.
    fn anchor(&self, name: &str) {
        let set = ["account", "set", &format!("sip:{name}@localhost"), "--anchor", "true"];
        let set = self.registrar.command(&set);
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }

    /// Every replica of call-control dies, and is started again.
    fn restart_call_control(&mut self) {
        self.calls.iter_mut().for_each(Carillon::kill);
        self.calls.iter_mut().for_each(Carillon::restart);
    }

    /// A client of a replica.
    async fn api(&self, replica: usize) -> CallControlClient<Channel> {
        CallControlClient::connect(self.calls[replica].api.clone()).await.expect("the API is there")
    }
}

const AT_ONCE: Answer = Answer::After(Duration::ZERO);
const SOON: Answer = Answer::After(Duration::from_secs(1));

fn is_ended_by_peer(h: &Happening) -> bool {
    matches!(h, Happening::Ended { by_peer: true, .. })
}

fn is_incoming(h: &Happening) -> bool {
    matches!(h, Happening::Incoming { .. })
}

/// The next event of this kind about this leg.
async fn until(watch: &mut Watch, kind: call_event::Type, leg: &str) -> CallEvent {
    loop {
        let event = watch.until(kind).await;
        if event.leg_id.as_deref() == Some(leg) {
            return event;
        }
    }
}

/// How often a watch was told of this kind.
fn count(watch: &Watch, kind: call_event::Type) -> usize {
    watch.seen.iter().filter(|event| event.r#type() == kind).count()
}

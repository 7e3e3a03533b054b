//! Calls by trunks that may last so long, as the operator's service says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster_api::callcontrol::v1::check_calls_response::Standing;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCalls;
use cluster_api::callcontrol::v1::{
    CheckCallsRequest, CheckCallsResponse, EndOverdueRequest, EndOverdueResponse, ReportRequest,
    ReportResponse,
};
use cluster_api::registrar::v1::location_server::Location as _;
use cluster_api::registrar::v1::seize_trunk_response::State;
use cluster_api::registrar::v1::{ReleaseTrunkRequest, SeizeTrunkRequest};
use cluster_rpc::ProxiedCallsLink;
use lifecycle::Shutdown;
use parking_lot::Mutex;
use registrar::{Registrar, Silent, SpendingConfig};
use tonic::{Request, Response, Status};

use crate::rig::Rig;
use crate::spending::{Operator, SETTINGS, Says, in_process};

/// Call-control: what it was asked to end, and what it says; then that the call is over.
#[derive(Default)]
struct Calls {
    asked: Mutex<Vec<EndOverdueRequest>>,
    says: Mutex<VecDeque<Result<(Standing, i64), Status>>>,
}

#[async_trait]
impl ProxiedCalls for Calls {
    async fn report(&self, _: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        Err(Status::unimplemented("nobody reports here"))
    }

    async fn check_calls(
        &self,
        _: Request<CheckCallsRequest>,
    ) -> Result<Response<CheckCallsResponse>, Status> {
        Err(Status::unimplemented("nobody counts here"))
    }

    async fn end_overdue(
        &self,
        request: Request<EndOverdueRequest>,
    ) -> Result<Response<EndOverdueResponse>, Status> {
        self.asked.lock().push(request.into_inner());
        let (standing, seconds) = self.says.lock().pop_front().unwrap_or(Ok((Standing::Ended, 0)))?;
        let left = Some(prost_types::Duration { seconds, nanos: 0 });
        Ok(Response::new(EndOverdueResponse { standing: standing.into(), left }))
    }
}

async fn stage(spending: SpendingConfig) -> (Arc<Operator>, Rig, Arc<Calls>) {
    let (operator, rig) = in_process(spending);
    let (rig, calls) = (rig.await, Arc::new(Calls::default()));
    for replica in &rig.replicas {
        replica.count_calls(ProxiedCallsLink::Local(calls.clone()));
    }
    (operator, rig, calls)
}

async fn seize(registrar: &Registrar, call_id: &str, branch: &str, over: &[&str]) -> State {
    let request = SeizeTrunkRequest {
        trunk: "world".into(),
        call_id: call_id.into(),
        branch: branch.into(),
        over: over.iter().map(|one| (*one).to_owned()).collect(),
        charge: None,
    };
    registrar.seize_trunk(Request::new(request)).await.unwrap().into_inner().state()
}

/// Lets this much time pass for the store and for who looks what is due; how often call-control was asked by then.
async fn after(rig: &Rig, calls: &Calls, seconds: u64) -> usize {
    rig.clock.advance(Duration::from_secs(seconds));
    tokio::time::sleep(Duration::from_secs(2)).await;
    calls.asked.lock().len()
}

/// T6, F4: the registrar that asked dies; another one has the call ended when its time is over, which counts from the answer: call-control says
/// what is left. It is asked again when it does not answer, and when it has not heard of the call yet.
#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_time_is_over_whichever_registrar_lives() {
    let (operator, rig, calls) = stage(SETTINGS).await;
    operator.says([Says::Lasts(60)]);
    assert_eq!(seize(rig.registrar(), "call-1", "b1", &[]).await, State::Seized);
    let shutdown = Shutdown::new();
    let run = tokio::spawn(rig.replicas[1].clone().run(shutdown.clone()));
    calls.says.lock().extend([
        Ok((Standing::Unspecified, 0)),
        Err(Status::unavailable("told to")),
        Ok((Standing::Live, 30)),
        Ok((Standing::Ended, 0)),
    ]);
    assert_eq!(after(&rig, &calls, 59).await, 0);
    assert_eq!(after(&rig, &calls, 1).await, 1);
    assert_eq!(after(&rig, &calls, 9).await, 1);
    assert_eq!(after(&rig, &calls, 1).await, 2, "it has not heard of it yet");
    assert_eq!(after(&rig, &calls, 10).await, 3, "no answer is as good as a dead replica");
    assert_eq!(after(&rig, &calls, 29).await, 3);
    assert_eq!(after(&rig, &calls, 1).await, 4);
    assert_eq!(after(&rig, &calls, 100_000).await, 4, "it is over");
    let asked = calls.asked.lock()[0].clone();
    assert_eq!((&*asked.call_id, &*asked.leg), ("call-1", "b1"));
    assert_eq!(asked.max_duration.map(|most| most.seconds), Some(60));
    assert_eq!(asked.since.map(|since| since.seconds), Some(1_800_000_000));
    shutdown.ask();
    run.await.unwrap();
}

/// T6: a limit belongs to the attempt that it was given for: not to a call that went out another way.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_came_to_nothing_has_no_limit() {
    let (operator, rig, calls) = stage(SETTINGS).await;
    let shutdown = Shutdown::new();
    let run = tokio::spawn(rig.registrar().clone().run(shutdown.clone()));
    operator.says([Says::Lasts(60)]);
    assert_eq!(seize(rig.registrar(), "failed-over", "b1", &[]).await, State::Seized);
    assert_eq!(seize(&rig.replicas[1], "failed-over", "b2", &["b1"]).await, State::Seized);
    operator.says([Says::Lasts(60)]);
    assert_eq!(seize(rig.registrar(), "given-back", "b1", &[]).await, State::Seized);
    let back =
        ReleaseTrunkRequest { trunk: "world".into(), call_id: "given-back".into(), branch: "b1".into() };
    rig.registrar().release_trunk(Request::new(back)).await.unwrap();
    assert_eq!(after(&rig, &calls, 1_000).await, 0);
    operator.says([Says::Lasts(60), Says::Lasts(60)]);
    for _ in 0..2 {
        assert_eq!(seize(rig.registrar(), "twice", "b1", &[]).await, State::Seized);
    }
    assert_eq!(after(&rig, &calls, 1_000).await, 1, "the same attempt has one end");
    shutdown.ask();
    run.await.unwrap();
}

/// T6: a limit that nobody could keep is none that a call goes out by, unless the operator wants it so.
#[tokio::test(start_paused = true)]
async fn a_limit_that_cannot_be_kept_decides_nothing() {
    for (silent, expected) in [(Silent::Deny, State::Undecided), (Silent::Allow, State::Seized)] {
        let settings = SpendingConfig { silent, ..SETTINGS };
        let (operator, rig, _) = stage(settings).await;
        operator.says([Says::Lasts(0), Says::Lasts(-5), Says::Lasts(i64::MAX), Says::Lasts(60)]);
        for call_id in ["nothing", "before", "for ever", ""] {
            assert_eq!(seize(rig.registrar(), call_id, "b1", &[]).await, expected, "{call_id}");
        }
        let (operator, alone) = in_process(settings);
        operator.says([Says::Lasts(60)]);
        assert_eq!(seize(alone.await.registrar(), "c", "b1", &[]).await, expected, "without call-control");
    }
}

//! Links to services of which any replica will do. A link is the other service itself when both run in one process, with no
//! HTTP/2 and no encoding between, or its replicas over TCP. Callers cannot tell the difference.

use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

use cluster_api::callcontrol::v1::proxied_calls_client::ProxiedCallsClient;
use cluster_api::callcontrol::v1::{ProxiedCallEvent, ReportRequest, ReportResponse};
use cluster_api::registrar::v1::{AllocateRequest, AllocateResponse};
use futures_util::poll;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::{
    conversation::location_stream,
    envelope::Envelope,
    reason::Reason,
    remote::{CallKind, Replicas, Spoken},
    status::Refusal,
};

/// Longest time of a call within the process. Like the deadline over TCP: a later answer helps nobody.
pub(crate) const IN_PROCESS: Duration = Duration::from_secs(2);

/// A transaction of the edge that asks a gateway ends within 64*T1 (RFC 3261 17.1.2.2), with a little to spare.
const LONGEST_BORROWING: Duration = Duration::from_secs(36);

/// Calls, or asks where it is said how.
macro_rules! send {
    ($replicas:ident, $rpc:expr, $kind:expr, $request:expr, $attempt:ident) => {
        $replicas.call($rpc, $kind, $attempt).await
    };
    ($replicas:ident, $rpc:expr, $kind:expr, $request:expr, $attempt:ident, $spoken:expr) => {
        $replicas.ask($spoken, $rpc, $kind, $request, $attempt).await
    };
}

/// Defines a link: its name, the server trait, the client, and each rpc with whether it may be repeated, and how
/// it is asked over a stream if it is.
macro_rules! link {
    (
        $(#[$doc:meta])* $link:ident, $service:literal,
        $package:ident::$server:ident::$trait:ident, $client:ident::$client_type:ident,
        $($(#[$rpc_doc:meta])* $rpc:ident($request:ident) -> $response:ident, $kind:ident $(, $spoken:expr)?;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub enum $link {
            /// The service runs in this process.
            Local(Arc<dyn cluster_api::$package::v1::$server::$trait>),
            /// The service runs elsewhere.
            Remote(Replicas),
        }

        impl $link {
            $(
                $(#[$rpc_doc])*
                ///
                /// # Errors
                /// What the service refused with, or `SERVICE_UNAVAILABLE` or `DEADLINE_EXCEEDED` when it did not answer.
                pub async fn $rpc(
                    &self,
                    request: cluster_api::$package::v1::$request,
                ) -> Result<cluster_api::$package::v1::$response, Status> {
                    match self {
                        Self::Local(service) => in_process($service, IN_PROCESS, service.$rpc(Request::new(request))).await,
                        Self::Remote(replicas) => {
                            let attempt = |channel, envelope: Envelope| {
                                let request = envelope.seal(request.clone());
                                async move {
                                    cluster_api::$package::v1::$client::$client_type::new(channel).$rpc(request).await
                                }
                            };
                            // In a box, so that a call within the process is not made to carry the room for this one.
                            Box::pin(async {
                                send!(replicas, stringify!($rpc), CallKind::$kind, &request, attempt $(, $spoken)?)
                            })
                            .await
                        }
                    }
                }
            )*
        }
    };
}

link! {
    /// What an edge asks the registrar.
    LocationLink, "registrar",
    registrar::location_server::Location, location_client::LocationClient,
    /// Applies one REGISTER. The registrar recognises a repeated one by Call-ID and CSeq.
    register(RegisterRequest) -> RegisterResponse, Idempotent, Spoken { rpc: "Register", open: location_stream };
    /// Decides where a request goes.
    route(RouteRequest) -> RouteResponse, Idempotent, Spoken { rpc: "Route", open: location_stream };
    /// Removes the bindings of flows that have ended.
    end_flows(EndFlowsRequest) -> EndFlowsResponse, Idempotent;
    /// Answers a challenge of a trunk; another answer to the same challenge is as good.
    answer_challenge(AnswerChallengeRequest) -> AnswerChallengeResponse, Idempotent;
    /// Has a sleeping phone pushed and waits a while for it; a second push of the same phone does no harm.
    wake(WakeRequest) -> WakeResponse, Idempotent;
    /// Gives a branch room among the calls of its trunk; one that has room keeps it.
    seize_trunk(SeizeTrunkRequest) -> SeizeTrunkResponse, Idempotent;
    /// Gives the room of a branch back.
    release_trunk(ReleaseTrunkRequest) -> ReleaseTrunkResponse, Idempotent;
    /// Lends a number; the registrar recognises a repeated ask by its id.
    allocate(AllocateRequest) -> AllocateResponse, Idempotent;
    /// Takes a number back; without a request id a repetition finds that it is not lent.
    release(ReleaseRequest) -> ReleaseResponse, Once;
    /// Lists numbers that are lent.
    list_lent(ListLentRequest) -> ListLentResponse, Idempotent;
}

impl LocationLink {
    /// Lends a number as `allocate` does, and asks again for as long as a gateway elsewhere is being asked for one.
    ///
    /// # Errors
    /// As `allocate`, and `DEADLINE_EXCEEDED` when the gateway takes longer than any transaction.
    pub async fn borrow(&self, request: AllocateRequest) -> Result<AllocateResponse, Status> {
        let end = Instant::now() + LONGEST_BORROWING;
        loop {
            let answer = self.allocate(request.clone()).await?;
            if !answer.pending {
                return Ok(answer);
            }
            if Instant::now() >= end {
                let message = "the gateway of the pool did not answer in time";
                return Err(Refusal::new(Reason::DeadlineExceeded, message).into());
            }
        }
    }
}

link! {
    /// What the registrar asks the operator's service before a call that costs money.
    SpendingLink, "spending",
    registrar::spending_server::Spending, spending_client::SpendingClient,
    /// Asks whether a call may go out; the same question twice is about one call.
    authorize(AuthorizeRequest) -> AuthorizeResponse, Idempotent;
}

link! {
    /// What an edge tells call-control about its legs.
    LegEventsLink, "call-control",
    callcontrol::leg_events_server::LegEvents, leg_events_client::LegEventsClient,
    /// Delivers events of one call; call-control recognises repeated ones by their number.
    deliver(DeliverRequest) -> DeliverResponse, Idempotent;
    /// Hands over a NOTIFY for a callback; call-control recognises a repeated one by its CSeq.
    notify(NotifyRequest) -> NotifyResponse, Idempotent;
}

link! {
    /// What an edge tells call-control about the calls that it proxies, and what who counts calls asks it.
    ProxiedCallsLink, "call-control",
    callcontrol::proxied_calls_server::ProxiedCalls, proxied_calls_client::ProxiedCallsClient,
    /// Says of calls whether they go on.
    check_calls(CheckCallsRequest) -> CheckCallsResponse, Idempotent;
    /// Ends a call whose time is over; one that ends already is left alone.
    end_overdue(EndOverdueRequest) -> EndOverdueResponse, Idempotent;
}

impl ProxiedCallsLink {
    /// Reports what happened; call-control recognises repeated reports by their number. The events are the caller's, who keeps them
    /// until they are committed: each attempt copies them, and nothing else does.
    ///
    /// # Errors
    /// As those of any link.
    pub async fn report(
        &self,
        edge_id: &str,
        edge_epoch: u64,
        events: &[Arc<ProxiedCallEvent>],
    ) -> Result<ReportResponse, Status> {
        let request = || {
            let events = events.iter().map(|event| ProxiedCallEvent::clone(event)).collect();
            ReportRequest { edge_id: edge_id.to_owned(), edge_epoch, events }
        };
        match self {
            Self::Local(service) => {
                in_process("call-control", IN_PROCESS, service.report(Request::new(request()))).await
            }
            Self::Remote(replicas) => {
                let attempt = |channel, envelope: Envelope| {
                    let request = envelope.seal(request());
                    async move { ProxiedCallsClient::new(channel).report(request).await }
                };
                Box::pin(replicas.call("report", CallKind::Idempotent, attempt)).await
            }
        }
    }
}

link! {
    /// What an edge hands to presence.
    IntakeLink, "presence",
    presence::intake_server::Intake, intake_client::IntakeClient,
    /// Handles one request; presence recognises a repeated one by Call-ID and CSeq.
    handle(HandleRequest) -> HandleResponse, Idempotent;
}

link! {
    /// What call-control tells presence of the conferences that it holds.
    ConferencesLink, "presence",
    presence::conferences_server::Conferences, conferences_client::ConferencesClient,
    /// Tells the state of one conference, or its end; presence takes each version once.
    tell_conference(TellConferenceRequest) -> TellConferenceResponse, Idempotent;
}

link! {
    /// What every process tells the registrars about itself.
    MembershipLink, "registrar",
    cluster::membership_server::Membership, membership_client::MembershipClient,
    /// Writes or renews a lease and returns everybody's.
    lease(LeaseRequest) -> LeaseResponse, Idempotent;
    /// Gives a lease up.
    leave(LeaveRequest) -> LeaveResponse, Idempotent;
}

/// Runs a call in the task of its caller: an answer that is ready at once costs nothing but the call.
pub(crate) async fn in_process<T>(
    service: &str,
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    let mut call = pin!(call);
    // Most have their answer at once: for them no clock is read and no timer made.
    if let Poll::Ready(answer) = poll!(call.as_mut()) {
        return answer.map(Response::into_inner);
    }
    match timeout(limit, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => {
            let message = format!("the {service} service did not answer in time");
            Err(Refusal::new(Reason::DeadlineExceeded, message).into())
        }
    }
}

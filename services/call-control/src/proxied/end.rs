//! The end of a proxied call that no phone brought about: asked for by an application, by time, or with its edge.

use cluster_api::callcontrol::v1 as wire;
use cluster_api::edge::v1::CancelProxiedRequest;
use futures_util::future::{join, join_all};
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use wire::call::State;

use super::call::{Hangup, ProxiedCall};
use super::dialog::{reason_value, words_of};
use super::story::Teller;
use crate::edges::EdgeLife;
use crate::engine::time::Moment;
use crate::repository::{Known, Loaded, ProxiedChange, RequestUse};
use crate::runner::{ApplyError, Runner};

/// How long the report of a cancelled INVITE may take: its transaction, with a little to spare.
const PATIENCE: Duration = Duration::from_secs(40);

impl Runner {
    /// Notes that the call is to end; what it takes is due work from then on, of any replica.
    ///
    /// # Errors
    /// When it is over or unknown, or the store fails.
    pub(crate) async fn hang_up_proxied(
        &self,
        call_id: &str,
        reason: &str,
        request: Option<&RequestUse>,
    ) -> Result<Loaded, ApplyError> {
        for _ in 0..self.config().commit_attempts {
            let before = self.look(call_id).await?;
            let Known::Proxied(call) = &before.known else { return Err(ApplyError::Over(before.into())) };
            let mut call = ProxiedCall::clone(call);
            if call.hangup.is_some() && request.is_none() {
                return Ok(before);
            }
            let asked_ms = Moment::from(self.repository.now()).millis();
            call.hangup.get_or_insert(Hangup { reason: reason.to_owned(), asked_ms });
            let change = ProxiedChange { before: Some(&before), call, told: Teller::default(), request };
            match self.repository.save_proxied(change).await {
                Ok(()) => {
                    self.due_now();
                    return self.look(call_id).await;
                }
                Err(StoreError::Conflict) => {
                    if let Some(request) = request
                        && let Some(used) = self.repository.request_use(call_id, &request.request_id).await?
                    {
                        return Err(ApplyError::RequestUsed(used));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApplyError::Contended)
    }

    /// Its time has come: it is to be ended, or nobody has told its end.
    pub(crate) async fn proxied_is_due(&self, call_id: &str) -> Result<(), ApplyError> {
        let before = self.look(call_id).await?;
        let Known::Proxied(call) = &before.known else { return Ok(()) };
        let now = Moment::from(self.repository.now());
        match &call.hangup {
            // Without an edge that sends its BYEs it goes on.
            Some(hangup)
                if call.dialog.is_some() || now - Moment::from_millis(hangup.asked_ms) < PATIENCE =>
            {
                self.end_on_the_wire(&before, call, hangup).await
            }
            Some(hangup) => self.end_proxied(&before, "api", words_of(&hangup.reason), 487).await,
            None if call.held_end.is_some() => self.end_held(&before).await,
            None if call.session_ends_ms > 0 => {
                self.end_proxied(&before, "carillon", "the session was not refreshed", 408).await
            }
            None => self.end_proxied(&before, "carillon", "no edge reported the end", 503).await,
        }
    }

    /// The edge that proxies its INVITE is gone.
    pub(crate) async fn proxied_lost_edge(
        self: &Arc<Self>,
        call_id: &str,
        edge: &EdgeLife,
    ) -> Result<(), ApplyError> {
        let before = self.look(call_id).await?;
        match &before.known {
            Known::Proxied(call) if call.depends_on().as_ref() == Some(edge) && call.held_end.is_some() => {
                self.end_held(&before).await
            }
            Known::Proxied(call) if call.depends_on().as_ref() == Some(edge) => {
                self.stop_ringing(call);
                self.end_proxied(&before, "carillon", "the edge that forwarded it is lost", 503).await
            }
            Known::Proxied(_) | Known::Live(_) | Known::Over(_) => Ok(()),
        }
    }

    /// Nobody can cancel the INVITE of a dead edge any more: each phone that rings is told by BYE, through a living one. Nothing waits
    /// for it: the end is told within seconds, and a phone that is not reached rings no longer than its own limit. Interrupted
    /// before the end is committed, it is done again, by the same requests.
    fn stop_ringing(self: &Arc<Self>, call: &ProxiedCall) {
        let view = self.edges().view();
        let Some(edge) = view.choose(&call.call.call_id).cloned() else { return };
        for bye in call.ringing.iter().filter_map(|early| early.bye(&call.call)) {
            let (runner, edge) = (Arc::clone(self), edge.clone());
            let work = async move {
                if let Err(status) = runner.edges().exchange(&edge, bye).await {
                    tracing::debug!(%status, edge = %edge.id, "a phone could not be told to stop ringing");
                }
            };
            if let Err(error) = self.tasks().spawn("stop-ringing", work) {
                tracing::warn!(%error, "a phone is not told to stop ringing");
            }
        }
    }

    /// Interrupted, it is done again: the requests are the same then.
    async fn end_on_the_wire(
        &self,
        before: &Loaded,
        call: &ProxiedCall,
        hangup: &Hangup,
    ) -> Result<(), ApplyError> {
        let call_id = &call.call.call_id;
        match (call.call.state(), &call.dialog) {
            (State::Answered, Some(dialog)) => {
                let view = self.edges().view();
                let Some(edge) = view.choose(call_id) else { return Ok(()) };
                let Some([toward_a, toward_b]) = dialog.byes(&call.call, &hangup.reason) else {
                    return self.end_proxied(before, "api", words_of(&hangup.reason), 487).await;
                };
                let others = call.others.iter().flat_map(|another| {
                    another.dialog.byes_of_another(&call.call, &hangup.reason, &another.tag)
                });
                let others = join_all(others.map(|bye| self.edges().exchange(edge, bye)));
                let both = join(self.edges().exchange(edge, toward_a), self.edges().exchange(edge, toward_b));
                let ((a, b), others) = join(both, others).await;
                if a.is_err() || b.is_err() || others.iter().any(Result::is_err) {
                    tracing::debug!(call_id, "an edge did not carry a BYE, it is tried again");
                    return Ok(());
                }
                self.end_proxied(before, "api", words_of(&hangup.reason), 487).await
            }
            _ => {
                let Some(edge) = call.depends_on() else { return Ok(()) };
                let reason = reason_value(&hangup.reason);
                let request = CancelProxiedRequest { call_id: call_id.clone(), reason };
                // The edge reports the 487. When it knows no such INVITE, its report of what became of it is on its way.
                if let Err(status) = self.edges().cancel_proxied(&edge, request).await {
                    tracing::debug!(call_id, %status, "the INVITE is not cancelled yet");
                }
                Ok(())
            }
        }
    }

    /// The end was told, and the answer before it never was.
    async fn end_held(&self, before: &Loaded) -> Result<(), ApplyError> {
        let Known::Proxied(call) = &before.known else { return Ok(()) };
        let mut call = ProxiedCall::clone(call);
        let Some(held) = call.held_end.take() else { return Ok(()) };
        let told = call.end_unanswered(&held, self.repository.now().into());
        self.save_end(before, call, told).await
    }

    /// `sip_status` counts when it was not answered.
    async fn end_proxied(
        &self,
        before: &Loaded,
        ended_by: &str,
        why: &str,
        sip_status: u32,
    ) -> Result<(), ApplyError> {
        let Known::Proxied(call) = &before.known else { return Ok(()) };
        let mut call = ProxiedCall::clone(call);
        let told = call.end(self.repository.now().into(), ended_by, why, sip_status);
        self.save_end(before, call, told).await
    }

    async fn save_end(&self, before: &Loaded, call: ProxiedCall, told: Teller) -> Result<(), ApplyError> {
        let change = ProxiedChange { before: Some(before), call, told, request: None };
        match self.repository.save_proxied(change).await {
            // A report came meanwhile; what is still to do is found with the next claim.
            Err(StoreError::Conflict) => Ok(()),
            result => Ok(result?),
        }
    }
}

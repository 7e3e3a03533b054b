//! `Location.Wake`: a phone that sleeps is pushed, and waited for.
//!
//! Its REGISTER may come to any edge and any registrar, so what is waited for is the record. A question is answered within two thirds of
//! a second, asleep or not: who still wants the phone asks again, of any replica.

use std::time::Duration;

use cluster_api::registrar::v1::{Target, WakeRequest, WakeResponse, wake_response::State};
use store::StoreError;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Outcome, provider::Push};
use crate::{Shared, plan};

/// How long one question waits: below the time of one attempt between services (800 ms), which would be taken for a dead replica's and
/// made again at another one, with another push.
const PATIENCE: Duration = Duration::from_millis(600);
/// How often the record is read at most: others in its partition change all the time.
const PACE: Duration = Duration::from_millis(50);

/// What a binding is found to be.
enum Found {
    Awake(Box<Target>),
    Asleep(Push),
    Gone,
}

impl Shared {
    /// Has a phone pushed and waits for it.
    pub(crate) async fn wake(&self, request: WakeRequest) -> Result<WakeResponse, StoreError> {
        let WakeRequest { aor, binding_id, again, .. } = request;
        let deadline = Instant::now() + PATIENCE;
        // Watched before it is read, so that nothing slips between.
        let mut changes = self.aors.store().watch(self.aors.partition_of(&aor));
        let mut pushed = None;
        let mut is_first = true;
        loop {
            let push = match self.find(&aor, &binding_id).await? {
                Found::Awake(target) => return Ok(awake(*target)),
                Found::Gone => return Ok(lost("the binding is gone")),
                Found::Asleep(push) => push,
            };
            if std::mem::take(&mut is_first) {
                let phone = (aor.clone(), binding_id.clone());
                pushed = match again {
                    true => self.pushes.joined(&phone),
                    false => match self.pushes.ask(phone, push) {
                        Some(pushed) => Some(pushed),
                        None => return Ok(lost("too many phones are being pushed")),
                    },
                };
            }
            let outcome = async {
                match &mut pushed {
                    Some(pushed) => failure(pushed).await,
                    None => std::future::pending().await,
                }
            };
            let next = async {
                tokio::select! {
                    biased;
                    why = outcome => Some(why),
                    _ = changes.recv() => None,
                }
            };
            match timeout_at(deadline, next).await {
                Err(_) => return Ok(answer(State::Asleep)),
                Ok(Some(why)) => return Ok(lost(&why)),
                Ok(None) => sleep(PACE).await,
            }
        }
    }

    async fn find(&self, aor: &str, id: &str) -> Result<Found, StoreError> {
        let now_ms = self.aors.now_ms();
        self.aors
            .read(aor, |record| {
                let Some(binding) = record.live(now_ms).find(|binding| binding.id.to_string() == id) else {
                    return Found::Gone;
                };
                match &binding.push {
                    Some(said) if said.is_asleep(now_ms) => Found::Asleep(Push {
                        provider: said.provider.clone(),
                        prid: said.prid.clone(),
                        param: said.param.clone(),
                        aor: aor.to_owned(),
                    }),
                    Some(_) | None => Found::Awake(Box::new(plan::target(binding, aor, now_ms))),
                }
            })
            .await
    }
}

/// Why the push failed; never returns when it did not.
async fn failure(pushed: &mut tokio::sync::watch::Receiver<Outcome>) -> String {
    let outcome = pushed.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
    match outcome {
        Ok(Some(Err(failure))) => failure.to_string(),
        // Who pushes has ended with its process.
        Err(_) => "the push was given up".to_owned(),
        Ok(Some(Ok(())) | None) => std::future::pending().await,
    }
}

fn answer(state: State) -> WakeResponse {
    WakeResponse { state: state.into(), ..WakeResponse::default() }
}

fn awake(target: Target) -> WakeResponse {
    WakeResponse { target: Some(target), ..answer(State::Awake) }
}

fn lost(why: &str) -> WakeResponse {
    WakeResponse { reason: why.to_owned(), ..answer(State::Lost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PSH-02: who asks from another process has his answer before he thinks that nobody is there.
    #[test]
    fn a_question_is_answered_within_one_attempt() {
        let one_attempt = cluster_rpc::remote::Config::default().attempt;
        assert!(PATIENCE + 2 * PACE < one_attempt, "{PATIENCE:?} of {one_attempt:?}");
    }
}

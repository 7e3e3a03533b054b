//! Call-control as presence sees it: calls that begin, ring, are answered and end, and a log of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster_api::callcontrol::v1::{Call, CallEvent, Leg, Outcome, Party, call, leg, outcome};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use presence::calls::Calls;
use tokio::sync::Notify;
use tokio::time::sleep;
use tonic::Status;
use tonic::codegen::BoxStream;

/// How long a list takes, in virtual time.
const TAKES: Duration = Duration::from_millis(50);

/// All calls, and everything that happened to them.
#[derive(Default)]
pub struct Switchboard {
    log: Mutex<Vec<Call>>,
    more: Notify,
    /// Lists that were asked for.
    pub lists: Mutex<u32>,
    /// Whether what was told before is known no more.
    pub forgot: Mutex<usize>,
}

impl Switchboard {
    /// A proxied call from one user to another is so now.
    pub fn call(&self, call_id: &str, (from, to): (&str, &str), state: call::State) {
        let leg = |leg_id: &str, user: &str, state: leg::State| Leg {
            leg_id: leg_id.to_owned(),
            party: Some(Party { uri: format!("sip:{user}@d"), ..Party::default() }),
            state: state.into(),
            sip_call_id: format!("{call_id}@host"),
            remote_tag: format!("tag-{user}"),
            remote_target: format!("sip:{user}@phone"),
            ..Leg::default()
        };
        let (a, b) = match state {
            call::State::Ringing => (leg::State::Progressing, leg::State::Ringing),
            call::State::Answered => (leg::State::Answered, leg::State::Answered),
            call::State::Ended => (leg::State::Ended, leg::State::Ended),
            _ => (leg::State::Dialing, leg::State::Dialing),
        };
        let outcome =
            Outcome { kind: outcome::Kind::Cancelled.into(), ended_by: "a".to_owned(), ..Outcome::default() };
        let mut log = self.log.lock();
        let revision = log.iter().filter(|known| known.call_id == call_id).count() + 1;
        log.push(Call {
            call_id: call_id.to_owned(),
            state: state.into(),
            kind: call::Kind::Proxied.into(),
            legs: vec![leg("a", from, a), leg("b", to, b)],
            outcome: (state == call::State::Ended).then_some(outcome),
            etag: revision.to_string(),
            ..Call::default()
        });
        drop(log);
        self.more.notify_waiters();
    }

    /// There is a conference, in a call of this id.
    pub fn conference(&self, call_id: &str) {
        self.log.lock().push(Call {
            call_id: call_id.to_owned(),
            state: call::State::Answered.into(),
            conference_uri: Some(format!("sip:conf-{call_id}@d")),
            ..Call::default()
        });
        self.more.notify_waiters();
    }

    fn now(&self) -> Vec<Call> {
        let log = self.log.lock();
        let latest: BTreeMap<&str, &Call> = log.iter().map(|call| (call.call_id.as_str(), call)).collect();
        latest.into_values().filter(|call| call.state() != call::State::Ended).cloned().collect()
    }

    async fn after(&self, at: usize) -> Call {
        loop {
            let more = self.more.notified();
            if let Some(call) = self.log.lock().get(at) {
                return call.clone();
            }
            more.await;
        }
    }
}

/// A replica's way there.
pub struct Line(pub Arc<Switchboard>);

#[async_trait]
impl Calls for Line {
    async fn live(&self) -> Result<Vec<Call>, Status> {
        *self.0.lists.lock() += 1;
        let now = self.0.now();
        sleep(TAKES).await;
        Ok(now)
    }

    async fn call(&self, call_id: &str) -> Result<Option<Call>, Status> {
        let log = self.0.log.lock();
        Ok(log.iter().rev().find(|call| call.call_id == call_id).cloned())
    }

    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<CallEvent>, Status> {
        let after = after_cursor.map(|cursor| cursor.parse::<usize>().expect("a cursor of ours"));
        if after.is_some_and(|after| after < *self.0.forgot.lock()) {
            return Err(Status::out_of_range("too old"));
        }
        let end = self.0.log.lock().len();
        let event = |cursor: usize, call: Option<Call>| CallEvent {
            cursor: cursor.to_string(),
            call,
            ..CallEvent::default()
        };
        let snapshot = match after {
            None => {
                self.0.now().into_iter().map(Some).chain([None]).map(|call| Ok(event(end, call))).collect()
            }
            Some(_) => Vec::new(),
        };
        let follow = stream::unfold((self.0.clone(), after.unwrap_or(end)), move |(all, at)| async move {
            let call = all.after(at).await;
            Some((Ok(event(at + 1, Some(call))), (all, at + 1)))
        });
        Ok(stream::iter(snapshot).chain(follow).boxed())
    }
}

//! An application that watches all calls, and goes on at another replica when its own dies.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::callcontrol::v1 as cc;
use cluster_api::callcontrol::v1::call_control_server::CallControl as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};

use crate::links::Replicas;
use crate::sabotage::{Sabotage, Saboteur};

/// What the application has seen. Clones are the same application.
#[derive(Clone)]
pub struct Watcher {
    events: Arc<Mutex<Vec<cc::CallEvent>>>,
    watching: Arc<Notify>,
    saboteur: Arc<Saboteur>,
}

impl Watcher {
    /// An application that has seen nothing yet.
    pub fn new(saboteur: Arc<Saboteur>) -> Self {
        Self { events: Arc::default(), watching: Arc::default(), saboteur }
    }

    /// Returns once it watches.
    pub async fn watching(&self) {
        self.watching.notified().await;
    }

    /// All that was seen.
    pub fn all(&self) -> Vec<cc::CallEvent> {
        self.events.lock().clone()
    }

    /// What was seen of one call.
    pub fn of(&self, call_id: &str) -> Vec<cc::CallEvent> {
        self.events.lock().iter().filter(|event| event.call_id == call_id).cloned().collect()
    }

    /// Watches until it is dropped.
    pub async fn run(self, replicas: Arc<Replicas>) {
        let mut cursor = None;
        loop {
            // However it ended: nobody is there, or the replica died.
            let _ = self.watch(&replicas, &mut cursor).await;
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn watch(&self, replicas: &Replicas, cursor: &mut Option<String>) -> Result<(), Status> {
        let replica = replicas.any()?;
        let request = cc::WatchCallsRequest { after_cursor: cursor.clone(), ..Default::default() };
        let stream = replica.ask(replica.service.api.watch_calls(Request::new(request))).await?;
        let mut stream = stream.into_inner();
        self.watching.notify_one();
        while let Some(event) = replica.dead.run_until_cancelled(stream.next()).await.flatten() {
            let mut event = event?;
            *cursor = Some(event.cursor.clone());
            if event.r#type() == cc::call_event::Type::Snapshot {
                continue;
            }
            self.spoil(&mut event);
            let twice = self.saboteur.does(Sabotage::TellsTwice, 5).then(|| event.clone());
            if !self.saboteur.does(Sabotage::MissesEvents, 5) {
                self.events.lock().extend(twice.into_iter().chain([event]));
            }
            self.swap();
        }
        Ok(())
    }

    fn spoil(&self, event: &mut cc::CallEvent) {
        if let Some(call) = event.call.as_mut()
            && self.saboteur.does(Sabotage::TellsNoOutcome, 100)
        {
            call.outcome = None;
        }
        let outcome = event.call.as_mut().and_then(|call| call.outcome.as_mut());
        if let Some(outcome) = outcome
            && self.saboteur.does(Sabotage::TellsAnotherOutcome, 100)
        {
            outcome.sip_status += 1;
        }
    }

    /// Exchanges the last two events when they belong to one call.
    fn swap(&self) {
        let mut events = self.events.lock();
        if let [.., one, other] = &mut events[..]
            && one.call_id == other.call_id
            && self.saboteur.does(Sabotage::SwapsEvents, 20)
        {
            std::mem::swap(one, other);
        }
    }
}

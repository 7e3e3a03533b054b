//! Where users are registered, as the registrar would say it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use cluster_api::registrar::v1::binding_event::Type;
use cluster_api::registrar::v1::{Binding, BindingEvent};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use presence::registrations::Registrations;
use tokio::sync::watch;
use tonic::Status;
use tonic::codegen::BoxStream;

/// All bindings, and what was told of them.
pub struct Bound {
    all: Mutex<HashMap<String, Vec<Binding>>>,
    /// How often each user was asked for.
    asked: Mutex<HashMap<String, usize>>,
    told: watch::Sender<Vec<BindingEvent>>,
    /// Addresses of record that nobody has.
    pub nobody: Mutex<HashSet<String>>,
}

impl Default for Bound {
    fn default() -> Bound {
        let told = watch::Sender::new(Vec::new());
        Bound { all: Mutex::default(), asked: Mutex::default(), told, nobody: Mutex::default() }
    }
}

impl Bound {
    /// Somebody is registered so, and nobody is told of it.
    pub fn set(&self, aor: &str, bindings: Vec<Binding>) {
        self.all.lock().insert(aor.to_owned(), bindings);
    }

    /// Somebody is registered so, and this has happened.
    pub fn tell(&self, aor: &str, bindings: Vec<Binding>, kind: Type) {
        self.set(aor, bindings);
        self.log(aor, kind, Some("a contact"), SystemTime::UNIX_EPOCH);
    }

    /// The log says that this has happened to a contact, or to the account.
    pub fn log(&self, aor: &str, kind: Type, contact: Option<&str>, time: SystemTime) {
        let binding = contact.map(|contact| Binding { binding_id: contact.to_owned(), ..Binding::default() });
        self.told.send_modify(|told| {
            let (cursor, aor, time) = ((told.len() + 1).to_string(), aor.to_owned(), Some(time.into()));
            told.push(BindingEvent { cursor, time, aor, r#type: kind.into(), binding });
        });
    }

    /// How often somebody asked for the bindings of this user.
    pub fn asked(&self, aor: &str) -> usize {
        self.asked.lock().get(aor).copied().unwrap_or_default()
    }
}

/// A replica's way to them.
pub struct Directory(pub Arc<Bound>);

#[async_trait]
impl Registrations for Directory {
    async fn list(&self, aor: &str) -> Result<Vec<Binding>, Status> {
        *self.0.asked.lock().entry(aor.to_owned()).or_default() += 1;
        if self.0.nobody.lock().contains(aor) {
            return Err(Status::not_found("there is no such account"));
        }
        Ok(self.0.all.lock().get(aor).cloned().unwrap_or_default())
    }

    async fn watch(&self, after_cursor: Option<String>) -> Result<BoxStream<BindingEvent>, Status> {
        let next = after_cursor.map_or(Ok(0), |cursor| cursor.parse());
        let next: usize = next.map_err(|_| Status::invalid_argument("a cursor"))?;
        let events = stream::unfold((self.0.told.subscribe(), next), |(mut told, next)| async move {
            let event = told.wait_for(|told| told.len() > next).await.ok()?[next].clone();
            Some((Ok(event), (told, next + 1)))
        });
        Ok(events.boxed())
    }
}

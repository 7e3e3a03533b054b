//! The calls that go on, listed once for all who ask for them at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cluster_api::callcontrol::v1::Call;
use tokio::sync::Mutex;
use tonic::Status;

use crate::calls::Calls;
use crate::topics::dialogs::users;

/// The calls of each address of record.
pub type ByUser = HashMap<String, Vec<Arc<Call>>>;

/// The last list, and its number.
type Last = Option<(u64, Result<Arc<ByUser>, Status>)>;

/// Lists the calls that go on, one list at a time.
#[derive(Default)]
pub struct LiveCalls {
    begun: AtomicU64,
    waiting: AtomicUsize,
    last: Mutex<Last>,
}

impl LiveCalls {
    /// A list that was begun after this was asked for. Whoever waits while another list is made shares the next one: a thousand
    /// users whom somebody begins to watch at once do not make it a thousand times.
    ///
    /// # Errors
    /// What call-control or the way to it answered.
    pub async fn by_user(&self, calls: &dyn Calls) -> Result<Arc<ByUser>, Status> {
        let asked = self.begun.load(Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut last = self.last.lock().await;
        let is_last = self.waiting.fetch_sub(1, Ordering::SeqCst) == 1;
        let shared = last.as_ref().filter(|(number, _)| *number > asked).map(|(_, list)| list.clone());
        let list = match shared {
            Some(list) => list,
            None => {
                let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let list = calls.live().await.map(|live| Arc::new(by_user(live)));
                *last = Some((number, list.clone()));
                list
            }
        };
        if is_last && self.waiting.load(Ordering::SeqCst) == 0 {
            // Nobody else wants it.
            *last = None;
        }
        list
    }
}

fn by_user(live: Vec<Call>) -> ByUser {
    let mut by_user = ByUser::new();
    for call in live {
        let call = Arc::new(call);
        for user in users(&call) {
            by_user.entry(user).or_default().push(Arc::clone(&call));
        }
    }
    by_user
}

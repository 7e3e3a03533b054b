//! Who is alive: this process's own lease, renewed every third of its time, and everybody's as of the latest renewal.
//!
//! When no registrar can be reached the list stays as it was: a silent registrar is no reason to declare anybody dead. Links notice
//! a dead process by its silence, within the time of one call.

use std::{
    future::{Future, ready},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use cluster_api::cluster::v1::{LeaseRequest, LeaseResponse, LeaveRequest, Member};
use lifecycle::{Outage, Tasks, TooManyTasks};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use crate::links::MembershipLink;

/// Time of a lease when the registrar names none. Three seconds: a dead process's work is taken over within it.
const DEFAULT_TTL: Duration = Duration::from_secs(3);

/// Longest pause after a renewal that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Everybody who is alive, as far as is known.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The members, this process included.
    pub members: Arc<[Member]>,
    /// Key of the cluster for flow tokens; empty before the first renewal.
    pub flow_key: Bytes,
    /// Where the peers of trunks are: host or host:port.
    pub gateways: Arc<[String]>,
    /// Whether the latest renewal succeeded. `false` before the first one and while no registrar answers.
    pub current: bool,
    /// How much the list proves; `None` for one that no registrar gave.
    pub listed: Option<Listed>,
}

/// When a list was made. Whoever had a lease before `asked` and is not in the list has lost it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// When it was asked for.
    pub asked: Instant,
    /// Since when lists have come without a gap. After a gap (registrars or store away or slow, this process frozen) members
    /// may be missing that merely could not renew either.
    pub steady_since: Instant,
}

impl View {
    /// A list that was not made by a registrar.
    pub fn fixed(members: impl Into<Arc<[Member]>>, flow_key: impl Into<Bytes>) -> Self {
        let (members, flow_key) = (members.into(), flow_key.into());
        Self { members, flow_key, gateways: Arc::default(), current: true, listed: None }
    }

    /// Members of one role.
    pub fn of_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |member| member.role == role)
    }

    /// One member.
    pub fn find(&self, role: &str, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.role == role && member.id == id)
    }

    /// The member of a role for something new that has this key: the same one to all who ask while the list stays. Those that drain
    /// are the last resort.
    pub fn choose(&self, role: &str, key: &str) -> Option<&Member> {
        self.members
            .iter()
            .filter(|member| member.role == role)
            .max_by_key(|member| (!member.draining, weight(key, &member.id)))
    }
}

/// A list that is newer than a question: for who has heard of a member that the last one does not have.
#[derive(Clone, Debug)]
pub struct LookAgain {
    hurry: Arc<Notify>,
    /// When the latest list was asked for.
    asked: watch::Receiver<Option<Instant>>,
}

impl LookAgain {
    /// Over what makes somebody ask for lists, and when the latest one was asked for.
    pub fn new(hurry: Arc<Notify>, asked: watch::Receiver<Option<Instant>>) -> Self {
        Self { hurry, asked }
    }

    /// Asks for the list, and returns whether one came that was asked for after this call; `false` once nobody asks any more.
    pub async fn look(mut self) -> bool {
        let now = Instant::now();
        self.hurry.notify_one();
        self.asked.wait_for(|asked| asked.is_some_and(|asked| asked >= now)).await.is_ok()
    }
}

/// FNV-1a over both names, mixed, so that ids that differ in their last octet only do not rank alike: rendezvous hashing.
fn weight(key: &str, id: &str) -> u64 {
    let octets = key.bytes().chain([0]).chain(id.bytes());
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// What the roles of one process have together.
#[derive(Default)]
struct Process {
    /// What they say of registrars that are away.
    outage: Outage,
    /// How each of them is made to renew at once.
    hurries: parking_lot::Mutex<Vec<Arc<Notify>>>,
}

impl Process {
    /// A role has its first lease: the lists of the others, which may be older, know nothing of it before their next renewal.
    fn has_joined(&self, role: &Arc<Notify>) {
        for other in self.hurries.lock().iter().filter(|other| !Arc::ptr_eq(other, role)) {
            other.notify_one();
        }
    }
}

/// This process's membership in one role. Clones are the same.
#[derive(Clone)]
pub struct Membership {
    view: watch::Receiver<View>,
    asked: watch::Receiver<Option<Instant>>,
    link: MembershipLink,
    myself: Arc<dyn Fn() -> Member + Send + Sync>,
    hurry: Arc<Notify>,
    process: Arc<Process>,
    /// Whether the lease was given up. Held during every call, so that no renewal arrives after the end.
    left: Arc<Mutex<bool>>,
}

impl Membership {
    /// Takes a lease and renews it until [`Membership::leave`]. `myself` is asked before each renewal, so that load and draining
    /// are those of the moment.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn join(
        link: MembershipLink,
        tasks: &Tasks,
        myself: impl Fn() -> Member + Send + Sync + 'static,
    ) -> Result<Self, TooManyTasks> {
        Self::join_when(link, tasks, ready(()), myself)
    }

    /// Joins as soon as `known`.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn join_when(
        link: MembershipLink,
        tasks: &Tasks,
        known: impl Future<Output = ()> + Send + 'static,
        myself: impl Fn() -> Member + Send + Sync + 'static,
    ) -> Result<Self, TooManyTasks> {
        Self::start(link, Arc::default(), tasks, known, myself)
    }

    /// Joins in another role of the same process, over the same link, as soon as `known`: whoever is listed is reached at what is
    /// said of it, so that a first lease without an address would lead others nowhere.
    ///
    /// # Errors
    /// When the set of tasks is full.
    pub fn join_also(
        &self,
        tasks: &Tasks,
        known: impl Future<Output = ()> + Send + 'static,
        myself: impl Fn() -> Member + Send + Sync + 'static,
    ) -> Result<Self, TooManyTasks> {
        Self::start(self.link.clone(), self.process.clone(), tasks, known, myself)
    }

    fn start(
        link: MembershipLink,
        process: Arc<Process>,
        tasks: &Tasks,
        known: impl Future<Output = ()> + Send + 'static,
        myself: impl Fn() -> Member + Send + Sync + 'static,
    ) -> Result<Self, TooManyTasks> {
        let (views, view) = watch::channel(View { current: false, ..View::fixed(Vec::new(), Bytes::new()) });
        let (lists, asked) = watch::channel(None);
        let hurry: Arc<Notify> = Arc::default();
        process.hurries.lock().push(hurry.clone());
        let membership =
            Self { view, asked, link, myself: Arc::new(myself), hurry, process, left: Arc::default() };
        let renewals = membership.clone().renewals(views, lists);
        tasks.spawn_loop("membership", async move {
            known.await;
            renewals.await;
        })?;
        Ok(membership)
    }

    /// Who is alive.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Every change of who is alive. The channel closes when the lease was given up.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Returns once the first lease was granted.
    pub async fn joined(&self) {
        // An error means that the lease was given up, which nobody who waits for the first one does.
        let _ = self.view.clone().wait_for(|view| !view.flow_key.is_empty() || view.current).await;
    }

    /// Renews at once, so that others learn soon that this process drains, or this one soon of others.
    pub fn renew_now(&self) {
        self.hurry.notify_one();
    }

    /// The list anew, and when it has come.
    pub fn look_again(&self) -> LookAgain {
        LookAgain::new(self.hurry.clone(), self.asked.clone())
    }

    /// Gives the lease up and ends the renewals: the last thing of a drain.
    ///
    /// # Errors
    /// When no registrar took it; the lease then ends by itself.
    pub async fn leave(&self) -> Result<(), Status> {
        let mut left = self.left.lock().await;
        *left = true;
        self.hurry.notify_one();
        let Member { id, role, epoch, .. } = (self.myself)();
        self.link.leave(LeaveRequest { id, role, epoch }).await.map(drop)
    }

    async fn renewals(self, views: watch::Sender<View>, lists: watch::Sender<Option<Instant>>) {
        // `views` and the receiver in `self` live here, so only the other receivers tell whether anybody listens.
        let Self { view, asked: _, link, myself, hurry, process, left } = self;
        drop(view);
        let mut failures = 0_u32;
        let mut steady: Option<(Instant, Instant)> = None;
        let mut has_joined = false;
        while views.receiver_count() > 0 {
            let left = left.lock().await;
            if *left {
                return;
            }
            let asked = Instant::now();
            let member = myself();
            let role = member.role.clone();
            let renewed = link.lease(LeaseRequest { member: Some(member) }).await;
            drop(left);
            let pause = match renewed {
                Ok(granted) => {
                    failures = 0;
                    if process.outage.found(&role) {
                        tracing::info!("leases are renewed again");
                    }
                    let ttl = ttl(&granted);
                    let answered = Instant::now();
                    let is_prompt = answered - asked <= ttl / 3;
                    let unbroken = steady.filter(|(_, last)| is_prompt && asked - *last <= 2 * ttl / 3);
                    let steady_since = unbroken.map_or(answered, |(since, _)| since);
                    steady = Some((steady_since, answered));
                    views.send_if_modified(|view| replace(view, granted, Listed { asked, steady_since }));
                    lists.send_replace(Some(asked));
                    if !std::mem::replace(&mut has_joined, true) {
                        process.has_joined(&hurry);
                    }
                    ttl / 3
                }
                Err(status) => {
                    failures += 1;
                    steady = None;
                    if process.outage.missed(&role, Instant::now().into_std()) {
                        let (why, what) = (status.message(), unrenewed(has_joined));
                        tracing::warn!(role, why, "{what}");
                    }
                    views.send_if_modified(|view| std::mem::replace(&mut view.current, false));
                    (LONGEST_PAUSE / 8).saturating_mul(1 << failures.min(3)).min(LONGEST_PAUSE)
                }
            };
            wait(pause, hurry.notified()).await;
        }
    }
}

/// What it means that no lease was given.
fn unrenewed(has_joined: bool) -> &'static str {
    match has_joined {
        true => "the lease was not renewed; the list of members is kept as it was",
        false => "no registrar has given the first lease yet, and this process is not ready before that",
    }
}

fn ttl(granted: &LeaseResponse) -> Duration {
    let ttl = granted.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
    ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(DEFAULT_TTL)
}

/// Puts what was granted into the view; returns whether that is a change.
fn replace(view: &mut View, granted: LeaseResponse, listed: Listed) -> bool {
    let mut members = granted.members;
    members.sort_by(|a, b| (&a.role, &a.id).cmp(&(&b.role, &b.id)));
    let gateways = granted.gateways.into();
    let fresh = View { listed: Some(listed), gateways, ..View::fixed(members, granted.flow_key) };
    // That the same list is newer now wakes nobody.
    let changed = *view != View { listed: view.listed, ..fresh.clone() };
    *view = fresh;
    changed
}

async fn wait(pause: Duration, hurry: impl Future<Output = ()>) {
    if timeout(pause, hurry).await.is_ok() {
        // Whoever hurries may do so in a loop; a little rest keeps that from becoming a storm.
        sleep(Duration::from_millis(20)).await;
    }
}

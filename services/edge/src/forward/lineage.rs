//! How a request came to a target: whose target it is, and which forwardings led there. Diversion, History-Info, the announcement
//! to the caller and the bound on forwardings are all read from here.

use std::sync::Arc;

use bytes::Bytes;
use sip_message::{HeaderId, Message};
use sip_proxy::{BranchId, Group, as_request_uri};

use super::fork::Fork;
use super::target::Target;
use crate::arrive::out_of_dialog::Pending;

/// How a request came to a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// The branch whose target was looked up and stands for this one among others.
    pub(crate) under: Option<BranchId>,
    /// The branch that answered with a redirection to this one.
    pub(crate) after: Option<BranchId>,
    /// The address that was asked for, when it is not the Request-URI.
    callee: Option<Bytes>,
    /// The last forwarding on the way.
    pub(crate) diverted: Option<Arc<Diverted>>,
}

/// A request that was led away from somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Diverted {
    /// From whom.
    pub(crate) from: Bytes,
    /// Why: "forward-busy", "redirect", …
    pub(crate) cause: Arc<str>,
    /// The forwarding before this one.
    before: Option<Arc<Diverted>>,
}

impl Diverted {
    /// This forwarding and those before it, newest first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |diverted| diverted.before.as_deref())
    }
}

/// Targets of a plan for the Request-URI.
pub(crate) fn of_request(pending: &Pending, groups: &mut [Group<Target>]) {
    let callee = || pending.arrived.request_uri(&pending.request);
    for target in forwarding(groups) {
        target.lineage.diverted = Some(diverted(callee(), target, None));
    }
}

/// Targets that the target of a branch was found to stand for.
pub(crate) fn looked_up(fork: &Fork, branch: BranchId, groups: &mut [Group<Target>]) {
    let Some(parent) = fork.context.target(branch) else { return };
    let asked = parent.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request));
    let callee = Bytes::copy_from_slice(asked);
    for target in groups.iter_mut().flat_map(|group| &mut group.targets) {
        target.lineage = Lineage {
            under: Some(branch),
            after: None,
            callee: Some(callee.clone()),
            diverted: parent.lineage.diverted.clone(),
        };
        if target.answerable().is_empty() {
            target.led_by = parent.answerable().clone();
        }
        // why the first one was tried stays true for what it stands for
        if &*target.cause == "contact" && is_forwarding(&parent.cause) {
            target.cause = parent.cause.clone();
        } else if is_forwarding(&target.cause) {
            let before = parent.lineage.diverted.clone();
            target.lineage.diverted = Some(diverted(&callee, target, before));
        }
    }
}

/// The binding of a phone that was woken, as it is now: the same one, and led to as before.
pub(crate) fn woken(fork: &Fork, branch: BranchId, groups: &mut [Group<Target>]) {
    let Some(slept) = fork.context.target(branch) else { return };
    for target in groups.iter_mut().flat_map(|group| &mut group.targets) {
        target.lineage = slept.lineage.clone();
        target.cause = slept.cause.clone();
        target.led_by = slept.led_by.clone();
    }
}

/// Targets that a branch answered with, by 3xx. They stand beside it: its own callee sends the request on.
pub(crate) fn after_redirection(fork: &Fork, branch: BranchId, groups: &mut [Group<Target>]) {
    let Some(target) = fork.context.target(branch) else { return };
    let (lineage, led_by) = (target.lineage.clone(), target.answerable().clone());
    let callee = match &lineage.callee {
        Some(callee) => callee.clone(),
        None => Bytes::copy_from_slice(fork.arrived.request_uri(&fork.request)),
    };
    for target in groups.iter_mut().flat_map(|group| &mut group.targets) {
        target.led_by = led_by.clone();
        target.lineage = Lineage {
            after: Some(branch),
            diverted: Some(diverted(&callee, target, lineage.diverted.clone())),
            ..lineage.clone()
        };
    }
}

/// Contacts that the registrar told of a user whose calls are only redirected: that user answers for them (T6).
pub(crate) fn led_by(user: &str, groups: &mut [Group<Target>]) {
    let user: Arc<str> = Arc::from(user);
    groups.iter_mut().flat_map(|group| &mut group.targets).for_each(|target| target.led_by = user.clone());
}

/// How often the request was forwarded on its way to a branch, since it came here.
pub(crate) fn forwards(fork: &Fork, branch: BranchId) -> u32 {
    let diverted = fork.context.target(branch).and_then(|target| target.lineage.diverted.as_deref());
    diverted.map_or(0, |diverted| diverted.chain().count() as u32)
}

/// How often the request says that it was forwarded before it came here.
pub(crate) fn forwards_before(request: &Message) -> u32 {
    let mapped =
        |value: &&[u8]| sip_message::NameAddr::parse(value).is_ok_and(|entry| entry.param("mp").is_some());
    let history = request.values(HeaderId::HistoryInfo).filter(mapped).count();
    request.values(HeaderId::Diversion).count().max(history) as u32
}

pub(crate) fn is_forwarding(cause: &str) -> bool {
    cause.starts_with("forward") || cause == "redirect"
}

fn forwarding(groups: &mut [Group<Target>]) -> impl Iterator<Item = &mut Target> {
    groups.iter_mut().flat_map(|group| &mut group.targets).filter(|target| is_forwarding(&target.cause))
}

fn diverted(from: &[u8], to: &Target, before: Option<Arc<Diverted>>) -> Arc<Diverted> {
    let from = Bytes::copy_from_slice(&as_request_uri(from));
    Arc::new(Diverted { from, cause: to.cause.clone(), before })
}

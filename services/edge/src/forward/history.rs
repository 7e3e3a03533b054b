//! History-Info, RFC 7044: which targets a request was led to, in which order, and what became of each.
//!
//! Every branch is an entry, and its place among the others follows from the lineage of its target. So nothing is kept but the
//! status that a branch ended with, and a call that nobody asks the history of costs nothing. It is told where it is asked for
//! (`histinfo`), where it came along, and where the call was forwarded; also by the answers that are our own.

use sip_message::{Edit, HeaderId, Message, NameAddr, Scheme, Uri};
use sip_proxy::{Best, BranchFailure, BranchId, CancelCause, Own, as_request_uri};

use super::branch::Branch;
use super::fork::Fork;
use super::history_entry::{Entry, Index, Origin, anonymous};
use super::lineage::is_forwarding;
use super::privacy;

/// Remembers what a final response says of its branch.
pub(crate) fn note_response(branch: &mut Branch, response: &Message) {
    // 487 tells only that it was cancelled.
    if let Some(status @ 300..) = response.status()
        && !(status == 487 && branch.outcome.is_some())
    {
        branch.outcome = Some(status);
    }
}

/// Remembers why a branch came to nothing.
pub(crate) fn note_failure(fork: &mut Fork, branch: BranchId, failure: BranchFailure) {
    let status = match failure {
        BranchFailure::Timeout => 408,
        BranchFailure::Transport => 503,
        BranchFailure::FlowFailed => 430,
        BranchFailure::Refused(status) => status,
    };
    if let Some(branch) = fork.branches.get_mut(branch.0 as usize) {
        branch.outcome.get_or_insert(status);
    }
}

/// Remembers that a branch rang in vain.
pub(crate) fn note_cancel(fork: &mut Fork, branch: BranchId, cause: CancelCause) {
    if let (CancelCause::NoAnswer, Some(branch)) = (cause, fork.branches.get_mut(branch.0 as usize)) {
        branch.outcome.get_or_insert(408);
    }
}

/// Adds the history to the copy for a branch: what came before it, and itself. Branches that still run are none of its business.
pub(crate) fn add(edit: &mut Edit<'_>, fork: &Fork, branch: BranchId, own: &Own) {
    let Some(running) = fork.branches.get(branch.0 as usize) else { return };
    let target = &running.target;
    if !(is_asked(fork) || target.lineage.diverted.is_some()) || is_in_dialog(fork) {
        return;
    }
    let Some(start) = Start::of(&fork.request, fork.arrived.request_uri(&fork.request)) else { return };
    let mut entries = entries(fork, &start, |other| {
        other == branch || is_above(fork, other, branch) || outcome(fork, other).is_some()
    });
    // RFC 7044 10.1.2: where it went on from here, those outside are told all the same
    if privacy::hides_history(&fork.request) && privacy::leaves(target, own) {
        for entry in &mut entries {
            let foreign = Uri::parse(&entry.uri).is_ok_and(|uri| !own.is_ours(&uri));
            entry.is_hidden = !(foreign && entry.index == index(fork, &start, branch));
        }
    }
    for entry in entries {
        edit.append(HeaderId::HistoryInfo, entry.to_string());
    }
}

/// A response as it goes up: with the whole history, when the caller asked for it. RFC 7044 9.3. A caller outside our domains is told no
/// entry of them that whoever answers does not want told. RFC 7044 10.1.2
pub(crate) fn answered(fork: &Fork, response: Message, own: &Own) -> Message {
    let wants = fork.request.has_option_tag(HeaderId::Supported, "histinfo");
    if !wants || is_in_dialog(fork) || response.status().is_none_or(|status| status <= 100) {
        return response;
    }
    let Some(start) = Start::of(&fork.request, fork.arrived.request_uri(&fork.request)) else {
        return response;
    };
    let mut told: Vec<(Index, Vec<u8>)> = Vec::new();
    let mut tell = |index: Option<Index>, value: Vec<u8>| {
        if let Some(index) = index
            && !told.iter().any(|(known, _)| *known == index)
        {
            told.push((index, value));
        }
    };
    // ours first: they know what became of each
    for entry in entries(fork, &start, |_| true) {
        tell(Some(entry.index.clone()), entry.to_string().into_bytes());
    }
    for value in fork.request.values(HeaderId::HistoryInfo).chain(response.values(HeaderId::HistoryInfo)) {
        tell(Index::of(value), value.to_vec());
    }
    told.sort_by(|one, two| one.0.cmp(&two.0));
    let from = fork.request.from();
    if !from.is_ok_and(|from| Uri::parse(from.uri).is_ok_and(|uri| own.is_ours(&uri))) {
        let is_private = privacy::hides_history(&response);
        for (_, value) in &mut told {
            if privacy::is_told_inside_alone(value, is_private, own) {
                *value = anonymous(value);
            }
        }
    }
    let mut edit = response.edit();
    edit.remove_all(HeaderId::HistoryInfo);
    for (_, value) in &told {
        edit.append(HeaderId::HistoryInfo, value);
    }
    edit.finish().unwrap_or(response)
}

/// What our refusal of a request tells that was sent to nobody: what came along, and what became of the Request-URI. Nothing, unless it
/// is asked for.
pub(crate) fn of_refusal(request: &Message, uri: &[u8], status: u16) -> Vec<String> {
    let wants = request.has_option_tag(HeaderId::Supported, "histinfo");
    if !wants || status <= 100 || request.to().is_ok_and(|to| to.tag().is_some()) {
        return Vec::new();
    }
    let Some(start) = Start::of(request, uri) else { return Vec::new() };
    // a fold is white space, and nothing else may end the line
    let line = |value: &[u8]| String::from_utf8_lossy(value).replace(['\r', '\n', '\0'], " ");
    let came = request.values(HeaderId::HistoryInfo).map(line);
    // an entry that came is its writer's, who is told the status
    let added = start.missing.map(|entry| Entry { reason: reason_of(&entry.uri, Some(status)), ..entry });
    came.chain(added.iter().map(Entry::to_string)).collect()
}

/// As [`answered`], for a failure.
pub(crate) fn failed(fork: &Fork, best: Best<Message>, own: &Own) -> Best<Message> {
    match best {
        Best::Received(response) => Best::Received(answered(fork, response, own)),
        Best::Local(status) => Best::Local(status),
    }
}

/// Where our entries begin.
struct Start {
    /// The entry of the Request-URI as it came.
    index: Index,
    /// The entry itself, when whoever sent the request did not write it.
    missing: Option<Entry>,
}

impl Start {
    /// `None` when the history that came cannot be gone on with.
    // RFC 7044 9.1, 10.3
    fn of(request: &Message, uri: &[u8]) -> Option<Self> {
        let Some(last) = request.values(HeaderId::HistoryInfo).last() else {
            let entry = Entry::new(as_request_uri(uri).into_owned(), Index::first(), Origin::None);
            return Some(Self { index: Index::first(), missing: Some(entry) });
        };
        let index = Index::of(last)?;
        let same = NameAddr::parse(last).is_ok_and(|entry| {
            let (came, known) = (as_request_uri(uri), as_request_uri(entry.uri));
            came == known
                || matches!((Uri::parse(&came), Uri::parse(&known)), (Ok(one), Ok(two)) if one.equivalent(&two))
        });
        if same {
            return Some(Self { index, missing: None });
        }
        let index = index.below(0);
        let entry = Entry::new(as_request_uri(uri).into_owned(), index.clone(), Origin::None);
        Some(Self { index, missing: Some(entry) })
    }
}

/// Our entries in order: that of the Request-URI if it was missing, and those of the branches that are wanted.
fn entries(fork: &Fork, start: &Start, wanted: impl Fn(BranchId) -> bool) -> Vec<Entry> {
    let ids = (0..fork.branches.len()).map(|number| BranchId(number as u32));
    let of_branches = ids.filter(|id| wanted(*id) && is_entry(fork, *id)).map(|id| {
        let entry = Entry::new(
            as_request_uri(&uri(fork, id)).into_owned(),
            index(fork, start, id),
            origin(fork, start, id),
        );
        Entry { reason: reason_of(&entry.uri, outcome(fork, id)), ..entry }
    });
    let mut entries: Vec<Entry> = start.missing.clone().into_iter().chain(of_branches).collect();
    entries.sort_by(|one, two| one.index.cmp(&two.index));
    entries
}

/// The status that is told of an entry: only where its URI can carry it, and it is one that led elsewhere. RFC 7044 10.2
fn reason_of(uri: &[u8], status: Option<u16>) -> Option<u16> {
    let can_carry = Uri::parse(uri).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    status.filter(|status| can_carry && *status >= 300)
}

/// A branch to the very URI that it was looked up for is the entry that is there already.
fn is_entry(fork: &Fork, id: BranchId) -> bool {
    let lineage = &fork.branches[id.0 as usize].target.lineage;
    let above = match lineage.under {
        Some(under) => uri(fork, under),
        None => fork.arrived.request_uri(&fork.request).to_vec(),
    };
    let is_same = uri(fork, id) == above;
    // what is sent on as it came is an entry of its own, but not what only waits for the registrar's word
    !(is_same && (lineage.under.is_some() || is_replaced(fork, id)))
}

fn is_replaced(fork: &Fork, id: BranchId) -> bool {
    fork.branches.iter().any(|branch| branch.target.lineage.under == Some(id))
}

fn uri(fork: &Fork, id: BranchId) -> Vec<u8> {
    let target = &fork.branches[id.0 as usize].target;
    target.uri.as_deref().unwrap_or_else(|| fork.arrived.request_uri(&fork.request)).to_vec()
}

/// The status that a branch ended with, as a phone or we said it: also of one that was never sent, or gave no sign of life.
fn outcome(fork: &Fork, id: BranchId) -> Option<u16> {
    let noted = fork.branches.get(id.0 as usize).and_then(|branch| branch.outcome);
    noted.or_else(|| fork.context.failure_of(id))
}

fn is_above(fork: &Fork, upper: BranchId, lower: BranchId) -> bool {
    let under =
        |id: &BranchId| fork.branches.get(id.0 as usize).and_then(|branch| branch.target.lineage.under);
    std::iter::successors(Some(lower), under).any(|id| id == upper)
}

/// The number of a branch: below that of what was looked up, counted among its own kind.
fn index(fork: &Fork, start: &Start, id: BranchId) -> Index {
    let under = fork.branches[id.0 as usize].target.lineage.under;
    let above = under.map_or_else(|| start.index.clone(), |under| index(fork, start, under));
    if !is_entry(fork, id) {
        return above;
    }
    let before = (0..id.0).map(BranchId).filter(|other| {
        fork.branches[other.0 as usize].target.lineage.under == under && is_entry(fork, *other)
    });
    above.below(before.count() as u32 + 1)
}

/// What it was made from. RFC 7044 10.4
fn origin(fork: &Fork, start: &Start, id: BranchId) -> Origin {
    let target = &fork.branches[id.0 as usize].target;
    let lineage = &target.lineage;
    let above = || lineage.under.map_or_else(|| start.index.clone(), |under| index(fork, start, under));
    let parent_is_forwarded = lineage.under.and_then(|under| fork.branches.get(under.0 as usize));
    let inherits = parent_is_forwarded.is_some_and(|parent| parent.target.cause == target.cause)
        && parent_is_forwarded.is_some_and(|parent| parent.target.lineage.diverted == lineage.diverted);
    if let Some(after) = lineage.after {
        return Origin::Mapped(index(fork, start, after));
    }
    if is_forwarding(&target.cause) && !inherits {
        // what was tried last in the same place was the reason for it
        let failed = (0..id.0).map(BranchId).rev().find(|other| {
            let beside = &fork.branches[other.0 as usize].target.lineage;
            beside.under == lineage.under && outcome(fork, *other).is_some()
        });
        return Origin::Mapped(failed.map_or_else(above, |failed| index(fork, start, failed)));
    }
    match target.uri {
        Some(_) => Origin::Registered(above()),
        None => Origin::Unchanged(above()),
    }
}

fn is_asked(fork: &Fork) -> bool {
    fork.request.has(HeaderId::HistoryInfo) || fork.request.has_option_tag(HeaderId::Supported, "histinfo")
}

fn is_in_dialog(fork: &Fork) -> bool {
    fork.request.to().is_ok_and(|to| to.tag().is_some())
}

//! Which calls an application wants to see.

use std::collections::{BTreeMap, BTreeSet};

use cluster_api::callcontrol::v1 as wire;
use cluster_rpc::Reason;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::Summary;
use crate::engine::claim::takers::address_of_record;
use crate::violations::Violations;

/// Ended calls are listed for this long unless the filter names states.
const RECENT_MS: u64 = 3600 * 1000;

/// A checked filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    states: Vec<i32>,
    kinds: Vec<i32>,
    party: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Filter {
    /// Checks a filter.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for unknown states and kinds, for a party that is no URI, and for text that no call can have.
    pub fn new(filter: Option<wire::CallFilter>) -> Result<Filter, Status> {
        let filter = filter.unwrap_or_default();
        let mut violations = Violations::default();
        let is_known = |state: &i32| *state != 0 && wire::call::State::try_from(*state).is_ok();
        if !filter.states.iter().all(is_known) {
            violations.add(Reason::BadField, "filter.states", "states that this version knows");
        }
        let is_known = |kind: &i32| *kind != 0 && wire::call::Kind::try_from(*kind).is_ok();
        if !filter.kinds.iter().all(is_known) {
            violations.add(Reason::BadField, "filter.kinds", "kinds that this version knows");
        }
        if !filter.party.is_empty() {
            violations.uri("filter.party", &filter.party);
        }
        for (key, value) in &filter.metadata {
            violations.line("filter.metadata", key, 64);
            violations.line(&format!("filter.metadata[{}]", key.escape_debug()), value, 512);
        }
        violations.check()?;
        Ok(Filter {
            states: filter.states,
            kinds: filter.kinds,
            party: Some(filter.party)
                .filter(|party| !party.is_empty())
                .map(|party| address_of_record(&party)),
            metadata: filter.metadata.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
        })
    }

    /// Short and the same for filters that ask for the same; goes into page tokens, so it must not depend on the process.
    pub fn digest(&self) -> String {
        let sorted = |list: &[i32]| list.iter().copied().collect::<BTreeSet<i32>>();
        let asked = format!("{:?}", (sorted(&self.states), sorted(&self.kinds), &self.party, &self.metadata));
        Sha256::digest(asked).iter().take(8).map(|octet| format!("{octet:02x}")).collect()
    }

    /// Whether calls in this part of the index can match.
    pub fn wants(&self, ended: bool) -> bool {
        let is_ended = |state: &i32| *state == i32::from(wire::call::State::Ended);
        self.states.is_empty() || self.states.iter().any(|state| is_ended(state) == ended)
    }

    /// Whether a listed call can match, before it is read. Without named states, long ended ones do not.
    pub fn may_match(&self, summary: &Summary, now_ms: u64) -> bool {
        let is_recent =
            !self.states.is_empty() || summary.end_ms == 0 || summary.end_ms + RECENT_MS >= now_ms;
        let is_party = |party: &str| {
            let mut parties = [&summary.from, &summary.to].into_iter().chain(&summary.others);
            parties.any(|one| one == party)
        };
        is_recent && self.matches_parts(summary.state, summary.kind, is_party)
    }

    /// Whether a call matches as it is.
    pub fn matches(&self, call: &wire::Call) -> bool {
        let is_party = |wanted: &str| {
            let legs = call.legs.iter().map(|leg| &leg.party);
            let mut parties = [&call.from, &call.to].into_iter().chain(legs).flatten();
            parties.any(|party| address_of_record(&party.uri) == wanted)
        };
        self.matches_parts(call.state, call.kind, is_party)
            && self.metadata.iter().all(|(key, value)| call.metadata.get(key) == Some(value))
    }

    fn matches_parts(&self, state: i32, kind: i32, is_party: impl Fn(&str) -> bool) -> bool {
        (self.states.is_empty() || self.states.contains(&state))
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.party.as_deref().is_none_or(is_party)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(state: wire::call::State) -> wire::Call {
        let party = |uri: &str| Some(wire::Party { uri: uri.into(), ..wire::Party::default() });
        wire::Call {
            state: state.into(),
            kind: wire::call::Kind::Dialed.into(),
            from: party("sip:alice@example.com"),
            to: party("sip:bob@example.com;transport=tcp"),
            metadata: [("job".to_owned(), "7".to_owned())].into(),
            ..wire::Call::default()
        }
    }

    #[test]
    fn conditions_that_are_set_must_all_hold() {
        let ringing = wire::call::State::Ringing;
        let filter = |filter: wire::CallFilter| Filter::new(Some(filter)).expect("valid");
        let none = wire::CallFilter::default;
        assert!(filter(none()).matches(&call(ringing)));
        assert!(filter(wire::CallFilter { states: vec![ringing.into()], ..none() }).matches(&call(ringing)));
        let held = wire::call::State::Held.into();
        assert!(!filter(wire::CallFilter { states: vec![held], ..none() }).matches(&call(ringing)));
        let party = |party: &str| filter(wire::CallFilter { party: party.into(), ..none() });
        assert!(party("sips:bob@EXAMPLE.com").matches(&call(ringing)));
        assert!(!party("sip:carol@example.com").matches(&call(ringing)));
        let metadata = |value: &str| {
            filter(wire::CallFilter { metadata: [("job".to_owned(), value.to_owned())].into(), ..none() })
        };
        assert!(metadata("7").matches(&call(ringing)));
        assert!(!metadata("8").matches(&call(ringing)));
    }

    #[test]
    fn without_states_live_and_recently_ended_calls_match() {
        let filter = Filter::new(None).expect("valid");
        let summary = |end_ms| Summary { end_ms, ..Summary::default() };
        assert!(filter.may_match(&summary(0), 100 * RECENT_MS));
        assert!(filter.may_match(&summary(99 * RECENT_MS), 100 * RECENT_MS));
        assert!(!filter.may_match(&summary(99 * RECENT_MS - 1), 100 * RECENT_MS));
    }

    #[test]
    fn a_digest_tells_filters_apart_by_what_they_ask_for() {
        let digest = |filter: wire::CallFilter| Filter::new(Some(filter)).expect("valid").digest();
        let none = wire::CallFilter::default;
        let with = |states: &[i32], party: &str, keys: &[&str]| {
            let metadata = keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
            digest(wire::CallFilter { states: states.to_vec(), party: party.into(), metadata, ..none() })
        };
        assert_eq!(with(&[1, 2, 2], "sip:A@b", &["x", "y"]), with(&[2, 1], "sip:A@B:5060", &["y", "x"]));
        let all = [
            with(&[], "", &[]),
            with(&[1], "", &[]),
            with(&[], "sip:a@b", &[]),
            with(&[], "", &["x"]),
            digest(wire::CallFilter { kinds: vec![1], ..none() }),
        ];
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn states_of_a_later_version_are_refused() {
        assert!(Filter::new(Some(wire::CallFilter { states: vec![99], ..Default::default() })).is_err());
        assert!(Filter::new(Some(wire::CallFilter { kinds: vec![0], ..Default::default() })).is_err());
    }
}

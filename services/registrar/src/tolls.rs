//! What an account may call by trunks, where calls cost money: which numbers, and how many calls a minute (T6).
//!
//! | of | is set | a number goes out |
//! |---|---|---|
//! | the account | `denied_prefixes` | unless one of them begins it |
//! | the account | `allowed_prefixes` | when one of them begins it |
//! | its domain, where the account allows nothing of its own | `home_prefix` | when it is one of the home: international numbers do not |
//! | neither | | in any case |
//!
//! A number is compared as it was dialled and in global form, so that no other spelling of it is a way out; one in local form as one of the
//! account's home and as one of its own context. At other domains a number (`+…`, `user=phone`) is held against what the account itself
//! allows and denies, and so is that of a strict router in front of whoever is called (RFC 3261 16.6 step 6); in a contact it may be the name
//! of a phone, and counts only where it leads to a trunk. Whose rules hold:
//!
//! | who leads to the number | the rules of | refused with |
//! |---|---|---|
//! | who dials it, and proved to be an account | that account | 403 |
//! | a forwarding, a 3xx that is followed, a contact of an account | that account | 480: it cannot be reached, and what comes next is tried |
//! | a party of a call of call-control's, by REFER or 3xx | its account; who is none of ours calls nobody by a trunk | 403 |
//! | who is trusted, and what Carillon is asked for by gRPC | nobody | |

use cluster_api::registrar::v1::{Refuse, Relay, RouteRequest, route_response::Plan};
use sip_message::{Scheme, Uri};

use crate::{
    Shared,
    answer::header,
    aors::ChangeError,
    domains::user_aor,
    record::AccountRecord,
    trunks::{Number, judged},
};

/// What an account may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tolls {
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
    /// Calls a minute; 0 for any number.
    pub most: u32,
}

impl Tolls {
    pub(crate) fn of(account: &AccountRecord) -> Self {
        let (allowed, denied) = (account.allowed_prefixes.clone(), account.denied_prefixes.clone());
        Self { allowed, denied, most: account.max_call_rate }
    }

    /// Why a number may not be called. `context`: how the numbers of the place begin that it is dialled in.
    fn refuses(&self, number: &str, home: Option<&str>, context: Option<&str>) -> Option<&'static str> {
        let global = global(number, context.or(home));
        let begins = |prefix: &str| number.starts_with(prefix) || global.starts_with(prefix);
        if self.denied.iter().any(|prefix| begins(prefix)) {
            return Some("denied");
        }
        let is_allowed = match home {
            _ if !self.allowed.is_empty() => self.allowed.iter().any(|prefix| begins(prefix)),
            Some(home) => global.starts_with(home),
            None => true,
        };
        (!is_allowed).then_some("not_allowed")
    }
}

/// Who answers for what is called.
#[derive(Debug)]
struct Answerable<'a> {
    aor: &'a str,
    tolls: &'a Tolls,
    /// The status of a refusal.
    status: u32,
}

impl Shared {
    /// The plan with regard to what the account of the caller, or the one that leads there, may call by trunks.
    pub(crate) async fn within_tolls(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        plan: Plan,
        identity: &str,
        tolls: &Tolls,
    ) -> Result<Plan, ChangeError> {
        let by_trunk = is_by_trunk(&plan);
        let is_number_elsewhere = matches!(plan, Plan::Relay(_)) && Number::of(target).is_some();
        let may_cost = match request.in_dialog {
            true => request.at_gateway,
            false => by_trunk || is_number_elsewhere,
        };
        let plan = match may_cost {
            true => self.hold_leader_against(request, target, plan, identity, tolls).await?,
            false => plan,
        };
        // RFC 3261 16.6 step 6: what stands in the Request-URI when it leaves
        let router = Uri::parse(request.next_route.as_bytes()).ok().filter(|route| !route.has_param("lr"));
        let is_called = |router: &Uri<'_>| match request.in_dialog {
            true => request.at_gateway,
            false => Number::of(router).is_some(),
        };
        let leaves = matches!(plan, Plan::Fork(_) | Plan::Relay(_));
        let Some(router) = router.filter(|router| leaves && is_called(router)) else { return Ok(plan) };
        let to_router = Plan::Relay(Relay {});
        match self.hold_leader_against(request, &router, to_router, identity, tolls).await? {
            Plan::Relay(_) => Ok(plan),
            refused => Ok(refused),
        }
    }

    /// The plan with regard to what may be called by whoever leads to this number.
    async fn hold_leader_against(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        plan: Plan,
        identity: &str,
        tolls: &Tolls,
    ) -> Result<Plan, ChangeError> {
        let (leader, status) = match (&*request.led_by, &*request.referred_by) {
            ("", "") => ("", 403),
            ("", referrer) => (referrer, 403),
            (account, _) => (account, 480),
        };
        if leader.is_empty() {
            let caller = Answerable { aor: identity, tolls, status };
            return if identity.is_empty() {
                Ok(plan)
            } else {
                self.hold_against(request, target, plan, caller).await
            };
        }
        match self.account_that_leads(leader).await? {
            Some((aor, tolls)) => {
                self.hold_against(request, target, plan, Answerable { aor: &aor, tolls: &tolls, status })
                    .await
            }
            None if !is_by_trunk(&plan) => Ok(plan),
            // T6: nobody else is led out by a trunk at our cost
            None => {
                Ok(self.refuse_toll("stranger", "is none of ours", Answerable { aor: leader, tolls, status }))
            }
        }
    }

    async fn hold_against(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
        plan: Plan,
        who: Answerable<'_>,
    ) -> Result<Plan, ChangeError> {
        let domain = self.domains.of_aor(who.aor);
        let home = domain.and_then(|domain| domain.home_prefix.as_deref());
        let is_relayed = matches!(plan, Plan::Relay(_));
        // what another domain does with a number is its own affair, but where the account has rules of its own
        let permitted = home.filter(|_| !is_relayed || request.at_gateway);
        let contexts = [home.map(str::to_owned), self.context_of(target)];
        let refused = judged(target).iter().find_map(|number| {
            // in the place of the account, and in the one that the number names: it is not known which one a gateway goes by
            let mut whys =
                contexts.iter().map(|context| who.tolls.refuses(number, permitted, context.as_deref()));
            whys.find_map(|why| why)
        });
        if let Some(why) = refused {
            return Ok(self.refuse_toll(why, "may not call this number", who));
        }
        if is_relayed || request.method != "INVITE" || who.tolls.most == 0 {
            return Ok(plan);
        }
        let call_id = if request.call_id.is_empty() { &request.sip_call_id } else { &request.call_id };
        match self.begins_too_many(who.aor, who.tolls.most, call_id).await? {
            true => Ok(self.refuse_toll("rate", "has begun as many calls as it may within a minute", who)),
            false => Ok(plan),
        }
    }

    /// How the numbers begin of the place that a number in local form names. RFC 3966 5.1.5
    fn context_of(&self, target: &Uri<'_>) -> Option<String> {
        let number = Number::dialled(target)?;
        number.global_context().or_else(|| {
            let domain = ["sip:", number.context()?].concat();
            self.domains.of(&Uri::parse(domain.as_bytes()).ok()?)?.home_prefix.clone()
        })
    }

    /// The account, or the user without one, that a URI names, and what it may call; `None` for nobody of ours.
    async fn account_that_leads(&self, uri: &str) -> Result<Option<(String, Tolls)>, ChangeError> {
        let Ok(uri) = Uri::parse(uri.as_bytes()) else { return Ok(None) };
        let aor = match uri.scheme {
            Scheme::Tel => self.number_aor(&uri, None),
            Scheme::Sip | Scheme::Sips => self.domains.called(&uri).and_then(|_| user_aor(&uri)),
            Scheme::Other(_) => None,
        };
        let Some(aor) = aor else { return Ok(None) };
        let known = self.aors.read(&aor, |record| {
            let account = record.account.as_deref().map(Tolls::of);
            account.or_else(|| (!record.bindings.is_empty()).then(Tolls::default))
        });
        Ok(known.await?.map(|tolls| (aor, tolls)))
    }

    fn refuse_toll(&self, outcome: &str, what: &str, who: Answerable<'_>) -> Plan {
        self.meters.tolls.with_label_values(&[outcome]).inc();
        let whose = if outcome == "stranger" { "Who leads there" } else { "Your account" };
        let domain = self.domains.of_aor(who.aor).unwrap_or_else(|| self.domains.home());
        let warning = format!("399 carillon \"{whose} {what}; ask the operator of {}\"", domain.name);
        let reason = if outcome == "rate" { "Too Many Calls A Minute" } else { "Number Not Allowed" };
        let headers = vec![header("Warning", warning)];
        Plan::Refuse(Refuse { status: who.status, reason: reason.to_owned(), headers })
    }
}

fn is_by_trunk(plan: &Plan) -> bool {
    matches!(plan, Plan::Fork(fork) if fork.groups.iter().any(|group| group.cause.starts_with("trunk")))
}

/// A number in global form, as far as it can be told where it is dialled.
pub(crate) fn global(number: &str, home: Option<&str>) -> String {
    let is_american = home == Some("+1");
    // ITU-T E.164 leaves it to each country; these two are those of nearly all
    let (abroad, far) = if is_american { ("011", "1") } else { ("00", "0") };
    match (number.strip_prefix(abroad), home) {
        _ if number.starts_with('+') => number.to_owned(),
        (Some(rest), _) => format!("+{rest}"),
        (None, Some(home)) => format!("{home}{}", number.strip_prefix(far).unwrap_or(number)),
        (None, None) => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tolls(allowed: &[&str], denied: &[&str]) -> Tolls {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Tolls { allowed: owned(allowed), denied: owned(denied), most: 0 }
    }

    /// T6: abroad is denied where a home is named, in whatever spelling; and nothing is where none is.
    #[test]
    fn international_numbers_are_denied_where_a_home_is_named() {
        let anybody = tolls(&[], &[]);
        for (number, is_home) in [
            ("+4930123", true),
            ("030123", true),
            ("112", true),
            ("004930123", true),
            ("+882161234", false),
            ("00882161234", false),
            ("+1", false),
        ] {
            assert_eq!(anybody.refuses(number, Some("+49"), None).is_none(), is_home, "{number}");
            assert_eq!(anybody.refuses(number, None, None), None, "{number}");
        }
        for (number, is_home) in
            [("12125550100", true), ("5550100", true), ("911", true), ("01149301", false), ("+49301", false)]
        {
            assert_eq!(anybody.refuses(number, Some("+1"), None).is_none(), is_home, "{number}");
        }
    }

    /// T6: what an account allows stands in the place of its domain, and what it denies is denied in every spelling.
    #[test]
    fn an_account_allows_and_denies_numbers_of_its_own() {
        let own = tolls(&["+49", "+33"], &["+49900", "118"]);
        for (number, why) in [
            ("+33123", None),
            ("0033123", None),
            ("030123", None),
            ("110", None),
            ("+49900123", Some("denied")),
            ("0900123", Some("denied")),
            ("0049900123", Some("denied")),
            ("11833", Some("denied")),
            ("+34123", Some("not_allowed")),
        ] {
            assert_eq!(own.refuses(number, Some("+49"), None), why, "{number}");
        }
        assert_eq!(tolls(&[""], &["+49"]).refuses("+34123", Some("+49"), None), None);
        assert_eq!(tolls(&[""], &["+49"]).refuses("030", Some("+49"), None), Some("denied"));
        assert_eq!(
            tolls(&["+49"], &[]).refuses("030", None, None),
            Some("not_allowed"),
            "no home, no national number"
        );
    }
}

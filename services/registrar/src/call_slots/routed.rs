//! What the limits of caller, callee and the trunk that a call comes in by make of a plan.
//!
//! A call counts for the account that proved to call, whatever it calls, and for the account whose phones are called. A call that
//! call-control takes over counts for its callee when call-control calls it. Who sent a call on keeps counting it until it ends.

use cluster_api::registrar::v1::{Fork, Refuse, RouteRequest, route_response::Plan};

use super::{
    LONGEST_ID,
    list::{Seized, Wish},
};
use crate::{
    Shared,
    answer::header,
    aors::ChangeError,
    plan::{Callee, at_limit},
};

/// An account or a trunk that takes part in a call, and how many it may take part in; 0 for any number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited<'a> {
    pub name: &'a str,
    pub most: u32,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// An account; without a name, somebody who proved nothing.
    Account(Limited<'a>),
    /// A trunk.
    Trunk(Limited<'a>),
}

impl Shared {
    /// The plan with regard to the calls that there are, and the id that the call is counted by if the plan hands it to call-control.
    pub(crate) async fn within_limits(
        &self,
        request: &RouteRequest,
        plan: Plan,
        origin: Origin<'_>,
        callee: Option<(&str, &Callee)>,
    ) -> Result<(Plan, String), ChangeError> {
        let callee = callee.filter(|(_, callee)| callee.max_calls > 0 && reaches_contacts(&plan));
        let is_begun = matches!(plan, Plan::Fork(_) | Plan::Relay(_) | Plan::CallControl(_));
        let is_call = request.method == "INVITE" && !request.in_dialog;
        let (Origin::Account(caller) | Origin::Trunk(caller)) = origin;
        let is_counted = (caller.most > 0 && is_begun) || callee.is_some();
        if !is_counted || !is_call || request.call_id.is_empty() || request.call_id.len() > LONGEST_ID {
            return Ok((plan, String::new()));
        }
        // An edge names what it hands over at random; this is named here, since it is counted: a call, or a leg of the call that is
        // a conference.
        let handed = match plan {
            Plan::CallControl(_) => format!("in-{}", self.authority.entropy.token(12)),
            _ => String::new(),
        };
        let (call_id, leg) = match &plan {
            Plan::CallControl(to) if !to.conference.is_empty() => (to.conference.clone(), handed.as_str()),
            Plan::CallControl(_) => (handed.clone(), ""),
            _ => (request.call_id.clone(), ""),
        };
        if call_id.len() > LONGEST_ID {
            // there is no such conference
            return Ok((plan, String::new()));
        }
        let wish = Wish { call_id: &call_id, leg, over: &[] };
        let mut calling = Seized::Held;
        if caller.most > 0 {
            calling = match origin {
                Origin::Account(caller) => self.count(caller, wish, "caller").await?,
                Origin::Trunk(trunk) => self.seize_incoming(trunk.name, trunk.most, wish).await?,
            };
            if calling == Seized::Full {
                return Ok((too_many(origin), String::new()));
            }
        }
        let Some((aor, called)) = callee else { return Ok((plan, handed)) };
        let whose = Limited { name: aor, most: called.max_calls };
        if self.count(whose, wish, "callee").await? != Seized::Full {
            return Ok((plan, handed));
        }
        let recurse = matches!(plan, Plan::Fork(Fork { recurse: true, .. }));
        let plan = at_limit(called, request.forwards, recurse);
        if calling == Seized::Taken && matches!(plan, Plan::Refuse(_)) {
            // it never began
            match origin {
                Origin::Account(caller) => self.release(caller.name, &call_id, leg).await?,
                Origin::Trunk(trunk) => self.release_incoming(trunk.name, wish).await?,
            }
        }
        Ok((plan, handed))
    }

    async fn count(&self, who: Limited<'_>, wish: Wish<'_>, party: &str) -> Result<Seized, ChangeError> {
        let seized = self.seize(who.name, who.most, wish).await?;
        if seized == Seized::Full {
            self.meters.call_slots.with_label_values(&[party]).inc();
        }
        Ok(seized)
    }
}

/// Whether a plan leads to phones of the callee, and not at once elsewhere.
fn reaches_contacts(plan: &Plan) -> bool {
    matches!(plan, Plan::Fork(fork) if fork.groups.iter().any(|group| group.cause == "contact"))
}

/// The answer to a caller whose account or trunk has as many calls as it may. Without Retry-After: with it the phone would send nothing else
/// either, no REGISTER and no BYE. RFC 3261 21.5.4
fn too_many(origin: Origin<'_>) -> Plan {
    let (reason, whose) = match origin {
        Origin::Account(_) => ("Too Many Calls", "Your account"),
        Origin::Trunk(_) => ("Trunk Full", "This trunk"),
    };
    let headers = vec![header("Warning", format!("399 carillon \"{whose} has as many calls as it may\""))];
    Plan::Refuse(Refuse { status: 503, reason: reason.to_owned(), headers })
}

//! The one call that a number leads: it uses the number up, and is led to the contacts by call-control, so that nobody who rings sees the
//! number (ALC-08, ALC-10).
//!
//! A single contact is called by its own name. Several have a name that means them all for this call, which only a leg of call-control
//! may ask for. The same call may ask again, because the answer was lost or it comes by another edge, and is led to the same place.

use cluster_api::registrar::v1::{
    Fork, Group, HandToCallControl, RouteRequest, Target, route_response::Plan,
};
use sip_message::{NameAddr, Uri};
use store::StoreError;

use super::ATTEMPTS;
use super::asked::q_of;
use super::pool::Pool;
use super::stored::{CALL_KEPT, Loan, Read, alias_name, loan_name};
use crate::Shared;
use crate::aors::ChangeError;
use crate::plan::refuse;
use crate::trunks::number_of;

/// What the name of several contacts begins with.
const ALIAS: &str = "lent-";

impl Shared {
    /// The plan for a request to a number of a pool, or to contacts that one led to; `None` for any other target. The caller may call.
    pub(crate) async fn plan_for_lent(
        &self,
        request: &RouteRequest,
        target: &Uri<'_>,
    ) -> Result<Option<Plan>, ChangeError> {
        if !self.numbers.is_gateway() || request.in_dialog {
            return Ok(None);
        }
        if let Some(alias) =
            alias_of(target).filter(|_| request.internal && self.domains.called(target).is_some())
        {
            let loan = self.numbers.alias(alias).await?.value;
            return Ok(Some(fork(&loan.contacts, "")));
        }
        let is_here = self.domains.called(target).is_some() || target.scheme == sip_message::Scheme::Tel;
        let number = number_of(target).filter(|_| is_here);
        let Some((number, (pool, place))) = number.and_then(|number| {
            let found = self.numbers.pool_of(&number)?;
            Some((number.clone(), found))
        }) else {
            return Ok(None);
        };
        if request.method != "INVITE" {
            return Ok(Some(refuse(404, "")));
        }
        for _ in 0..ATTEMPTS {
            match self.use_number(request, &number, pool, place).await {
                Err(StoreError::Conflict) => self.meters.conflicts.inc(),
                other => return Ok(Some(other?)),
            }
        }
        Err(ChangeError::Contended)
    }

    async fn use_number(
        &self,
        request: &RouteRequest,
        number: &str,
        pool: &Pool,
        place: u32,
    ) -> Result<Plan, StoreError> {
        let numbers = &self.numbers;
        let Read { value: mut loan, version } = numbers.loan(number).await?;
        let now_ms = self.aors.now_ms();
        let is_same_call = !loan.used_by.is_empty() && loan.used_by == request.sip_call_id;
        if is_same_call {
            return Ok(led(request, &loan));
        }
        if version == 0 || !loan.used_by.is_empty() || loan.ends_ms <= now_ms {
            return Ok(refuse(404, ""));
        }
        let mut book = numbers.book(&pool.config.name).await?;
        if !book.value.end(place, now_ms) {
            return Ok(refuse(404, ""));
        }
        let mut batch = numbers.batch();
        loan.used_by.clone_from(&request.sip_call_id);
        loan.callee = match &loan.contacts[..] {
            [one] => uri_of(one).unwrap_or_default(),
            _ => {
                let alias = self.entropy.token(16);
                let led = Read { value: loan.clone(), version: 0 };
                numbers.put_loan(&mut batch, alias_name(&alias), led, CALL_KEPT);
                format!("sip:{ALIAS}{alias}@{}", self.domains.home().name)
            }
        };
        let plan = led(request, &loan);
        numbers.put_book(&mut batch, &pool.config.name, book, now_ms);
        numbers.put_loan(&mut batch, loan_name(number), Read { value: loan, version }, CALL_KEPT);
        numbers.store.commit(batch).await?;
        self.meters.numbers.with_label_values(&["called"]).inc();
        Ok(plan)
    }
}

/// Where the call goes: a leg of call-control at once, anybody else's call by way of it.
fn led(request: &RouteRequest, loan: &Loan) -> Plan {
    match request.internal {
        true => fork(&loan.contacts, &loan.callee),
        false => Plan::CallControl(HandToCallControl {
            callee: loan.callee.clone(),
            ..HandToCallControl::default()
        }),
    }
}

/// Falling q one after the other, equal q together. `callee` is who a leg of call-control calls instead of the number.
fn fork(contacts: &[String], callee: &str) -> Plan {
    let mut groups: Vec<(u32, Group)> = Vec::new();
    for contact in contacts {
        let Ok(address) = NameAddr::parse(contact.as_bytes()) else { continue };
        let Some(uri) = uri_of(contact) else { continue };
        let target = Target { uri, callee: callee.to_owned(), ..Target::default() };
        let q = q_of(&address);
        match groups.last_mut() {
            Some((last, group)) if *last == q => group.targets.push(target),
            Some(_) | None => {
                let cause = "number".to_owned();
                groups.push((q, Group { cause, targets: vec![target], ..Group::default() }));
            }
        }
    }
    match groups.is_empty() {
        true => refuse(404, ""),
        false => {
            let groups = groups.into_iter().map(|(_, group)| group).collect();
            Plan::Fork(Fork { groups, recurse: false })
        }
    }
}

fn uri_of(contact: &str) -> Option<String> {
    let address = NameAddr::parse(contact.as_bytes()).ok()?;
    std::str::from_utf8(address.uri).ok().map(str::to_owned)
}

fn alias_of<'a>(target: &Uri<'a>) -> Option<&'a str> {
    std::str::from_utf8(target.user?).ok()?.strip_prefix(ALIAS)
}

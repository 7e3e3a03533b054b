//! What phones tell of their dialogs: NOTIFYs, as edges hand them over.

use cluster_api::callcontrol::v1::NotifyRequest;
use sip_body::dialog_info::CONTENT_TYPE;
use sip_body::told_dialogs::ToldDialogs;
use sip_dialog::{RouteSet, Side};

use super::machine::record::Callback;
use super::machine::{Notify, NotifyState};
use super::send::{subscription_name, tag};

/// Reads a NOTIFY.
///
/// # Errors
/// The status of the answer to what cannot be read: 481, 489, 415, 400.
pub fn read(callback: &Callback, notify: &NotifyRequest) -> Result<Notify, u32> {
    let number = callback.subscription.as_ref().map(|known| known.number).ok_or(481_u32)?;
    let name = subscription_name(&callback.callback_id, number);
    let is_ours =
        notify.sip_call_id.split('@').next() == Some(&name) && notify.to_tag == tag(callback, &name);
    if !is_ours || notify.from_tag.is_empty() {
        return Err(481);
    }
    let value =
        |name: &str| notify.headers.iter().find(|header| header.is(name)).map(|header| &*header.value);
    let event = value("Event").or_else(|| value("o")).unwrap_or_default();
    if first_part(event) != "dialog" {
        return Err(489);
    }
    Ok(Notify {
        number,
        from_tag: notify.from_tag.clone(),
        cseq: notify.cseq,
        contact: notify.contact.clone(),
        route: RouteSet::of(notify.record_route.iter().cloned(), Side::Callee).into_values(),
        flow: notify.flow.clone(),
        state: state(value("Subscription-State").ok_or(400_u32)?),
        info: info(notify)?,
    })
}

fn info(notify: &NotifyRequest) -> Result<Option<ToldDialogs>, u32> {
    let Some(body) = notify.body.as_ref().filter(|body| !body.content.is_empty()) else { return Ok(None) };
    if !first_part(&body.content_type).eq_ignore_ascii_case(CONTENT_TYPE) {
        return Err(415);
    }
    ToldDialogs::parse(&body.content).map(Some).map_err(|error| {
        tracing::debug!(%error, "a phone tells of its dialogs what cannot be read");
        400
    })
}

/// RFC 6665 4.1.3
fn state(value: &str) -> NotifyState {
    let param = |name: &str| {
        let params = value.split(';').skip(1).filter_map(|param| param.split_once('='));
        params
            .map(|(name, value)| (name.trim(), value.trim()))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    if !first_part(value).eq_ignore_ascii_case("terminated") {
        return NotifyState::Goes(param("expires").and_then(|(_, seconds)| seconds.parse().ok()));
    }
    match param("reason").map(|(_, reason)| reason.to_ascii_lowercase()).as_deref() {
        // Whoever says when it may be asked again, or that it must not, is asked otherwise
        Some("rejected" | "noresource" | "invariant" | "probation" | "giveup") => NotifyState::Refused,
        _ => NotifyState::Over,
    }
}

fn first_part(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use cluster_api::sip::v1::{Body, Header};

    use super::*;
    use crate::callback::machine::record::Subscription;

    fn callback() -> Callback {
        let subscription = Some(Subscription { number: 2, ..Subscription::default() });
        Callback { callback_id: "0123-7".to_owned(), seed: vec![1; 16], subscription, ..Callback::default() }
    }

    fn notify() -> NotifyRequest {
        let document =
            "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\"/>";
        NotifyRequest {
            callback_id: "0123-7".to_owned(),
            sip_call_id: "0123-7.s2@example.com".to_owned(),
            from_tag: "bt".to_owned(),
            to_tag: tag(&callback(), "0123-7.s2"),
            cseq: 1,
            headers: vec![
                Header::new("event", "dialog;id=1"),
                Header::new("Subscription-State", "active;expires=60"),
            ],
            body: Some(Body::new("application/dialog-info+xml;charset=utf-8", document)),
            ..NotifyRequest::default()
        }
    }

    #[test]
    fn a_notify_is_read_that_is_of_the_subscription() {
        let read = read(&callback(), &notify()).expect("it is ours");
        assert_eq!((read.number, read.state), (2, NotifyState::Goes(Some(60))));
        assert!(read.info.is_some_and(|info| info.is_full && info.dialogs.is_empty()));
    }

    /// T19, T27
    #[test]
    fn anything_else_has_its_answer() {
        type Spoil = fn(&mut NotifyRequest);
        let bad: [(u32, Spoil); 8] = [
            (481, |n| n.sip_call_id = "0123-7.s1@example.com".to_owned()),
            (481, |n| n.to_tag = "guessed".to_owned()),
            (481, |n| n.from_tag.clear()),
            (489, |n| n.headers[0].value = "presence".to_owned()),
            (489, |n| drop(n.headers.remove(0))),
            (400, |n| drop(n.headers.remove(1))),
            (415, |n| n.body.as_mut().expect("a body").content_type = "text/plain".to_owned()),
            (400, |n| n.body.as_mut().expect("a body").content = "<!DOCTYPE x>".into()),
        ];
        for (status, spoil) in bad {
            let mut spoiled = notify();
            spoil(&mut spoiled);
            assert_eq!(read(&callback(), &spoiled), Err(status));
        }
        assert_eq!(read(&Callback::default(), &notify()), Err(481));
    }

    #[test]
    fn the_state_says_whether_it_may_be_asked_again() {
        for (value, expected) in [
            ("active", NotifyState::Goes(None)),
            ("pending; Expires = 9", NotifyState::Goes(Some(9))),
            ("terminated", NotifyState::Over),
            ("terminated;reason=timeout", NotifyState::Over),
            ("Terminated;reason=deactivated;retry-after=5", NotifyState::Over),
            ("terminated;reason=Rejected", NotifyState::Refused),
            ("terminated;retry-after=60;reason=probation", NotifyState::Refused),
        ] {
            assert_eq!(state(value), expected, "{value}");
        }
    }
}

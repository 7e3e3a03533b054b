//! The requests of a callback: SUBSCRIBE and OPTIONS to the phone of the party that is waited for.

use std::sync::Arc;
use std::time::Duration;

use cluster_api::edge::v1::{ExchangeRequest, ExchangeResponse, SendRequest};
use cluster_api::sip::v1::Header;
use sip_body::dialog_info::CONTENT_TYPE;
use sip_dialog::{RouteSet, Side};
use sip_message::NameAddr;
use tokio::time::sleep;
use tonic::Code;

use super::machine::record::{Ask, AskKind, Callback, Subscription};
use super::machine::{Answer, Event};
use crate::config::Config;
use crate::runner::Runner;

/// First pause after a try that no edge took; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long edges are asked: as long as the callback waits for the answer.
const PATIENCE_MS: u64 = 40_000;
/// Tries to commit an answer while the store fails; after that the due entry has the edge asked again.
const TELL_ATTEMPTS: u32 = 5;

impl Runner {
    /// Starts to send the request that is in the record, unless this replica is at it.
    pub(super) fn send_for(self: &Arc<Self>, callback: &Callback) {
        let Some(ask) = callback.ask.clone() else { return };
        let key = (callback.callback_id.clone(), ask.number);
        if !self.callbacks.sending.lock().insert(key.clone()) {
            return;
        }
        let (runner, callback) = (Arc::clone(self), callback.clone());
        let work = async move {
            let answer = runner.exchange_for(&callback, &ask).await;
            let mut pause = FIRST_PAUSE;
            for _ in 0..TELL_ATTEMPTS {
                let event = Event::Answered(ask.number, &answer);
                match runner.apply_callback(&callback.callback_id, &event, None).await {
                    Ok(_) | Err(super::CallbackError::Unknown) => break,
                    Err(error) => {
                        tracing::debug!(%error, "the answer to a request of a callback is not committed yet");
                        sleep(pause).await;
                        pause *= 2;
                    }
                }
            }
            runner.callbacks.sending.lock().remove(&(callback.callback_id, ask.number));
        };
        if let Err(error) = self.tasks().spawn("callback", work) {
            // Its due entry brings it up again.
            self.callbacks.sending.lock().remove(&key);
            tracing::debug!(%error, "a request of a callback waits");
        }
    }

    async fn exchange_for(&self, callback: &Callback, ask: &Ask) -> Answer {
        let local = |status| Answer { status, ..Answer::default() };
        let Some(request) = request(callback, ask, self.config()) else { return local(481) };
        let mut pause = FIRST_PAUSE;
        loop {
            let view = self.edges().view();
            if let Some(edge) = view.choose(&callback.callback_id) {
                match self.edges().exchange(edge, request.clone()).await {
                    Ok(response) => return read(&response),
                    Err(status) if status.code() == Code::InvalidArgument => {
                        tracing::warn!(error = status.message(), "a request of a callback cannot be sent");
                        return local(481);
                    }
                    Err(status) => tracing::debug!(%status, "a request of a callback is not sent yet"),
                }
            }
            if crate::config::millis_of(self.repository.now()) >= ask.since_ms + PATIENCE_MS {
                return local(503);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What is sent: the same from whichever replica. `None` when the record has nothing to say it in.
fn request(callback: &Callback, ask: &Ask, config: &Config) -> Option<ExchangeRequest> {
    let party = callback.party_asked();
    let outside = |method: &str, name: String, cseq: u32, headers: Vec<Header>| SendRequest {
        method: method.to_owned(),
        request_uri: party.uri.clone(),
        from_uri: config.controller_uri.clone(),
        from_display: config.controller_name.clone(),
        from_tag: tag(callback, &name),
        to_uri: party.uri.clone(),
        sip_call_id: format!("{name}@{}", config.host),
        cseq,
        headers,
        trunk: party.trunk.clone(),
        ..SendRequest::default()
    };
    let request = match ask.kind() {
        AskKind::Options => {
            let accept = Header::new("Accept", "application/sdp");
            outside("OPTIONS", format!("{}.o{}", callback.callback_id, ask.number), 1, vec![accept])
        }
        AskKind::Subscribe | AskKind::Renew | AskKind::Unsubscribe => {
            let known = callback.subscription.as_ref()?;
            let expires_s = if ask.kind() == AskKind::Unsubscribe { 0 } else { callback.wanted_s() };
            let headers = vec![
                Header::new("Event", "dialog"),
                Header::new("Accept", CONTENT_TYPE),
                Header::new("Expires", expires_s.to_string()),
            ];
            let name = subscription_name(&callback.callback_id, known.number);
            let request = SendRequest {
                contact_user: format!("cb.{}", callback.callback_id),
                ..outside("SUBSCRIBE", name, known.local_cseq, headers)
            };
            match ask.kind() {
                AskKind::Subscribe => request,
                _ => within(request, known)?,
            }
        }
        AskKind::Unspecified => return None,
    };
    let exchange_id = format!("cb-{}.{}", callback.callback_id, ask.number);
    Some(ExchangeRequest { exchange_id, request: Some(request) })
}

/// The same inside the dialog with the notifier.
fn within(request: SendRequest, known: &Subscription) -> Option<SendRequest> {
    if known.remote_target.is_empty() || known.remote_tag.is_empty() {
        return None;
    }
    let layout = RouteSet::of(known.route.iter().cloned(), Side::Callee).lay_out(&known.remote_target);
    Some(SendRequest {
        request_uri: layout.request_uri,
        route: layout.routes,
        to_tag: known.remote_tag.clone(),
        flow: known.flow.clone(),
        trunk: String::new(),
        ..request
    })
}

/// The first part of the Call-ID of a subscription.
pub(super) fn subscription_name(callback_id: &str, number: u32) -> String {
    format!("{callback_id}.s{number}")
}

/// Our tag in what has this name, 64 bits (RFC 3261 19.3 asks for 32).
pub(super) fn tag(callback: &Callback, name: &str) -> String {
    callback.derived(&format!("tag {name}")).iter().take(8).map(|octet| format!("{octet:02x}")).collect()
}

fn read(response: &ExchangeResponse) -> Answer {
    let contact = response.contacts.first().and_then(|value| NameAddr::parse(value.as_bytes()).ok());
    let contact = contact.map(|contact| String::from_utf8_lossy(contact.uri).into_owned());
    let expires = response.headers.iter().find(|header| header.is("Expires"));
    Answer {
        status: response.status,
        to_tag: response.to_tag.clone(),
        contact: contact.unwrap_or_default(),
        route: RouteSet::of(response.record_route.iter().cloned(), Side::Caller).into_values(),
        flow: response.flow.clone(),
        expires_s: expires.and_then(|header| header.value.trim().parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callback::machine::record::Awaited;
    use crate::callback::machine::{Known, NewCallback, begin};
    use crate::engine::call::Party;

    fn callback() -> Callback {
        let party = |user: &str| Party { uri: format!("sip:{user}@example.com"), ..Party::default() };
        let new = NewCallback {
            callback_id: "0123-7".to_owned(),
            from: party("alice"),
            to: Party { trunk: "carrier".to_owned(), ..party("bob") },
            not_before_ms: 0,
            lasts_ms: 3_600_000,
            attempts: 3,
            waits_for: Awaited::To,
            seed: vec![1; 16],
        };
        let mut callback = begin(new, 1);
        assert!(callback.step(&Event::Look, Known::default(), 1).asks);
        callback
    }

    fn sent(callback: &Callback) -> (String, SendRequest) {
        let ask = callback.ask.as_ref().expect("a request is under way");
        let exchange = request(callback, ask, &Config::default()).expect("a request");
        (exchange.exchange_id, exchange.request.expect("a request"))
    }

    fn headers(request: &SendRequest) -> Vec<String> {
        request.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect()
    }

    /// LAD-6: SUBSCRIBE as the ladder has it, and its end inside the dialog.
    #[test]
    fn a_subscription_is_asked_for_and_ended_in_one_dialog() {
        let mut callback = callback();
        let (exchange_id, subscribe) = sent(&callback);
        assert_eq!(exchange_id, "cb-0123-7.1");
        assert_eq!(
            headers(&subscribe),
            ["Event: dialog", "Accept: application/dialog-info+xml", "Expires: 3600"]
        );
        assert_eq!(
            (subscribe.request_uri.as_str(), subscribe.trunk.as_str()),
            ("sip:bob@example.com", "carrier")
        );
        assert_eq!((subscribe.contact_user.as_str(), subscribe.cseq), ("cb.0123-7", 1));
        assert_eq!(sent(&callback), (exchange_id, subscribe.clone()), "the same from whichever replica");

        let response = ExchangeResponse {
            status: 200,
            to_tag: "bt".to_owned(),
            contacts: vec!["\"Bob\" <sip:bob@192.0.2.1;gr>;q=1".to_owned()],
            record_route: vec!["<sip:p1;lr>".to_owned(), "<sip:p2;lr>".to_owned()],
            headers: vec![Header::new("Expires", "600")],
            ..ExchangeResponse::default()
        };
        callback.step(&Event::Answered(1, &read(&response)), Known::default(), 2);
        callback.step(&Event::Cancel, Known::default(), 3);
        let (_, end) = sent(&callback);
        assert_eq!((end.request_uri.as_str(), end.to_tag.as_str()), ("sip:bob@192.0.2.1;gr", "bt"));
        assert_eq!(end.route, ["<sip:p2;lr>", "<sip:p1;lr>"]);
        assert_eq!(
            (&end.sip_call_id, &end.from_tag, end.cseq),
            (&subscribe.sip_call_id, &subscribe.from_tag, 2)
        );
        assert_eq!(headers(&end)[2], "Expires: 0");
        assert!(end.trunk.is_empty());
    }

    #[test]
    fn options_are_requests_of_their_own() {
        let mut callback = callback();
        let refused = Answer { status: 489, ..Answer::default() };
        callback.step(&Event::Answered(1, &refused), Known::default(), 2);
        let (_, first) = sent(&callback);
        let busy = Answer { status: 486, ..Answer::default() };
        callback.step(&Event::Answered(2, &busy), Known::default(), 3);
        callback.step(&Event::Look, Known::default(), 40_000);
        let (_, second) = sent(&callback);
        assert_eq!((first.method.as_str(), first.cseq, second.cseq), ("OPTIONS", 1, 1));
        assert_ne!(first.sip_call_id, second.sip_call_id);
        assert!(first.contact_user.is_empty() && first.to_tag.is_empty());
    }
}

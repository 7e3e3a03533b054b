//! REGISTER: its fields to the registrar, the registrar's answer to the phone. RFC 3261 10.3

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cluster_api::registrar::v1 as api;
use sip_endpoint::{Arrival, Key, ServerKey};
use sip_message::{
    HeaderError, HeaderFault, HeaderId, Message, NameAddr, ResponseBuilder, Scheme, Uri, Written,
};
use tonic::Status;

use super::flow_end::Over;
use super::options;
use super::out_of_dialog::digested_body;
use super::sources::fate_of_register;
use crate::answer::{begin, pairs};
use crate::capture::why;
use crate::compose::{TlsForm, uri_form};
use crate::edge::{Completion, Cx, Edge, ServerUse};
use crate::forward::plan::q_milli;
use crate::reach::{Reach, Sender};
use crate::reject::{Refused, Reject};
use crate::report::text;

/// A REGISTER that waits for its answer.
pub(crate) struct Registering {
    key: ServerKey,
    request: Message,
    over: Option<Over>,
    arrival: Arrival,
    /// Of To in the answer.
    tag: String,
}

impl Edge {
    /// Asks the registrar to apply a REGISTER.
    ///
    /// # Errors
    /// When a Contact cannot be read, for the request is applied as a whole or not at all, or the body is of a kind that is not
    /// read here.
    pub(crate) fn register(
        &mut self,
        cx: &mut Cx<'_>,
        key: ServerKey,
        request: Message,
        arrival: &Arrival,
    ) -> Result<(), Box<Refused>> {
        if let Err(reject) = options::check_body(&request) {
            return Err(Refused::new(request, reject));
        }
        let parties = [HeaderId::From, HeaderId::To].map(|id| request.checked_party(id));
        let [from, to] = parties.map(|party| party.map(|party| party.uri));
        let sender = Sender::of(&request, arrival).registering(from, to);
        let (expires, mut leads_back) = (request.expires(), false);
        let look = |contact: &api::RegisterContact, uri: &Uri<'_>| {
            leads_back |= contact.expires.or(expires) != Some(0) && self.is_of_tier(uri);
        };
        let contacts = match contacts(&request, Some(&sender), look) {
            Ok(contacts) => contacts,
            Err(error) => return Err(Refused::new(request, error)),
        };
        if leads_back {
            return Err(Refused::new(request, Reject::ContactLeadsBack));
        }
        let by_flow = contacts.iter().any(|contact| !contact.by_uri);
        let question = self.registration(&request, [from, to], contacts, arrival);
        let from_tag = parties[0].and_then(|from| from.tag());
        let tag = self.tags.tag_of(question.sip_call_id.as_bytes(), from_tag, question.cseq);
        let over = Over::of(&request, arrival, &question, by_flow);
        let arrival = *arrival;
        self.servers.insert(key, ServerUse::Deciding);
        let location = self.deps.location.clone();
        let registering = Box::new(Registering { key, request: request.clone(), over, arrival, tag });
        let work = async move { Completion::Registered(registering, location.register(question).await) };
        cx.spawn(work).map_err(|_| Refused::new(request, Reject::Full))
    }

    pub(crate) fn finish_register(
        &mut self,
        cx: &mut Cx<'_>,
        registering: Registering,
        result: Result<api::RegisterResponse, Status>,
    ) {
        let Registering { key, request, over, arrival, tag } = registering;
        let timer = match (&over, &result) {
            (Some(over), Ok(decision)) => self.note_registered(cx, over, &request, decision),
            _ => None,
        };
        if let Ok(decision) = &result {
            self.note_fate(cx, &arrival, fate_of_register(decision.status, &request));
        }
        if self.servers.get(&key) != Some(&ServerUse::Deciding) {
            return;
        }
        let Ok(mut decision) = result else {
            return self.reject(cx, key, &request, &self.decision_unavailable());
        };
        self.ring.note(&request, || why::registered(&decision));
        let service_route = self.service_route(cx, key, &request, &decision);
        let response = register_response(&request, &tag, &decision, service_route.as_deref(), timer);
        // What is told to who has proved nothing is no longer than what he said allows.
        let room = if decision.status == 200 { usize::MAX } else { Self::room(cx, key, &request) };
        let fits = |response: &Written| response.bytes().len() <= room;
        let response = match response {
            Some(long) if !fits(&long) => {
                decision.challenges.truncate(1);
                decision.reason.clear();
                match register_response(&request, &tag, &decision, None, None).filter(fits) {
                    Some(short) => Some(short),
                    None => return self.stay_silent(cx, key),
                }
            }
            response => response,
        };
        match response {
            Some(response) => {
                self.servers.remove(&key);
                // The sender of a request that is challenged has not shown that it owns its address.
                let sent = if decision.status == 401 {
                    cx.respond_written_and_forget(key, response)
                } else {
                    cx.respond_written(key, response)
                };
                if sent.is_err() {
                    self.meters.dropped.with_label_values(&["response"]).inc();
                }
            }
            None => self.reject(cx, key, &request, &Reject::Internal),
        }
    }

    /// Is a contact an address of this tier? Bound, it would lead back. The domains are the registrar's to tell apart.
    fn is_of_tier(&self, uri: &Uri<'_>) -> bool {
        let port = match uri.scheme {
            Scheme::Sip => uri.port.unwrap_or(5060),
            Scheme::Sips => uri.port.unwrap_or(5061),
            Scheme::Tel | Scheme::Other(_) => return false,
        };
        let is_sibling = |ip: IpAddr| self.cluster.serves_at(&SocketAddr::new(ip.to_canonical(), port));
        self.own.is_address(uri.host, port) || uri.host_ip().is_some_and(is_sibling)
    }

    fn registration(
        &self,
        request: &Message,
        [from, to]: [Option<&[u8]>; 2],
        contacts: Vec<api::RegisterContact>,
        arrival: &Arrival,
    ) -> api::RegisterRequest {
        let tags = |id| request.option_tags(id).map(str::to_owned).collect();
        api::RegisterRequest {
            request_uri: request.request_uri().map_or(String::new(), text),
            to_uri: to.map_or(String::new(), text),
            from_uri: from.map_or(String::new(), text),
            sip_call_id: request.call_id().map_or(String::new(), text),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            contacts,
            star: request.values(HeaderId::Contact).any(|value| value == b"*"),
            expires: request.expires(),
            authorization: request.all(HeaderId::Authorization).map(text).collect(),
            body: match request.body() {
                [] => bytes::Bytes::new(),
                _ => digested_body(request, &[HeaderId::Authorization]),
            },
            supported: tags(HeaderId::Supported),
            require: tags(HeaderId::Require),
            path: request.values(HeaderId::Path).map(text).collect(),
            source: Some(self.source(arrival)),
            flow: self.token(arrival),
            user_agent: request.first(HeaderId::UserAgent).map_or(String::new(), text),
            life: arrival
                .flow
                .flow()
                .map(|_| api::EdgeLife { edge_id: self.config.id.clone(), epoch: self.config.epoch }),
        }
    }

    /// The way that a registered phone's own requests take: by the tier, as it is reached by the transport of the phone. RFC 3608 5, 6.1
    ///
    /// Not for one that registers through other proxies: they lead its requests here, and we know no way around them.
    fn service_route(
        &self,
        cx: &Cx<'_>,
        key: ServerKey,
        request: &Message,
        decision: &api::RegisterResponse,
    ) -> Option<String> {
        let is_neighbour = !request.has(HeaderId::Path) && request.values(HeaderId::Via).nth(1).is_none();
        if !self.config.service_route || decision.status != 200 || !is_neighbour {
            return None;
        }
        let hop = cx.hop_of(Key::Server(key))?;
        let (scheme, param) = uri_form(cx.transport(hop)?, TlsForm::Scheme);
        Some(["<", scheme, ":", cx.sent_by(hop)?, param, ";lr>"].concat())
    }
}

fn register_response(
    request: &Message,
    tag: &str,
    decision: &api::RegisterResponse,
    service_route: Option<&str>,
    timer: Option<Duration>,
) -> Option<Written> {
    let status = u16::try_from(decision.status).ok().filter(|status| (200..700).contains(status))?;
    let mut response = begin(request, status, &decision.reason, tag).ok()?;
    for contact in &decision.contacts {
        response = response.header(HeaderId::Contact, contact_value(contact)).ok()?;
    }
    if let Some(route) = service_route {
        response = response.header(HeaderId::ServiceRoute, route).ok()?;
    }
    if let Some(timer) = timer {
        response = response.header(HeaderId::FlowTimer, timer.as_secs().to_string()).ok()?;
    }
    let challenge = if status == 407 { HeaderId::ProxyAuthenticate } else { HeaderId::WwwAuthenticate };
    for value in &decision.challenges {
        response = response.header(challenge, value).ok()?;
    }
    pairs(&decision.headers)
        .try_fold(response, |response, (name, value)| response.named(name, value))
        .ok()
        .map(ResponseBuilder::write)
}

/// The contacts, `*` left out: it may stand there once. Each that is a URI is shown to `look`. REG-08, REG-10
fn contacts(
    request: &Message,
    sender: Option<&Sender<'_>>,
    mut look: impl FnMut(&api::RegisterContact, &Uri<'_>),
) -> Result<Vec<api::RegisterContact>, HeaderError> {
    if request.values(HeaderId::Contact).filter(|value| *value == b"*").count() > 1 {
        return Err(HeaderError { header: HeaderId::Contact, fault: HeaderFault::Repeated });
    }
    let values = request.values(HeaderId::Contact).filter(|value| *value != b"*");
    let malformed = |error| HeaderError { header: HeaderId::Contact, fault: HeaderFault::Syntax(error) };
    let read = |value| {
        let address = NameAddr::parse(value).map_err(malformed)?;
        let uri = Uri::parse(address.uri).ok();
        let contact = contact(&address, uri.as_ref(), sender);
        if let Some(uri) = &uri {
            look(&contact, uri);
        }
        Ok(contact)
    };
    values.map(read).collect()
}

fn contact(
    contact: &NameAddr<'_>,
    uri: Option<&Uri<'_>>,
    sender: Option<&Sender<'_>>,
) -> api::RegisterContact {
    let (mut expires, mut q, mut params) = (None, None, Vec::new());
    let (mut has_reg_id, mut has_instance) = (false, false);
    for param in contact.params.iter() {
        let named = |name: &str| param.name.eq_ignore_ascii_case(name);
        // Of a name that comes twice the first counts.
        let value = || std::str::from_utf8(param.value.unwrap_or_default()).ok();
        if named("expires") {
            expires.get_or_insert_with(value);
            continue;
        }
        if named("q") {
            q.get_or_insert_with(value);
            continue;
        }
        has_reg_id |= named("reg-id") && value().is_some();
        has_instance |= named("+sip.instance") && value().is_some();
        params.push(match param.value {
            Some(value) => [param.name, "=", &text(value)].concat(),
            None => param.name.to_owned(),
        });
    }
    let reach = |uri: &Uri<'_>| sender.map(|sender| sender.reach(uri, has_reg_id && has_instance));
    let by_uri = uri.and_then(reach) == Some(Reach::Uri);
    api::RegisterContact {
        uri: text(contact.uri),
        display_name: text(&contact.display_name()),
        params,
        expires: expires.flatten().map(seconds),
        q_milli: q.flatten().map(|q| q_milli(Some(q))),
        by_uri,
    }
}

/// Seconds of an expires parameter: garbage is 3600, what is too large is the largest. RFC 3261 10.2.1.1, MSG-14
fn seconds(value: &str) -> u32 {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return 3600;
    }
    value.parse().unwrap_or(u32::MAX)
}

fn contact_value(contact: &api::RegisteredContact) -> String {
    let mut value = String::with_capacity(
        contact.uri.len() + contact.params.iter().map(|param| 1 + param.len()).sum::<usize>() + 32,
    );
    if !contact.display_name.is_empty() {
        let quoted = sip_message::quote(contact.display_name.as_bytes());
        value.push_str(&String::from_utf8_lossy(&quoted));
        value.push(' ');
    }
    value.extend(["<", &contact.uri, ">"]);
    for param in &contact.params {
        value.extend([";", param]);
    }
    if let Some(q) = contact.q_milli {
        value.extend([";q=", &q_text(q)]);
    }
    value.push_str(";expires=");
    push_number(&mut value, contact.expires);
    value
}

/// Each contact of each answer has one: formatting machinery costs more than all the rest of it.
fn push_number(text: &mut String, number: u32) {
    let mut digits = [b'0'; 10];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// 1000 is "1", 700 is "0.7". RFC 3261 25.1
fn q_text(milli: u32) -> String {
    match milli.min(1000) {
        1000 => "1".to_owned(),
        0 => "0".to_owned(),
        milli => format!("0.{milli:03}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REG-13, REG-15, MSG-14
    #[test]
    fn a_contact_keeps_everything_but_expires_and_q() {
        let value = b"\"A \\\"B\\\"\" <sip:a@h;x=1>;Q=0.75;+sip.instance=\"<urn:uuid:1>\";audio;EXPIRES=abc";
        let contact = contact(&NameAddr::parse(value).unwrap(), None, None);
        assert_eq!(contact.display_name, "A \"B\"");
        assert_eq!(contact.uri, "sip:a@h;x=1");
        assert_eq!(contact.params, ["+sip.instance=\"<urn:uuid:1>\"", "audio"]);
        assert_eq!((contact.expires, contact.q_milli), (Some(3600), Some(750)));
        assert_eq!(seconds("99999999999"), u32::MAX);
    }

    /// REG-12, REG-13, REG-15
    #[test]
    fn a_binding_is_written_as_it_was_registered() {
        let contact = api::RegisteredContact {
            uri: "sip:a@h".into(),
            display_name: "A \"B\"".into(),
            params: vec!["audio".into()],
            expires: 60,
            q_milli: Some(750),
        };
        assert_eq!(contact_value(&contact), "\"A \\\"B\\\"\" <sip:a@h>;audio;q=0.75;expires=60");
        assert_eq!([q_text(1000), q_text(0), q_text(5)], ["1", "0", "0.005"]);
        let mut numbers = String::new();
        [0, 7, 3600, u32::MAX].into_iter().for_each(|number| push_number(&mut numbers, number));
        assert_eq!(numbers, "0736004294967295");
    }
}

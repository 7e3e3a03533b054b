//! What a proxy does with the messages of a whole call, and a registrar's edge with a REGISTER: all that is work on text. What
//! transactions, flows and services do beside it is counted on the executable, by `bench/count.py`.

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message, NameAddr, ResponseBuilder, Uri};
use sip_proxy::{Arrived, Forwarding, MAX_BREADTH, Own, RoutingDigest, check_request};

/// The messages of one call in their order, each as it reaches the proxy: INVITE, 180, 200, ACK, BYE, 200.
pub struct Call {
    own: Own,
    limits: Limits,
    invite: Bytes,
    answers: [Bytes; 2],
    in_dialog: [Bytes; 2],
    goodbye: Bytes,
}

const OURS: &str = "<sip:edge.example.com:5060;lr;d=AbCdEfGhIjKlMnOpQrStUvWx>";
const TARGET: &[u8] = b"sip:bob@192.0.2.202:5066";
const UNIQUE: &str = "0123456789abcdef-1f";

impl Default for Call {
    fn default() -> Self {
        let mut own = Own::new();
        own.add_address("edge.example.com", 5060).add_domain("biloxi.example.com");
        let text = |first: &str, more: &str, cseq: &str| -> Bytes {
            let via = if first.starts_with("SIP/") {
                "Via: SIP/2.0/UDP edge.example.com:5060;branch=z9hG4bK0123456789abcdef-1f.0123456789abcdef;rport\r\n"
            } else {
                ""
            };
            format!(
                "{first}\r\n{via}Via: SIP/2.0/UDP 192.0.2.101:5060;branch=z9hG4bK74bf9abcdef;rport=5060;received=192.0.2.101\r\n\
                 {more}From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\nTo: Bob <sip:bob@biloxi.example.com>;tag=8321234356\r\n\
                 Call-ID: 3848276298220188511@atlanta.example.com\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
            )
            .into()
        };
        let recorded = format!("Record-Route: {OURS}\r\nContact: <sip:bob@192.0.2.202:5066>\r\n");
        let routed = format!("Max-Forwards: 70\r\nRoute: {OURS}\r\n");
        let request = |method: &str| format!("{method} sip:bob@192.0.2.202:5066 SIP/2.0");
        Self {
            own,
            limits: Limits::default(),
            invite: Bytes::from_static(crate::INVITE),
            answers: ["180 Ringing", "200 OK"]
                .map(|status| text(&format!("SIP/2.0 {status}"), &recorded, "314159 INVITE")),
            in_dialog: [("ACK", "314159"), ("BYE", "314160")]
                .map(|(method, number)| text(&request(method), &routed, &format!("{number} {method}"))),
            goodbye: text("SIP/2.0 200 OK", "", "314160 BYE"),
        }
    }
}

impl Call {
    /// Passes all messages on; how many octets that makes.
    ///
    /// # Panics
    /// When a sample is not well formed, or cannot be passed on.
    pub fn pass_on(&self) -> usize {
        let Self { invite, answers: [ringing, answer], in_dialog: [ack, bye], goodbye, .. } = self;
        self.forward(invite, Some(TARGET), &[OURS.to_owned()])
            + self.return_up(ringing)
            + self.return_up(answer)
            + self.forward(ack, None, &[])
            + self.forward(bye, None, &[])
            + self.return_up(goodbye)
    }

    fn forward(&self, datagram: &Bytes, target: Option<&[u8]>, record_routes: &[String]) -> usize {
        let request =
            Message::parse(datagram.clone(), &self.limits).expect("a request of ours is well formed");
        request.essentials().expect("it has what routing needs");
        request.top_via().expect("its transaction can be found");
        let uri = Uri::parse(request.request_uri().unwrap_or_default()).expect("it names somebody");
        let is_ours = self.own.is_ours(&uri);
        assert_eq!(is_ours, target.is_some(), "the INVITE alone is for a domain of ours");
        let arrived = Arrived::read(&request, &self.own).expect("its route can be read");
        check_request(&request, &[]).expect("it asks for nothing");
        let digest = RoutingDigest::of(&request);
        assert!(!digest.is_loop(&request, |via| self.own.is_address(via.host, via.port_or_default())));
        let branch = digest.branch(UNIQUE);
        let via = ["SIP/2.0/UDP edge.example.com:5060;branch=", &branch, ";rport"].concat();
        let forwarding = Forwarding {
            arrived: &arrived,
            request_uri: target,
            routes: &[],
            record_routes,
            max_breadth: MAX_BREADTH,
            via: &via,
        };
        let copy = forwarding.apply(&request, |_| {}).expect("nothing that goes in can break a line");
        assert_eq!(copy.top_branch(), Some(&*branch), "by which its answers are known");
        copy.bytes().len()
    }

    fn return_up(&self, datagram: &Bytes) -> usize {
        let response =
            Message::parse(datagram.clone(), &self.limits).expect("a response of ours is well formed");
        let via = response.essentials().expect("it has what routing needs").via;
        assert!(self.own.is_address(via.host, via.port_or_default()), "it is for us");
        assert!(response.top_branch().is_some(), "it belongs to a transaction");
        let up = response.edit().remove_first_value(HeaderId::Via).finish();
        up.expect("what is left is a response").bytes().len()
    }
}

/// A REGISTER of ordinary size.
pub const REGISTER: &[u8] = b"REGISTER sip:biloxi.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.201:5060;branch=z9hG4bKnashds7\r\n\
Max-Forwards: 70\r\n\
From: Bob <sip:bob@biloxi.example.com>;tag=456248\r\n\
To: Bob <sip:bob@biloxi.example.com>\r\n\
Call-ID: 843817637684230@998sdasdh09\r\n\
CSeq: 1826 REGISTER\r\n\
Contact: <sip:bob@192.0.2.201:5060>;expires=3600\r\n\
User-Agent: Phone/1.0\r\n\
Content-Length: 0\r\n\r\n";

/// Reads a REGISTER and answers it; how many octets that makes.
///
/// # Panics
/// When [`REGISTER`] is not well formed, or cannot be answered.
pub fn register(limits: &Limits) -> usize {
    let request = Message::parse(Bytes::from_static(REGISTER), limits).expect("the request is well formed");
    request.essentials().expect("it has what registering needs");
    let read = |value| NameAddr::parse(value).expect("a Contact can be read");
    let contact = request.values(HeaderId::Contact).map(read).next().expect("it has a Contact");
    Uri::parse(contact.uri).expect("it names an address");
    let value = ["<", std::str::from_utf8(contact.uri).expect("it is ASCII"), ">;expires=3600"].concat();
    let response = ResponseBuilder::to(&request, 200).to_tag("1234567890abcdef");
    let response = response.and_then(|response| response.header(HeaderId::Contact, value));
    response.expect("nothing that goes in can break a line").write().bytes().len()
}

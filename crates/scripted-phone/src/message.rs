//! Short messages, RFC 3428: one request of its own each, and at most one of ours under way.

use std::net::SocketAddr;
use std::time::Instant;

use sip_message::{HeaderId, Message, Method, RequestBuilder};

use crate::call::text;
use crate::happening::Happening;
use crate::phone::Phone;
use crate::retransmit::Until;

/// A message of ours that waits for its answer.
#[derive(Debug)]
pub struct Outgoing {
    uri: String,
    words: String,
    call_id: String,
    tag: String,
    cseq: u32,
}

impl Phone {
    /// Sends these words to somebody, unless an earlier message still waits for its answer.
    pub fn message(&mut self, now: Instant, uri: &str, words: &str) {
        if self.message.is_some() {
            return;
        }
        let (call_id, tag) = (self.mint("message"), self.mint("t"));
        self.send_message(
            now,
            Outgoing { uri: uri.into(), words: words.into(), call_id, tag, cseq: 1 },
            None,
        );
    }

    fn send_message(&mut self, now: Instant, message: Outgoing, authorization: Option<String>) {
        let headers = [
            (HeaderId::Via, self.via()),
            (HeaderId::MaxForwards, "70".into()),
            (HeaderId::From, format!("<{}>;tag={}", self.identity.aor(), message.tag)),
            (HeaderId::To, format!("<{}>", message.uri)),
            (HeaderId::CallId, message.call_id.clone()),
            (HeaderId::CSeq, format!("{} MESSAGE", message.cseq)),
        ];
        let authorization = authorization.map(|value| (HeaderId::ProxyAuthorization, value));
        let built = RequestBuilder::new(Method::Message, &message.uri).and_then(|mut request| {
            for (id, value) in headers.into_iter().chain(authorization) {
                request = request.header(id, &value)?;
            }
            request.body("text/plain", message.words.clone())
        });
        let Ok(request) = built else {
            return self.tell(Happening::Messaged { status: 400 });
        };
        self.message = Some(message);
        let request = request.build();
        self.transmit(self.server, request.bytes().clone());
        self.repeat(now, Until::Messaged, request.bytes().clone(), self.server);
    }

    pub(crate) fn handle_messaged(&mut self, now: Instant, response: &Message, status: u16) {
        let is_ours = |message: &&mut Outgoing| {
            response.call_id().is_ok_and(|id| id == message.call_id.as_bytes())
                && response.cseq().is_ok_and(|cseq| cseq.number == message.cseq)
        };
        if status < 200 || self.message.as_mut().filter(is_ours).is_none() {
            return;
        }
        self.stop(Until::Messaged);
        let Some(mut message) = self.message.take() else { return };
        if status == 407 && message.cseq == 1 {
            message.cseq = 2;
            let credentials =
                self.credentials(response, HeaderId::ProxyAuthenticate, "MESSAGE", &message.uri.clone());
            if credentials.is_some() {
                return self.send_message(now, message, credentials);
            }
        }
        self.tell(Happening::Messaged { status });
    }

    pub(crate) fn take_message(&mut self, request: &Message, from: SocketAddr) {
        let sender = request.from().map(|from| text(from.uri)).unwrap_or_default();
        self.tell(Happening::Message { from: sender, words: text(request.body()) });
        self.answer_plainly(request, from, 200);
    }
}

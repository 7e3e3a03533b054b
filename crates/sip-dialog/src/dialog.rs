//! The dialog that a response to our request made. RFC 3261 12.1.2

use sip_message::{BuildError, HeaderError, HeaderId, Message, Method, RequestBuilder};

use crate::{RouteSet, Side};

/// A dialog on the side that began it: what its requests are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    remote_target: String,
    routes: RouteSet,
    local_cseq: u32,
}

/// Why a message makes no dialog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDialog {
    /// Only 101–299 make dialogs.
    #[error("a response of this status makes no dialog")]
    Status,
    /// It carries no tag of the peer, or none of ours.
    #[error("{0} has no tag")]
    Tag(HeaderId),
    /// A header that a dialog needs is absent or cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Dialog {
    /// The dialog that a response to our request made.
    ///
    /// # Errors
    /// When the response makes none.
    pub fn from_uac_response(request: &Message, response: &Message) -> Result<Self, NoDialog> {
        if !matches!(response.status(), Some(101..=299)) {
            return Err(NoDialog::Status);
        }
        request.from()?.tag().ok_or(NoDialog::Tag(HeaderId::From))?;
        response.to()?.tag().ok_or(NoDialog::Tag(HeaderId::To))?;
        Ok(Self {
            call_id: text(request.call_id()?),
            local: text(request.single(HeaderId::From)?),
            remote: text(response.single(HeaderId::To)?),
            remote_target: contact(response).ok_or_else(no_contact)?,
            routes: RouteSet::of(response.values(HeaderId::RecordRoute).map(text), Side::Caller),
            local_cseq: request.cseq()?.number,
        })
    }

    /// The number of our last request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// Begins our next request in the dialog: everything but Via, Max-Forwards, Contact and body. RFC 3261 12.2.1.1
    ///
    /// An ACK is made by [`Self::ack`], because it repeats the number of its INVITE.
    ///
    /// # Errors
    /// When a part that came from the peer cannot be sent.
    pub fn next_request(&mut self, method: Method) -> Result<RequestBuilder, BuildError> {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.request(method, self.local_cseq)
    }

    /// The ACK for a 2xx to our INVITE of that number. RFC 3261 13.2.2.4
    ///
    /// # Errors
    /// When a part that came from the peer cannot be sent.
    pub fn ack(&self, invite_cseq: u32) -> Result<RequestBuilder, BuildError> {
        self.request(Method::Ack, invite_cseq)
    }

    fn request(&self, method: Method, number: u32) -> Result<RequestBuilder, BuildError> {
        let layout = self.routes.lay_out(&self.remote_target);
        let cseq = format!("{number} {method}");
        let mut request = RequestBuilder::new(method, &layout.request_uri)?;
        for route in &layout.routes {
            request = request.header(HeaderId::Route, route)?;
        }
        request
            .header(HeaderId::From, &self.local)?
            .header(HeaderId::To, &self.remote)?
            .header(HeaderId::CallId, &self.call_id)?
            .header(HeaderId::CSeq, cseq)
    }
}

fn contact(message: &Message) -> Option<String> {
    Some(text(message.contacts().next()?.ok()?.uri))
}

fn no_contact() -> NoDialog {
    NoDialog::Header(HeaderError { header: HeaderId::Contact, fault: sip_message::HeaderFault::Missing })
}

/// One line of text; folds become spaces.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{invite, response};

    const RECORD_ROUTES: &str = "Record-Route: <sip:p2;lr>, <sip:p1;lr>\r\n";

    fn dialog() -> Dialog {
        let answer = response(180, "bt", &format!("{RECORD_ROUTES}Contact: <sip:bob@192.0.2.9>\r\n"));
        Dialog::from_uac_response(&invite(""), &answer).unwrap()
    }

    fn text_of(message: &Message, id: HeaderId) -> Vec<&[u8]> {
        message.values(id).collect()
    }

    /// UAC-15
    #[test]
    fn our_requests_count_up_and_take_the_reversed_record_route() {
        let mut dialog = dialog();
        let bye = dialog.next_request(Method::Bye).unwrap().build();
        assert_eq!(bye.request_uri(), Some(&b"sip:bob@192.0.2.9"[..]));
        assert_eq!(bye.cseq().unwrap().number, 8);
        assert_eq!(bye.from().unwrap().tag(), Some("at"));
        assert_eq!(bye.to().unwrap().tag(), Some("bt"));
        assert_eq!(text_of(&bye, HeaderId::Route), [&b"<sip:p1;lr>"[..], b"<sip:p2;lr>"]);
    }

    #[test]
    fn the_ack_has_the_number_of_its_invite() {
        let mut dialog = dialog();
        dialog.next_request(Method::Prack).unwrap();
        assert_eq!(dialog.ack(7).unwrap().build().cseq().unwrap().number, 7);
        assert_eq!(dialog.local_cseq(), 8);
    }

    #[test]
    fn what_makes_no_dialog_is_refused() {
        let no_tag = response(200, "", "Contact: <sip:bob@192.0.2.9>\r\n");
        assert_eq!(Dialog::from_uac_response(&invite(""), &no_tag), Err(NoDialog::Tag(HeaderId::To)));
        let failure = response(486, "bt", "");
        assert_eq!(Dialog::from_uac_response(&invite(""), &failure), Err(NoDialog::Status));
        let no_contact = response(200, "bt", "");
        assert!(matches!(Dialog::from_uac_response(&invite(""), &no_contact), Err(NoDialog::Header(_))));
    }
}

//! One dialog as seen from our side. RFC 3261 12

use sip_message::{BuildError, HeaderError, HeaderId, Message, Method, RequestBuilder};

use crate::RouteSet;

/// What names a dialog on our side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty for a peer of RFC 2543.
    pub remote_tag: String,
}

/// How far a dialog has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made by a provisional response.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
}

/// A dialog. What it stores is what RFC 3261 12 calls the dialog state, and nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    id: DialogId,
    state: State,
    local: String,
    remote: String,
    remote_target: String,
    routes: RouteSet,
    local_cseq: Option<u32>,
    remote_cseq: Option<u32>,
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

/// Why a request of the peer is not taken in this dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It belongs to another dialog: 481.
    #[error("the request is not of this dialog")]
    OtherDialog,
    /// Its number is not above that of an earlier one: 500.
    #[error("the sequence number is lower than one seen before")]
    OutOfOrder,
}

impl NotAccepted {
    /// The status to answer with. RFC 3261 12.2.2
    pub fn status(self) -> u16 {
        match self {
            Self::OtherDialog => 481,
            Self::OutOfOrder => 500,
        }
    }
}

impl Dialog {
    /// The dialog that a response to our request made. RFC 3261 12.1.2
    ///
    /// # Errors
    /// When the response makes none.
    pub fn from_uac_response(request: &Message, response: &Message) -> Result<Self, NoDialog> {
        let state = match response.status() {
            Some(101..=199) => State::Early,
            Some(200..=299) => State::Confirmed,
            Some(_) | None => return Err(NoDialog::Status),
        };
        let local_tag = request.from()?.tag().ok_or(NoDialog::Tag(HeaderId::From))?;
        let remote_tag = response.to()?.tag().ok_or(NoDialog::Tag(HeaderId::To))?;
        Ok(Self {
            id: id(request, local_tag, remote_tag)?,
            state,
            local: text(request.single(HeaderId::From)?),
            remote: text(response.single(HeaderId::To)?),
            remote_target: contact(response).ok_or_else(no_contact)?,
            routes: RouteSet::of_response(response),
            local_cseq: Some(request.cseq()?.number),
            remote_cseq: None,
        })
    }

    /// The dialog that a request to us makes when it is answered with `local_tag` and a status of this kind.
    /// RFC 3261 12.1.1
    ///
    /// # Errors
    /// When a header that a dialog needs is absent or cannot be read.
    pub fn from_uas_request(request: &Message, local_tag: &str, state: State) -> Result<Self, NoDialog> {
        let remote_tag = request.from()?.tag().unwrap_or_default();
        let to = request.to()?;
        let mut local = text(request.single(HeaderId::To)?);
        if to.tag().is_none() {
            local.push_str(";tag=");
            local.push_str(local_tag);
        }
        Ok(Self {
            id: id(request, local_tag, remote_tag)?,
            state,
            local,
            remote: text(request.single(HeaderId::From)?),
            remote_target: contact(request).ok_or_else(no_contact)?,
            routes: RouteSet::of_request(request),
            local_cseq: None,
            remote_cseq: Some(request.cseq()?.number),
        })
    }

    /// What names it.
    pub fn id(&self) -> &DialogId {
        &self.id
    }

    /// How far it has come.
    pub fn state(&self) -> State {
        self.state
    }

    /// Where requests of ours go in the end.
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// The way they take.
    pub fn routes(&self) -> &RouteSet {
        &self.routes
    }

    /// The number of our last request.
    pub fn local_cseq(&self) -> Option<u32> {
        self.local_cseq
    }

    /// A further response to the request that made the dialog, or to a target refresh request in it.
    ///
    /// The first 2xx confirms the dialog and rebuilds its route set (13.2.2.4). The remote target follows a 2xx or a
    /// reliable provisional response only (RFC 6141 4.6).
    pub fn handle_response(&mut self, response: &Message) {
        let status = response.status().unwrap_or(0);
        let reliable = matches!(status, 101..=199) && response.has(HeaderId::RSeq);
        if !reliable && !matches!(status, 200..=299) {
            return;
        }
        if self.state == State::Early && status >= 200 {
            self.state = State::Confirmed;
            self.routes = RouteSet::of_response(response);
        }
        if refreshes_target(&response.method())
            && let Some(contact) = contact(response)
        {
            self.remote_target = contact;
        }
    }

    /// Begins our next request in the dialog: everything but Via, Max-Forwards, Contact and body. RFC 3261 12.2.1.1
    ///
    /// An ACK is made by [`Self::ack`], because it repeats the number of its INVITE.
    ///
    /// # Errors
    /// When a part that came from the peer cannot be sent.
    pub fn next_request(&mut self, method: Method) -> Result<RequestBuilder, BuildError> {
        let number = self.local_cseq.map_or(1, |last| last.saturating_add(1));
        self.local_cseq = Some(number);
        self.request(method, number)
    }

    /// The ACK for a 2xx to our INVITE of that number. RFC 3261 13.2.2.4
    ///
    /// # Errors
    /// When a part that came from the peer cannot be sent.
    pub fn ack(&self, invite_cseq: u32) -> Result<RequestBuilder, BuildError> {
        self.request(Method::Ack, invite_cseq)
    }

    /// Checks a request of the peer and takes over its number and target. RFC 3261 12.2.2
    ///
    /// # Errors
    /// When it belongs elsewhere, or is older than one taken before; gaps are fine.
    pub fn accept_request(&mut self, request: &Message) -> Result<(), NotAccepted> {
        let tag_of = |address: Result<sip_message::NameAddr<'_>, HeaderError>| {
            address.ok().and_then(|address| address.tag().map(str::to_owned)).unwrap_or_default()
        };
        let call_id = request.call_id().unwrap_or_default();
        if call_id != self.id.call_id.as_bytes()
            || tag_of(request.from()) != self.id.remote_tag
            || tag_of(request.to()) != self.id.local_tag
        {
            return Err(NotAccepted::OtherDialog);
        }
        let method = request.method();
        // ACK and CANCEL repeat the number of their INVITE.
        if matches!(method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        let number = request.cseq().map_err(|_| NotAccepted::OutOfOrder)?.number;
        if self.remote_cseq.is_some_and(|last| number <= last) {
            return Err(NotAccepted::OutOfOrder);
        }
        self.remote_cseq = Some(number);
        if refreshes_target(&method)
            && let Some(contact) = contact(request)
        {
            self.remote_target = contact;
        }
        Ok(())
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
            .header(HeaderId::CallId, &self.id.call_id)?
            .header(HeaderId::CSeq, cseq)
    }
}

/// Target refresh requests. RFC 3261 12.2, RFC 3311 5.1, RFC 6665 3.1, RFC 3515
fn refreshes_target(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer)
}

fn id(request: &Message, local_tag: &str, remote_tag: &str) -> Result<DialogId, HeaderError> {
    Ok(DialogId {
        call_id: text(request.call_id()?),
        local_tag: local_tag.to_owned(),
        remote_tag: remote_tag.to_owned(),
    })
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

    fn uac() -> Dialog {
        let answer = response(180, "bt", &format!("{RECORD_ROUTES}Contact: <sip:bob@192.0.2.9>\r\n"));
        Dialog::from_uac_response(&invite(""), &answer).unwrap()
    }

    fn uas() -> Dialog {
        let request = invite(&format!("{RECORD_ROUTES}Contact: <sip:alice@192.0.2.8>\r\n"));
        Dialog::from_uas_request(&request, "bt", State::Confirmed).unwrap()
    }

    fn text_of(message: &Message, id: HeaderId) -> Vec<&[u8]> {
        message.values(id).collect()
    }

    /// UAC-15
    #[test]
    fn the_caller_reverses_record_route_and_the_callee_keeps_it() {
        assert_eq!(uac().routes().values(), ["<sip:p1;lr>", "<sip:p2;lr>"]);
        assert_eq!(uas().routes().values(), ["<sip:p2;lr>", "<sip:p1;lr>"]);
    }

    /// UAC-15
    #[test]
    fn the_2xx_confirms_and_rebuilds_the_route_set() {
        let mut dialog = uac();
        dialog.handle_response(&response(
            200,
            "bt",
            "Record-Route: <sip:p9;lr>\r\nContact: <sip:bob@192.0.2.10>\r\n",
        ));
        assert_eq!(dialog.state(), State::Confirmed);
        assert_eq!(dialog.routes().values(), ["<sip:p9;lr>"]);
        assert_eq!(dialog.remote_target(), "sip:bob@192.0.2.10");
    }

    /// UAC-23
    #[test]
    fn only_a_2xx_or_a_reliable_1xx_moves_the_target() {
        let mut dialog = uac();
        dialog.handle_response(&response(183, "bt", "Contact: <sip:other@192.0.2.11>\r\n"));
        assert_eq!(dialog.remote_target(), "sip:bob@192.0.2.9");
        dialog.handle_response(&response(183, "bt", "RSeq: 1\r\nContact: <sip:other@192.0.2.11>\r\n"));
        assert_eq!(dialog.remote_target(), "sip:other@192.0.2.11");
    }

    #[test]
    fn our_requests_count_up_and_swap_nothing() {
        let mut dialog = uac();
        let bye = dialog.next_request(Method::Bye).unwrap().build();
        assert_eq!(bye.request_uri(), Some(&b"sip:bob@192.0.2.9"[..]));
        assert_eq!(bye.cseq().unwrap().number, 8);
        assert_eq!(bye.from().unwrap().tag(), Some("at"));
        assert_eq!(bye.to().unwrap().tag(), Some("bt"));
        assert_eq!(text_of(&bye, HeaderId::Route), [&b"<sip:p1;lr>"[..], b"<sip:p2;lr>"]);

        let mut dialog = uas();
        let bye = dialog.next_request(Method::Bye).unwrap().build();
        assert_eq!(bye.cseq().unwrap().number, 1);
        assert_eq!(bye.from().unwrap().tag(), Some("bt"));
        assert_eq!(bye.to().unwrap().tag(), Some("at"));
    }

    #[test]
    fn the_ack_has_the_number_of_its_invite() {
        let mut dialog = uac();
        dialog.next_request(Method::Prack).unwrap();
        assert_eq!(dialog.ack(7).unwrap().build().cseq().unwrap().number, 7);
        assert_eq!(dialog.local_cseq(), Some(8));
    }

    /// UAC-09
    #[test]
    fn a_lower_number_is_500_a_gap_is_fine_and_a_foreign_tag_is_481() {
        let request = |tag: &str, number: u32| {
            crate::samples::request("BYE", &format!("<sip:bob@example.com>;tag={tag}"), number, "")
        };
        let mut dialog = uas();
        assert_eq!(dialog.accept_request(&request("bt", 20)), Ok(()));
        assert_eq!(dialog.accept_request(&request("bt", 19)).unwrap_err().status(), 500);
        assert_eq!(dialog.accept_request(&request("other", 30)).unwrap_err().status(), 481);
        assert_eq!(dialog.accept_request(&request("bt", 21)), Ok(()));
    }

    #[test]
    fn a_target_refresh_of_the_peer_moves_the_target() {
        let mut dialog = uas();
        let to = "<sip:bob@example.com>;tag=bt";
        let info = crate::samples::request("INFO", to, 8, "Contact: <sip:x@192.0.2.1>\r\n");
        dialog.accept_request(&info).unwrap();
        assert_eq!(dialog.remote_target(), "sip:alice@192.0.2.8");
        let update = crate::samples::request("UPDATE", to, 9, "Contact: <sip:x@192.0.2.1>\r\n");
        dialog.accept_request(&update).unwrap();
        assert_eq!(dialog.remote_target(), "sip:x@192.0.2.1");
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

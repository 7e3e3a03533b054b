//! `application/dialog-info+xml`: the calls of somebody (RFC 4235).

use std::fmt::Write as _;

use crate::xml::escape;

/// The content type of a list of dialogs.
pub const CONTENT_TYPE: &str = "application/dialog-info+xml";

/// A document of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialogInfo<'a> {
    /// 0, and one more for each document of a subscription.
    pub version: u32,
    /// Whether all dialogs are listed, or those that changed.
    pub is_full: bool,
    /// Whose dialogs.
    pub entity: &'a str,
    /// The dialogs.
    pub dialogs: Vec<Dialog<'a>>,
}

/// One dialog. RFC 4235 4.1.2
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialog<'a> {
    /// Its id, the same for as long as it lives.
    pub id: &'a str,
    /// Call-ID and both tags, as Replaces needs them; `None` when not told.
    pub names: Option<Names<'a>>,
    /// Who began it; `None` when not told.
    pub is_initiator: Option<bool>,
    /// How far it is.
    pub state: State,
    /// The one whose dialog it is; `None` when not told.
    pub local: Option<Party<'a>>,
    /// The other one; `None` when not told.
    pub remote: Option<Party<'a>>,
}

/// What names a dialog. RFC 3261 12
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// Call-ID.
    pub call_id: &'a str,
    /// Tag of the one whose dialog it is; empty before there is one.
    pub local_tag: &'a str,
    /// Tag of the other one; empty before there is one.
    pub remote_tag: &'a str,
}

/// How far a dialog is. RFC 4235 3.7.1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There is a request, and no answer.
    #[default]
    Trying,
    /// A provisional answer without a tag.
    Proceeding,
    /// A provisional answer with a tag.
    Early,
    /// Answered.
    Confirmed,
    /// Over, with why when it is known: `cancelled`, `rejected`, `local-bye`, `remote-bye`, `timeout`, `error`.
    Terminated(Option<&'static str>),
}

/// One side of a dialog. RFC 4235 4.1.6
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party<'a> {
    /// Address of record.
    pub identity: &'a str,
    /// Name; empty for none.
    pub display_name: &'a str,
    /// Remote target; empty when not known.
    pub target: &'a str,
}

impl State {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            State::Trying => "trying",
            State::Proceeding => "proceeding",
            State::Early => "early",
            State::Confirmed => "confirmed",
            State::Terminated(_) => "terminated",
        }
    }
}

impl DialogInfo<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let state = if self.is_full { "full" } else { "partial" };
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{}\" state=\"{state}\" \
             entity=\"{}\">\r\n",
            self.version,
            escape(self.entity)
        );
        for dialog in &self.dialogs {
            dialog.write(&mut xml);
        }
        xml.push_str("</dialog-info>\r\n");
        xml
    }
}

impl Dialog<'_> {
    fn write(&self, xml: &mut String) {
        let _ = write!(xml, "<dialog id=\"{}\"", escape(self.id));
        if let Some(names) = &self.names {
            let tags = [("local-tag", names.local_tag), ("remote-tag", names.remote_tag)];
            for (name, value) in [("call-id", names.call_id)].into_iter().chain(tags) {
                if !value.is_empty() {
                    let _ = write!(xml, " {name}=\"{}\"", escape(value));
                }
            }
        }
        if let Some(is_initiator) = self.is_initiator {
            let _ = write!(xml, " direction=\"{}\"", if is_initiator { "initiator" } else { "recipient" });
        }
        xml.push_str(">\r\n<state");
        if let State::Terminated(Some(why)) = self.state {
            let _ = write!(xml, " event=\"{why}\"");
        }
        let _ = write!(xml, ">{}</state>\r\n", self.state.name());
        for (name, party) in [("local", &self.local), ("remote", &self.remote)] {
            if let Some(party) = party {
                party.write(xml, name);
            }
        }
        xml.push_str("</dialog>\r\n");
    }
}

impl Party<'_> {
    fn write(&self, xml: &mut String, name: &str) {
        let _ = write!(xml, "<{name}><identity");
        if !self.display_name.is_empty() {
            let _ = write!(xml, " display=\"{}\"", escape(self.display_name));
        }
        let _ = write!(xml, ">{}</identity>", escape(self.identity));
        if !self.target.is_empty() {
            let _ = write!(xml, "<target uri=\"{}\"/>", escape(self.target));
        }
        let _ = write!(xml, "</{name}>\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PKG-03: what a phone needs to take a call over.
    #[test]
    fn a_dialog_is_told_with_everything_that_replaces_needs() {
        let ringing = Dialog {
            id: "as7d900as8",
            names: Some(Names { call_id: "a84b4c76e66710", local_tag: "t\"1", remote_tag: "1928" }),
            is_initiator: Some(false),
            state: State::Early,
            local: Some(Party { identity: "sip:alice@example.com", ..Party::default() }),
            remote: Some(Party {
                identity: "sip:bob@example.com",
                display_name: "Bob <B>",
                target: "sip:bob@192.0.2.2;transport=tcp",
            }),
        };
        let info = DialogInfo {
            version: 1,
            is_full: false,
            entity: "sip:alice@example.com",
            dialogs: vec![ringing],
        };
        assert_eq!(
            info.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"1\" state=\"partial\" \
             entity=\"sip:alice@example.com\">\r\n\
             <dialog id=\"as7d900as8\" call-id=\"a84b4c76e66710\" local-tag=\"t&quot;1\" remote-tag=\"1928\" \
             direction=\"recipient\">\r\n<state>early</state>\r\n\
             <local><identity>sip:alice@example.com</identity></local>\r\n\
             <remote><identity display=\"Bob &lt;B&gt;\">sip:bob@example.com</identity>\
             <target uri=\"sip:bob@192.0.2.2;transport=tcp\"/></remote>\r\n\
             </dialog>\r\n</dialog-info>\r\n"
        );
    }

    /// PKG-03, PKG-04: an end with its reason, and busy without a name.
    #[test]
    fn what_is_not_told_is_left_out() {
        let over = Dialog { id: "1", state: State::Terminated(Some("rejected")), ..Dialog::default() };
        let busy = Dialog { id: "2", state: State::Confirmed, ..Dialog::default() };
        let info = DialogInfo { version: 0, is_full: true, entity: "sip:a@d", dialogs: vec![over, busy] };
        assert!(info.to_xml().ends_with(
            "<dialog id=\"1\">\r\n<state event=\"rejected\">terminated</state>\r\n</dialog>\r\n\
             <dialog id=\"2\">\r\n<state>confirmed</state>\r\n</dialog>\r\n</dialog-info>\r\n"
        ));
    }
}

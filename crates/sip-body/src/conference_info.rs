//! `application/conference-info+xml`: who is in a conference (RFC 4575).

use std::fmt::Write as _;

use crate::xml::escape;

/// The content type of the state of a conference.
pub const CONTENT_TYPE: &str = "application/conference-info+xml";

/// A document of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceInfo<'a> {
    /// One more for each document of a subscription.
    pub version: u32,
    /// Whether it says everything, or what changed.
    pub is_full: bool,
    /// URI of the conference.
    pub entity: &'a str,
    /// What is said of the conference as a whole; `None` when nothing of it changed.
    pub whole: Option<Whole<'a>>,
    /// The users: all, or those that changed.
    pub users: Vec<User<'a>>,
    /// Users who have left since the document before.
    pub gone: Vec<&'a str>,
}

/// The conference as a whole. RFC 4575 5.3, 5.5
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole<'a> {
    /// Name to show; empty for none.
    pub display_text: &'a str,
    /// What it is about; empty for none.
    pub subject: &'a str,
    /// Most users; 0 when not said.
    pub most_users: u32,
    /// Users that are in it.
    pub user_count: usize,
    /// Whether it is active.
    pub is_active: bool,
    /// Whether nobody else may come in.
    pub is_locked: bool,
}

/// A user. RFC 4575 5.6
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User<'a> {
    /// URI.
    pub entity: &'a str,
    /// Name to show; empty for none.
    pub display_text: &'a str,
    /// Roles.
    pub roles: Vec<&'a str>,
    /// Devices.
    pub endpoints: Vec<Endpoint<'a>>,
}

/// A device of a user. RFC 4575 5.7
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// URI.
    pub entity: &'a str,
    /// Name to show; empty for none.
    pub display_text: &'a str,
    /// How far it is, as 5.7.3 spells it; empty when not said.
    pub status: &'a str,
    /// How it came in, as 5.7.4 spells it; empty when not said.
    pub joining: &'a str,
    /// When it came in, as RFC 3339 writes times; empty when not said.
    pub joined: String,
    /// Call-ID, tag of From and tag of To of its dialog with the focus.
    pub dialog: Option<(&'a str, &'a str, &'a str)>,
    /// Streams: id, kind and direction; kind and direction may be empty.
    pub media: Vec<(&'a str, &'a str, &'a str)>,
}

impl ConferenceInfo<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let state = state(self.is_full);
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"{}\" state=\"{state}\" \
             version=\"{}\">\r\n",
            escape(self.entity),
            self.version
        );
        if let Some(whole) = &self.whole {
            whole.write(&mut xml);
        }
        if self.is_full || !self.users.is_empty() || !self.gone.is_empty() {
            let _ = write!(xml, "<users state=\"{state}\">\r\n");
            for user in &self.users {
                user.write(&mut xml);
            }
            for gone in &self.gone {
                let _ = write!(xml, "<user entity=\"{}\" state=\"deleted\"/>\r\n", escape(gone));
            }
            xml.push_str("</users>\r\n");
        }
        xml.push_str("</conference-info>\r\n");
        xml
    }
}

impl Whole<'_> {
    fn write(&self, xml: &mut String) {
        xml.push_str("<conference-description>");
        element(xml, "display-text", self.display_text);
        element(xml, "subject", self.subject);
        if self.most_users > 0 {
            element(xml, "maximum-user-count", &self.most_users.to_string());
        }
        xml.push_str("</conference-description>\r\n<conference-state>");
        element(xml, "user-count", &self.user_count.to_string());
        element(xml, "active", if self.is_active { "true" } else { "false" });
        element(xml, "locked", if self.is_locked { "true" } else { "false" });
        xml.push_str("</conference-state>\r\n");
    }
}

impl User<'_> {
    fn write(&self, xml: &mut String) {
        let _ = write!(xml, "<user entity=\"{}\" state=\"full\">", escape(self.entity));
        element(xml, "display-text", self.display_text);
        if !self.roles.is_empty() {
            xml.push_str("<roles>");
            for role in &self.roles {
                element(xml, "entry", role);
            }
            xml.push_str("</roles>");
        }
        for endpoint in &self.endpoints {
            endpoint.write(xml);
        }
        xml.push_str("</user>\r\n");
    }
}

impl Endpoint<'_> {
    fn write(&self, xml: &mut String) {
        // The elements have an order in the schema.
        let _ = write!(xml, "\r\n<endpoint entity=\"{}\">", escape(self.entity));
        element(xml, "display-text", self.display_text);
        element(xml, "status", self.status);
        element(xml, "joining-method", self.joining);
        if !self.joined.is_empty() {
            xml.push_str("<joining-info>");
            element(xml, "when", &self.joined);
            xml.push_str("</joining-info>");
        }
        for (id, kind, direction) in &self.media {
            let _ = write!(xml, "<media id=\"{}\">", escape(id));
            element(xml, "type", kind);
            element(xml, "status", direction);
            xml.push_str("</media>");
        }
        if let Some((call_id, from_tag, to_tag)) = self.dialog {
            xml.push_str("<call-info><sip>");
            element(xml, "call-id", call_id);
            element(xml, "from-tag", from_tag);
            element(xml, "to-tag", to_tag);
            xml.push_str("</sip></call-info>");
        }
        xml.push_str("</endpoint>");
    }
}

/// An element, where there is something in it.
fn element(xml: &mut String, name: &str, text: &str) {
    if !text.is_empty() {
        let _ = write!(xml, "<{name}>{}</{name}>", escape(text));
    }
}

fn state(is_full: bool) -> &'static str {
    if is_full { "full" } else { "partial" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PKG-05: everything at first, what changed then, and who left.
    #[test]
    fn users_come_and_go() {
        let desk = Endpoint {
            entity: "sip:alice@192.0.2.1",
            status: "connected",
            joining: "dialed-in",
            joined: "2026-01-02T03:04:05Z".to_owned(),
            dialog: Some(("c<1>", "f", "t")),
            media: vec![("1", "audio", "sendrecv")],
            ..Endpoint::default()
        };
        let alice = User {
            entity: "sip:alice@d",
            display_text: "Alice \"A\"",
            roles: vec!["participant"],
            endpoints: vec![desk],
        };
        let whole = Whole { subject: "all <hands>", user_count: 1, is_active: true, ..Whole::default() };
        let full = ConferenceInfo {
            is_full: true,
            entity: "sip:conf@d",
            whole: Some(whole),
            users: vec![alice],
            ..ConferenceInfo::default()
        };
        assert_eq!(
            full.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"sip:conf@d\" state=\"full\" version=\"0\">\r\n\
             <conference-description><subject>all &lt;hands&gt;</subject></conference-description>\r\n\
             <conference-state><user-count>1</user-count><active>true</active><locked>false</locked></conference-state>\r\n\
             <users state=\"full\">\r\n\
             <user entity=\"sip:alice@d\" state=\"full\"><display-text>Alice &quot;A&quot;</display-text><roles><entry>participant</entry></roles>\r\n\
             <endpoint entity=\"sip:alice@192.0.2.1\"><status>connected</status><joining-method>dialed-in</joining-method>\
             <joining-info><when>2026-01-02T03:04:05Z</when></joining-info>\
             <media id=\"1\"><type>audio</type><status>sendrecv</status></media>\
             <call-info><sip><call-id>c&lt;1&gt;</call-id><from-tag>f</from-tag><to-tag>t</to-tag></sip></call-info></endpoint></user>\r\n\
             </users>\r\n</conference-info>\r\n"
        );
        let left = ConferenceInfo {
            version: 1,
            entity: "sip:conf@d",
            gone: vec!["sip:alice@d"],
            ..ConferenceInfo::default()
        };
        assert!(left.to_xml().contains(
            "state=\"partial\" version=\"1\">\r\n<users state=\"partial\">\r\n\
             <user entity=\"sip:alice@d\" state=\"deleted\"/>\r\n</users>"
        ));
    }
}

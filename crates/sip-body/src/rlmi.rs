//! `application/rlmi+xml`: what is in a notification of a list (RFC 4662 5).

use std::fmt::Write as _;

use crate::xml::escape;

/// The content type of the root of such a notification.
pub const CONTENT_TYPE: &str = "application/rlmi+xml";
/// The content type of the notification.
pub const RELATED: &str = "multipart/related";

/// A list, or what has changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<'a> {
    /// Its URI.
    pub uri: &'a str,
    /// Its name, empty for none.
    pub name: &'a str,
    /// 0, and one more for each document of a subscription.
    pub version: u32,
    /// Whether all members are in it, or those that changed.
    pub is_full: bool,
    /// The members.
    pub resources: Vec<Resource<'a>>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Its URI, as the list has it.
    pub uri: &'a str,
    /// Its name, empty for none.
    pub name: &'a str,
    /// Its state; `None` while that is not known.
    pub instance: Option<Instance<'a>>,
}

/// The state of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    /// The same for as long as it is on the list.
    pub id: &'a str,
    /// How the subscription to it stands: `active`, `pending` or `terminated`.
    pub state: &'a str,
    /// Why it ended, empty while it has not.
    pub reason: &'a str,
    /// Content-ID of the part that holds the state, empty for none.
    pub cid: &'a str,
}

impl List<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"{}\" version=\"{}\" fullState=\"{}\">\r\n",
            escape(self.uri),
            self.version,
            self.is_full
        );
        put_name(&mut xml, self.name);
        for Resource { uri, name, instance } in &self.resources {
            let _ = write!(xml, "<resource uri=\"{}\">\r\n", escape(uri));
            put_name(&mut xml, name);
            if let Some(Instance { id, state, reason, cid }) = instance {
                let _ = write!(xml, "<instance id=\"{}\" state=\"{state}\"", escape(id));
                for (attribute, value) in [("reason", reason), ("cid", cid)] {
                    if !value.is_empty() {
                        let _ = write!(xml, " {attribute}=\"{}\"", escape(value));
                    }
                }
                xml.push_str("/>\r\n");
            }
            xml.push_str("</resource>\r\n");
        }
        xml.push_str("</list>\r\n");
        xml
    }
}

fn put_name(xml: &mut String, name: &str) {
    if !name.is_empty() {
        let _ = write!(xml, "<name>{}</name>\r\n", escape(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RLS-02, RLS-03
    #[test]
    fn members_are_listed_and_nothing_breaks_out() {
        let instance = Instance { id: "i1", state: "terminated", reason: "noresource", cid: "" };
        let known = Instance { id: "i2", state: "active", reason: "", cid: "m.1@example.com" };
        let list = List {
            uri: "sip:team@example.com",
            name: "A & B",
            version: 7,
            is_full: false,
            resources: vec![
                Resource { uri: "sip:bob@example.com;x=\"<&>\"", name: "", instance: Some(instance) },
                Resource { uri: "sip:carol@example.com", name: "<Carol>", instance: Some(known) },
                Resource { uri: "sip:dave@example.com", name: "", instance: None },
            ],
        };
        assert_eq!(
            list.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:team@example.com\" version=\"7\" fullState=\"false\">\r\n\
             <name>A &amp; B</name>\r\n\
             <resource uri=\"sip:bob@example.com;x=&quot;&lt;&amp;&gt;&quot;\">\r\n\
             <instance id=\"i1\" state=\"terminated\" reason=\"noresource\"/>\r\n</resource>\r\n\
             <resource uri=\"sip:carol@example.com\">\r\n<name>&lt;Carol&gt;</name>\r\n\
             <instance id=\"i2\" state=\"active\" cid=\"m.1@example.com\"/>\r\n</resource>\r\n\
             <resource uri=\"sip:dave@example.com\">\r\n</resource>\r\n\
             </list>\r\n"
        );
    }
}

//! `application/reginfo+xml`: where somebody is registered (RFC 3680), with GRUUs (RFC 5628).

use std::fmt::Write as _;

use crate::xml::escape;

/// The content type of a list of registrations.
pub const CONTENT_TYPE: &str = "application/reginfo+xml";

/// The registration of one address of record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegInfo<'a> {
    /// 0, and one more for each document of a subscription.
    pub version: u32,
    /// Address of record.
    pub aor: &'a str,
    /// Id of the registration, the same for as long as it lives.
    pub id: &'a str,
    /// The contacts.
    pub contacts: Vec<Contact<'a>>,
}

/// One contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact<'a> {
    /// Its id, the same for as long as it lives.
    pub id: String,
    /// Its URI.
    pub uri: &'a str,
    /// Its name, empty for none.
    pub display_name: &'a str,
    /// Whether it is bound, or was.
    pub is_active: bool,
    /// What happened to it: `registered`, `refreshed`, `expired`, ...
    pub event: &'a str,
    /// Seconds that are left; `None` without end.
    pub expires_s: Option<u64>,
    /// q times 1000.
    pub q_milli: u32,
    /// Call-ID and CSeq of its REGISTER; `None` for one that no REGISTER made.
    pub register: Option<(&'a str, u32)>,
    /// Its parameters, name and value.
    pub params: Vec<(&'a str, &'a str)>,
    /// Public GRUU, empty for none.
    pub pub_gruu: &'a str,
    /// The latest temporary GRUU, and the CSeq of the REGISTER since which those given out are good. RFC 5628 5
    pub temp_gruu: Option<(&'a str, u32)>,
}

impl RegInfo<'_> {
    /// The document, which always lists everything.
    pub fn to_xml(&self) -> String {
        let is_active = self.contacts.iter().any(|contact| contact.is_active);
        let state = match (is_active, self.contacts.is_empty()) {
            (true, _) => "active",
            (false, true) => "init",
            (false, false) => "terminated",
        };
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" xmlns:gr=\"urn:ietf:params:xml:ns:gruuinfo\" \
             version=\"{}\" state=\"full\">\r\n\
             <registration aor=\"{}\" id=\"{}\" state=\"{state}\">\r\n",
            self.version,
            escape(self.aor),
            escape(self.id)
        );
        for contact in &self.contacts {
            contact.write(&mut xml);
        }
        xml.push_str("</registration>\r\n</reginfo>\r\n");
        xml
    }
}

impl Contact<'_> {
    fn write(&self, xml: &mut String) {
        let state = if self.is_active { "active" } else { "terminated" };
        let _ =
            write!(xml, "<contact id=\"{}\" state=\"{state}\" event=\"{}\"", escape(&self.id), self.event);
        if let Some(expires) = self.expires_s {
            let _ = write!(xml, " expires=\"{expires}\"");
        }
        let _ = write!(xml, " q=\"{}.{:03}\"", self.q_milli / 1_000, self.q_milli % 1_000);
        if let Some((call_id, cseq)) = self.register {
            let _ = write!(xml, " callid=\"{}\" cseq=\"{cseq}\"", escape(call_id));
        }
        let _ = write!(xml, "><uri>{}</uri>", escape(self.uri));
        if !self.display_name.is_empty() {
            let _ = write!(xml, "<display-name>{}</display-name>", escape(self.display_name));
        }
        for (name, value) in &self.params {
            let _ = write!(xml, "<unknown-param name=\"{}\">{}</unknown-param>", escape(name), escape(value));
        }
        if !self.pub_gruu.is_empty() {
            let _ = write!(xml, "<gr:pub-gruu uri=\"{}\"/>", escape(self.pub_gruu));
        }
        if let Some((uri, first_cseq)) = self.temp_gruu {
            let _ = write!(xml, "<gr:temp-gruu uri=\"{}\" first-cseq=\"{first_cseq}\"/>", escape(uri));
        }
        xml.push_str("</contact>\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PKG-01, PKG-02
    #[test]
    fn contacts_are_listed_with_what_happened_to_them() {
        let desk = Contact {
            id: "c1".to_owned(),
            uri: "sip:alice@192.0.2.1;x=\"<\"",
            is_active: true,
            event: "registered",
            expires_s: Some(3_600),
            q_milli: 800,
            register: Some(("call-1", 7)),
            params: vec![("+sip.instance", "\"<urn:uuid:1>\"")],
            pub_gruu: "sip:alice@d;gr=urn:uuid:1",
            temp_gruu: Some(("sip:tgruu.x&y@d;gr", 5)),
            ..Contact::default()
        };
        let gone = Contact { id: "c2".to_owned(), uri: "sip:old@h", event: "expired", ..Contact::default() };
        let info = RegInfo { version: 1, aor: "sip:alice@d", id: "a", contacts: vec![desk, gone] };
        let xml = info.to_xml();
        for part in [
            "version=\"1\" state=\"full\"",
            "<registration aor=\"sip:alice@d\" id=\"a\" state=\"active\">",
            "<contact id=\"c1\" state=\"active\" event=\"registered\" expires=\"3600\" q=\"0.800\" callid=\"call-1\" cseq=\"7\">",
            "<uri>sip:alice@192.0.2.1;x=&quot;&lt;&quot;</uri>",
            "<gr:pub-gruu uri=\"sip:alice@d;gr=urn:uuid:1\"/><gr:temp-gruu uri=\"sip:tgruu.x&amp;y@d;gr\" first-cseq=\"5\"/>",
            "<contact id=\"c2\" state=\"terminated\" event=\"expired\" q=\"0.000\">",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
    }
}

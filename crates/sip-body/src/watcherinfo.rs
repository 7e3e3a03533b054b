//! `application/watcherinfo+xml`: who watches whom (RFC 3858).

use std::fmt::Write as _;

use crate::xml::escape;

/// The content type of a list of watchers.
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

/// A list of watchers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatcherInfo<'a> {
    /// 0, and one more for each document of a subscription.
    pub version: u32,
    /// Whether all watchers are listed, or those that changed.
    pub is_full: bool,
    /// Who is watched.
    pub resource: &'a str,
    /// In which package.
    pub package: &'a str,
    /// The watchers.
    pub watchers: Vec<Watcher<'a>>,
}

/// One watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its URI.
    pub uri: &'a str,
    /// Its name, empty for none.
    pub display_name: &'a str,
    /// `pending`, `active`, `waiting` or `terminated`.
    pub status: &'a str,
    /// What brought it there: `subscribe`, `approved`, `timeout`, ...
    pub event: &'a str,
}

impl WatcherInfo<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        let state = if self.is_full { "full" } else { "partial" };
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"{}\" state=\"{state}\">\r\n\
             <watcher-list resource=\"{}\" package=\"{}\">\r\n",
            self.version,
            escape(self.resource),
            escape(self.package)
        );
        for Watcher { id, uri, display_name, status, event } in &self.watchers {
            let _ = write!(xml, "<watcher id=\"{}\" event=\"{event}\" status=\"{status}\"", escape(id));
            if !display_name.is_empty() {
                let _ = write!(xml, " display-name=\"{}\"", escape(display_name));
            }
            let _ = write!(xml, ">{}</watcher>\r\n", escape(uri));
        }
        xml.push_str("</watcher-list>\r\n</watcherinfo>\r\n");
        xml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WIN-01
    #[test]
    fn watchers_are_listed_and_nothing_breaks_out() {
        let bob = Watcher {
            id: "77ajsyy76",
            uri: "sip:bob@example.com;x=\"<&>\"",
            display_name: "Bob \"B\"",
            status: "pending",
            event: "subscribe",
        };
        let info = WatcherInfo {
            version: 3,
            is_full: false,
            resource: "sip:alice@example.com",
            package: "presence",
            watchers: vec![bob],
        };
        assert_eq!(
            info.to_xml(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"3\" state=\"partial\">\r\n\
             <watcher-list resource=\"sip:alice@example.com\" package=\"presence\">\r\n\
             <watcher id=\"77ajsyy76\" event=\"subscribe\" status=\"pending\" display-name=\"Bob &quot;B&quot;\">\
             sip:bob@example.com;x=&quot;&lt;&amp;&gt;&quot;</watcher>\r\n\
             </watcher-list>\r\n</watcherinfo>\r\n"
        );
    }
}

//! What a phone tells of its dialogs in `application/dialog-info+xml` (RFC 4235 4), as far as it says whether it is free.

use quick_xml::events::BytesStart;

use crate::xml::{Step, Walk, XmlError, attribute};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

/// One document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldDialogs {
    /// Counts the documents of a subscription.
    pub version: u32,
    /// It tells of all dialogs, and not only of those that changed.
    pub is_full: bool,
    /// The dialogs in order.
    pub dialogs: Vec<ToldDialog>,
}

/// What a document says of one dialog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldDialog {
    /// Its id within the documents of a subscription.
    pub id: String,
    /// Whether it is over (RFC 4235 3.7.1); everything else holds a phone.
    pub is_terminated: bool,
}

impl ToldDialogs {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is none, or holds what is not allowed.
    pub fn parse(document: &[u8]) -> Result<ToldDialogs, XmlError> {
        let (_, mut walk) = Walk::begin(document, NAMESPACE)?;
        let Some(Step::Start { tag, is_known: true, .. }) = walk.step()? else {
            return Err(XmlError::Unexpected("no dialog-info document"));
        };
        let mut info = ToldDialogs::root(&tag)?;
        let mut state = None;
        while let Some(step) = walk.step()? {
            match (step, walk.depth()) {
                (Step::Start { tag, is_known: true, .. }, 2) if is(&tag, "dialog") => {
                    let id = attribute(&tag, "id")?.filter(|id| !id.is_empty());
                    let id = id.ok_or(XmlError::Unexpected("a dialog without an id"))?;
                    info.dialogs.push(ToldDialog { id, is_terminated: false });
                }
                (Step::Start { tag, is_known: true, .. }, 3) if is(&tag, "state") => {
                    state = Some(String::new())
                }
                (Step::Text(text), 3) => {
                    if let Some(state) = &mut state {
                        state.push_str(&text);
                    }
                }
                // The depth is that after the step
                (Step::End(_), 2) => {
                    if let (Some(state), Some(dialog)) = (state.take(), info.dialogs.last_mut()) {
                        dialog.is_terminated = state.trim() == "terminated";
                    }
                }
                (Step::Start { .. } | Step::Text(_) | Step::End(_), _) => {}
            }
        }
        Ok(info)
    }

    fn root(tag: &BytesStart<'_>) -> Result<ToldDialogs, XmlError> {
        if !is(tag, "dialog-info") {
            return Err(XmlError::Unexpected("no dialog-info document"));
        }
        let version = attribute(tag, "version")?.and_then(|version| version.trim().parse().ok());
        let version = version.ok_or(XmlError::Unexpected("a document without a version"))?;
        let is_full = match attribute(tag, "state")?.as_deref() {
            Some("full") => true,
            Some("partial") => false,
            _ => return Err(XmlError::Unexpected("a document that is neither full nor partial")),
        };
        Ok(ToldDialogs { version, is_full, dialogs: Vec::new() })
    }
}

fn is(tag: &BytesStart<'_>, name: &str) -> bool {
    tag.local_name().as_ref() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(attributes: &str, inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" {attributes}>\n\
             {inner}\n</dialog-info>"
        )
    }

    fn dialog(id: &str, is_terminated: bool) -> ToldDialog {
        ToldDialog { id: id.to_owned(), is_terminated }
    }

    #[test]
    fn dialogs_are_read_with_their_states() {
        let full = document(
            "version=\"7\" state=\"full\" entity=\"sip:bob@example.com\"",
            "<dialog id=\"a&amp;1\" call-id=\"c\"><state event=\"local-bye\" code=\"200\"> terminated\n</state>\
             <remote><identity>sip:alice@example.com</identity><state>confirmed</state></remote></dialog>\
             <dialog id=\"b\"><x:y xmlns:x=\"urn:x\"><x:state>terminated</x:state></x:y><state>confirmed</state>\
             </dialog><dialog id=\"c\"/>",
        );
        let read = ToldDialogs::parse(full.as_bytes()).expect("a document");
        assert_eq!((read.version, read.is_full), (7, true));
        assert_eq!(read.dialogs, [dialog("a&1", true), dialog("b", false), dialog("c", false)]);
        let none = document("version=\"0\" state=\"partial\" entity=\"sip:bob@example.com\"", "");
        let read = ToldDialogs::parse(none.as_bytes()).expect("a document");
        assert_eq!(read, ToldDialogs { version: 0, is_full: false, dialogs: Vec::new() });
    }

    /// T27: what no such document needs is refused.
    #[test]
    fn what_is_no_document_is_refused() {
        let good = "version=\"1\" state=\"full\"";
        for bad in [
            String::new(),
            "<dialog-info version=\"1\" state=\"full\"/>".to_owned(),
            document("state=\"full\"", ""),
            document("version=\"-1\" state=\"full\"", ""),
            document("version=\"99999999999\" state=\"full\"", ""),
            document("version=\"1\" state=\"some\"", ""),
            document(good, "<dialog><state>confirmed</state></dialog>"),
            document(good, "<dialog id=\"&e;\"/>"),
            document(good, "<!DOCTYPE x>"),
            document(good, "<dialog id=\"a\">"),
            document(good, &"<x>".repeat(40)),
        ] {
            assert!(ToldDialogs::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

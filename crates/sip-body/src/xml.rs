//! XML of peers, with everything refused that documents of these packages have no use for (T27).

use quick_xml::XmlVersion;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

/// Octets of a document.
pub const MAX_OCTETS: usize = 64 * 1024;
/// Elements within each other.
pub const MAX_DEPTH: usize = 32;
/// Elements of a document.
const MAX_ELEMENTS: usize = 4_096;

/// Why a document is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is larger or deeper than accepted.
    #[error("more than the {0} allowed")]
    TooLarge(&'static str),
    /// It is not well-formed, or not UTF-8.
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    /// It has a document type, a processing instruction or an entity of its own.
    #[error("{0} is not allowed")]
    Forbidden(&'static str),
    /// It is not what it says it is.
    #[error("{0}")]
    Unexpected(&'static str),
}

/// One step through a document.
#[derive(Debug)]
pub enum Step<'a> {
    /// An element begins. `is_known`: it is in the namespace that was asked for.
    Start {
        /// Its start tag.
        tag: BytesStart<'a>,
        /// Whether it is in the namespace that was asked for.
        is_known: bool,
        /// Whether it is in no namespace at all.
        is_bare: bool,
        /// Where its tag begins.
        at: usize,
    },
    /// Text, with its entities replaced.
    Text(String),
    /// The innermost element ends here.
    End(usize),
}

/// Walks through a document.
pub struct Walk<'a> {
    reader: NsReader<&'a [u8]>,
    namespace: &'static str,
    depth: usize,
    elements: usize,
}

impl<'a> Walk<'a> {
    /// Begins; elements of `namespace` are the known ones.
    ///
    /// # Errors
    /// When it is too large, or not UTF-8.
    pub fn begin(document: &'a [u8], namespace: &'static str) -> Result<(&'a str, Walk<'a>), XmlError> {
        if document.len() > MAX_OCTETS {
            return Err(XmlError::TooLarge("64 kB"));
        }
        let text = std::str::from_utf8(document).map_err(|error| XmlError::Malformed(error.to_string()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !text.chars().all(is_allowed) {
            return Err(XmlError::Forbidden("a control character"));
        }
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        Ok((text, Walk { reader, namespace, depth: 0, elements: 0 }))
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The next step; `None` after the last one.
    ///
    /// # Errors
    /// When the document ends too early, or holds what is not allowed.
    pub fn step(&mut self) -> Result<Option<Step<'a>>, XmlError> {
        loop {
            let at = self.position();
            let (resolved, event) =
                self.reader.read_resolved_event().map_err(|error| XmlError::Malformed(error.to_string()))?;
            let is_known = resolved == ResolveResult::Bound(Namespace(self.namespace));
            let is_bare = resolved == ResolveResult::Unbound;
            let is_unknown_prefix = matches!(resolved, ResolveResult::Unknown(_));
            return Ok(Some(match event {
                Event::Start(_) if is_unknown_prefix => {
                    return Err(XmlError::Malformed("a prefix that nothing declares".to_owned()));
                }
                Event::Start(_) if self.depth == 0 && self.elements > 0 => {
                    return Err(XmlError::Malformed("a second document".to_owned()));
                }
                Event::Start(tag) => {
                    check(&tag)?;
                    (self.depth, self.elements) = (self.depth + 1, self.elements + 1);
                    if self.depth > MAX_DEPTH {
                        return Err(XmlError::TooLarge("depth of 32"));
                    }
                    if self.elements > MAX_ELEMENTS {
                        return Err(XmlError::TooLarge("4,096 elements"));
                    }
                    Step::Start { tag, is_known, is_bare, at }
                }
                Event::End(_) => {
                    self.depth -= 1;
                    Step::End(self.position())
                }
                Event::Text(text) if self.depth == 0 && text.trim().is_empty() => continue,
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) if self.depth == 0 => {
                    return Err(XmlError::Malformed("text outside of the document".to_owned()));
                }
                Event::Text(text) => Step::Text(text.to_string()),
                Event::CData(text) => Step::Text(text.to_string()),
                Event::GeneralRef(reference) => Step::Text(replaced(&reference)?),
                Event::Decl(declaration) => {
                    check_encoding(&declaration)?;
                    continue;
                }
                Event::Comment(_) | Event::Empty(_) => continue,
                Event::PI(_) => return Err(XmlError::Forbidden("a processing instruction")),
                Event::DocType(_) => return Err(XmlError::Forbidden("a document type")),
                Event::Eof if self.depth > 0 || self.elements == 0 => {
                    return Err(XmlError::Malformed("the document ends too early".to_owned()));
                }
                Event::Eof => return Ok(None),
            }));
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }
}

/// What was read as UTF-8 has to say no other encoding: another reader would read something else.
fn check_encoding(declaration: &BytesDecl<'_>) -> Result<(), XmlError> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if is_utf8(&name) => Ok(()),
        Some(Ok(_)) => Err(XmlError::Forbidden("an encoding other than UTF-8")),
        Some(Err(error)) => Err(XmlError::Malformed(error.to_string())),
    }
}

/// Whether a text in this encoding is one in UTF-8.
#[must_use]
pub fn is_utf8(encoding: &str) -> bool {
    encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("us-ascii")
}

/// Every attribute is one, and refers to nothing but characters.
fn check(tag: &BytesStart<'_>) -> Result<(), XmlError> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Malformed(error.to_string()))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|_| XmlError::Forbidden("an entity of its own"))?;
        if !value.chars().all(is_allowed) {
            return Err(XmlError::Forbidden("a control character"));
        }
    }
    Ok(())
}

/// Whether a character may be in a document (XML 1.0 2.2).
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// What a reference stands for: a character, or one of the five names that need no declaration.
fn replaced(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, XmlError> {
    let malformed = |error: quick_xml::Error| XmlError::Malformed(error.to_string());
    if let Some(character) = reference.resolve_char_ref().map_err(malformed)? {
        let allowed = is_allowed(character).then(|| character.to_string());
        return allowed.ok_or(XmlError::Forbidden("a control character"));
    }
    let named = quick_xml::escape::resolve_xml_entity(reference);
    named.map(str::to_owned).ok_or(XmlError::Forbidden("an entity of its own"))
}

/// The value of an attribute; references are replaced.
///
/// # Errors
/// When the tag is malformed.
pub fn attribute(tag: &BytesStart<'_>, name: &str) -> Result<Option<String>, XmlError> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Malformed(error.to_string()))?;
        if attribute.key.as_ref() == name {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            return Ok(Some(value.map_err(|_| XmlError::Forbidden("an entity of its own"))?.into_owned()));
        }
    }
    Ok(None)
}

/// Text or an attribute of ours, with what XML does not allow left out.
pub fn escape(text: &str) -> String {
    let text: String = text.chars().filter(|c| is_allowed(*c)).collect();
    let text = quick_xml::escape::escape(text.as_str());
    // As themselves they would be read as blanks in an attribute (XML 1.0 3.3.3).
    text.replace('\t', "&#9;").replace('\n', "&#10;").replace('\r', "&#13;")
}

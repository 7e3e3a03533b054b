//! `application/pidf+xml`: presence documents (RFC 3863).
//!
//! A document of a peer is taken apart into [`Part`]s, each of which can stand in another document: what a part holds that is not
//! understood here stays as it came, with the namespaces that it needs. What others send is held against the schema once, when it
//! comes ([`Pidf::normalized`]).

mod schema;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use quick_xml::events::BytesStart;

use crate::xml::{MAX_OCTETS, Step, Walk, XmlError, attribute, escape};

/// The content type of a presence document.
pub const CONTENT_TYPE: &str = "application/pidf+xml";

const NAMESPACE: &str = "urn:ietf:params:xml:ns:pidf";
/// Tuples of a document.
const MAX_TUPLES: usize = 64;

/// A presence document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pidf {
    /// Whose presence it is, as it says.
    pub entity: String,
    /// What it holds, in order.
    pub parts: Vec<Part>,
}

/// One element of a presence document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// One way to reach somebody.
    Tuple(Tuple),
    /// A note about the presentity as a whole.
    Note {
        /// What it says.
        text: String,
        /// The element.
        xml: String,
    },
    /// An extension, such as a person of RFC 4479.
    Other(String),
}

/// One way to reach somebody (RFC 3863 4.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Its id, unique in a document.
    pub id: String,
    /// Whether it is open; `None` when it does not say.
    pub is_open: Option<bool>,
    /// Where it leads.
    pub contact: String,
    /// Priority of the contact times 1000.
    pub priority_milli: Option<u16>,
    /// Its first note.
    pub note: String,
    /// When its state was as it says.
    pub timestamp: String,
    /// What it holds beside its id.
    pub source: Source,
}

/// A tuple without its id: what stands before it in its start tag, and what after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    before: String,
    after: String,
}

impl Pidf {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is no presence document, or holds what is not allowed.
    pub fn parse(document: &[u8]) -> Result<Pidf, XmlError> {
        let (text, mut walk) = Walk::begin(document, NAMESPACE)?;
        let Some(root) = first(&mut walk)? else { return Err(XmlError::Unexpected("no element")) };
        if root.local_name().as_ref() != "presence" {
            return Err(XmlError::Unexpected("the root is not presence of urn:ietf:params:xml:ns:pidf"));
        }
        let Some(entity) = attribute(&root, "entity")?.filter(|entity| !entity.is_empty()) else {
            return Err(XmlError::Unexpected("presence without entity"));
        };
        let mut namespaces = namespaces(&root)?;
        // Where there is no default namespace, names without prefix are in none.
        match namespaces.iter().position(|(key, _)| key == "xmlns") {
            None => namespaces.push(("xmlns".to_owned(), String::new())),
            Some(at) if namespaces[at].1 == NAMESPACE => drop(namespaces.remove(at)),
            Some(_) => {}
        }
        let mut pidf = Pidf { entity, parts: Vec::new() };
        let mut ids = HashSet::new();
        let mut octets = 0;
        while let Some(step) = walk.step()? {
            match step {
                Step::Start { tag, is_known, at, .. } => {
                    let part = read_part(text, &mut walk, &tag, is_known, at, &namespaces)?;
                    if let Part::Tuple(tuple) = &part
                        && (!ids.insert(tuple.id.clone()) || ids.len() > MAX_TUPLES)
                    {
                        return Err(XmlError::Unexpected("more than 64 tuples, or two of the same id"));
                    }
                    // Each part has the namespaces of the root with it: many small ones under a large root are no small document.
                    octets += part.octets();
                    if octets > MAX_OCTETS {
                        return Err(XmlError::TooLarge("64 kB with the namespaces of each part"));
                    }
                    pidf.parts.push(part);
                }
                Step::Text(text) if !text.trim().is_empty() && walk.depth() > 0 => {
                    return Err(XmlError::Unexpected("text between the parts of a presence"));
                }
                Step::Text(_) | Step::End(_) => {}
            }
        }
        Ok(pidf)
    }

    /// A document of a peer as it is kept: what [`Pidf::to_xml`] makes of it, which is read again without loss, and breaks no rule of
    /// the schema.
    ///
    /// # Errors
    /// As [`Pidf::parse`], and when it breaks the schema in a way that says nothing of what was meant.
    pub fn normalized(document: &[u8]) -> Result<String, XmlError> {
        Pidf::read(document).map(|(_, written)| written)
    }

    /// The same, with whose presence it is.
    ///
    /// # Errors
    /// As [`Pidf::normalized`].
    pub fn read(document: &[u8]) -> Result<(Pidf, String), XmlError> {
        let mut pidf = Pidf::parse(document)?;
        schema::check(document)?;
        pidf.name_tuples()?;
        let written = pidf.to_xml();
        if written.len() > MAX_OCTETS { Err(XmlError::TooLarge("64 kB")) } else { Ok((pidf, written)) }
    }

    /// Ids of tuples are names of XML (`xs:ID`); phones make some of digits.
    fn name_tuples(&mut self) -> Result<(), XmlError> {
        let mut ids = HashSet::new();
        for part in &mut self.parts {
            let Part::Tuple(tuple) = part else { continue };
            if !is_name(&tuple.id) {
                tuple.id = named(&tuple.id);
            }
            if !ids.insert(tuple.id.clone()) {
                return Err(XmlError::Unexpected("two tuples of ids that are no names of XML, and alike"));
            }
        }
        Ok(())
    }

    /// The document.
    pub fn to_xml(&self) -> String {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"{NAMESPACE}\" entity=\"{}\">\r\n",
            escape(&self.entity)
        );
        // RFC 3863 4.1: tuples, then notes, then what others have added
        let order = |part: &&Part| match part {
            Part::Tuple(_) => 0,
            Part::Note { .. } => 1,
            Part::Other(_) => 2,
        };
        let mut parts: Vec<&Part> = self.parts.iter().collect();
        parts.sort_by_key(order);
        for part in parts {
            match part {
                Part::Tuple(tuple) => {
                    let Source { before, after } = &tuple.source;
                    let _ = write!(xml, "{before} id=\"{}\"{after}\r\n", escape(&tuple.id));
                }
                Part::Note { xml: part, .. } | Part::Other(part) => {
                    let _ = write!(xml, "{part}\r\n");
                }
            }
        }
        xml.push_str("</presence>\r\n");
        xml
    }
}

impl Part {
    /// How large it is when it is written.
    fn octets(&self) -> usize {
        match self {
            Part::Tuple(tuple) => tuple.id.len() + tuple.source.before.len() + tuple.source.after.len(),
            Part::Note { xml, .. } | Part::Other(xml) => xml.len(),
        }
    }

    /// A note.
    pub fn note(text: &str) -> Part {
        Part::Note { text: text.to_owned(), xml: format!("<note>{}</note>", escape(text)) }
    }
}

impl Tuple {
    /// The tuple of what is said in the fields, all but the source.
    pub fn made(self) -> Tuple {
        let mut inner = ">".to_owned();
        inner.push_str("<status>");
        if let Some(is_open) = self.is_open {
            let _ = write!(inner, "<basic>{}</basic>", if is_open { "open" } else { "closed" });
        }
        inner.push_str("</status>");
        if !self.contact.is_empty() {
            let priority = self.priority_milli.map(|milli| {
                let milli = milli.min(1_000);
                format!(" priority=\"{}.{:03}\"", milli / 1_000, milli % 1_000)
            });
            let _ =
                write!(inner, "<contact{}>{}</contact>", priority.unwrap_or_default(), escape(&self.contact));
        }
        if !self.note.is_empty() {
            let _ = write!(inner, "<note>{}</note>", escape(&self.note));
        }
        if !self.timestamp.is_empty() {
            let _ = write!(inner, "<timestamp>{}</timestamp>", escape(&self.timestamp));
        }
        inner.push_str("</tuple>");
        Tuple { source: Source { before: "<tuple".to_owned(), after: inner }, ..self }
    }
}

fn first<'a>(walk: &mut Walk<'a>) -> Result<Option<BytesStart<'a>>, XmlError> {
    while let Some(step) = walk.step()? {
        match step {
            Step::Start { tag, is_known: true, .. } => return Ok(Some(tag)),
            Step::Start { is_known: false, .. } => {
                return Err(XmlError::Unexpected("the root is not presence of urn:ietf:params:xml:ns:pidf"));
            }
            Step::Text(_) | Step::End(_) => {}
        }
    }
    Ok(None)
}

/// Whether it is a name of XML without colon, of the characters that everybody's ids are made of.
fn is_name(id: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    id.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && id.chars().all(is_inner)
}

/// A name that only this id gives, or one that looks like it.
fn named(id: &str) -> String {
    id.chars().fold("_".to_owned(), |mut name, c| {
        let is_inner = c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let _ = if is_inner { write!(name, "{c}") } else { write!(name, "_{:x}_", u32::from(c)) };
        name
    })
}

/// The declarations of a start tag, each with its name.
fn namespaces(tag: &BytesStart<'_>) -> Result<Vec<(String, String)>, XmlError> {
    let mut found = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Malformed(error.to_string()))?;
        let key: &str = attribute.key.as_ref();
        if key == "xmlns" || key.starts_with("xmlns:") {
            found.push((key.to_owned(), attribute.value.replace('"', "&quot;")));
        }
    }
    Ok(found)
}

fn read_part(
    text: &str,
    walk: &mut Walk<'_>,
    tag: &BytesStart<'_>,
    is_known: bool,
    at: usize,
    namespaces: &[(String, String)],
) -> Result<Part, XmlError> {
    let name: String = tag.name().as_ref().to_owned();
    let kind: String = if is_known { tag.local_name().as_ref().to_owned() } else { String::new() };
    let own = own_declarations(tag, namespaces)?;
    let mut tuple = Tuple::default();
    let (mut path, mut note) = (Vec::<String>::new(), String::new());
    let (mut basic, mut basic_at, mut odd) = (String::new(), 0, Vec::new());
    let (mut children, mut child) = (Vec::new(), (0, 0));
    let end = loop {
        match walk.step()?.ok_or(XmlError::Unexpected("a part without end"))? {
            Step::Start { tag, is_known, at, .. } => {
                let local: String =
                    if is_known { tag.local_name().as_ref().to_owned() } else { String::new() };
                if path.is_empty() {
                    child = (place(&local), at);
                }
                if path.is_empty() && local == "contact" {
                    tuple.priority_milli = attribute(&tag, "priority")?.and_then(|value| milli(&value));
                }
                if path == ["status"] && local == "basic" {
                    basic_at = at;
                }
                path.push(local);
            }
            Step::End(end) => {
                let Some(ended) = path.pop() else { break end };
                if path.is_empty() {
                    children.push((child.0, child.1..end));
                }
                if path == ["status"] && ended == "basic" {
                    tuple.is_open = match std::mem::take(&mut basic).trim() {
                        "open" => Some(true),
                        "closed" => Some(false),
                        // RFC 3863 4.1.4 knows no other, and phones that have not decided yet send "unknown": they say nothing, and
                        // nobody is shown what no schema allows.
                        _ => {
                            odd.push(basic_at..end);
                            None
                        }
                    };
                }
            }
            Step::Text(text) => match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] => note.push_str(&text),
                ["status", "basic"] => basic.push_str(&text),
                ["contact"] => tuple.contact.push_str(text.trim()),
                ["note"] => tuple.note.push_str(&text),
                ["timestamp"] => tuple.timestamp.push_str(text.trim()),
                _ => {}
            },
        }
    };
    let cut = || XmlError::Unexpected("a part without end");
    let whole = without(text, at..end, &odd).ok_or_else(cut)?;
    match kind.as_str() {
        "tuple" => {
            children.sort_by_key(|(place, _)| *place);
            let mut inner = ">".to_owned();
            for (_, range) in children {
                let odd: Vec<_> = odd.iter().filter(|odd| range.contains(&odd.start)).cloned().collect();
                inner.push_str(&without(text, range, &odd).ok_or_else(cut)?);
            }
            let _ = write!(inner, "</{name}>");
            let id = attribute(tag, "id")?.filter(|id| !id.is_empty());
            let id = id.ok_or(XmlError::Unexpected("a tuple without id"))?;
            let before = format!("<{name}{own}{}", other_attributes(tag)?);
            let source = Source { before, after: inner };
            Ok(Part::Tuple(Tuple { id, source, ..tuple }))
        }
        "note" => Ok(Part::Note { text: note, xml: with_declarations(&whole, &name, &own) }),
        _ => Ok(Part::Other(with_declarations(&whole, &name, &own))),
    }
}

/// Where a child of a tuple stands (RFC 3863 4.4).
fn place(local: &str) -> u8 {
    match local {
        "status" => 0,
        "contact" => 2,
        "note" => 3,
        "timestamp" => 4,
        _ => 1,
    }
}

/// A part of a text, without what is to be left out of it, in order.
fn without(text: &str, part: Range<usize>, left_out: &[Range<usize>]) -> Option<String> {
    let (mut kept, mut from) = (String::new(), part.start);
    for range in left_out {
        kept.push_str(text.get(from..range.start)?);
        from = range.end;
    }
    kept.push_str(text.get(from..part.end)?);
    Some(kept)
}

/// The declarations of the root that this tag does not make itself.
fn own_declarations(tag: &BytesStart<'_>, root: &[(String, String)]) -> Result<String, XmlError> {
    let made = namespaces(tag)?;
    let missing = root.iter().filter(|(key, _)| !made.iter().any(|(own, _)| own == key));
    Ok(missing.fold(String::new(), |mut all, (key, value)| {
        let _ = write!(all, " {key}=\"{value}\"");
        all
    }))
}

/// All attributes but the id.
fn other_attributes(tag: &BytesStart<'_>) -> Result<String, XmlError> {
    let mut others = String::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| XmlError::Malformed(error.to_string()))?;
        let key: &str = attribute.key.as_ref();
        if key != "id" {
            let _ = write!(others, " {key}=\"{}\"", attribute.value.replace('"', "&quot;"));
        }
    }
    Ok(others)
}

fn with_declarations(whole: &str, name: &str, own: &str) -> String {
    let (start, rest) = whole.split_at((1 + name.len()).min(whole.len()));
    format!("{start}{own}{rest}")
}

/// `0.8` as 800.
fn milli(value: &str) -> Option<u16> {
    let value: f32 = value.trim().parse().ok()?;
    // The cast saturates, and the range is checked.
    (0.0..=1.0).contains(&value).then_some((value * 1_000.0).round() as u16)
}

#[cfg(test)]
mod tests;

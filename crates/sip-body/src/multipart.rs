//! Multipart bodies (RFC 2046 5.1, RFC 5621 4), read with nesting and limits, and built.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{disposition::Disposition, media_type::MediaType};

const MAX_PARTS: usize = 32;
const MAX_DEPTH: usize = 4;
const MAX_PART_HEADERS: usize = 32;
/// How the delimiters of bodies that are built here begin; a number follows.
const NUMBERED: &[u8] = b"--carillon-";

/// A body: one thing, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its type.
    pub content_type: MediaType,
    /// Its disposition, defaulted where it was not written.
    pub disposition: Disposition,
    /// Content-ID without angle brackets, empty when absent. A `cid:` reference may point to a later part only.
    pub content_id: String,
    /// What is in it.
    pub content: Content,
}

/// What is in an entity.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// The octets of anything but a multipart.
    Single(Bytes),
    /// The parts of a multipart, in order.
    Parts(Vec<Entity>),
}

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The content type is unreadable.
    #[error("unreadable content type {0:?}")]
    ContentType(String),
    /// A multipart without a usable boundary parameter (RFC 2046 5.1.1: 1 to 70 octets).
    #[error("multipart without a boundary of 1 to 70 octets")]
    Boundary,
    /// The delimiter never occurs, or the last one is missing.
    #[error("multipart without its {0} delimiter")]
    Delimiter(&'static str),
    /// The headers of a part do not end, or are not headers.
    #[error("broken headers in part {0}")]
    PartHeaders(usize),
    /// Too many parts, or nested too deeply.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
}

impl Entity {
    /// Reads the body of a message with these header values. Without a Content-Type the body is `text/plain`.
    ///
    /// # Errors
    /// [`MultipartError`]: the answer is 400, or 415 when the type cannot be read.
    pub fn parse(
        content_type: Option<&[u8]>,
        content_disposition: Option<&[u8]>,
        body: &Bytes,
    ) -> Result<Self, MultipartError> {
        read(content_type, content_disposition, None, body, 0, &mut 0)
    }

    /// The part that a `cid:` URL (RFC 2392) refers to. `from` is the part of this body that says it, or `None` when a header
    /// of the message does.
    ///
    /// Parts are handled in their order, so a part refers to later ones alone (RFC 5621 9): to an earlier one, to itself and to
    /// what it is part of, there is no reference.
    pub fn referred(&self, url: &str, from: Option<&Self>) -> Option<&Self> {
        let content_id = content_id(url)?;
        let mut entities = Vec::new();
        self.list(&mut entities);
        let after = match from {
            None => 0,
            Some(from) => 1 + entities.iter().position(|entity| std::ptr::eq(*entity, from))?,
        };
        entities[after..].iter().find(|entity| entity.content_id == content_id).copied()
    }

    /// The entity and all that is in it, in the order of the message.
    fn list<'a>(&'a self, into: &mut Vec<&'a Self>) {
        into.push(self);
        if let Content::Parts(parts) = &self.content {
            parts.iter().for_each(|part| part.list(into));
        }
    }
}

/// The Content-ID that a `cid:` URL names; escapes are those of any URL.
fn content_id(url: &str) -> Option<String> {
    let (scheme, escaped) = url.split_once(':')?;
    let mut octets = Vec::new();
    let mut rest = escaped.bytes();
    while let Some(octet) = rest.next() {
        let digit = |octet: Option<u8>| char::from(octet?).to_digit(16);
        octets.push(match octet {
            b'%' => u8::try_from(16 * digit(rest.next())? + digit(rest.next())?).ok()?,
            octet => octet,
        });
    }
    let id = String::from_utf8(octets).ok()?;
    (scheme.eq_ignore_ascii_case("cid") && !id.is_empty()).then_some(id)
}

/// Shows how much there is, never what: bodies may hold keys.
impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single(octets) => write!(f, "{} octets", octets.len()),
            Self::Parts(parts) => f.debug_list().entries(parts).finish(),
        }
    }
}

/// One part to be built.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Value of Content-Type.
    pub content_type: &'a str,
    /// Value of Content-Disposition, empty for none.
    pub content_disposition: &'a str,
    /// The octets.
    pub body: &'a [u8],
}

/// One part of several that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Related<'a> {
    /// Value of Content-Type.
    pub content_type: &'a str,
    /// Content-ID without angle brackets.
    pub content_id: &'a str,
    /// The octets.
    pub body: &'a [u8],
}

/// Builds a `multipart/related` body (RFC 2387) and its Content-Type; the first part is the root, of type `root_type`. The
/// boundary depends on the parts alone.
///
/// Values come from Carillon itself; CR and LF in them are left out.
pub fn build_related(root_type: &str, parts: &[Related<'_>]) -> (String, Bytes) {
    let boundary = free_boundary(parts.iter().map(|part| part.body));
    let mut body = Vec::new();
    for Related { content_type, content_id, body: content } in parts {
        let (content_type, content_id) = (one_line(content_type), one_line(content_id));
        let head = format!(
            "--{boundary}\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <{content_id}>\r\n\
             Content-Type: {content_type}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let start = parts.first().map_or(String::new(), |root| one_line(root.content_id));
    let root_type = one_line(root_type);
    let content_type =
        format!("multipart/related;type=\"{root_type}\";start=\"<{start}>\";boundary=\"{boundary}\"");
    (content_type, body.into())
}

/// A boundary whose delimiter none of these has in it, found in one pass: who writes a body cannot make it long work.
fn free_boundary<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> String {
    let mut taken = HashSet::new();
    for body in bodies {
        let mut at = 0;
        while let Some(found) = find(body, NUMBERED, at) {
            at = found + NUMBERED.len();
            let mut number = 0_u64;
            // Longer numbers are never reached.
            for digit in body[at..].iter().take(9).map_while(|octet| char::from(*octet).to_digit(10)) {
                number = number * 10 + u64::from(digit);
                taken.insert(number);
            }
        }
    }
    let free = (0_u64..).find(|number| !taken.contains(number));
    format!("carillon-{}", free.expect("parts of finite size hold finitely many numbers"))
}

fn one_line(value: &str) -> String {
    value.replace(['\r', '\n', '\0'], "")
}

/// Builds a `multipart/mixed` body and its Content-Type. The boundary depends on the parts alone, so that the same parts
/// give the same message again.
///
/// Values come from Carillon itself; CR and LF in them are left out.
pub fn build_mixed(parts: &[Part<'_>]) -> (String, Bytes) {
    let boundary = free_boundary(parts.iter().map(|part| part.body));
    let mut body = Vec::new();
    for part in parts {
        body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        body.extend_from_slice(format!("Content-Type: {}\r\n", one_line(part.content_type)).as_bytes());
        if !part.content_disposition.is_empty() {
            let value = one_line(part.content_disposition);
            body.extend_from_slice(format!("Content-Disposition: {value}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (format!("multipart/mixed;boundary={boundary}"), body.into())
}

fn read(
    content_type: Option<&[u8]>,
    content_disposition: Option<&[u8]>,
    content_id: Option<&[u8]>,
    body: &Bytes,
    depth: usize,
    part_count: &mut usize,
) -> Result<Entity, MultipartError> {
    // RFC 2045 5.2: no Content-Type means text/plain
    let written = content_type.unwrap_or(b"text/plain");
    let content_type = MediaType::parse(written)
        .ok_or_else(|| MultipartError::ContentType(written.escape_ascii().to_string()))?;
    let disposition = Disposition::of(content_disposition, &content_type);
    let content_id = String::from_utf8_lossy(content_id.unwrap_or_default());
    let content_id = content_id.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
    let content = if content_type.main == "multipart" {
        if depth == MAX_DEPTH {
            return Err(MultipartError::TooMany { what: "levels of nesting", limit: MAX_DEPTH });
        }
        let boundary = content_type.params.get("boundary").unwrap_or_default();
        if boundary.is_empty() || boundary.len() > 70 {
            return Err(MultipartError::Boundary);
        }
        Content::Parts(read_parts(boundary, body, depth, part_count)?)
    } else {
        Content::Single(body.clone())
    };
    Ok(Entity { content_type, disposition, content_id, content })
}

fn read_parts(
    boundary: &str,
    body: &Bytes,
    depth: usize,
    part_count: &mut usize,
) -> Result<Vec<Entity>, MultipartError> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut at = next_delimiter(body, delimiter.as_bytes(), 0).ok_or(MultipartError::Delimiter("first"))?;
    while !at.is_last {
        let next =
            next_delimiter(body, delimiter.as_bytes(), at.end).ok_or(MultipartError::Delimiter("last"))?;
        *part_count += 1;
        if *part_count > MAX_PARTS {
            return Err(MultipartError::TooMany { what: "parts", limit: MAX_PARTS });
        }
        parts.push(read_part(&body.slice(at.end..next.start.max(at.end)), depth, part_count)?);
        at = next;
    }
    Ok(parts)
}

fn read_part(part: &Bytes, depth: usize, part_count: &mut usize) -> Result<Entity, MultipartError> {
    let broken = MultipartError::PartHeaders(*part_count);
    let (mut content_type, mut disposition, mut content_id) = (None, None, None);
    let mut at = 0;
    for _ in 0..=MAX_PART_HEADERS {
        let end = find(part, b"\n", at);
        let line = &part[at..end.unwrap_or(part.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at = end.map_or(part.len(), |end| end + 1);
        if line.is_empty() {
            let content = part.slice(at..);
            return read(content_type, disposition, content_id, &content, depth + 1, part_count);
        }
        if line[0] == b' ' || line[0] == b'\t' {
            // a folded header: its first line was enough to know it by
            continue;
        }
        let Some(colon) = line.iter().position(|&octet| octet == b':') else { return Err(broken) };
        let (name, value) = (line[..colon].trim_ascii(), Some(line[colon + 1..].trim_ascii()));
        if name.eq_ignore_ascii_case(b"Content-Type") {
            content_type = value;
        } else if name.eq_ignore_ascii_case(b"Content-Disposition") {
            disposition = value;
        } else if name.eq_ignore_ascii_case(b"Content-ID") {
            content_id = value;
        }
    }
    Err(broken)
}

struct Delimiter {
    /// Where the content before it ends: the line end before a delimiter belongs to the delimiter.
    start: usize,
    /// Where the line after it begins.
    end: usize,
    is_last: bool,
}

fn next_delimiter(body: &[u8], delimiter: &[u8], from: usize) -> Option<Delimiter> {
    let mut search = from;
    loop {
        let at = find(body, delimiter, search)?;
        search = at + 1;
        let is_line_start = at == from || body[at - 1] == b'\n';
        let after = &body[at + delimiter.len()..];
        let is_last = after.starts_with(b"--");
        let rest = if is_last { &after[2..] } else { after };
        let line_length = rest.iter().position(|&octet| octet == b'\n').map_or(rest.len(), |end| end + 1);
        let is_blank = rest[..line_length].trim_ascii().is_empty();
        if !is_line_start || !is_blank || (!is_last && line_length == rest.len() && !rest.ends_with(b"\n")) {
            continue;
        }
        let start = if at == from { at } else { at - 1 - usize::from(at >= 2 && body[at - 2] == b'\r') };
        return Some(Delimiter { start, end: body.len() - rest.len() + line_length, is_last });
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|window| window == needle).map(|at| from + at)
}

#[cfg(test)]
mod tests;

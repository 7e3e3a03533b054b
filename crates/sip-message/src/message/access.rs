//! Reading a message: the start line, headers by name, and the fields that routing needs.

use super::essentials::{first_via, whole_call_id};
use super::{Message, StartLine};
use crate::Method;
use crate::error::{HeaderError, HeaderFault};
use crate::grammar::Scanner;
use crate::header::{CSeq, HeaderId, NameAddr, OneOrList, Params, Via, comma};
use crate::uri::scan_host_port;

/// One header line as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which header it is.
    pub id: HeaderId,
    /// The name as spelled.
    pub name: &'a [u8],
    /// The value without white space at either end; it may hold folds.
    pub value: &'a [u8],
}

/// Of a Via, what a request is known by. RFC 3261 17.2.3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBy<'a> {
    /// The host as received.
    pub host: &'a str,
    /// The port, if given.
    pub port: Option<u16>,
    /// The branch.
    pub branch: &'a str,
}

impl Message {
    /// Is it a request?
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The start line without its line end, as received.
    pub fn start_line(&self) -> &[u8] {
        let end = memchr::memchr2(b'\r', b'\n', &self.bytes).unwrap_or(self.bytes.len());
        &self.bytes[..end]
    }

    /// The method of the request line, or of CSeq in a response; empty when a response has no
    /// readable CSeq.
    pub fn method(&self) -> Method {
        match &self.start {
            StartLine::Request { method, .. } => method.clone(),
            StartLine::Response { .. } => Method::from(self.method_str()),
        }
    }

    /// Like [`Message::method`], without an allocation for methods that this crate does not know.
    pub fn method_str(&self) -> &str {
        match &self.start {
            StartLine::Request { method, .. } => method.as_str(),
            StartLine::Response { .. } => self
                .first(HeaderId::CSeq)
                .and_then(|value| CSeq::split(value).ok())
                .and_then(|(_, method)| std::str::from_utf8(method).ok())
                .unwrap_or_default(),
        }
    }

    /// The Request-URI as received; `None` for a response.
    pub fn request_uri(&self) -> Option<&[u8]> {
        match self.start {
            StartLine::Request { uri: (start, end), .. } => {
                Some(&self.bytes[usize::from(start)..usize::from(end)])
            }
            StartLine::Response { .. } => None,
        }
    }

    /// The status; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase as received; empty for a request.
    pub fn reason(&self) -> &[u8] {
        match self.start {
            StartLine::Request { .. } => &[],
            StartLine::Response { reason: (start, end), .. } => {
                &self.bytes[usize::from(start)..usize::from(end)]
            }
        }
    }

    /// All header lines in wire order.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().map(|entry| Field {
            id: entry.id,
            name: self.name_of(entry),
            value: self.value_of(entry),
        })
    }

    /// Is there a line of this header?
    pub fn has(&self, id: HeaderId) -> bool {
        self.entries.iter().any(|entry| entry.id == id)
    }

    /// The value of the first line of this header.
    pub fn first(&self, id: HeaderId) -> Option<&[u8]> {
        self.entries.iter().find(|entry| entry.id == id).map(|entry| self.value_of(entry))
    }

    /// The value of the first line of this header as text; `None` also when it is not UTF-8.
    pub fn first_str(&self, id: HeaderId) -> Option<&str> {
        self.first(id).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of this header, one for each line.
    pub fn all(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(move |entry| entry.id == id).map(|entry| self.value_of(entry))
    }

    /// The values of this header over all lines, split at top-level commas where the header is a
    /// list. MSG-05
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        self.all(id).flat_map(move |value| OneOrList::of(id, value))
    }

    /// Whether there is a header without an id of its own whose name begins so.
    pub fn has_prefixed(&self, prefix: &str) -> bool {
        let prefix = prefix.as_bytes();
        let mut others = self.entries.iter().filter(|entry| entry.id == HeaderId::Other);
        others.any(|entry| {
            let begins = self.name_of(entry).get(..prefix.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(prefix))
        })
    }

    /// The values of a header by any name, one for each line.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let id = HeaderId::from_name(name.as_bytes());
        self.entries
            .iter()
            .filter(move |entry| {
                entry.id == id
                    && (id != HeaderId::Other || self.name_of(entry).eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|entry| self.value_of(entry))
    }

    /// The only value of a header that must not repeat.
    ///
    /// # Errors
    /// When there is none, or more than one line.
    pub fn single(&self, id: HeaderId) -> Result<&[u8], HeaderError> {
        let mut values = self.all(id);
        let value = values.next().ok_or_else(|| HeaderError::missing(id))?;
        match values.next() {
            None => Ok(value),
            Some(_) => Err(HeaderError { header: id, fault: HeaderFault::Repeated }),
        }
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn top_via(&self) -> Result<Via<'_>, HeaderError> {
        first_via(self.all(HeaderId::Via).find(|line| !line.is_empty()))
    }

    /// Who wrote the topmost Via of a message whose mandatory fields were checked: nothing else of the value is read. `None` when it has
    /// no branch, or is not written as nearly all are; then [`Message::top_via`] says it.
    pub fn top_sent_by(&self) -> Option<SentBy<'_>> {
        let line = self.all(HeaderId::Via).find(|line| !line.is_empty())?;
        let value = &line[..comma(line).unwrap_or(line.len())];
        let rest = value.strip_prefix(b"SIP/2.0/")?;
        let blank = rest.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
        let rest = rest[blank..].strip_prefix(b" ").filter(|_| blank > 0)?;
        let (sent_by, params) = rest.split_at(memchr::memchr(b';', rest)?);
        let mut scanner = Scanner::new(sent_by);
        let (host, port) = scan_host_port(&mut scanner, false).ok()?;
        scanner.finish("the parameters").ok()?;
        let branch = Params::checked(params).branch().filter(|branch| !branch.is_empty())?;
        Some(SentBy { host, port, branch })
    }

    /// The branch of the topmost Via of a message whose mandatory fields were checked: nothing else of the value is read. `None` when
    /// it has none.
    pub fn top_branch(&self) -> Option<&str> {
        let line = self.all(HeaderId::Via).find(|line| !line.is_empty())?;
        let value = &line[..comma(line).unwrap_or(line.len())];
        // Before the parameters stand a protocol and a host, which hold no semicolon.
        let params = Params::checked(&value[memchr::memchr(b';', value)?..]);
        params.branch().filter(|branch| !branch.is_empty())
    }

    /// What can be read of a topmost Via that [`Message::top_via`] refuses, for the answer to a request that cannot be
    /// processed; see [`Via::salvage`].
    ///
    /// # Errors
    /// When it is missing or says nothing of its sender.
    pub fn salvaged_via(&self) -> Result<Via<'_>, HeaderError> {
        let line = self.all(HeaderId::Via).find(|line| !line.is_empty());
        let line = line.ok_or_else(|| HeaderError::missing(HeaderId::Via))?;
        let value = &line[..comma(line).unwrap_or(line.len())];
        Via::salvage(value).map_err(HeaderError::syntax(HeaderId::Via))
    }

    /// All Via values, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderError>> {
        self.values(HeaderId::Via).map(|value| Via::parse(value).map_err(HeaderError::syntax(HeaderId::Via)))
    }

    /// From or To of a message whose mandatory fields were checked: of one that is written as nearly all are, only what counts is read
    /// again.
    pub fn checked_party(&self, id: HeaderId) -> Option<NameAddr<'_>> {
        NameAddr::checked(self.first(id)?)
    }

    /// From.
    ///
    /// # Errors
    /// When it is missing, repeated, or cannot be read.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.name_addr(HeaderId::From)
    }

    /// To.
    ///
    /// # Errors
    /// When it is missing, repeated, or cannot be read.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        self.name_addr(HeaderId::To)
    }

    /// A header that holds exactly one address, such as Refer-To or Referred-By.
    ///
    /// # Errors
    /// When it is missing, repeated, or cannot be read.
    pub fn name_addr(&self, id: HeaderId) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(self.single(id)?).map_err(HeaderError::syntax(id))
    }

    /// The addresses of a header that is a list of them, such as Route.
    pub fn addresses(&self, id: HeaderId) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.values(id).map(move |value| NameAddr::parse(value).map_err(HeaderError::syntax(id)))
    }

    /// CSeq.
    ///
    /// # Errors
    /// When it is missing, repeated, or cannot be read.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        CSeq::parse(self.single(HeaderId::CSeq)?).map_err(HeaderError::syntax(HeaderId::CSeq))
    }

    /// Call-ID.
    ///
    /// # Errors
    /// When it is missing, repeated, or holds white space.
    pub fn call_id(&self) -> Result<&[u8], HeaderError> {
        whole_call_id(self.single(HeaderId::CallId)?).map_err(HeaderError::syntax(HeaderId::CallId))
    }
}

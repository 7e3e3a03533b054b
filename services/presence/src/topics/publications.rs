//! What somebody published: soft state, each publication under a tag of its own (RFC 3903).

use bytes::Bytes;
use prost::Message as _;
use store::StoreError;
use store_rpc::read_record;

/// Publications of one address of record.
pub const MOST: usize = 16;
/// Octets that they may have together.
const MOST_OCTETS: usize = 128 * 1024;
/// Publications that are taken within [`WINDOW_MS`]: many times as many as watchers can be told of (RFC 3856 6.10).
pub const MOST_IN_WINDOW: u32 = 100;
/// The time in which they are counted.
pub const WINDOW_MS: u64 = 10_000;
/// Removals that are remembered, so that a repeated one is answered alike.
const REMEMBERED: usize = 4;

/// The publications of one address of record.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Publications {
    /// Version of this schema.
    #[prost(uint32, tag = "1")]
    schema: u32,
    /// In the order in which they began.
    #[prost(message, repeated, tag = "2")]
    pub all: Vec<Publication>,
    /// Tags of the last removals.
    #[prost(string, repeated, tag = "3")]
    removals: Vec<String>,
    /// Since when publications are counted, in milliseconds since 1970.
    #[prost(uint64, tag = "4")]
    window_ms: u64,
    /// How many there were.
    #[prost(uint32, tag = "5")]
    in_window: u32,
}

const SCHEMA: u32 = 1;

/// One publication.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Publication {
    /// Names this version of it (SIP-ETag).
    #[prost(string, tag = "1")]
    pub etag: String,
    /// Stays the same for as long as it lives.
    #[prost(string, tag = "2")]
    pub key: String,
    /// When it lapses, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub expire_ms: u64,
    /// When its document came.
    #[prost(uint64, tag = "4")]
    pub since_ms: u64,
    /// The document.
    #[prost(bytes = "bytes", tag = "5")]
    pub document: Bytes,
}

/// What a PUBLISH asks for.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// The tag of the publication that it is about; `None` for a new one.
    pub if_match: Option<String>,
    /// The document; `None` refreshes.
    pub document: Option<Bytes>,
    /// How long it holds, in seconds; 0 removes.
    pub expires_s: u32,
    /// The tag of the version that it makes: the same when the request is repeated.
    pub etag: String,
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// There is no publication of this tag. RFC 3903 6 (3)
    NoMatch,
    /// A new one without document.
    NoDocument,
    /// There are too many, or they are too large.
    Full,
    /// They come too fast.
    TooOften,
}

impl Publications {
    /// Reads the record.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn read(value: Option<&Bytes>) -> Result<Publications, StoreError> {
        let Some(value) = value else { return Ok(Publications::default()) };
        read_record(value.clone(), SCHEMA, "publications", |read: &Publications| read.schema)
    }

    /// The record; `None` when it holds nothing.
    pub fn write(&self) -> Option<Vec<u8>> {
        let is_empty = self.all.is_empty() && self.removals.is_empty();
        (!is_empty).then(|| Publications { schema: SCHEMA, ..self.clone() }.encode_to_vec())
    }

    /// Applies a PUBLISH. RFC 3903 6
    ///
    /// # Errors
    /// When it is refused.
    pub fn publish(&mut self, asked: Publishing, now_ms: u64) -> Result<(), Unpublished> {
        self.lapse(now_ms);
        if self.all.iter().any(|known| known.etag == asked.etag) || self.removals.contains(&asked.etag) {
            return Ok(());
        }
        if asked.if_match.is_none() && asked.document.is_some() && asked.expires_s == 0 {
            return Ok(());
        }
        if now_ms >= self.window_ms + WINDOW_MS {
            (self.window_ms, self.in_window) = (now_ms, 0);
        }
        self.in_window += 1;
        if self.in_window > MOST_IN_WINDOW {
            return Err(Unpublished::TooOften);
        }
        let expire_ms = now_ms + u64::from(asked.expires_s) * 1_000;
        let at = match &asked.if_match {
            None => {
                let Some(document) = asked.document else { return Err(Unpublished::NoDocument) };
                let key = asked.etag.clone();
                let new = Publication { etag: asked.etag, key, expire_ms, since_ms: now_ms, document };
                self.all.push(new);
                return self.check();
            }
            Some(etag) => {
                self.all.iter().position(|known| known.etag == *etag).ok_or(Unpublished::NoMatch)?
            }
        };
        if asked.expires_s == 0 {
            self.all.remove(at);
            self.removals.push(asked.etag);
            let surplus = self.removals.len().saturating_sub(REMEMBERED);
            self.removals.drain(..surplus);
            return Ok(());
        }
        let known = &mut self.all[at];
        (known.etag, known.expire_ms) = (asked.etag, expire_ms);
        if let Some(document) = asked.document {
            (known.document, known.since_ms) = (document, now_ms);
        }
        self.check()
    }

    /// Removes what has lapsed.
    pub fn lapse(&mut self, now_ms: u64) {
        self.all.retain(|known| known.expire_ms > now_ms);
    }

    /// When the next one lapses.
    pub fn next_ms(&self) -> Option<u64> {
        self.all.iter().map(|known| known.expire_ms).min()
    }

    fn check(&self) -> Result<(), Unpublished> {
        let octets: usize = self.all.iter().map(|known| known.document.len()).sum();
        if self.all.len() > MOST || octets > MOST_OCTETS { Err(Unpublished::Full) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishing(
        if_match: Option<&str>,
        document: Option<&'static str>,
        expires_s: u32,
        etag: &str,
    ) -> Publishing {
        Publishing {
            if_match: if_match.map(str::to_owned),
            document: document.map(|document| Bytes::from_static(document.as_bytes())),
            expires_s,
            etag: etag.to_owned(),
        }
    }

    /// PUB-01, PUB-02, PUB-03: begin, refresh, change, remove; the old tag is dead each time.
    #[test]
    fn a_publication_goes_from_tag_to_tag() {
        let mut known = Publications::default();
        assert_eq!(known.publish(publishing(None, None, 60, "x"), 0), Err(Unpublished::NoDocument));
        known.publish(publishing(None, Some("a"), 60, "1"), 0).unwrap();
        known.publish(publishing(Some("1"), None, 60, "2"), 30_000).unwrap();
        assert_eq!((known.next_ms(), &known.all[0].document[..]), (Some(90_000), &b"a"[..]));
        assert_eq!(known.publish(publishing(Some("1"), Some("b"), 60, "3"), 0), Err(Unpublished::NoMatch));
        known.publish(publishing(Some("2"), Some("b"), 60, "4"), 40_000).unwrap();
        assert_eq!((&known.all[0].document[..], known.all[0].key.as_str()), (&b"b"[..], "1"));
        // repeated: as if once
        known.publish(publishing(Some("2"), Some("b"), 60, "4"), 50_000).unwrap();
        assert_eq!(known.next_ms(), Some(100_000));
        known.publish(publishing(Some("4"), None, 0, "5"), 50_000).unwrap();
        known.publish(publishing(Some("4"), None, 0, "5"), 50_000).unwrap();
        assert!(known.all.is_empty());
    }

    /// PRS-06: one lapses, the other stays.
    #[test]
    fn a_publication_lapses_by_itself() {
        let mut known = Publications::default();
        known.publish(publishing(None, Some("a"), 60, "1"), 0).unwrap();
        known.publish(publishing(None, Some("b"), 600, "2"), 0).unwrap();
        known.lapse(60_000);
        assert_eq!(known.all.iter().map(|known| &*known.etag).collect::<Vec<_>>(), ["2"]);
        assert_eq!(known.publish(publishing(Some("1"), None, 60, "3"), 60_000), Err(Unpublished::NoMatch));
    }

    /// T27: so many within some seconds, and then more again.
    #[test]
    fn publications_come_so_fast_and_no_faster() {
        let mut known = Publications::default();
        known.publish(publishing(None, Some("a"), 600, "0"), 0).unwrap();
        for number in 1..u64::from(MOST_IN_WINDOW) {
            let (before, after) = ((number - 1).to_string(), number.to_string());
            known.publish(publishing(Some(&before), Some("a"), 600, &after), number).unwrap();
        }
        let last = (MOST_IN_WINDOW - 1).to_string();
        let mut next = known.clone();
        assert_eq!(
            next.publish(publishing(Some(&last), Some("b"), 600, "x"), 9_999),
            Err(Unpublished::TooOften)
        );
        // What is repeated was counted.
        known.publish(publishing(Some("98"), Some("a"), 600, &last), 9_999).unwrap();
        known.publish(publishing(Some(&last), Some("b"), 600, "x"), WINDOW_MS).unwrap();
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let mut known = Publications::default();
        for number in 0..MOST {
            known.publish(publishing(None, Some("a"), 60, &number.to_string()), 0).unwrap();
        }
        assert_eq!(known.publish(publishing(None, Some("a"), 60, "x"), 0), Err(Unpublished::Full));
    }
}

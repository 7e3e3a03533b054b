//! Session descriptions (RFC 4566, RFC 8866), read as lines.
//!
//! A description is its session lines and one list of lines per `m=`. Lines are kept as received; only line ends are
//! made CRLF. What signaling asks of a description is answered by looking at the lines when it is asked.

mod attributes;
mod codec;
mod direction;
mod fit;
mod history;

pub use codec::has_common_codec;
pub use direction::Direction;
pub use fit::{FittedOffer, LineMap};
pub use history::{BadOrigin, HistorySnapshot, LegHistory};

use bytes::Bytes;

/// The content type of a session description.
pub const CONTENT_TYPE: &str = "application/sdp";

const MAX_OCTETS: usize = 64 * 1024;
const MAX_LINES: usize = 2_000;
const MAX_MEDIA: usize = 64;

/// A session description.
#[derive(Clone, PartialEq, Eq)]
pub struct Sdp {
    pub(crate) session: Vec<Bytes>,
    pub(crate) media: Vec<Media>,
}

/// One `m=` line and the lines under it.
#[derive(Clone, PartialEq, Eq)]
pub struct Media {
    /// The first is the `m=` line.
    pub(crate) lines: Vec<Bytes>,
}

/// Why bytes are not a session description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// The body is larger than any session description that signaling accepts.
    #[error("{octets} octets of SDP, at most {limit} are accepted")]
    TooLarge {
        /// Octets received.
        octets: usize,
        /// Octets accepted.
        limit: usize,
    },
    /// More lines, or more `m=` lines, than accepted.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// A line is not `x=value`.
    #[error("line {line}: expected one letter and '='")]
    BadLine {
        /// Line number, from 1.
        line: usize,
    },
    /// An `m=` line lacks media, port or protocol.
    #[error("line {line}: expected m=<media> <port> <proto> <fmt>")]
    BadMedia {
        /// Line number, from 1.
        line: usize,
    },
    /// A line that every description has is absent.
    #[error("no {what} line")]
    Missing {
        /// The line, such as `v=0`.
        what: &'static str,
    },
}

impl Sdp {
    /// Reads a description. LF alone is accepted as a line end, empty lines at the end are ignored.
    ///
    /// # Errors
    /// [`SdpError`] names the line that is wrong, or the limit that was passed.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_OCTETS {
            return Err(SdpError::TooLarge { octets: body.len(), limit: MAX_OCTETS });
        }
        let whole = Bytes::copy_from_slice(body);
        let mut sdp = Self { session: Vec::new(), media: Vec::new() };
        for (index, raw) in whole.split(|&octet| octet == b'\n').enumerate() {
            if index >= MAX_LINES {
                return Err(SdpError::TooMany { what: "lines", limit: MAX_LINES });
            }
            let text = raw.strip_suffix(b"\r").unwrap_or(raw);
            if text.is_empty() {
                continue;
            }
            let line = index + 1;
            let well_formed = text.len() >= 2 && text[0].is_ascii_lowercase() && text[1] == b'=';
            if !well_formed || text.iter().any(|&octet| octet == 0 || octet == b'\r') {
                return Err(SdpError::BadLine { line });
            }
            let kept = whole.slice_ref(text);
            match (text[0], sdp.media.last_mut()) {
                (b'm', _) => {
                    if sdp.media.len() == MAX_MEDIA {
                        return Err(SdpError::TooMany { what: "m= lines", limit: MAX_MEDIA });
                    }
                    sdp.media.push(Media::from_line(kept).ok_or(SdpError::BadMedia { line })?);
                }
                (_, Some(media)) => media.lines.push(kept),
                (_, None) => sdp.session.push(kept),
            }
        }
        if sdp.session.first().is_none_or(|line| &line[..] != b"v=0") {
            return Err(SdpError::Missing { what: "v=0" });
        }
        if sdp.session_line(b'o').is_none() {
            return Err(SdpError::Missing { what: "o=" });
        }
        Ok(sdp)
    }

    /// The description as a body, every line ended by CRLF.
    pub fn to_bytes(&self) -> Bytes {
        let lines = || self.session.iter().chain(self.media.iter().flat_map(|media| &media.lines));
        let mut body = Vec::with_capacity(lines().map(|line| line.len() + 2).sum());
        for line in lines() {
            body.extend_from_slice(line);
            body.extend_from_slice(b"\r\n");
        }
        body.into()
    }

    /// The `m=` lines with what is under them, in order.
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// Value of the `o=` line.
    pub fn origin(&self) -> &[u8] {
        self.session_line(b'o').unwrap_or_default()
    }

    pub(crate) fn session_line(&self, letter: u8) -> Option<&[u8]> {
        value_of(&self.session, letter)
    }
}

impl Media {
    pub(crate) fn from_line(line: Bytes) -> Option<Self> {
        let media = Self { lines: vec![line] };
        let is_kind = !media.kind().is_empty() && media.kind().iter().all(u8::is_ascii_graphic);
        (is_kind && media.written_port().is_some() && !media.protocol().is_empty()).then_some(media)
    }

    /// "audio", "video", "application", ...
    pub fn kind(&self) -> &[u8] {
        self.word(0)
    }

    /// The transport port; 0 refuses the stream or ends it (RFC 3264 6, 8.2).
    pub fn port(&self) -> u16 {
        self.written_port().unwrap_or(0)
    }

    /// "RTP/AVP", "UDP/TLS/RTP/SAVPF", ...
    pub fn protocol(&self) -> &[u8] {
        self.word(2)
    }

    /// The formats: payload types for RTP.
    pub fn formats(&self) -> impl Iterator<Item = &[u8]> {
        words(&self.lines[0][2..]).skip(3)
    }

    /// Whether the stream is refused or ended. A `bundle-only` line has port 0 and lives (RFC 8843 6).
    pub fn is_disabled(&self) -> bool {
        self.port() == 0 && !self.has_flag(b"bundle-only")
    }

    pub(crate) fn line(&self, letter: u8) -> Option<&[u8]> {
        value_of(&self.lines, letter)
    }

    fn written_port(&self) -> Option<u16> {
        let number = self.word(1).split(|&octet| octet == b'/').next()?;
        std::str::from_utf8(number).ok()?.parse().ok()
    }

    fn word(&self, index: usize) -> &[u8] {
        words(&self.lines[0][2..]).nth(index).unwrap_or_default()
    }
}

/// Shows the lines that matter for reading a log; never keys (`a=crypto`, `k=`) or addresses.
impl std::fmt::Debug for Sdp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sdp").field("media", &self.media).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.lines[0].escape_ascii())
    }
}

fn value_of(lines: &[Bytes], letter: u8) -> Option<&[u8]> {
    lines.iter().find(|line| line[0] == letter).map(|line| &line[2..])
}

pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&octet| octet == b' ').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests;

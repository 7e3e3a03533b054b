//! What Carillon has said on one leg, so that the next thing it says continues the session (RFC 3264 8).

use bytes::Bytes;

use super::{Direction, Media, Sdp, direction::black_hole};

/// Carillon's side of the session on one leg: its `o=` line, what it sent last, and the `m=` lines of the session.
///
/// Every verb that returns a body counts it as sent. After an offer was sent, say [`answered`](Self::answered) or
/// [`refused`](Self::refused) when that is known; until then the `m=` lines of the offer are not part of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegHistory {
    /// `<username> <session id>`, before the version.
    session_id: u64,
    version: u64,
    /// `<nettype> <addrtype> <address>`, after the version.
    address: String,
    sent: Option<Bytes>,
    /// The session's `m=` lines.
    pub(crate) lines: Vec<Bytes>,
    /// The `m=` lines of an offer that is not answered yet.
    pub(crate) offered: Option<Vec<Bytes>>,
}

/// A history as plain values, to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistorySnapshot {
    /// Session id of the `o=` line.
    pub session_id: u64,
    /// Version of the last description sent, 0 before the first.
    pub version: u64,
    /// The end of the `o=` line, "IN IP4 192.0.2.1".
    pub address: String,
    /// The last description sent, empty before the first.
    pub sent: Bytes,
    /// The `m=` lines of the session.
    pub lines: Vec<Bytes>,
    /// Whether an offer is not answered yet.
    pub is_offering: bool,
    /// The `m=` lines of that offer.
    pub offered: Vec<Bytes>,
}

/// The address is neither an IP address nor a host name, or a stored history is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot stand in an o= line")]
pub struct BadOrigin(pub String);

impl LegHistory {
    /// A leg on which nothing has been said. `host` is an IPv4 or IPv6 address (no brackets) or a host name.
    ///
    /// # Errors
    /// [`BadOrigin`] when `host` could not stand in an `o=` line.
    pub fn new(session_id: u64, host: &str) -> Result<Self, BadOrigin> {
        let family = if host.parse::<std::net::Ipv6Addr>().is_ok() { "IP6" } else { "IP4" };
        let is_clean = host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".:-_".contains(&octet));
        if host.is_empty() || !is_clean {
            return Err(BadOrigin(host.to_owned()));
        }
        let address = format!("IN {family} {host}");
        Ok(Self { session_id, version: 0, address, sent: None, lines: Vec::new(), offered: None })
    }

    /// The offer without any `m=` line that starts Flow IV. RFC 3725 4.4
    pub fn offer0(&mut self) -> Bytes {
        self.offer(Sdp { session: skeleton(), media: Vec::new() })
    }

    /// One inactive audio line, for phones that refuse an offer without `m=` lines.
    pub fn inactive_offer(&mut self) -> Bytes {
        let connection = format!("c={}", black_hole(self.is_ip6()));
        let lines = ["m=audio 9 RTP/AVP 0 8 101", &connection]
            .into_iter()
            .chain(["a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000"])
            .chain(["a=fmtp:101 0-16", "a=inactive"]);
        let lines = lines.map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        self.offer(Sdp { session: skeleton(), media: vec![Media { lines }] })
    }

    /// What was sent last with every stream inactive; `None` before anything was sent.
    pub fn hold_offer(&mut self) -> Option<Bytes> {
        let mut last = Sdp::parse(self.sent.as_ref()?).ok()?;
        last.set_direction(Direction::Inactive);
        Some(self.offer(last))
    }

    /// Accepts nothing: every `m=` line of the offer with port 0.
    pub fn reject_answer(&mut self, offer: &Sdp) -> Bytes {
        let media = offer.media.iter().map(|media| media.refusal(true, self.is_ip6())).collect();
        self.answer(offer, Sdp { session: skeleton(), media })
    }

    /// Accepts every stream and lets none flow: the same lines and codecs, inactive, at an address that reaches nobody.
    /// RFC 3725 4.3
    pub fn inactive_answer(&mut self, offer: &Sdp) -> Bytes {
        let media = offer
            .media
            .iter()
            .map(|media| {
                if media.is_disabled() {
                    return media.refusal(true, self.is_ip6());
                }
                let is_kept = |line: &&Bytes| {
                    [&b"a=rtpmap:"[..], b"a=fmtp:", b"a=ptime:", b"a=mid:"]
                        .iter()
                        .any(|prefix| line.starts_with(prefix))
                };
                let mut kept = Media { lines: vec![media.with_port(9)] };
                kept.lines.extend(media.lines.iter().filter(is_kept).cloned());
                let is_ip6 =
                    media.connection(offer).is_some_and(|connection| connection.starts_with(b"IN IP6"));
                kept.set_connection(black_hole(is_ip6));
                kept.set_direction(Direction::Inactive);
                kept
            })
            .collect();
        self.answer(offer, Sdp { session: skeleton(), media })
    }

    /// The offer sent last was answered: its `m=` lines are the session's now.
    pub fn answered(&mut self) {
        if let Some(lines) = self.offered.take() {
            self.lines = lines;
        }
    }

    /// The offer sent last was refused: the session is as before. The version stays used.
    pub fn refused(&mut self) {
        self.offered = None;
    }

    /// Plain values for a record.
    pub fn snapshot(&self) -> HistorySnapshot {
        HistorySnapshot {
            session_id: self.session_id,
            version: self.version,
            address: self.address.clone(),
            sent: self.sent.clone().unwrap_or_default(),
            lines: self.lines.clone(),
            is_offering: self.offered.is_some(),
            offered: self.offered.clone().unwrap_or_default(),
        }
    }

    /// The history that [`snapshot`](Self::snapshot) described.
    ///
    /// # Errors
    /// [`BadOrigin`] when the stored address is damaged.
    pub fn restore(snapshot: HistorySnapshot) -> Result<Self, BadOrigin> {
        let host = snapshot.address.rsplit(' ').next().unwrap_or_default();
        let mut history = Self::new(snapshot.session_id, host)?;
        if history.address != snapshot.address {
            return Err(BadOrigin(snapshot.address));
        }
        let is_media = |line: &Bytes| line.len() > 2 && Media::from_line(line.clone()).is_some();
        if let Some(bad) = snapshot.lines.iter().chain(&snapshot.offered).find(|line| !is_media(line)) {
            return Err(BadOrigin(bad.escape_ascii().to_string()));
        }
        history.version = snapshot.version;
        history.sent = (!snapshot.sent.is_empty()).then_some(snapshot.sent);
        history.lines = snapshot.lines;
        history.offered = snapshot.is_offering.then_some(snapshot.offered);
        Ok(history)
    }

    /// Sends `sdp` as an offer.
    pub(crate) fn offer(&mut self, sdp: Sdp) -> Bytes {
        self.offered = Some(sdp.media.iter().map(|media| media.lines[0].clone()).collect());
        self.send(sdp)
    }

    /// Sends `sdp` as the answer to `offer`: its `m=` lines are the session's now, and the times are the offer's.
    pub(crate) fn answer(&mut self, offer: &Sdp, mut sdp: Sdp) -> Bytes {
        self.offered = None;
        self.lines = sdp.media.iter().map(|media| media.lines[0].clone()).collect();
        // RFC 3264 6: the t= line of the answer equals that of the offer
        let is_time = |line: &Bytes| matches!(line[0], b't' | b'r' | b'z');
        let at = sdp.session.iter().position(is_time).unwrap_or_else(|| {
            sdp.session.iter().position(|line| matches!(line[0], b'k' | b'a')).unwrap_or(sdp.session.len())
        });
        sdp.session.retain(|line| !is_time(line));
        let times: Vec<Bytes> = offer.session.iter().filter(|line| is_time(line)).cloned().collect();
        sdp.session.splice(at..at, times);
        self.send(sdp)
    }

    pub(crate) fn is_ip6(&self) -> bool {
        self.address.starts_with("IN IP6")
    }

    /// Puts this leg's `o=` line in; the version rises exactly when the text differs from the last one. RFC 3264 8
    fn send(&mut self, mut sdp: Sdp) -> Bytes {
        let at = sdp.session.iter().position(|line| line[0] == b'o');
        let at = at.unwrap_or_else(|| {
            sdp.session.insert(1, Bytes::new());
            1
        });
        let mut render = |version: u64| {
            sdp.session[at] = Bytes::from(format!("o=- {} {version} {}", self.session_id, self.address));
            sdp.to_bytes()
        };
        let mut body = render(self.version);
        if self.sent.as_ref() != Some(&body) {
            self.version += 1;
            body = render(self.version);
        }
        self.sent = Some(body.clone());
        body
    }
}

/// Session lines of a description of our own; the `o=` line is put in when it is sent.
fn skeleton() -> Vec<Bytes> {
    [&b"v=0"[..], b"o=", b"s=-", b"t=0 0"].into_iter().map(Bytes::from_static).collect()
}

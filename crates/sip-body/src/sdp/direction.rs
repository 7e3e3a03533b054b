//! Directions of streams: the attribute, its mirror in an answer, and the old 0.0.0.0 hold (RFC 3264 5.1, 6.1, 8.4).

use bytes::Bytes;

use super::{Media, Sdp, attributes::attributes, words};

/// The direction of a stream, seen from whoever wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The widest direction that answers this one. RFC 3264 6.1
    #[must_use]
    pub const fn mirror(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Without the half in which the writer receives.
    const fn without_receiving(self) -> Self {
        match self {
            Self::SendRecv | Self::SendOnly => Self::SendOnly,
            Self::RecvOnly | Self::Inactive => Self::Inactive,
        }
    }

    fn of_lines(lines: &[Bytes]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| attributes(lines, one.as_str().as_bytes()).next().is_some())
    }
}

impl Sdp {
    /// Direction of stream `index`: its own attribute, else the session's, else both ways. An IPv4 connection address
    /// of 0.0.0.0 takes the writer's receiving half away, as the hold of RFC 2543 did.
    pub fn direction(&self, index: usize) -> Option<Direction> {
        let media = self.media.get(index)?;
        let written = Direction::of_lines(&media.lines)
            .or_else(|| Direction::of_lines(&self.session))
            .unwrap_or(Direction::SendRecv);
        let address = media.connection(self).and_then(|connection| words(connection).nth(2));
        // RFC 3264 8.4
        Some(if address == Some(b"0.0.0.0") { written.without_receiving() } else { written })
    }

    /// Whether the writer has put every living stream on hold: receives on none of them.
    pub fn is_hold(&self) -> bool {
        let mut living = (0..self.media.len()).filter(|&index| !self.media[index].is_disabled()).peekable();
        living.peek().is_some()
            && living
                .all(|index| matches!(self.direction(index), Some(Direction::SendOnly | Direction::Inactive)))
    }

    /// Sets the direction of every stream.
    pub fn set_direction(&mut self, direction: Direction) {
        self.media.iter_mut().for_each(|media| media.set_direction(direction));
    }

    /// The same description at an address that reaches nobody, for peers that do not know `a=inactive`:
    /// 0.0.0.0 for IPv4 (RFC 3264 8.4), a name under `.invalid` for IPv6 (RFC 6157 5).
    #[must_use]
    pub fn to_black_hole(&self) -> Self {
        let mut copy = self.clone();
        let lines = copy.session.iter_mut().chain(copy.media.iter_mut().flat_map(|media| &mut media.lines));
        for line in lines.filter(|line| line[0] == b'c') {
            let is_ip6 = words(&line[2..]).nth(1) == Some(b"IP6");
            *line = Bytes::from(format!("c={}", black_hole(is_ip6)));
        }
        copy
    }
}

impl Media {
    /// Sets the direction of this stream.
    pub fn set_direction(&mut self, direction: Direction) {
        self.lines.retain(|line| Direction::of_lines(std::slice::from_ref(line)).is_none());
        self.lines.push(Bytes::from(format!("a={}", direction.as_str())));
    }
}

/// A connection value that reaches nobody.
pub(crate) const fn black_hole(is_ip6: bool) -> &'static str {
    if is_ip6 { "IN IP6 black-hole.invalid" } else { "IN IP4 0.0.0.0" }
}

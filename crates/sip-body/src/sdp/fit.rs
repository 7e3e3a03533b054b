//! A description of one leg, made into the next description of the other leg (RFC 3725 4.3, 4.4, 7).

use bytes::Bytes;

use super::{LegHistory, Media, Sdp, direction::black_hole, words};

/// Where each `m=` line of an offer went on the other leg; `None` for a line that the other leg never saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineMap(Vec<Option<usize>>);

/// An offer made ready for another leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FittedOffer {
    /// The body to send.
    pub body: Bytes,
    /// Needed to bring the answer back, and to keep lines together at the next offer.
    pub map: LineMap,
}

impl LineMap {
    /// From stored values; a negative one stands for a line that the other leg never saw.
    pub fn from_stored(values: &[i32]) -> Self {
        Self(values.iter().map(|&value| usize::try_from(value).ok()).collect())
    }

    /// Values to be stored.
    pub fn to_stored(&self) -> Vec<i32> {
        self.0.iter().map(|line| line.and_then(|line| i32::try_from(line).ok()).unwrap_or(-1)).collect()
    }

    /// The same pairs seen from the other leg.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let length = self.0.iter().flatten().max().map_or(0, |&last| last + 1);
        let mut lines = vec![None; length];
        for (from, to) in self.0.iter().enumerate() {
            if let Some(to) = *to {
                lines[to] = Some(from);
            }
        }
        Self(lines)
    }

    fn get(&self, index: usize) -> Option<usize> {
        self.0.get(index).copied().flatten()
    }
}

impl LegHistory {
    /// Makes the other leg's `offer` the next offer of this leg: this leg's `o=` line, the streams matched to the lines
    /// this leg already has, lines without a match kept with port 0, new streams appended. Streams that are already
    /// ended and unknown here are left out. All else is untouched.
    ///
    /// `previous` is the map of the last offer in the same direction, or the inverse of the last in the other direction.
    pub fn fit_offer(&mut self, offer: &Sdp, previous: Option<&LineMap>) -> FittedOffer {
        let map = self.match_lines(offer, previous);
        let length = map.0.iter().flatten().map(|&line| line + 1).max().unwrap_or(0).max(self.lines.len());
        let has_connection = offer.session_line(b'c').is_some();
        let mut placed: Vec<Option<&Media>> = vec![None; length];
        for (media, slot) in offer.media.iter().zip(&map.0) {
            if let Some(slot) = *slot {
                placed[slot] = Some(media);
            }
        }
        let media = placed
            .into_iter()
            .enumerate()
            .map(|(slot, media)| match media {
                Some(media) => media.clone(),
                // RFC 3264 8.2: the line stays, with port 0
                None => {
                    Media { lines: vec![self.lines[slot].clone()] }.refusal(!has_connection, self.is_ip6())
                }
            })
            .collect();
        let body = self.offer(Sdp { session: offer.session.clone(), media });
        FittedOffer { body, map }
    }

    /// Brings the other leg's `answer` back to this leg, whose `offer` was fitted with `map`: this leg's `o=` line, the
    /// offer's number and order of `m=` lines and its times. Streams that were left out are refused.
    pub fn fit_answer(&mut self, offer: &Sdp, answer: &Sdp, map: &LineMap) -> Bytes {
        let has_connection = answer.session_line(b'c').is_some();
        let media = offer
            .media
            .iter()
            .enumerate()
            .map(|(index, asked)| match map.get(index).and_then(|slot| answer.media.get(slot)) {
                Some(given) if given.kind().eq_ignore_ascii_case(asked.kind()) => given.clone(),
                _ => asked.refusal(!has_connection, self.is_ip6()),
            })
            .collect();
        self.answer(offer, Sdp { session: answer.session.clone(), media })
    }

    fn match_lines(&self, offer: &Sdp, previous: Option<&LineMap>) -> LineMap {
        let known: Vec<Media> = self.lines.iter().map(|line| Media { lines: vec![line.clone()] }).collect();
        let mut is_taken = vec![false; known.len()];
        let mut map = vec![None; offer.media.len()];
        let mut was_absent = vec![false; offer.media.len()];
        if let Some(previous) = previous {
            for (index, media) in offer.media.iter().enumerate() {
                let Some(&place) = previous.0.get(index) else { break };
                was_absent[index] = place.is_none();
                let kept = place.filter(|&slot| {
                    known.get(slot).is_some_and(|line| line.is_like(media)) && !is_taken[slot]
                });
                if let Some(slot) = kept {
                    is_taken[slot] = true;
                    map[index] = kept;
                }
            }
        }
        let mut length = known.len();
        for (index, media) in offer.media.iter().enumerate() {
            if map[index].is_some() || (was_absent[index] && media.is_disabled()) {
                continue;
            }
            let find = |matches: &dyn Fn(&Media) -> bool| {
                known.iter().enumerate().position(|(slot, line)| !is_taken[slot] && matches(line))
            };
            let slot = find(&|line| line.is_like(media) && line.protocol() == media.protocol())
                .or_else(|| find(&|line| line.is_like(media)));
            map[index] = match slot {
                Some(slot) => {
                    is_taken[slot] = true;
                    Some(slot)
                }
                None if media.is_disabled() => None,
                None => {
                    length += 1;
                    Some(length - 1)
                }
            };
        }
        LineMap(map)
    }
}

impl Media {
    fn is_like(&self, other: &Self) -> bool {
        self.kind().eq_ignore_ascii_case(other.kind())
    }

    /// The `m=` line alone with port 0; with a connection line where the session has none (RFC 4566 5.7).
    pub(crate) fn refusal(&self, needs_connection: bool, is_ip6: bool) -> Self {
        let mut refused = Self { lines: vec![self.with_port(0)] };
        // RFC 8843 and RFC 5888 find a line by its mid, also when it is refused
        refused.lines.extend(self.lines.iter().filter(|line| line.starts_with(b"a=mid:")).cloned());
        if needs_connection {
            refused.set_connection(black_hole(is_ip6));
        }
        refused
    }

    /// The `m=` line with another port.
    pub(crate) fn with_port(&self, port: u16) -> Bytes {
        let mut line = b"m=".to_vec();
        line.extend_from_slice(self.kind());
        line.extend_from_slice(format!(" {port} ").as_bytes());
        line.extend_from_slice(&words(&self.lines[0][2..]).skip(2).collect::<Vec<_>>().join(&b' '));
        line.into()
    }
}

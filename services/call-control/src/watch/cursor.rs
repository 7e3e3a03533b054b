//! Where a stream is, as text that means the same to every replica.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::Cursor;

use super::stream::Scope;

/// Format of the text; another one is another number.
const FORMAT: u8 = 1;

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within the snapshot that opens a stream: resuming begins it again.
    BeforeSnapshot,
    /// Behind these entries of every partition's log.
    All(Vec<Cursor>),
    /// Behind this entry of one partition's log, in a watch of one call.
    Call {
        /// The partition.
        partition: usize,
        /// The entry.
        cursor: Cursor,
    },
}

impl Place {
    pub(super) fn text(&self) -> String {
        let mut octets = vec![FORMAT];
        match self {
            Place::BeforeSnapshot => octets.push(0),
            Place::All(cursors) => {
                octets.push(1);
                put(&mut octets, cursors.len() as u64);
                for cursor in cursors {
                    put(&mut octets, cursor.millis);
                    put(&mut octets, cursor.number);
                }
            }
            Place::Call { partition, cursor } => {
                octets.push(2);
                for number in [*partition as u64, cursor.millis, cursor.number] {
                    put(&mut octets, number);
                }
            }
        }
        URL_SAFE_NO_PAD.encode(octets)
    }

    /// `None` for what no stream gave out.
    pub(super) fn parse(text: &str) -> Option<Place> {
        if text.len() > 8192 {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&[FORMAT, kind], mut rest) = octets.split_first_chunk::<2>()? else { return None };
        let cursor = |rest: &mut &[u8]| Some(Cursor { millis: take(rest)?, number: take(rest)? });
        let place = match kind {
            0 => Place::BeforeSnapshot,
            1 => {
                let count = take(&mut rest)?;
                if count > u64::from(u16::MAX) {
                    return None;
                }
                Place::All((0..count).map(|_| cursor(&mut rest)).collect::<Option<_>>()?)
            }
            2 => {
                let partition = usize::try_from(take(&mut rest)?).ok()?;
                Place::Call { partition, cursor: cursor(&mut rest)? }
            }
            _ => return None,
        };
        rest.is_empty().then_some(place)
    }

    /// The cursors of the partitions that a watch reads; `None` when the place belongs to another kind of watch.
    pub(super) fn cursors(&self, scope: &Scope, partitions: usize) -> Option<Vec<(usize, Cursor)>> {
        match (self, scope) {
            (Place::All(cursors), Scope::All) if cursors.len() == partitions => {
                Some(cursors.iter().copied().enumerate().collect())
            }
            (Place::Call { partition, cursor }, Scope::Call { partition: wanted, .. })
                if partition == wanted =>
            {
                Some(vec![(*partition, *cursor)])
            }
            // The events of one call can be followed from any place among the events of all.
            (Place::All(cursors), Scope::Call { partition, .. }) if cursors.len() == partitions => {
                Some(vec![(*partition, cursors[*partition])])
            }
            _ => None,
        }
    }
}

/// Base 128, low bits first.
fn put(octets: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

fn take(octets: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&octet, rest) = octets.split_first()?;
        *octets = rest;
        number |= u64::from(octet & 0x7f).checked_shl(shift)?;
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_being_text() {
        let cursor = |n| Cursor { millis: 1_700_000_000_000 + n, number: n };
        for place in [
            Place::BeforeSnapshot,
            Place::All((0..16).map(cursor).collect()),
            Place::Call { partition: 11, cursor: Cursor { millis: u64::MAX, number: u64::MAX } },
        ] {
            assert_eq!(Place::parse(&place.text()), Some(place));
        }
    }

    #[test]
    fn what_no_stream_gave_out_is_refused() {
        for text in ["", "x", "AQ", "!!!!", "AQM", "AgE", "AQEC", "AQH_____________", &"A".repeat(9000)] {
            assert_eq!(Place::parse(text), None, "{text:.20}");
        }
        // Nothing may follow.
        let mut octets = URL_SAFE_NO_PAD.decode(Place::BeforeSnapshot.text()).expect("ours");
        octets.push(0);
        assert_eq!(Place::parse(&URL_SAFE_NO_PAD.encode(octets)), None);
    }

    #[test]
    fn a_place_fits_only_its_kind_of_watch() {
        let one = Scope::Call { call_id: "c".into(), partition: 3, is_over: false };
        let all = Place::All(vec![Cursor::ZERO; 16]);
        assert_eq!(all.cursors(&Scope::All, 16).map(|cursors| cursors.len()), Some(16));
        assert_eq!(all.cursors(&Scope::All, 8), None);
        assert_eq!(all.cursors(&one, 16), Some(vec![(3, Cursor::ZERO)]));
        let call = Place::Call { partition: 3, cursor: Cursor::ZERO };
        assert_eq!(call.cursors(&Scope::All, 16), None);
        assert_eq!(call.cursors(&one, 16), Some(vec![(3, Cursor::ZERO)]));
    }
}

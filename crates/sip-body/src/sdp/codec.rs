//! Whether two descriptions could talk at all (LAD-2 branch k, UAC-11).

use super::{Media, Sdp};

/// Whether some stream of one side and some stream of the other are of the same kind and share a codec. Telephone
/// events and comfort noise do not count as codecs. A description without a living stream shares nothing.
pub fn has_common_codec(one: &Sdp, other: &Sdp) -> bool {
    let living = |sdp: &'_ Sdp| -> Vec<Media> {
        sdp.media().iter().filter(|media| !media.is_disabled()).cloned().collect()
    };
    let others = living(other);
    living(one).iter().any(|media| {
        let codecs = codecs(media);
        others
            .iter()
            .filter(|peer| peer.kind().eq_ignore_ascii_case(media.kind()))
            .any(|peer| self::codecs(peer).iter().any(|codec| codecs.contains(codec)))
    })
}

impl Sdp {
    /// Whether some living stream carries more than telephone events and comfort noise.
    pub fn has_codec(&self) -> bool {
        self.media().iter().any(|media| !media.is_disabled() && !codecs(media).is_empty())
    }
}

/// The codecs of a stream as `name/clock`, lower case; for anything but RTP the bare formats.
fn codecs(media: &Media) -> Vec<String> {
    let is_rtp = media.protocol().windows(3).any(|window| window.eq_ignore_ascii_case(b"RTP"));
    let name_of = |format: &[u8]| {
        let format = String::from_utf8_lossy(format).into_owned();
        if !is_rtp {
            return format;
        }
        mapped(media, &format).or_else(|| assigned(&format).map(str::to_owned)).unwrap_or(format)
    };
    media
        .formats()
        .map(name_of)
        .filter(|name| !name.starts_with("telephone-event/") && !name.starts_with("cn/"))
        .collect()
}

fn mapped(media: &Media, format: &str) -> Option<String> {
    media.attributes(b"rtpmap").find_map(|value| {
        let value = std::str::from_utf8(value).ok()?;
        let (number, encoding) = value.split_once(' ')?;
        if number != format {
            return None;
        }
        let mut fields = encoding.trim().split('/');
        let (name, clock) = (fields.next()?, fields.next()?);
        Some(format!("{name}/{clock}").to_ascii_lowercase())
    })
}

/// Payload types with a meaning of their own. RFC 3551 6
fn assigned(format: &str) -> Option<&'static str> {
    Some(match format {
        "0" => "pcmu/8000",
        "3" => "gsm/8000",
        "4" => "g723/8000",
        "5" => "dvi4/8000",
        "6" => "dvi4/16000",
        "7" => "lpc/8000",
        "8" => "pcma/8000",
        "9" => "g722/8000",
        "10" | "11" => "l16/44100",
        "12" => "qcelp/8000",
        "13" => "cn/8000",
        "14" => "mpa/90000",
        "15" => "g728/8000",
        "16" => "dvi4/11025",
        "17" => "dvi4/22050",
        "18" => "g729/8000",
        "25" => "celb/90000",
        "26" => "jpeg/90000",
        "28" => "nv/90000",
        "31" => "h261/90000",
        "32" => "mpv/90000",
        "33" => "mp2t/90000",
        "34" => "h263/90000",
        _ => return None,
    })
}

//! What a body is for, and whether it may be ignored (RFC 3261 20.11, RFC 5621 8).

use crate::media_type::{MediaType, is_token, split_params};

/// A Content-Disposition, given or defaulted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// "session", "render", "early-session", "by-reference", ..., lower case.
    pub kind: String,
    /// Whether a recipient that does not understand the body must refuse the message.
    pub is_required: bool,
}

impl Disposition {
    /// The disposition of a body: as written, else the default of its type.
    ///
    /// A session description is a session, all else is to be rendered; handling is required unless it is said to be
    /// optional. An unreadable value counts as absent.
    pub fn of(written: Option<&[u8]>, content_type: &MediaType) -> Self {
        let written = written
            .and_then(|value| split_params(std::str::from_utf8(value).ok()?))
            .filter(|(kind, _)| is_token(kind));
        match written {
            Some((kind, params)) => Self {
                kind: kind.to_ascii_lowercase(),
                is_required: !params
                    .get("handling")
                    .is_some_and(|value| value.eq_ignore_ascii_case("optional")),
            },
            None => Self {
                kind: if content_type.is("application/sdp") { "session" } else { "render" }.to_owned(),
                is_required: true,
            },
        }
    }
}

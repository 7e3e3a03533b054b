//! A request of a phone, read as far as presence needs it.

use cluster_api::presence::v1::{HandleRequest, HandleResponse};
use sip_body::media_type::MediaType;
use sip_body::pidf::CONTENT_TYPE;
use sip_body::xml::is_utf8;
use sip_message::{CommaList, Event, HeaderId, Scheme, Uri};

use super::answer::{refuse_saying, refuse_with};
use crate::engine::{EVENT_LIST, Filter, Package};

/// A request, with a look at its headers.
#[derive(Clone, Copy)]
pub struct Asking<'a>(pub &'a HandleRequest);

/// Longest Event value: it is kept. A filter has a Call-ID and two tags.
const LONGEST_EVENT: usize = 512;
/// Longest `id` of it: it comes back in every NOTIFY.
const LONGEST_ID: usize = 128;

/// The parameters of Event choose nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFilter;

impl<'a> Asking<'a> {
    /// The values of a header, in long or compact form.
    pub fn all(&self, id: HeaderId) -> impl Iterator<Item = &'a str> + use<'a> {
        let headers = self.0.headers.iter();
        headers.filter(move |h| HeaderId::from_name(h.name.as_bytes()) == id).map(|h| h.value.as_str())
    }

    /// The one value of Event; `None` when there is none, more than one, or none that can be read. EVT-01
    pub fn event(&self) -> Option<Event<'a>> {
        let mut values = self.all(HeaderId::Event);
        let event = values.next().filter(|value| value.len() <= LONGEST_EVENT)?;
        let event = Event::parse(event.as_bytes()).ok()?;
        let is_plain =
            event.id.is_none_or(|id| id.len() <= LONGEST_ID && sip_message::is_token(id.as_bytes()));
        (values.next().is_none() && is_plain).then_some(event)
    }

    /// The answer to an Event that names two ids: which of them a NOTIFY would have to repeat is not said. RFC 6665 8.2.1
    pub fn ambiguous_event(&self) -> Option<HandleResponse> {
        let event = self.event()?;
        let ids = event.params.iter().filter(|param| param.name.eq_ignore_ascii_case("id")).count();
        (ids > 1).then(|| refuse_saying(400, "Event Has Two Ids"))
    }

    /// What of the state is wanted, as parameters of Event say it. RFC 4235 3.2
    ///
    /// # Errors
    /// When they choose nothing that there can be.
    pub fn filter(&self, package: Package) -> Result<Option<Filter>, BadFilter> {
        let Some(event) = self.event().filter(|_| package == Package::Dialog) else { return Ok(None) };
        // A Call-ID is rarely a token: it comes quoted.
        let text = |name: &str| {
            let value = event.params.unquoted(name).unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let filter = Filter { call_id: text("call-id"), to_tag: text("to-tag"), from_tag: text("from-tag") };
        match (filter.call_id.is_empty(), filter.to_tag.is_empty(), filter.from_tag.is_empty()) {
            (true, true, true) => Ok(None),
            // One dialog, or those that one INVITE made.
            (false, false, _) => Ok(Some(filter)),
            (_, _, _) => Err(BadFilter),
        }
    }

    /// Whether a body of this type may be sent: RFC 6665 3.1.3, the default of the package when there is no Accept.
    pub fn accepts(&self, content_type: &str) -> bool {
        let mut ranges =
            self.all(HeaderId::Accept).flat_map(|value| CommaList::new(value.as_bytes())).peekable();
        if ranges.peek().is_none() {
            return self.all(HeaderId::Accept).next().is_none();
        }
        let (kind, _) = content_type.split_once('/').unwrap_or((content_type, ""));
        // The range that says most about the type decides: itself, then its kind, then any. RFC 3261 20.1
        let says = |range: &[u8]| {
            let mut parts = range.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
            let bare = parts.next().unwrap_or_default();
            let is_of_kind = |r: &[u8]| r.eq_ignore_ascii_case(kind.as_bytes());
            let rank = match bare {
                b"*/*" => 1,
                _ if bare.strip_suffix(b"/*").is_some_and(is_of_kind) => 2,
                _ if bare.eq_ignore_ascii_case(content_type.as_bytes()) => 3,
                _ => return None,
            };
            Some((rank, !parts.any(is_zero_q)))
        };
        ranges.filter_map(says).max_by_key(|(rank, _)| *rank).is_some_and(|(_, is_taken)| is_taken)
    }

    /// Whether the sender says that it knows an extension, in Supported or in Require.
    pub fn supports(&self, tag: &str) -> bool {
        let values = self.all(HeaderId::Supported).chain(self.all(HeaderId::Require));
        let mut tags = values.flat_map(|value| CommaList::new(value.as_bytes()));
        tags.any(|known| known.eq_ignore_ascii_case(tag.as_bytes()))
    }

    /// The answer to a request that needs what is not known here. RFC 3261 8.2.2.3
    pub fn unknown_extensions(&self) -> Option<HandleResponse> {
        let tags = self.all(HeaderId::Require).flat_map(|value| CommaList::new(value.as_bytes()));
        let unknown: Vec<_> = tags.filter(|tag| !tag.eq_ignore_ascii_case(EVENT_LIST.as_bytes())).collect();
        let unknown: Vec<_> = unknown.into_iter().map(String::from_utf8_lossy).collect();
        (!unknown.is_empty()).then(|| refuse_with(420, "Unsupported", unknown.join(", ")))
    }

    /// The answer to a body that cannot be read as UTF-8, as it stands. RFC 3261 8.2.3
    pub fn unread_encoding(&self) -> Option<HandleResponse> {
        let body = self.0.body.as_ref()?;
        let codings = self.all(HeaderId::ContentEncoding).flat_map(|value| CommaList::new(value.as_bytes()));
        if codings.into_iter().any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Some(refuse_with(415, "Accept-Encoding", "identity"));
        }
        let content_type = MediaType::parse(body.content_type.as_bytes());
        let charset = content_type.as_ref().and_then(|content_type| content_type.params.get("charset"));
        charset.filter(|charset| !is_utf8(charset)).map(|charset| {
            let charset: String = charset.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
            let reason = format!("Unsupported Media Type (charset {charset}, expected UTF-8)");
            HandleResponse {
                reason,
                ..refuse_with(415, "Accept", format!("{CONTENT_TYPE};charset=\"UTF-8\""))
            }
        })
    }

    /// The address of record that the Request-URI names.
    pub fn resource(&self) -> Option<String> {
        user_aor(&self.0.request_uri)
    }

    /// Who asks: who was authenticated, or, where nobody has to be, who it says to be.
    pub fn asker(&self) -> Option<String> {
        match self.0.identity.as_str() {
            "" => user_aor(&self.0.from_uri),
            identity => Some(identity.to_owned()),
        }
    }
}

/// Whether a parameter of a range says that it is not acceptable.
fn is_zero_q(param: &[u8]) -> bool {
    let text = std::str::from_utf8(param).unwrap_or_default();
    let value = text.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    value.and_then(|(_, value)| value.trim().parse::<f32>().ok()).is_some_and(|value| value <= 0.0)
}

/// The address of record of a user.
pub fn user_aor(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    (matches!(uri.scheme, Scheme::Sip | Scheme::Sips) && uri.user.is_some()).then(|| uri.aor()).flatten()
}

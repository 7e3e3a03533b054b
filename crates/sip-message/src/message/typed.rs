//! Typed views of optional headers.

use super::Message;
use crate::error::HeaderError;
use crate::grammar::{is_token, saturating_number};
use crate::header::{HeaderId, NameAddr};

impl Message {
    /// The Contact addresses in wire order; `*` is not an address, see [`Message::contact_is_star`].
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderId::Contact)
    }

    /// Is the only Contact value `*`? RFC 3261 10.2.2
    pub fn contact_is_star(&self) -> bool {
        let mut values = self.values(HeaderId::Contact);
        values.next() == Some(b"*") && values.next().is_none()
    }

    /// The Route addresses, next hop first.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderId::Route)
    }

    /// The Record-Route addresses in wire order.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(HeaderId::RecordRoute)
    }

    /// Expires in seconds: above 2^32-1 it is 2^32-1, and garbage is 3600. `None` without the header.
    /// RFC 3261 10.2, 20.19
    pub fn expires(&self) -> Option<u32> {
        let value = self.first(HeaderId::Expires)?;
        Some(saturating_number(value).map_or(3600, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX)))
    }

    /// Content-Type as text.
    pub fn content_type(&self) -> Option<&str> {
        self.first_str(HeaderId::ContentType)
    }

    /// The tokens of Require, Supported, Proxy-Require, Unsupported, Allow and the like; values that
    /// are no tokens are left out.
    pub fn option_tags(&self, id: HeaderId) -> impl Iterator<Item = &str> {
        self.values(id).filter(|tag| is_token(tag)).filter_map(|tag| std::str::from_utf8(tag).ok())
    }

    /// Does the header list this token, in any case?
    pub fn has_option_tag(&self, id: HeaderId, tag: &str) -> bool {
        self.option_tags(id).any(|listed| listed.eq_ignore_ascii_case(tag))
    }
}

//! Typed views of optional headers.
//!
//! A header that is absent is `Ok(None)`; one that is there and cannot be read is an error.

use super::Message;
use crate::Method;
use crate::error::{HeaderError, SyntaxError};
use crate::grammar::{is_token, saturating_number};
use crate::header::{
    ContentDisposition, ContentType, Date, Event, HeaderId, Join, NameAddr, RAck, Reason, Replaces,
    RetryAfter, SessionExpires, SubscriptionState, TargetDialog, seconds_and_params,
};

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

    /// A header that is one number, such as RSeq, Min-Expires, Max-Breadth or Flow-Timer; numbers
    /// beyond `u32` saturate. MSG-14
    ///
    /// # Errors
    /// When it is repeated or no number.
    pub fn number(&self, id: HeaderId) -> Result<Option<u32>, HeaderError> {
        self.optional(id, number)
    }

    /// Max-Forwards.
    ///
    /// # Errors
    /// When it is repeated or no number.
    pub fn max_forwards(&self) -> Result<Option<u32>, HeaderError> {
        self.number(HeaderId::MaxForwards)
    }

    /// RSeq, between 1 and 2^32-1. RFC 3262 7.1
    ///
    /// # Errors
    /// When it is repeated or no such number.
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderId::RSeq, |value| {
            saturating_number(value)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number > 0)
                .ok_or(SyntaxError { expected: "a number from 1 to 4294967295", offset: 0 })
        })
    }

    /// RAck.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn rack(&self) -> Result<Option<RAck>, HeaderError> {
        self.optional(HeaderId::RAck, RAck::parse)
    }

    /// Content-Type as text.
    pub fn content_type(&self) -> Option<&str> {
        self.first_str(HeaderId::ContentType)
    }

    /// Content-Type taken apart.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn media_type(&self) -> Result<Option<ContentType<'_>>, HeaderError> {
        self.optional(HeaderId::ContentType, ContentType::parse)
    }

    /// Does an Accept header take in this media type? `None` without an Accept header: then
    /// `application/sdp` is assumed. RFC 3261 20.1
    pub fn accepts(&self, media_type: &str) -> Option<bool> {
        self.has(HeaderId::Accept).then(|| {
            self.values(HeaderId::Accept)
                .filter_map(|range| ContentType::parse(range).ok())
                .any(|range| range.accepts(media_type))
        })
    }

    /// Content-Disposition.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn content_disposition(&self) -> Result<Option<ContentDisposition<'_>>, HeaderError> {
        self.optional(HeaderId::ContentDisposition, ContentDisposition::parse)
    }

    /// Date.
    ///
    /// # Errors
    /// When it is repeated or cannot be read; that does not stop a call.
    pub fn date(&self) -> Result<Option<Date>, HeaderError> {
        self.optional(HeaderId::Date, Date::parse)
    }

    /// Event.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn event(&self) -> Result<Option<Event<'_>>, HeaderError> {
        self.optional(HeaderId::Event, Event::parse)
    }

    /// Subscription-State.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState<'_>>, HeaderError> {
        self.optional(HeaderId::SubscriptionState, SubscriptionState::parse)
    }

    /// Session-Expires.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.optional(HeaderId::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds. RFC 4028 5
    ///
    /// # Errors
    /// When it is repeated or no number.
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.optional(HeaderId::MinSe, |value| seconds_and_params(value).map(|(seconds, _)| seconds))
    }

    /// Retry-After.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn retry_after(&self) -> Result<Option<RetryAfter<'_>>, HeaderError> {
        self.optional(HeaderId::RetryAfter, RetryAfter::parse)
    }

    /// The Reason values that can be read.
    pub fn reasons(&self) -> impl Iterator<Item = Reason<'_>> {
        self.values(HeaderId::Reason).filter_map(|value| Reason::parse(value).ok())
    }

    /// Replaces.
    ///
    /// # Errors
    /// When it is repeated or cannot be read. RFC 3891 3
    pub fn replaces(&self) -> Result<Option<Replaces<'_>>, HeaderError> {
        self.optional(HeaderId::Replaces, Replaces::parse)
    }

    /// Join.
    ///
    /// # Errors
    /// When it is repeated or cannot be read. RFC 3911 4
    pub fn join(&self) -> Result<Option<Join<'_>>, HeaderError> {
        self.optional(HeaderId::Join, Join::parse)
    }

    /// Target-Dialog.
    ///
    /// # Errors
    /// When it is repeated or cannot be read.
    pub fn target_dialog(&self) -> Result<Option<TargetDialog<'_>>, HeaderError> {
        self.optional(HeaderId::TargetDialog, TargetDialog::parse)
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

    /// Does Allow list this method? `None` without an Allow header. Case counts. RFC 3261 20.5
    pub fn allows(&self, method: &Method) -> Option<bool> {
        self.has(HeaderId::Allow)
            .then(|| self.option_tags(HeaderId::Allow).any(|listed| listed == method.as_str()))
    }

    /// A header that may be absent and must not repeat.
    fn optional<'a, T>(
        &'a self,
        id: HeaderId,
        parse: impl FnOnce(&'a [u8]) -> Result<T, SyntaxError>,
    ) -> Result<Option<T>, HeaderError> {
        if !self.has(id) {
            return Ok(None);
        }
        parse(self.single(id)?).map(Some).map_err(HeaderError::syntax(id))
    }
}

/// A number beyond `u32` saturates. MSG-14
pub(super) fn number(value: &[u8]) -> Result<u32, SyntaxError> {
    saturating_number(value)
        .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        .ok_or(SyntaxError { expected: "a number", offset: 0 })
}

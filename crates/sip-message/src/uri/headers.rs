//! Headers inside a URI: what a request made from it should carry. RFC 3261 19.1.5

use std::borrow::Cow;

use super::Uri;
use super::escape::percent_decode;
use crate::grammar::is_token;
use crate::header::HeaderId;

/// A header from a URI that may go into a request made from it, escapes undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriHeader<'a> {
    /// Which header it is.
    pub id: HeaderId,
    /// Its name, a token.
    pub name: Cow<'a, str>,
    /// Its value, without CR, LF and NUL.
    pub value: Cow<'a, [u8]>,
}

impl<'a> Uri<'a> {
    /// The URI headers: names and values as received, escapes included.
    pub fn header_pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let pairs = self.headers.unwrap_or_default().split(|byte| *byte == b'&');
        pairs.filter(|pair| !pair.is_empty()).map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &pair[..0]),
        })
    }

    /// The headers that may be honoured in a request made from a Refer-To or redirect target.
    ///
    /// Left out are those that would steer the request or pass for somebody else, those that the
    /// builder of a request sets itself, the body, and anything that is no header line. MSG-17
    pub fn request_headers(&self) -> impl Iterator<Item = UriHeader<'a>> + use<'a> {
        self.header_pairs().filter_map(|(name, value)| {
            let name = match percent_decode(name) {
                Cow::Borrowed(name) => Cow::Borrowed(std::str::from_utf8(name).ok()?),
                Cow::Owned(name) => Cow::Owned(String::from_utf8(name).ok()?),
            };
            let value = percent_decode(value);
            let id = HeaderId::from_name(name.as_bytes());
            let harmless = is_token(name.as_bytes())
                && !name.eq_ignore_ascii_case("body")
                && !is_reserved_for_the_sender(id)
                && memchr::memchr3(b'\r', b'\n', 0, &value).is_none();
            harmless.then_some(UriHeader { id, name, value })
        })
    }

    /// The URI as it may stand in a request line: without its headers. RFC 3261 19.1.1
    pub fn without_headers(&self) -> &'a [u8] {
        match self.headers {
            Some(headers) => &self.raw[..self.raw.len() - headers.len() - 1],
            None => self.raw,
        }
    }
}

fn is_reserved_for_the_sender(id: HeaderId) -> bool {
    use HeaderId::*;
    matches!(
        id,
        Via | From
            | To
            | CallId
            | CSeq
            | Contact
            | Route
            | RecordRoute
            | Path
            | ServiceRoute
            | MaxForwards
            | MaxBreadth
            | ContentLength
            | ContentType
            | ContentEncoding
            | ContentDisposition
            | TransferEncoding
            | Authorization
            | ProxyAuthorization
            | WwwAuthenticate
            | ProxyAuthenticate
            | AuthenticationInfo
            | ProxyAuthenticationInfo
            | PAssertedIdentity
            | PPreferredIdentity
            | RemotePartyId
            | Identity
            | IdentityInfo
            | RAck
            | RSeq
            | Timestamp
            | Date
            | SecurityClient
            | SecurityServer
            | SecurityVerify
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(uri: &str) -> Vec<String> {
        let uri = Uri::parse(uri.as_bytes()).unwrap();
        uri.request_headers().map(|header| header.name.into_owned()).collect()
    }

    /// MSG-17
    #[test]
    fn headers_that_steer_or_impersonate_are_left_out() {
        assert_eq!(names("sip:a@h?Route=%3Csip:evil%3E&Subject=x&From=y&%52oute=z&v=w&body=b"), ["Subject"]);
        assert_eq!(
            names("sip:a@h?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces"),
            ["Replaces", "Require"]
        );
    }

    /// MSG-17, T19
    #[test]
    fn a_value_cannot_begin_another_line() {
        assert_eq!(names("sip:a@h?Subject=x%0D%0ARoute:y&Priority=urgent&X%0d%0aY=z"), ["Priority"]);
    }

    /// MSG-17
    #[test]
    fn the_request_uri_has_no_headers() {
        let with = Uri::parse(b"sip:a@h;lr?Subject=x").unwrap();
        assert_eq!(with.without_headers(), b"sip:a@h;lr");
        assert_eq!(Uri::parse(b"sip:a@h").unwrap().without_headers(), b"sip:a@h");
    }
}

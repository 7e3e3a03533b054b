//! What a URI loses when it becomes a Request-URI. RFC 3261 16.6 step 2

use std::borrow::Cow;

use sip_message::{Scheme, Uri};

/// The URI without what a Request-URI must not have: headers and the method parameter, by which a Contact would put a Route or
/// another method into a request that somebody else is answerable for. RFC 3261 19.1.1, 19.1.5
///
/// What is no SIP URI, or cannot be read, stays as it is.
pub fn as_request_uri(uri: &[u8]) -> Cow<'_, [u8]> {
    if !may_have_more(uri) {
        return Cow::Borrowed(uri);
    }
    let parsed = Uri::parse(uri).ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    let Some(parsed) = parsed else { return Cow::Borrowed(uri) };
    let end = uri.len() - parsed.headers.map_or(0, |headers| headers.len() + 1);
    if !parsed.has_param("method") {
        return Cow::Borrowed(&uri[..end]);
    }
    let written =
        |name: &str, value: Option<&[u8]>| 1 + name.len() + value.map_or(0, |value| 1 + value.len());
    let params: usize = parsed.params.iter().map(|param| written(param.name, param.value)).sum();
    let mut plain = uri[..end.saturating_sub(params)].to_vec();
    for param in parsed.params.iter().filter(|param| !param.name.eq_ignore_ascii_case("method")) {
        plain.push(b';');
        plain.extend_from_slice(param.name.as_bytes());
        if let Some(value) = param.value {
            plain.push(b'=');
            plain.extend_from_slice(value);
        }
    }
    Cow::Owned(plain)
}

/// A cheap test before the URI is taken apart.
fn may_have_more(uri: &[u8]) -> bool {
    uri.contains(&b'?') || uri.windows(8).any(|window| window.eq_ignore_ascii_case(b";method="))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-17
    #[test]
    fn headers_and_method_go_and_everything_else_stays() {
        for (uri, plain) in [
            ("sip:b@h:5070;method=INVITE?Route=evil&Subject=x", "sip:b@h:5070"),
            ("sip:b@h;a;METHOD=BYE;lr;x=;y=%3b", "sip:b@h;a;lr;x=;y=%3b"),
            ("sips:b:pw@[2001:db8::1]:5061;transport=tcp?a=b", "sips:b:pw@[2001:db8::1]:5061;transport=tcp"),
            // These letters may stand in a user part.
            ("sip:what?;method=x@h;a=1", "sip:what?;method=x@h;a=1"),
            ("sip:b@h;methods=1;m=method", "sip:b@h;methods=1;m=method"),
            ("tel:+1;method=x", "tel:+1;method=x"),
            ("sip:b@h", "sip:b@h"),
            ("sip:b@h?\"", "sip:b@h?\""),
        ] {
            assert_eq!(String::from_utf8_lossy(&as_request_uri(uri.as_bytes())), plain);
        }
    }
}

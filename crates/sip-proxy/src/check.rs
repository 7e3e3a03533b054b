//! What is asked of a request before it is forwarded, RFC 3261 16.3.

use sip_message::{HeaderId, Message, Scheme, Uri};

/// Largest Max-Breadth taken over, and the value for a request without one. RFC 5393 5.3.3
pub const MAX_BREADTH: u32 = 60;

/// Why a request is not forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 416: no such scheme is routed here.
    #[error("the scheme of the Request-URI is not routed")]
    UnsupportedScheme,
    /// 400: a part that routing needs cannot be read.
    #[error("{0}")]
    Malformed(&'static str),
    /// 483: Max-Forwards is used up.
    #[error("Max-Forwards is used up")]
    TooManyHops,
    /// 420 with these tags in Unsupported.
    #[error("unknown option tags in Proxy-Require: {0:?}")]
    BadExtension(Vec<String>),
    /// 440: Max-Breadth is used up.
    #[error("Max-Breadth is used up")]
    MaxBreadthExceeded,
    /// 482: the request has been here with the same routing inputs.
    #[error("loop detected")]
    LoopDetected,
}

/// What a request may still spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Max-Forwards as received; `None` when it was absent.
    pub max_forwards: Option<u32>,
    /// Max-Breadth as received, capped; 60 when it was absent.
    pub max_breadth: u32,
}

/// Checks a request whose mandatory fields are known to be well-formed.
///
/// # Errors
/// The first reason to refuse, in the order of RFC 3261 16.3.
pub fn check_request(request: &Message, proxy_extensions: &[&str]) -> Result<Allowance, Refusal> {
    // 16.3 step 2: what is neither ours nor a SIP URI cannot be routed; tel is looked up by the registrar.
    let uri = Uri::parse(request.request_uri().unwrap_or_default())
        .map_err(|_| Refusal::Malformed("Request-URI is not well-formed"))?;
    if let Scheme::Other(_) = uri.scheme {
        return Err(Refusal::UnsupportedScheme);
    }
    // 16.3 step 3
    let max_forwards = request.max_forwards().map_err(|_| Refusal::Malformed("Max-Forwards is no number"))?;
    if max_forwards == Some(0) {
        return Err(Refusal::TooManyHops);
    }
    let max_breadth = max_breadth(request)?;
    check_extensions(request, proxy_extensions)?;
    Ok(Allowance { max_forwards, max_breadth })
}

/// Checks that a request asks nothing of a proxy that this one does not do; also one that ends here, since the one who answers it
/// is also the proxy that it reached (RFC 3261 16.3 step 5).
///
/// # Errors
/// When Proxy-Require names an unknown extension.
pub fn check_extensions(request: &Message, proxy_extensions: &[&str]) -> Result<(), Refusal> {
    if !request.has(HeaderId::ProxyRequire) {
        return Ok(());
    }
    let known = |tag: &str| proxy_extensions.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let tags = request.option_tags(HeaderId::ProxyRequire);
    let unknown: Vec<String> = tags.filter(|tag| !known(tag)).map(str::to_owned).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::BadExtension(unknown)) }
}

// RFC 5393 5.3.3
fn max_breadth(request: &Message) -> Result<u32, Refusal> {
    let Some(value) = request.first_str(HeaderId::MaxBreadth) else { return Ok(MAX_BREADTH) };
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Malformed("Max-Breadth is no number"));
    }
    match value.parse::<u32>().unwrap_or(u32::MAX).min(MAX_BREADTH) {
        0 => Err(Refusal::MaxBreadthExceeded),
        breadth => Ok(breadth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::invite;

    fn check(more: &str) -> Result<Allowance, Refusal> {
        check_request(&invite("sip:bob@example.com", more), &["pref"])
    }

    /// PXY-02
    #[test]
    fn max_forwards_zero_is_refused_and_none_is_fine() {
        assert_eq!(check("Max-Forwards: 0\r\n"), Err(Refusal::TooManyHops));
        assert_eq!(check("Max-Forwards: 1\r\n").unwrap().max_forwards, Some(1));
        assert_eq!(check("").unwrap().max_forwards, None);
        assert!(matches!(check("Max-Forwards: -1\r\n"), Err(Refusal::Malformed(_))));
    }

    /// PXY-05
    #[test]
    fn max_breadth_is_capped_and_zero_is_refused() {
        assert_eq!(check("").unwrap().max_breadth, 60);
        assert_eq!(check("Max-Breadth: 2\r\n").unwrap().max_breadth, 2);
        assert_eq!(check("Max-Breadth: 99999999999\r\n").unwrap().max_breadth, 60);
        assert_eq!(check("Max-Breadth: 0\r\n"), Err(Refusal::MaxBreadthExceeded));
        assert!(matches!(check("Max-Breadth: +1\r\n"), Err(Refusal::Malformed(_))));
    }

    /// PXY-06
    #[test]
    fn unknown_proxy_extensions_are_named() {
        assert_eq!(check("Proxy-Require: foo, PREF\r\n"), Err(Refusal::BadExtension(vec!["foo".to_owned()])));
        assert!(check("Proxy-Require: pref\r\n").is_ok());
    }

    /// UAC-05
    #[test]
    fn a_scheme_that_nobody_routes_is_refused() {
        let other = invite("nobody-knows:x", "");
        assert_eq!(check_request(&other, &[]), Err(Refusal::UnsupportedScheme));
        assert!(check_request(&invite("tel:+4930123", ""), &[]).is_ok());
    }

    /// PXY-01
    #[test]
    fn broken_headers_that_routing_does_not_need_are_no_reason_to_refuse() {
        assert!(check("Date: not a date\r\nX-Odd\t: \"\r\n").is_ok());
    }
}

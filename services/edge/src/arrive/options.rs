//! OPTIONS addressed to the edge itself, and what it says of itself elsewhere. RFC 3261 11.2

use sip_message::{CommaList, HeaderId, Message};

use crate::answer::{ACCEPT, SUPPORTED};
use crate::reject::Reject;

/// Checks an OPTIONS to the edge as any user agent server would. RFC 3261 8.2
///
/// # Errors
/// Why it is not answered 200.
pub(crate) fn check(request: &Message) -> Result<(), Reject> {
    let known = |tag: &str| SUPPORTED.split(", ").any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<String> =
        request.option_tags(HeaderId::Require).filter(|tag| !known(tag)).map(str::to_owned).collect();
    if !unknown.is_empty() {
        return Err(Reject::BadExtension(unknown));
    }
    check_body(request)?;
    if request.has(HeaderId::Accept) && !accepts_ours(request) {
        return Err(Reject::NotAcceptable);
    }
    Ok(())
}

/// Checks that a body is one that is read here, or need not be. UAC-03
///
/// # Errors
/// When it is not.
pub(crate) fn check_body(request: &Message) -> Result<(), Reject> {
    let is_fine = request.body().is_empty() || is_readable(request);
    if is_fine { Ok(()) } else { Err(Reject::UnsupportedMediaType) }
}

/// Headers of the 200. Allow is left out: a proxy forwards what it does not know. IMI-01
pub(crate) fn headers() -> [(HeaderId, &'static str); 4] {
    [
        (HeaderId::Accept, ACCEPT),
        (HeaderId::AcceptEncoding, "identity"),
        (HeaderId::AcceptLanguage, "en"),
        (HeaderId::Supported, SUPPORTED),
    ]
}

fn is_readable(request: &Message) -> bool {
    let encoded = request
        .first(HeaderId::ContentEncoding)
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    let optional = request
        .first_str(HeaderId::ContentDisposition)
        .is_some_and(|value| value.to_ascii_lowercase().replace(' ', "").contains(";handling=optional"));
    let media_type = request.content_type().map(|value| value.split(';').next().unwrap_or_default().trim());
    optional || (!encoded && media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(ACCEPT)))
}

fn accepts_ours(request: &Message) -> bool {
    // An empty Accept accepts nothing (RFC 3261 20.1); our 200 has no body, so only named types can exclude it. Plain text is what monitors
    // ask for (sipsak), and what any answer could explain itself in.
    let mut ranges = request.all(HeaderId::Accept).flat_map(CommaList::new).peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let range = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            [&b"*/*"[..], b"application/*", b"text/*", b"text/plain", ACCEPT.as_bytes()]
                .iter()
                .any(|ours| range.eq_ignore_ascii_case(ours))
        })
}

#[cfg(test)]
mod tests {
    use sip_message::Limits;

    use super::*;

    fn check_with(headers: &str, body: &str) -> Result<(), Reject> {
        let text = format!(
            "OPTIONS sip:edge.example.com SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:edge.example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        check(&Message::parse(text.into_bytes().into(), &Limits::default()).unwrap())
    }

    /// UAC-02
    #[test]
    fn unknown_extensions_are_named_and_known_ones_are_not() {
        assert_eq!(check_with("Require: foo, path\r\n", ""), Err(Reject::BadExtension(vec!["foo".into()])));
        assert_eq!(check_with("Require: foo, 100rel\r\n", ""), Err(Reject::BadExtension(vec!["foo".into()])));
        assert_eq!(check_with("Require: gruu, timer\r\n", ""), Ok(()));
    }

    /// UAC-03
    #[test]
    fn a_body_of_another_kind_is_refused_unless_it_is_optional() {
        assert_eq!(check_with("Content-Type: text/x\r\n", "x"), Err(Reject::UnsupportedMediaType));
        assert_eq!(check_with("", "x"), Err(Reject::UnsupportedMediaType));
        assert_eq!(check_with("Content-Type: Application/SDP;a=b\r\n", "x"), Ok(()));
        let optional = "Content-Type: text/x\r\nContent-Disposition: render; handling=optional\r\n";
        assert_eq!(check_with(optional, "x"), Ok(()));
        let packed = "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n";
        assert_eq!(check_with(packed, "x"), Err(Reject::UnsupportedMediaType));
    }

    /// UAC-04
    #[test]
    fn an_accept_that_excludes_everything_of_ours_is_refused() {
        assert_eq!(check_with("Accept: text/nobody\r\n", ""), Err(Reject::NotAcceptable));
        assert_eq!(check_with("Accept: text/nobody, application/sdp;q=0.1\r\n", ""), Ok(()));
        assert_eq!(check_with("Accept: */*\r\n", ""), Ok(()));
        assert_eq!(check_with("Accept: text/plain\r\n", ""), Ok(()));
        assert_eq!(check_with("", ""), Ok(()));
    }
}

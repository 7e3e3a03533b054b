//! Names of headers: long, compact, and the number that the header table keeps. `lookup.rs` finds them.

use std::fmt;

macro_rules! headers {
    ($( $variant:ident $name:literal $($compact:literal)? ),+ $(,)?) => {
        /// A header that this crate knows by name; everything else is [`HeaderId::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum HeaderId {
            $( #[doc = concat!("`", $name, "`")] $variant, )+
            /// A header without a variant of its own; find it with `Message::named`.
            Other,
        }

        pub(super) const KNOWN: &[(HeaderId, &str, Option<u8>)] = &[
            $( (HeaderId::$variant, $name, headers!(@compact $($compact)?)) ),+
        ];
    };
    (@compact) => { None };
    (@compact $compact:literal) => { Some($compact) };
}

headers! {
    Accept "Accept",
    AcceptContact "Accept-Contact" b'a',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AcceptResourcePriority "Accept-Resource-Priority",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" b'i',
    CallInfo "Call-Info",
    Contact "Contact" b'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e',
    ContentId "Content-ID",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" b'o',
    Expires "Expires",
    FeatureCaps "Feature-Caps",
    FlowTimer "Flow-Timer",
    From "From" b'f',
    Geolocation "Geolocation",
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    IdentityInfo "Identity-Info" b'n',
    InReplyTo "In-Reply-To",
    InfoPackage "Info-Package",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PPreferredIdentity "P-Preferred-Identity",
    Path "Path",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferEventsAt "Refer-Events-At",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    RejectContact "Reject-Contact" b'j',
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" b'd',
    Require "Require",
    ResourcePriority "Resource-Priority",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" b'x',
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" b's',
    SubscriptionState "Subscription-State",
    Supported "Supported" b'k',
    SuppressIfMatch "Suppress-If-Match",
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" b't',
    TransferEncoding "Transfer-Encoding",
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Via "Via" b'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl HeaderId {
    /// The long name in its usual spelling; empty for [`HeaderId::Other`].
    pub fn as_str(self) -> &'static str {
        KNOWN.get(self as usize).map_or("", |(_, name, _)| name)
    }

    /// The one-letter name, if one is registered.
    pub fn compact(self) -> Option<u8> {
        KNOWN.get(self as usize).and_then(|(_, _, compact)| *compact)
    }

    /// Every header with a variant of its own.
    pub fn known() -> impl Iterator<Item = HeaderId> {
        KNOWN.iter().map(|(id, _, _)| *id)
    }

    /// May several values of this header stand in one line, separated by commas?
    ///
    /// The authentication headers repeat as lines only, because commas separate their parameters.
    /// RFC 3261 7.3.1
    pub fn is_list(self) -> bool {
        use HeaderId::*;
        matches!(
            self,
            Accept
                | AcceptContact
                | AcceptEncoding
                | AcceptLanguage
                | AcceptResourcePriority
                | AlertInfo
                | Allow
                | AllowEvents
                | CallInfo
                | Contact
                | ContentEncoding
                | ContentLanguage
                | Diversion
                | ErrorInfo
                | FeatureCaps
                | Geolocation
                | HistoryInfo
                | InReplyTo
                | PAssertedIdentity
                | PAssociatedUri
                | PPreferredIdentity
                | Path
                | ProxyRequire
                | Reason
                | RecordRoute
                | RecvInfo
                | RejectContact
                | RemotePartyId
                | RequestDisposition
                | Require
                | ResourcePriority
                | Route
                | SecurityClient
                | SecurityServer
                | SecurityVerify
                | ServiceRoute
                | Supported
                | Unsupported
                | Via
                | Warning
        )
    }
}

impl fmt::Display for HeaderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == HeaderId::Other { "other header" } else { self.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-02
    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (id, name, _) in KNOWN {
            assert_eq!(HeaderId::from_name(name.as_bytes()), *id);
            assert_eq!(HeaderId::from_name(name.to_ascii_uppercase().as_bytes()), *id);
            assert_eq!(HeaderId::from_name(name.to_ascii_lowercase().as_bytes()), *id);
            assert_eq!(id.as_str(), *name);
        }
        assert_eq!(HeaderId::from_name(b"X-Foo"), HeaderId::Other);
        assert_eq!(HeaderId::from_name(b""), HeaderId::Other);
    }

    /// MSG-03
    #[test]
    fn compact_names_equal_long_names() {
        let pairs: [(u8, &str); 18] = [
            (b'i', "Call-ID"),
            (b'm', "Contact"),
            (b'e', "Content-Encoding"),
            (b'l', "Content-Length"),
            (b'c', "Content-Type"),
            (b'f', "From"),
            (b's', "Subject"),
            (b'k', "Supported"),
            (b't', "To"),
            (b'v', "Via"),
            (b'o', "Event"),
            (b'u', "Allow-Events"),
            (b'r', "Refer-To"),
            (b'b', "Referred-By"),
            (b'x', "Session-Expires"),
            (b'a', "Accept-Contact"),
            (b'j', "Reject-Contact"),
            (b'd', "Request-Disposition"),
        ];
        for (letter, name) in pairs {
            let id = HeaderId::from_name(name.as_bytes());
            assert_ne!(id, HeaderId::Other);
            assert_eq!(HeaderId::from_name(&[letter]), id);
            assert_eq!(HeaderId::from_name(&[letter.to_ascii_uppercase()]), id);
            assert_eq!(id.compact(), Some(letter));
        }
        assert_eq!(HeaderId::from_name(b"z"), HeaderId::Other);
        assert_eq!(HeaderId::from_name(&[0xe9]), HeaderId::Other);
    }
}

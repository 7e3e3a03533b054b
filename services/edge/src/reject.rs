//! The one table that turns the edge's own refusals into SIP answers. Other statuses come from peers, from the plan of the
//! registrar, from call-control, or from the response context of `sip-proxy`.

use sip_message::{HeaderError, HeaderId, Message, Method, Warning};
use sip_proxy::Refusal;

use crate::answer::{ACCEPT, ALLOW};
use crate::forward::history;

/// Why we answer a request ourselves, without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reject {
    /// A mandatory field is absent or broken. MSG-10, MSG-11
    Malformed(HeaderError),
    /// A check of the proxy core failed.
    Proxy(Refusal),
    /// The method is known, but not for this target. UAC-01
    MethodNotAllowed,
    /// The method is unknown. UAC-01
    NotImplemented,
    /// Require names what we do not do. UAC-02
    BadExtension(Vec<String>),
    /// A body that we do not read. UAC-03
    UnsupportedMediaType,
    /// No body type of ours is accepted. UAC-04
    NotAcceptable,
    /// A flow token that this cluster did not seal. OBD-01
    ForgedFlow,
    /// A Contact is an address of this tier: what it is called for would come back. REG-19
    ContactLeadsBack,
    /// The request goes on to somebody else, and its sender is nobody we know. PXY-27
    RelayingDenied,
    /// Within a dialog that goes by no trunk it is led to the gateway of one. T6
    AtTrunk,
    /// It came before by another way. UAC-07
    Merged,
    /// There is no such dialog or transaction.
    DoesNotExist,
    /// The conference is over, or never was.
    NoSuchConference,
    /// We are too busy. The answer has no Retry-After: it would make all peers stop and start together.
    Overloaded,
    /// Its source has begun too many requests. T13
    TooManyOfSource,
    /// What its source asks for is refused, again and again. T18
    Shunned,
    /// We are about to leave; another edge takes it.
    Draining {
        /// Seconds, random for each answer.
        retry_after: u32,
    },
    /// A table is full.
    Full,
    /// The service that decides did not answer.
    DecisionUnavailable {
        /// Seconds, random for each answer.
        retry_after: u32,
    },
    /// The caller gave up while we were deciding.
    Cancelled,
    /// It went wrong here.
    Internal,
}

impl Reject {
    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Proxy(refusal) => match refusal {
                Refusal::UnsupportedScheme => 416,
                Refusal::Malformed(_) => 400,
                Refusal::TooManyHops => 483,
                Refusal::BadExtension(_) => 420,
                Refusal::MaxBreadthExceeded => 440,
                Refusal::LoopDetected => 482,
            },
            Self::MethodNotAllowed => 405,
            Self::NotImplemented => 501,
            Self::BadExtension(_) => 420,
            Self::UnsupportedMediaType => 415,
            Self::NotAcceptable => 406,
            Self::ForgedFlow | Self::ContactLeadsBack | Self::RelayingDenied | Self::AtTrunk => 403,
            Self::DoesNotExist => 481,
            Self::NoSuchConference => 404,
            Self::Merged => 482,
            Self::Overloaded
            | Self::TooManyOfSource
            | Self::Shunned
            | Self::Draining { .. }
            | Self::Full
            | Self::DecisionUnavailable { .. } => 503,
            Self::Cancelled => 487,
            Self::Internal => 500,
        }
    }

    /// Is it not even said? Whoever sends by UDP may do so in another one's name, and repeats what is not answered when there may be room.
    pub(crate) fn is_silent(&self, is_reliable: bool) -> bool {
        match self {
            Self::TooManyOfSource => !is_reliable,
            Self::Shunned => true,
            _ => false,
        }
    }

    /// A reason phrase that says more than the usual one, free of anything that the peer sent.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Malformed(error) => Some(error.reason()),
            Self::Proxy(Refusal::Malformed(what)) => Some((*what).to_owned()),
            Self::ContactLeadsBack => Some("Contact Leads Back To This Server".to_owned()),
            Self::Merged => Some("Merged Request".to_owned()),
            Self::AtTrunk => Some("Gateway Not Allowed".to_owned()),
            _ => None,
        }
    }

    /// Headers that belong to the answer.
    pub(crate) fn headers(&self, request: &Message) -> Vec<(HeaderId, String)> {
        let history = history::of_refusal(request, request.request_uri().unwrap_or_default(), self.status());
        let history = history.into_iter().map(|entry| (HeaderId::HistoryInfo, entry));
        self.own_headers(request).into_iter().chain(history).collect()
    }

    fn own_headers(&self, request: &Message) -> Vec<(HeaderId, String)> {
        match self {
            // RFC 3261 20.43, 21.4.1: for the person who looks at it; both texts are ours, word for word.
            Self::Malformed(error) => {
                vec![(HeaderId::Warning, Warning::print(399, "carillon", &error.to_string()))]
            }
            Self::AtTrunk => {
                let text = "This dialog does not go by the trunk whose gateway it is led to";
                vec![(HeaderId::Warning, Warning::print(399, "carillon", text))]
            }
            Self::MethodNotAllowed => vec![(HeaderId::Allow, ALLOW.to_owned())],
            Self::BadExtension(tags) | Self::Proxy(Refusal::BadExtension(tags)) => {
                vec![(HeaderId::Unsupported, tags.join(", "))]
            }
            Self::UnsupportedMediaType => vec![
                (HeaderId::Accept, ACCEPT.to_owned()),
                (HeaderId::AcceptEncoding, "identity".to_owned()),
                (HeaderId::AcceptLanguage, "en".to_owned()),
            ],
            Self::Draining { retry_after } | Self::DecisionUnavailable { retry_after } => {
                vec![(HeaderId::RetryAfter, retry_after.to_string())]
            }
            Self::Proxy(Refusal::TooManyHops) if request.method() == Method::Options => {
                vec![(HeaderId::Allow, ALLOW.to_owned())]
            }
            _ => Vec::new(),
        }
    }

    /// The name under which it is counted.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Proxy(refusal) => match refusal {
                Refusal::UnsupportedScheme => "unsupported_scheme",
                Refusal::Malformed(_) => "malformed",
                Refusal::TooManyHops => "too_many_hops",
                Refusal::BadExtension(_) => "bad_extension",
                Refusal::MaxBreadthExceeded => "max_breadth",
                Refusal::LoopDetected => "loop",
            },
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotImplemented => "not_implemented",
            Self::BadExtension(_) => "bad_extension",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::NotAcceptable => "not_acceptable",
            Self::ForgedFlow => "forged_flow",
            Self::ContactLeadsBack => "contact_leads_back",
            Self::RelayingDenied => "relaying_denied",
            Self::DoesNotExist => "does_not_exist",
            Self::NoSuchConference => "no_such_conference",
            Self::AtTrunk => "at_trunk",
            Self::Merged => "merged",
            Self::Overloaded => "overloaded",
            Self::TooManyOfSource => "source_rate",
            Self::Shunned => "source_score",
            Self::Draining { .. } => "draining",
            Self::Full => "full",
            Self::DecisionUnavailable { .. } => "decision_unavailable",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }
}

/// A request and why it is refused: what a handler gives back when it does not take the request.
pub(crate) struct Refused {
    pub(crate) request: Message,
    pub(crate) reject: Reject,
}

impl Refused {
    pub(crate) fn new(request: Message, reject: impl Into<Reject>) -> Box<Self> {
        Box::new(Self { request, reject: reject.into() })
    }
}

impl From<Refusal> for Reject {
    fn from(refusal: Refusal) -> Self {
        Self::Proxy(refusal)
    }
}

impl From<HeaderError> for Reject {
    fn from(error: HeaderError) -> Self {
        Self::Malformed(error)
    }
}

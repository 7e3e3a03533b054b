//! The one table that says which gRPC code each refusal has. Names are part of the API: they are never changed, only added.

use std::fmt;

use tonic::Code;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:ident $name:literal,)+) => {
        /// Why a request was refused; the `reason` of `google.rpc.ErrorInfo`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The gRPC code it travels with.
            pub fn code(self) -> Code {
                match self {
                    $(Reason::$variant => Code::$code,)+
                }
            }

            /// Its stable name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// A field is missing or out of range.
    BadField = InvalidArgument "BAD_FIELD",
    /// Not a usable URI.
    BadUri = InvalidArgument "BAD_URI",
    /// Not an address of record.
    BadAor = InvalidArgument "BAD_AOR",
    /// A header name or value that may not be set.
    BadHeader = InvalidArgument "BAD_HEADER",
    /// Not a domain name.
    BadDomain = InvalidArgument "BAD_DOMAIN",
    /// Not a number prefix.
    BadPrefix = InvalidArgument "BAD_PREFIX",
    /// A page token of another list or filter.
    BadPageToken = InvalidArgument "BAD_PAGE_TOKEN",
    /// A cursor that no watch gave out.
    BadCursor = InvalidArgument "BAD_CURSOR",
    /// The address is not of a served domain.
    DomainNotServed = InvalidArgument "DOMAIN_NOT_SERVED",
    /// A body over its limit.
    BodyTooLarge = InvalidArgument "BODY_TOO_LARGE",
    /// Flow II was asked for (RFC 3725 4.2).
    FlowNotOffered = InvalidArgument "FLOW_NOT_OFFERED",
    /// A forward that leads back to its own account.
    ForwardToSelf = InvalidArgument "FORWARD_TO_SELF",
    /// A list longer than allowed.
    TooManyMembers = InvalidArgument "TOO_MANY_MEMBERS",
    /// A number lent for a shorter time than allowed.
    TtlTooShort = InvalidArgument "TTL_TOO_SHORT",
    /// A shorter expiry than allowed.
    ExpiresTooShort = InvalidArgument "EXPIRES_TOO_SHORT",

    /// No token, or an unknown one.
    Unauthenticated = Unauthenticated "UNAUTHENTICATED",
    /// The token lacks the scope of the rpc.
    MissingScope = PermissionDenied "MISSING_SCOPE",

    /// No such account.
    AccountNotFound = NotFound "ACCOUNT_NOT_FOUND",
    /// No such binding.
    BindingNotFound = NotFound "BINDING_NOT_FOUND",
    /// No such trunk.
    TrunkNotFound = NotFound "TRUNK_NOT_FOUND",
    /// No such call, or ended too long ago.
    CallNotFound = NotFound "CALL_NOT_FOUND",
    /// No such leg in the call.
    LegNotFound = NotFound "LEG_NOT_FOUND",
    /// No such callback request.
    CallbackNotFound = NotFound "CALLBACK_NOT_FOUND",
    /// No such number is lent.
    NumberNotFound = NotFound "NUMBER_NOT_FOUND",
    /// No such list.
    ListNotFound = NotFound "LIST_NOT_FOUND",
    /// No such message.
    MessageNotFound = NotFound "MESSAGE_NOT_FOUND",
    /// No such edge is alive.
    EdgeNotFound = NotFound "EDGE_NOT_FOUND",

    /// The request id was used with other content.
    RequestIdReused = AlreadyExists "REQUEST_ID_REUSED",
    /// The account exists.
    AccountExists = AlreadyExists "ACCOUNT_EXISTS",
    /// The trunk exists.
    TrunkExists = AlreadyExists "TRUNK_EXISTS",
    /// The list exists.
    ListExists = AlreadyExists "LIST_EXISTS",

    /// Not possible in the present state of the call or leg.
    WrongState = FailedPrecondition "WRONG_STATE",
    /// The call is merely proxied.
    NotControlled = FailedPrecondition "NOT_CONTROLLED",
    /// Nothing can mix the media.
    NoMixer = FailedPrecondition "NO_MIXER",
    /// No media server is named.
    NoMediaServer = FailedPrecondition "NO_MEDIA_SERVER",

    /// The other side answered busy.
    CalleeBusy = Aborted "CALLEE_BUSY",
    /// A SIP request failed; see `sip_status` and `sip_reason`.
    SipFailure = Aborted "SIP_FAILURE",
    /// The resource is another version than the one named.
    EtagMismatch = Aborted "ETAG_MISMATCH",
    /// Another operation on the call is under way.
    TransferPending = Aborted "TRANSFER_PENDING",
    /// Too many changed the same at the same time.
    Contention = Aborted "CONTENTION",

    /// The history no longer reaches back to the cursor.
    CursorTooOld = OutOfRange "CURSOR_TOO_OLD",

    /// The stream was read too slowly; resume with the last cursor.
    SlowSubscriber = ResourceExhausted "SLOW_SUBSCRIBER",
    /// The token may not start more calls now.
    OriginationLimit = ResourceExhausted "ORIGINATION_LIMIT",
    /// The account has its most bindings.
    TooManyBindings = ResourceExhausted "TOO_MANY_BINDINGS",
    /// The user, or the service, has its most callbacks.
    CallbackLimit = ResourceExhausted "CALLBACK_LIMIT",
    /// The borrower has its most numbers.
    NumberQuota = ResourceExhausted "NUMBER_QUOTA",
    /// Too many messages are kept for the user.
    MailboxFull = ResourceExhausted "MAILBOX_FULL",
    /// More work than can be done in time.
    Overloaded = ResourceExhausted "OVERLOADED",

    /// The process drains; ask another one.
    Draining = Unavailable "DRAINING",
    /// The store cannot commit. What was asked may or may not have happened; read to find out.
    StoreUnavailable = Unavailable "STORE_UNAVAILABLE",
    /// Another service cannot be reached.
    ServiceUnavailable = Unavailable "SERVICE_UNAVAILABLE",
    /// The edge that is needed cannot be reached.
    EdgeUnreachable = Unavailable "EDGE_UNREACHABLE",
    /// No number of the pool is free.
    PoolEmpty = Unavailable "POOL_EMPTY",

    /// No answer within the deadline. What was asked may or may not have happened; read to find out.
    DeadlineExceeded = DeadlineExceeded "DEADLINE_EXCEEDED",
    /// The rpc is part of the API and not of this version.
    NotImplemented = Unimplemented "NOT_IMPLEMENTED",
    /// A mistake of ours; the log has more.
    Internal = Internal "INTERNAL",
}

impl Reason {
    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

//! Request methods. Names are case-sensitive. RFC 3261 7.1

use std::fmt;

/// A request method.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// RFC 3261 13
    Invite,
    /// RFC 3261 13, 17
    Ack,
    /// RFC 3261 15
    Bye,
    /// RFC 3261 9
    Cancel,
    /// RFC 3261 10
    Register,
    /// RFC 3261 11
    Options,
    /// RFC 3262
    Prack,
    /// RFC 3311
    Update,
    /// RFC 6086
    Info,
    /// RFC 3515
    Refer,
    /// RFC 6665
    Notify,
    /// RFC 6665
    Subscribe,
    /// RFC 3428
    Message,
    /// RFC 3903
    Publish,
    /// The expired draft "The SIP ALLOCATE Method".
    Allocate,
    /// Any other token, spelled as received.
    Other(Box<str>),
}

const KNOWN: [(&str, Method); 15] = [
    ("INVITE", Method::Invite),
    ("ACK", Method::Ack),
    ("BYE", Method::Bye),
    ("CANCEL", Method::Cancel),
    ("REGISTER", Method::Register),
    ("OPTIONS", Method::Options),
    ("PRACK", Method::Prack),
    ("UPDATE", Method::Update),
    ("INFO", Method::Info),
    ("REFER", Method::Refer),
    ("NOTIFY", Method::Notify),
    ("SUBSCRIBE", Method::Subscribe),
    ("MESSAGE", Method::Message),
    ("PUBLISH", Method::Publish),
    ("ALLOCATE", Method::Allocate),
];

impl Method {
    /// The name as it stands on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Method::Invite => "INVITE",
            Method::Ack => "ACK",
            Method::Bye => "BYE",
            Method::Cancel => "CANCEL",
            Method::Register => "REGISTER",
            Method::Options => "OPTIONS",
            Method::Prack => "PRACK",
            Method::Update => "UPDATE",
            Method::Info => "INFO",
            Method::Refer => "REFER",
            Method::Notify => "NOTIFY",
            Method::Subscribe => "SUBSCRIBE",
            Method::Message => "MESSAGE",
            Method::Publish => "PUBLISH",
            Method::Allocate => "ALLOCATE",
            Method::Other(name) => name,
        }
    }

    /// Can a success of this request create a dialog? RFC 3261 12.1, RFC 6665, RFC 3515
    pub fn forms_dialog(&self) -> bool {
        matches!(self, Method::Invite | Method::Subscribe | Method::Refer | Method::Notify)
    }

    /// The method with this name, which must be a token.
    pub(crate) fn from_token(name: &[u8]) -> Method {
        Method::with_name(name).unwrap_or_else(|| Method::Other(String::from_utf8_lossy(name).into()))
    }

    /// The method with a variant of its own that has this name.
    fn with_name(name: &[u8]) -> Option<Method> {
        Some(match name {
            b"INVITE" => Method::Invite,
            b"ACK" => Method::Ack,
            b"BYE" => Method::Bye,
            b"CANCEL" => Method::Cancel,
            b"REGISTER" => Method::Register,
            b"OPTIONS" => Method::Options,
            b"PRACK" => Method::Prack,
            b"UPDATE" => Method::Update,
            b"INFO" => Method::Info,
            b"REFER" => Method::Refer,
            b"NOTIFY" => Method::Notify,
            b"SUBSCRIBE" => Method::Subscribe,
            b"MESSAGE" => Method::Message,
            b"PUBLISH" => Method::Publish,
            b"ALLOCATE" => Method::Allocate,
            _ => return None,
        })
    }

    /// Every method that has a variant of its own.
    pub fn known() -> impl Iterator<Item = Method> {
        KNOWN.into_iter().map(|(_, method)| method)
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        Method::with_name(name.as_bytes()).unwrap_or_else(|| Method::Other(name.into()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-02
    #[test]
    fn method_names_are_case_sensitive() {
        assert_eq!(Method::from("INVITE"), Method::Invite);
        assert_eq!(Method::from("invite"), Method::Other("invite".into()));
    }

    #[test]
    fn every_known_method_survives_its_own_name() {
        for (name, method) in KNOWN {
            assert_eq!(method.as_str(), name);
            assert_eq!(Method::from(name), method);
        }
    }
}

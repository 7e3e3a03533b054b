//! What is kept and told about an INVITE that names a dialog of a call (RFC 3891, RFC 3911).

use crate::engine::transfer::record::DialogId;

/// What an INVITE wants of the call that it names.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Claim {
    /// The dialog.
    #[prost(message, required, tag = "1")]
    pub dialog: DialogId,
    /// To be mixed with it (Join), not to take its place (Replaces).
    #[prost(bool, tag = "2")]
    pub join: bool,
    /// Address of record that the sender proved; empty for none.
    #[prost(string, tag = "3")]
    pub identity: String,
    /// Who referred it, by its own word; empty for nobody.
    #[prost(string, tag = "4")]
    pub referred_by: String,
    /// The operator lets the sender take any call.
    #[prost(bool, tag = "5")]
    pub is_listed: bool,
}

/// A call whose caller wants a place in another one.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Claiming {
    /// The call that was named.
    #[prost(string, tag = "1")]
    pub call_id: String,
    /// The operation's number in this call.
    #[prost(uint64, tag = "2")]
    pub operation: u64,
    /// What is wanted.
    #[prost(message, required, tag = "3")]
    pub claim: Claim,
    /// How far it is.
    #[prost(enumeration = "ClaimStep", tag = "4")]
    pub step: i32,
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ClaimStep {
    /// The other call is asked.
    Asked = 0,
    /// The party that the caller wants to talk to was lent, and is offered the new session.
    Offered = 1,
    /// The caller was answered without a session, so that its leg can go to the other call.
    PickedUp = 2,
}

/// Where the phone of a party is reached that mixes whoever joins.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Place {
    /// Its address of record, or what else it was called by.
    #[prost(string, tag = "1")]
    pub party_uri: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// The remote target of its dialog.
    #[prost(string, tag = "3")]
    pub target: String,
    /// The route set of its dialog.
    #[prost(string, repeated, tag = "4")]
    pub route: Vec<String>,
    /// Flow token of its dialog.
    #[prost(string, tag = "5")]
    pub flow: String,
    /// Value of Join: the dialog as the phone knows it.
    #[prost(string, tag = "6")]
    pub join: String,
}

/// The conference that who joins is to call.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Meet {
    /// Its URI.
    #[prost(string, tag = "1")]
    pub uri: String,
}

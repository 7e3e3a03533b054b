//! What is stored of one address of record: the account, its bindings and the nonces it used, in one record, so that a
//! REGISTER is one compare-and-swap.
//!
//! The layout is protobuf; fields are added, never given another meaning. [`SCHEMA`] rises only when an older version would
//! read a record wrongly, and then the older version refuses it.

use bytes::Buf;
use cluster_api::registrar::v1::EdgeLife;
use sip_digest::{Ha1, Hash, ReplayWindow, UsedNonce};
use store::StoreError;
use store_rpc::read_record;

/// Schema of the records that this version writes, and the newest that it reads.
pub(crate) const SCHEMA: u32 = 1;

/// The expiry of a binding that never expires.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// Everything about one address of record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AorRecord {
    #[prost(uint32, tag = "1")]
    pub schema: u32,
    /// Absent in a domain where anybody may register. In a box, so that a record without one is moved about in a third of the octets.
    #[prost(message, optional, boxed, tag = "2")]
    pub account: Option<Box<AccountRecord>>,
    /// In the order in which they were first registered.
    #[prost(message, repeated, tag = "3")]
    pub bindings: Vec<BindingRecord>,
    /// As versions before `used_nonces` wrote them; read, and not written.
    #[prost(message, repeated, tag = "4")]
    pub nonces: Vec<UsedNonceRecord>,
    /// Nonces made until then are good no more, unless they are among `nonces`. Beside `used_nonces` it is for versions that do not
    /// know those, and so covers them all: such a version asks for a new nonce rather than to take a used one again.
    #[prost(uint64, tag = "5")]
    pub nonce_floor_ms: u64,
    /// When the due entry of this record is claimable, 0 for no entry. Never later than the first expiry.
    #[prost(uint64, tag = "6")]
    pub due_ms: u64,
    #[prost(uint64, tag = "7")]
    pub last_binding_id: u64,
    /// When the record may be forgotten although it is no longer needed for anything but telling a known user from an
    /// unknown one; 0 while there is a binding or an account.
    #[prost(uint64, tag = "8")]
    pub forget_ms: u64,
    /// Whether the record is in the list of those with bindings.
    #[prost(bool, tag = "9")]
    pub is_listed: bool,
    /// What Call-IDs did last whose bindings do not say it, oldest first.
    #[prost(message, repeated, tag = "10")]
    pub past: Vec<PastRecord>,
    /// Marks of the devices that have registered, oldest first: what a GRUU may name although it is not there (RFC 5627 5.3).
    #[prost(fixed64, repeated, tag = "11")]
    pub devices: Vec<u64>,
    /// The nonces that the user has used, packed as a [`ReplayWindow`] has them.
    #[prost(bytes = "vec", tag = "12")]
    pub used_nonces: Vec<u8>,
    /// Nonces made until then are good no more, unless they are among `used_nonces`.
    #[prost(uint64, tag = "13")]
    pub forgotten_ms: u64,
}

/// The last that a client did by REGISTER under one Call-ID.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PastRecord {
    #[prost(string, tag = "1")]
    pub call_id: String,
    #[prost(uint32, tag = "2")]
    pub cseq: u32,
    /// Until when it is remembered, store time.
    #[prost(uint64, tag = "3")]
    pub until_ms: u64,
}

/// An account.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AccountRecord {
    #[prost(string, tag = "1")]
    pub display_name: String,
    #[prost(message, repeated, tag = "2")]
    pub digests: Vec<DigestRecord>,
    #[prost(bool, tag = "3")]
    pub disabled: bool,
    #[prost(uint32, tag = "4")]
    pub max_bindings: u32,
    #[prost(string, repeated, tag = "5")]
    pub allowed_from: Vec<String>,
    #[prost(bool, tag = "6")]
    pub redirect_only: bool,
    #[prost(bool, tag = "7")]
    pub anchor: bool,
    #[prost(string, repeated, tag = "8")]
    pub registrars: Vec<String>,
    #[prost(uint64, tag = "9")]
    pub create_ms: u64,
    #[prost(uint64, tag = "10")]
    pub update_ms: u64,
    /// Counts changes of the account; the etag.
    #[prost(uint64, tag = "11")]
    pub revision: u64,
    /// Absent when none were ever set.
    #[prost(message, optional, tag = "12")]
    pub forwarding: Option<ForwardingRecord>,
    /// Patterns of callers; empty for everybody.
    #[prost(string, repeated, tag = "13")]
    pub allowed_callers: Vec<String>,
    /// Most calls at a time; 0 for any number.
    #[prost(uint32, tag = "14")]
    pub max_calls: u32,
    /// Most calls by trunks that it begins within a minute; 0 for any number.
    #[prost(uint32, tag = "15")]
    pub max_call_rate: u32,
    /// Numbers that it may call by trunks; empty for what its domain allows.
    #[prost(string, repeated, tag = "16")]
    pub allowed_prefixes: Vec<String>,
    /// Numbers that it may not.
    #[prost(string, repeated, tag = "17")]
    pub denied_prefixes: Vec<String>,
    /// What callers who are refused are told of in Error-Info; empty for a plain 603.
    #[prost(string, tag = "18")]
    pub refused_callers_info: String,
    /// Where it redirects to holds for good.
    #[prost(bool, tag = "19")]
    pub moved_permanently: bool,
}

/// Where the calls of an account go; targets that are empty are not set.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ForwardingRecord {
    #[prost(string, tag = "1")]
    pub unconditional: String,
    #[prost(string, tag = "2")]
    pub busy: String,
    #[prost(string, tag = "3")]
    pub no_answer: String,
    /// How long the contacts ring before.
    #[prost(uint64, tag = "4")]
    pub no_answer_ms: u64,
    #[prost(string, tag = "5")]
    pub unreachable: String,
    /// Counts changes of the rules; the etag.
    #[prost(uint64, tag = "6")]
    pub revision: u64,
}

/// H(user:realm:password) for one hash function.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct DigestRecord {
    /// As in an algorithm parameter: "MD5", "SHA-256", "SHA-512-256".
    #[prost(string, tag = "1")]
    pub hash: String,
    /// Hexadecimal digits.
    #[prost(string, tag = "2")]
    pub ha1: String,
}

/// One contact of an address of record.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BindingRecord {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub uri: String,
    #[prost(string, tag = "3")]
    pub display_name: String,
    #[prost(string, repeated, tag = "4")]
    pub params: Vec<String>,
    #[prost(uint32, optional, tag = "5")]
    pub q_milli: Option<u32>,
    /// In milliseconds since 1970, store time; [`NEVER_MS`] for a static contact without end.
    #[prost(uint64, tag = "6")]
    pub expires_ms: u64,
    #[prost(string, tag = "7")]
    pub call_id: String,
    #[prost(uint32, tag = "8")]
    pub cseq: u32,
    #[prost(string, repeated, tag = "9")]
    pub path: Vec<String>,
    /// "transport:address:port".
    #[prost(string, tag = "10")]
    pub received: String,
    #[prost(string, tag = "11")]
    pub flow: String,
    #[prost(string, tag = "12")]
    pub user_agent: String,
    #[prost(bool, tag = "13")]
    pub is_static: bool,
    /// Which flow of its device it is (RFC 5626 4.2); 0 when it is none.
    #[prost(uint32, tag = "14")]
    pub reg_id: u32,
    /// Which life of its device's registration its temporary GRUUs name (RFC 5627 5.1); 0 when it was given none.
    #[prost(fixed64, tag = "15")]
    pub gruu_life: u64,
    /// How its phone is woken; absent when it does not sleep.
    #[prost(message, optional, tag = "16")]
    pub push: Option<PushRecord>,
    /// The edge that has the connection of its flow; absent for datagrams.
    #[prost(message, optional, tag = "20")]
    pub life: Option<EdgeLife>,
    /// CSeq of the REGISTER that this life began with: what was given out since is good (RFC 5628 5).
    #[prost(uint32, tag = "17")]
    pub gruu_first_cseq: u32,
    /// What its latest temporary GRUU was sealed with, in two parts: the name itself is made again when it is asked for.
    #[prost(fixed64, tag = "18")]
    pub gruu_nonce: u64,
    #[prost(fixed32, tag = "19")]
    pub gruu_nonce_rest: u32,
}

/// How a phone is woken (RFC 8599).
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct PushRecord {
    #[prost(string, tag = "1")]
    pub provider: String,
    /// Empty when the phone only asked which services there are.
    #[prost(string, tag = "2")]
    pub prid: String,
    #[prost(string, tag = "3")]
    pub param: String,
    /// The contact URI with all that.
    #[prost(string, tag = "4")]
    pub registered: String,
    /// Until when it is awake; [`NEVER_MS`] as long as its connection lasts.
    #[prost(uint64, tag = "5")]
    pub awake_until_ms: u64,
}

impl PushRecord {
    pub(crate) fn is_asleep(&self, now_ms: u64) -> bool {
        self.awake_until_ms <= now_ms
    }

    /// Whether it is the same phone, however it is reached now. RFC 8599 5.6.2
    pub(crate) fn is_same_phone(&self, other: &Self) -> bool {
        [&self.provider, &self.prid, &self.param] == [&other.provider, &other.prid, &other.param]
    }
}

/// Who knows the identifier can push the phone.
impl std::fmt::Debug for PushRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} *** until {}", self.provider, self.awake_until_ms)
    }
}

/// One nonce that the user has used.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct UsedNonceRecord {
    #[prost(uint64, tag = "1")]
    pub issued_ms: u64,
    #[prost(fixed64, tag = "2")]
    pub salt: u64,
    #[prost(uint32, tag = "3")]
    pub highest: u32,
    #[prost(fixed64, tag = "4")]
    pub used: u64,
    /// Which request used the highest count.
    #[prost(fixed64, tag = "5")]
    pub request: u64,
}

/// A change of a binding, as it stands in the event log.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BindingChange {
    #[prost(string, tag = "1")]
    pub aor: String,
    /// A `BindingEvent.Type`.
    #[prost(int32, tag = "2")]
    pub kind: i32,
    #[prost(message, optional, tag = "3")]
    pub binding: Option<BindingRecord>,
}

impl AorRecord {
    /// An empty record.
    pub(crate) fn new() -> Self {
        Self { schema: SCHEMA, ..Self::default() }
    }

    /// Reads a stored record.
    pub(crate) fn read(value: impl Buf) -> Result<Self, StoreError> {
        let record = read_record(value, SCHEMA, "an address of record", |read: &Self| read.schema)?;
        if !ReplayWindow::is_packed(&record.used_nonces) {
            let reason = "an address of record: its nonces are not whole".to_owned();
            return Err(StoreError::Corrupt { reason });
        }
        Ok(record)
    }

    /// Whether the record says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.account.is_none() && self.bindings.is_empty() && self.forget_ms == 0
    }

    /// The bindings that have not expired.
    pub(crate) fn live(&self, now_ms: u64) -> impl Iterator<Item = &BindingRecord> {
        self.bindings.iter().filter(move |binding| binding.expires_ms > now_ms)
    }

    /// When the first binding expires.
    pub(crate) fn first_expiry_ms(&self) -> Option<u64> {
        self.bindings.iter().map(|binding| binding.expires_ms).filter(|&at| at != NEVER_MS).min()
    }

    /// Takes out the bindings that have expired.
    pub(crate) fn take_expired(&mut self, now_ms: u64) -> Vec<BindingRecord> {
        self.bindings.extract_if(.., |binding| binding.expires_ms <= now_ms).collect()
    }

    /// The nonces that the user has used.
    pub(crate) fn replay_window(&self) -> ReplayWindow {
        if !self.used_nonces.is_empty() {
            return ReplayWindow::of_packed(&self.used_nonces, self.forgotten_ms);
        }
        let nonce = |&record: &UsedNonceRecord| {
            let UsedNonceRecord { issued_ms, salt, highest, used, request } = record;
            UsedNonce { issued_ms, salt, highest, used, request }
        };
        ReplayWindow::of_nonces(self.nonces.iter().map(nonce), self.nonce_floor_ms)
    }

    /// Puts the nonces back.
    pub(crate) fn set_replay_window(&mut self, window: ReplayWindow) {
        self.nonces.clear();
        self.forgotten_ms = window.floor_ms();
        self.nonce_floor_ms = self.forgotten_ms.max(window.newest_ms());
        self.used_nonces = window.into_packed();
    }
}

impl AccountRecord {
    /// The digest for one hash function, if the account has one.
    pub(crate) fn ha1(&self, hash: Hash) -> Option<Ha1> {
        let digest = self.digests.iter().find(|digest| digest.hash == hash.as_str())?;
        Ha1::from_hex(hash, digest.ha1.as_bytes()).ok()
    }
}

/// Value of a parameter among those of a contact, without quotes.
pub(crate) fn contact_param<'a>(params: &'a [String], name: &str) -> Option<&'a str> {
    params.iter().find_map(|param| {
        let (known, value) = param.split_once('=').unwrap_or((param, ""));
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

impl BindingRecord {
    /// Value of a header parameter, without quotes.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        contact_param(&self.params, name)
    }

    /// The instance of the device (RFC 5626 4.1), empty when it has none.
    pub(crate) fn instance(&self) -> &str {
        self.param("+sip.instance").unwrap_or_default()
    }

    /// q times 1000; one when none was registered.
    pub(crate) fn q(&self) -> u32 {
        self.q_milli.unwrap_or(1_000)
    }

    /// Seconds left, rounded up.
    pub(crate) fn seconds_left(&self, now_ms: u64) -> u32 {
        let left = self.expires_ms.saturating_sub(now_ms).div_ceil(1_000);
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for DigestRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ***", self.hash)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prost::Message as _;
    use sip_digest::{Nonce, Use};

    use super::*;

    /// F22: a record of a newer schema is refused, never read wrongly.
    #[test]
    fn a_newer_schema_is_refused() {
        let newer = AorRecord { schema: SCHEMA + 1, ..AorRecord::default() };
        let read = AorRecord::read(&*newer.encode_to_vec());
        assert!(matches!(read, Err(StoreError::Corrupt { .. })));
    }

    const LIFETIME: Duration = Duration::from_secs(300);
    const USED: Nonce = Nonce { issued_ms: 1_000, salt: 7 };

    fn stored(record: &AorRecord) -> AorRecord {
        AorRecord::read(&*record.encode_to_vec()).unwrap()
    }

    /// AUT-08, T1, F22: nonces that an earlier version wrote down are used, and are written in the packed form from then on.
    #[test]
    fn nonces_of_an_earlier_version_stay_used() {
        let used = |issued_ms| UsedNonceRecord { issued_ms, salt: 7, highest: 3, used: 0b101, request: 9 };
        let mut record =
            AorRecord { nonces: vec![used(1_000), used(1_001)], nonce_floor_ms: 900, ..AorRecord::new() };
        for nonce in [USED, Nonce { issued_ms: 1_001, ..USED }] {
            let mut window = stored(&record).replay_window();
            assert_eq!(window.accept(nonce, Some(3), 9, 2_000, LIFETIME), Use::Repeated);
            assert_eq!(window.accept(nonce, Some(3), 8, 2_000, LIFETIME), Use::Refused);
            assert_eq!(
                window.accept(Nonce { issued_ms: 900, salt: 1 }, Some(1), 8, 2_000, LIFETIME),
                Use::Forgotten
            );
            assert_eq!(window.accept(nonce, Some(2), 8, 2_000, LIFETIME), Use::Accepted);
            record.set_replay_window(window);
            record = stored(&record);
            assert_eq!(
                (record.nonces.len(), record.used_nonces.is_empty(), record.forgotten_ms),
                (0, false, 900)
            );
            assert_eq!(record.replay_window().accept(nonce, Some(2), 8, 2_000, LIFETIME), Use::Refused);
        }
    }

    /// AUT-08, T1, F22: a version that does not know the packed form takes no nonce again that stands in it, and what that version writes
    /// is read.
    #[test]
    fn an_earlier_version_takes_no_used_nonce_again() {
        let (mut record, mut window) = (AorRecord::new(), ReplayWindow::default());
        assert_eq!(window.accept(USED, Some(1), 1, 2_000, LIFETIME), Use::Accepted);
        record.set_replay_window(window);
        // what it does not know it drops
        let mut earlier = AorRecord { used_nonces: Vec::new(), forgotten_ms: 0, ..stored(&record) };
        let mut window = earlier.replay_window();
        assert_eq!(window.accept(USED, Some(1), 2, 2_000, LIFETIME), Use::Forgotten);
        assert_eq!(window.accept(USED, Some(2), 2, 2_000, LIFETIME), Use::Forgotten);
        earlier.nonces = vec![UsedNonceRecord { issued_ms: 1_500, salt: 1, highest: 1, used: 1, request: 1 }];
        let mut window = stored(&earlier).replay_window();
        assert_eq!(window.accept(USED, Some(1), 2, 2_000, LIFETIME), Use::Forgotten);
        let next = Nonce { issued_ms: 1_500, salt: 1 };
        assert_eq!(window.accept(next, Some(1), 2, 2_000, LIFETIME), Use::Refused);
    }

    #[test]
    fn nonces_that_are_cut_off_are_no_record() {
        let record = AorRecord { used_nonces: vec![1; 35], ..AorRecord::new() };
        assert!(matches!(AorRecord::read(&*record.encode_to_vec()), Err(StoreError::Corrupt { .. })));
    }

    /// T22: digests are not shown.
    #[test]
    fn digests_are_not_shown() {
        let digest =
            DigestRecord { hash: "MD5".to_owned(), ha1: "939e7578ed9e3c518a452acee763bce9".to_owned() };
        let account = AccountRecord { digests: vec![digest], ..AccountRecord::default() };
        assert!(!format!("{account:?}").contains("939e"));
    }

    #[test]
    fn parameters_are_found_without_their_quotes() {
        let binding = BindingRecord {
            params: vec!["audio".into(), "+SIP.instance=\"<urn:uuid:1>\"".into()],
            ..BindingRecord::default()
        };
        assert_eq!(binding.instance(), "<urn:uuid:1>");
        assert_eq!((binding.param("audio"), binding.param("video")), (Some(""), None));
    }

    #[test]
    fn seconds_left_are_rounded_up() {
        let binding = BindingRecord { expires_ms: 10_000, ..BindingRecord::default() };
        assert_eq!([0, 9_000, 9_999, 10_000].map(|now| binding.seconds_left(now)), [10, 1, 1, 0]);
    }
}

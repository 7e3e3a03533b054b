//! SIP digest authentication (RFC 3261 22, RFC 7616, RFC 8760): challenges, credentials, verification, nonces.
//!
//! **Here:** [`Challenge`] and [`Credentials`] as they stand in a header; [`Credentials::matches`] checks a response in
//! constant time and [`answer`] makes one; [`Challengers`] says which challenges are worth one; [`NonceKey`] mints and
//! checks nonces that every replica can verify; [`Ha1`] is all that is ever stored of a password; [`ReplayWindow`]
//! remembers which nonce counts were used.
//!
//! **Deliberately absent:** the Basic scheme, `userhash`, which user may do what, where digests are stored, the clock and
//! randomness: those are arguments.
//!
//! Absent, empty and malformed credentials are one case, `None`: the answer is a challenge. Start reading at
//! [`Credentials`].
#![forbid(unsafe_code)]

mod algorithm;
mod challenge;
mod challengers;
mod client;
mod credentials;
mod ha1;
mod hash;
mod nonce;
mod params;
mod replay;

pub use algorithm::{Algorithm, Hash, Qop};
pub use challenge::Challenge;
pub use challengers::Challengers;
pub use client::{Login, answer, answer_by_digest, answerable};
pub use credentials::{Credentials, Protection, realm};
pub use ha1::{BadDigest, Ha1};
pub use nonce::{Nonce, NonceKey, NonceState};
pub use replay::{ReplayWindow, Use, UsedNonce};

#[cfg(test)]
mod tests;

//! Answering challenges (RFC 3261 22.2, 22.3; RFC 8760 2.4): used for call-control's own legs, for trunks, and by scripted phones.

use std::borrow::Cow;

use crate::{Challenge, Credentials, Ha1, Qop, credentials::Protection};

/// A name and its password. `Debug` does not show the password.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The name.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("password", &"***").finish()
    }
}

/// The challenges to answer among the values of all WWW-Authenticate, or all Proxy-Authenticate, headers of a response:
/// for each realm the topmost one that is understood. RFC 8760 2.4
pub fn answerable<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge<'a>> {
    let mut chosen: Vec<Challenge<'a>> = Vec::new();
    for challenge in values.into_iter().filter_map(Challenge::parse) {
        if !chosen.iter().any(|other| other.realm == challenge.realm) {
            chosen.push(challenge);
        }
    }
    chosen
}

/// Credentials that answer `challenge` for one request. `count` is 1 for the first use of a nonce and one more for each
/// further request; `cnonce` is random.
pub fn answer<'a>(
    challenge: &Challenge<'a>,
    login: Login<'a>,
    method: &str,
    uri: &'a str,
    body: &[u8],
    cnonce: &'a str,
    count: u32,
) -> Credentials<'a> {
    let hash = challenge.algorithm.hash;
    let ha1 = Ha1::of_password(hash, login.user.as_bytes(), &challenge.realm, login.password.as_bytes());
    answer_by_digest(challenge, login.user, &ha1, method, uri, body, cnonce, count)
}

/// As [`answer`], for whoever keeps the digest of the password and not the password. The digest must be of the challenge's
/// function and realm, or the answer is a wrong one.
#[expect(clippy::too_many_arguments, reason = "each is one parameter of RFC 7616 3.4")]
pub fn answer_by_digest<'a>(
    challenge: &Challenge<'a>,
    user: &'a str,
    ha1: &Ha1,
    method: &str,
    uri: &'a str,
    body: &[u8],
    cnonce: &'a str,
    count: u32,
) -> Credentials<'a> {
    let qop = match (challenge.auth, challenge.auth_int) {
        (true, _) => Some(Qop::Auth),
        (false, true) => Some(Qop::AuthInt),
        (false, false) => None,
    };
    let text = |text: &'a str| Cow::Borrowed(text.as_bytes());
    let mut credentials = Credentials {
        username: text(user),
        realm: challenge.realm.clone(),
        nonce: challenge.nonce.clone(),
        uri: text(uri),
        response: text(""),
        algorithm: challenge.algorithm,
        opaque: challenge.opaque.clone(),
        protection: qop.map(|qop| Protection { qop, count, cnonce: text(cnonce) }),
    };
    credentials.response = Cow::Owned(credentials.expected(ha1, method, body).as_bytes().to_vec());
    credentials
}

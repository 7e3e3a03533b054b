//! What of a trunk nobody is shown: what its challenges are answered with, and the name that its calls come to.
//!
//! Where the realm is known only digests are kept (RFC 7616 3.4.2), one for each algorithm a challenge may name. Where it is not, the
//! digest cannot be made before the challenge comes, and the password itself is kept, in the store and in no reply, log or `Debug`.

use cluster_api::registrar::v1::{Trunk, TrunkCredentials};
use cluster_rpc::{Reason, Refusal};
use sip_digest::{Challenge, Ha1, Hash, answer_by_digest, answerable};

use crate::record::DigestRecord;

/// Beside the trunk of the same name.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(crate) struct Secret {
    #[prost(string, tag = "1")]
    pub trunk_id: String,
    /// Empty when there are no credentials.
    #[prost(string, tag = "2")]
    pub username: String,
    /// Realm of the digests; empty when the password is for any.
    #[prost(string, tag = "3")]
    pub realm: String,
    /// Only where no realm is known.
    #[prost(string, tag = "4")]
    pub password: String,
    #[prost(message, repeated, tag = "5")]
    pub digests: Vec<DigestRecord>,
    /// User part of the contact that is registered at the trunk. It stays for as long as there is a trunk.
    #[prost(string, tag = "6")]
    pub contact: String,
}

/// Shows nothing but whose it is.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({}, ***)", self.trunk_id)
    }
}

/// The request that a challenge is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Challenged<'a> {
    pub method: &'a str,
    pub request_uri: &'a str,
    pub body: &'a [u8],
    /// It had credentials: only a stale nonce is worth others.
    pub again: bool,
    /// How often the nonce is used, with this time.
    pub count: u32,
}

impl Secret {
    /// Takes the password out of a trunk that is about to be stored.
    pub(super) fn seal(&mut self, trunk: &mut Trunk) -> Result<(), Refusal> {
        let Some(given) = &mut trunk.credentials else {
            let (trunk_id, contact) = (trunk.trunk_id.clone(), std::mem::take(&mut self.contact));
            *self = Self { trunk_id, contact, ..Self::default() };
            return Ok(());
        };
        let password = std::mem::take(&mut given.password);
        let is_same = self.username == given.username && self.realm == given.realm;
        if password.is_empty() && !is_same {
            let expected = "a password, where the user name or the realm is new";
            return Err(Refusal::field(Reason::BadField, "trunk.credentials.password", expected));
        }
        if !password.is_empty() {
            self.keep(given, password);
        }
        self.trunk_id.clone_from(&trunk.trunk_id);
        Ok(())
    }

    fn keep(&mut self, given: &TrunkCredentials, password: String) {
        self.username.clone_from(&given.username);
        self.realm.clone_from(&given.realm);
        let digest = |hash: Hash| DigestRecord {
            hash: hash.as_str().to_owned(),
            ha1: ha1(hash, &given.username, given.realm.as_bytes(), &password).hex().to_owned(),
        };
        self.digests = match given.realm.is_empty() {
            true => Vec::new(),
            false => Hash::ALL.into_iter().map(digest).collect(),
        };
        self.password = if given.realm.is_empty() { password } else { String::new() };
    }

    /// Values of Authorization or Proxy-Authorization: for each realm an answer to its topmost challenge that is understood
    /// (RFC 8760 2.4).
    pub(crate) fn answer(&self, challenges: &[String], request: Challenged<'_>, cnonce: &str) -> Vec<String> {
        let worth = self.worth(challenges, request.again);
        worth.iter().filter_map(|challenge| self.answer_one(challenge, request, cnonce)).collect()
    }

    /// The challenges that there is an answer to: for each realm the topmost one that is understood. `again`: the request had
    /// credentials.
    pub(super) fn worth<'a>(&self, challenges: &'a [String], again: bool) -> Vec<Challenge<'a>> {
        let mut offered = answerable(challenges.iter().map(String::as_bytes));
        offered.retain(|challenge| (!again || challenge.stale) && self.can_answer(challenge));
        offered
    }

    /// The answer to one of them.
    pub(super) fn answer_one(
        &self,
        challenge: &Challenge<'_>,
        request: Challenged<'_>,
        cnonce: &str,
    ) -> Option<String> {
        let ha1 = self.ha1(challenge)?;
        let Challenged { method, request_uri, body, count, .. } = request;
        let answer =
            answer_by_digest(challenge, &self.username, &ha1, method, request_uri, body, cnonce, count);
        String::from_utf8(answer.to_bytes()).ok()
    }

    /// Whether there are credentials for the realm of a challenge.
    pub(super) fn can_answer(&self, challenge: &Challenge<'_>) -> bool {
        self.ha1(challenge).is_some()
    }

    fn ha1(&self, challenge: &Challenge<'_>) -> Option<Ha1> {
        let hash = challenge.algorithm.hash;
        if self.username.is_empty() {
            return None;
        }
        if self.realm.is_empty() {
            return Some(ha1(hash, &self.username, &challenge.realm, &self.password));
        }
        let known = self.digests.iter().find(|digest| digest.hash == hash.as_str());
        let known = known.filter(|_| *challenge.realm == *self.realm.as_bytes())?;
        Ha1::from_hex(hash, known.ha1.as_bytes()).ok()
    }
}

fn ha1(hash: Hash, username: &str, realm: &[u8], password: &str) -> Ha1 {
    Ha1::of_password(hash, username.as_bytes(), realm, password.as_bytes())
}

#[cfg(test)]
mod tests {
    use sip_digest::Credentials;

    use super::*;

    fn sealed(realm: &str) -> (Trunk, Secret) {
        let credentials = TrunkCredentials {
            username: "carillon".into(),
            password: "zanzibar".into(),
            realm: realm.into(),
        };
        let mut trunk = Trunk { trunk_id: "t".into(), credentials: Some(credentials), ..Trunk::default() };
        let mut secret = Secret::default();
        secret.seal(&mut trunk).unwrap();
        (trunk, secret)
    }

    fn challenge(realm: &str, algorithm: &str, more: &str) -> String {
        format!("Digest realm=\"{realm}\", nonce=\"n1\", algorithm={algorithm}, qop=\"auth\"{more}")
    }

    const INVITE: Challenged<'_> =
        Challenged { method: "INVITE", request_uri: "sip:+49@gw", body: b"", again: false, count: 1 };

    /// AUT-13, T19: with a realm no password is stored; without one it is in no `Debug`. The trunk that is shown never has it.
    #[test]
    fn a_password_is_kept_only_where_no_digest_can_be_made() {
        let (trunk, secret) = sealed("carrier");
        assert_eq!(trunk.credentials.unwrap().password, "");
        assert_eq!((secret.password.as_str(), secret.digests.len()), ("", Hash::ALL.len()));
        let (_, secret) = sealed("");
        assert_eq!((secret.password.as_str(), secret.digests.len()), ("zanzibar", 0));
        assert!(!format!("{secret:?}").contains("zanzibar"));
    }

    /// AUT-13, RFC 8760 2.4: the topmost algorithm that is understood, whichever of them the peer offers.
    #[test]
    fn the_topmost_challenge_of_each_realm_is_answered() {
        for (realm, hash) in [("", Hash::Sha256), ("carrier", Hash::Sha256), ("carrier", Hash::Md5)] {
            let (_, secret) = sealed(realm);
            let mut offered =
                vec![challenge("carrier", "NEW-1", ""), challenge("carrier", hash.as_str(), "")];
            offered.push(challenge("carrier", "MD5", ""));
            let answers = secret.answer(&offered, INVITE, "c1");
            assert_eq!(answers.len(), 1);
            let given = Credentials::parse(answers[0].as_bytes()).unwrap();
            assert_eq!(given.algorithm.hash, hash);
            let ha1 = Ha1::of_password(hash, b"carillon", b"carrier", b"zanzibar");
            assert!(given.matches(&ha1, "INVITE", b""), "{}", answers[0]);
            assert_eq!(given.protection.unwrap().count, 1);
        }
    }

    /// AUT-13: another realm gets nothing, and a refusal is not answered again unless the nonce was stale.
    #[test]
    fn what_would_be_refused_again_is_not_given() {
        let (_, secret) = sealed("carrier");
        assert!(secret.answer(&[challenge("elsewhere", "MD5", "")], INVITE, "c").is_empty());
        let again = Challenged { again: true, ..INVITE };
        assert!(secret.answer(&[challenge("carrier", "MD5", "")], again, "c").is_empty());
        assert_eq!(secret.answer(&[challenge("carrier", "MD5", ", stale=true")], again, "c").len(), 1);
        assert!(Secret::default().answer(&[challenge("carrier", "MD5", "")], INVITE, "c").is_empty());
        assert!(secret.answer(&["Basic realm=\"carrier\"".into()], INVITE, "c").is_empty());
    }

    #[test]
    fn an_update_without_a_password_keeps_the_one_there_is_for_the_same_name_only() {
        let (mut trunk, mut secret) = sealed("carrier");
        let before = secret.clone();
        secret.seal(&mut trunk).unwrap();
        assert_eq!(secret, before);
        trunk.credentials.as_mut().unwrap().username = "other".into();
        assert!(secret.clone().seal(&mut trunk).is_err());
        trunk.credentials = None;
        secret.seal(&mut trunk).unwrap();
        assert!(secret.digests.is_empty() && secret.username.is_empty());
    }
}

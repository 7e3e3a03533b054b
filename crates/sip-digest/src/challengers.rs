//! Those on the way of one request who challenged it, and who of them is answered: several may, one after the other (RFC 3261 22.3).

use crate::{Challenge, answerable};

/// How often one request goes again with credentials: two challengers, and one more for a nonce that was stale meanwhile.
const MOST_ANSWERS: u32 = 3;
/// Realms that one request is answered to.
const MOST_REALMS: usize = 8;

/// Those who challenged one request.
#[derive(Debug, Default)]
pub struct Challengers {
    known: Vec<Challenger>,
    answers: u32,
}

/// A realm as proxies name it or as servers name it: the same name may be of both.
#[derive(Debug)]
struct Challenger {
    is_proxy: bool,
    realm: Vec<u8>,
    /// It had a second answer.
    is_renewed: bool,
    /// Somebody behind it has challenged since, so that its credentials were right.
    has_passed: bool,
}

impl Challengers {
    /// The challenges of one response that are worth an answer, counted as answered: for each realm one, and one more where the nonce had
    /// become stale (RFC 7616 3.3) or its count was used up by a request that only others refused. With none the request is over.
    pub fn worth<'a>(&mut self, is_proxy: bool, values: &'a [String]) -> Vec<Challenge<'a>> {
        let none: &[String] = &[];
        let (proxies, servers) = if is_proxy { (values, none) } else { (none, values) };
        let (of_proxies, of_servers) = self.worth_of_both(proxies, servers);
        if is_proxy { of_proxies } else { of_servers }
    }

    /// The same for one response with challenges of both kinds, which are answered together (RFC 3261 22.3): those of proxies, and those
    /// of servers.
    pub fn worth_of_both<'a>(
        &mut self,
        proxies: &'a [String],
        servers: &'a [String],
    ) -> (Vec<Challenge<'a>>, Vec<Challenge<'a>>) {
        let read = |values: &'a [String]| answerable(values.iter().map(String::as_bytes));
        let (mut proxies, mut servers) = (read(proxies), read(servers));
        if (proxies.is_empty() && servers.is_empty()) || self.answers >= MOST_ANSWERS {
            return (Vec::new(), Vec::new());
        }
        for known in &mut self.known {
            let offered = if known.is_proxy { &proxies } else { &servers };
            known.has_passed |= !offered.iter().any(|challenge| known.is_same(known.is_proxy, challenge));
        }
        proxies.retain(|challenge| self.is_worth(true, challenge));
        servers.retain(|challenge| self.is_worth(false, challenge));
        self.answers += u32::from(!proxies.is_empty() || !servers.is_empty());
        (proxies, servers)
    }

    fn is_worth(&mut self, is_proxy: bool, challenge: &Challenge<'_>) -> bool {
        if let Some(known) = self.known.iter_mut().find(|known| known.is_same(is_proxy, challenge)) {
            let is_worth = !known.is_renewed && (challenge.stale || known.has_passed);
            known.is_renewed |= is_worth;
            return is_worth;
        }
        let has_room = self.known.len() < MOST_REALMS;
        if has_room {
            let realm = challenge.realm.to_vec();
            self.known.push(Challenger { is_proxy, realm, is_renewed: false, has_passed: false });
        }
        has_room
    }
}

impl Challenger {
    fn is_same(&self, is_proxy: bool, challenge: &Challenge<'_>) -> bool {
        self.is_proxy == is_proxy && *challenge.realm == *self.realm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(realm: &str, more: &str) -> Vec<String> {
        vec![format!("Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\"{more}")]
    }

    /// AUT-13, RFC 3261 22.3: each on the way is answered, also one that has the name of another; who refuses is not.
    #[test]
    fn each_challenger_is_answered_once() {
        let mut challengers = Challengers::default();
        for (is_proxy, realm) in [(true, "a"), (false, "a"), (false, "b")] {
            assert_eq!(challengers.worth(is_proxy, &challenge(realm, "")).len(), 1, "{realm}");
            assert!(challengers.worth(is_proxy, &challenge(realm, "")).is_empty(), "{realm}");
        }
        assert!(challengers.worth(false, &challenge("c", "")).is_empty(), "three are enough");
    }

    /// AUT-13, RFC 3261 22.3: a response that several forks or two on the way made is one challenge by each of them, and one answer.
    #[test]
    fn both_kinds_in_one_response_are_answered_together() {
        let mut challengers = Challengers::default();
        let (proxy, server) = (challenge("a", ""), challenge("a", ""));
        let (of_proxies, of_servers) = challengers.worth_of_both(&proxy, &server);
        assert_eq!((of_proxies.len(), of_servers.len()), (1, 1));
        let (of_proxies, of_servers) = challengers.worth_of_both(&proxy, &server);
        assert_eq!((of_proxies.len(), of_servers.len()), (0, 0), "both refuse");
        let other = challenge("b", "");
        let (of_proxies, of_servers) = challengers.worth_of_both(&[], &other);
        assert_eq!((of_proxies.len(), of_servers.len()), (0, 1), "it counted as one answer");
    }

    /// RFC 7616 3.3: a nonce that is stale, or that another request has used up, is worth one more answer.
    #[test]
    fn a_stale_nonce_is_worth_one_more() {
        let mut challengers = Challengers::default();
        let stale = challenge("a", ", stale=true");
        assert_eq!(challengers.worth(true, &stale).len(), 1);
        assert_eq!(challengers.worth(true, &stale).len(), 1);
        assert!(challengers.worth(true, &stale).is_empty());
        let mut challengers = Challengers::default();
        assert_eq!(challengers.worth(true, &challenge("a", "")).len(), 1);
        assert_eq!(challengers.worth(false, &challenge("b", "")).len(), 1);
        assert_eq!(challengers.worth(true, &challenge("a", "")).len(), 1, "it had let the last one pass");
        assert!(challengers.worth(false, &challenge("b", "")).is_empty());
    }

    #[test]
    fn realms_are_bounded_and_garbage_is_nothing() {
        let many: Vec<String> = (0..99).flat_map(|realm| challenge(&realm.to_string(), "")).collect();
        let mut challengers = Challengers::default();
        assert_eq!(challengers.worth(true, &many).len(), MOST_REALMS);
        assert!(challengers.worth(true, &many).is_empty());
        assert!(challengers.worth(true, &["Basic realm=\"a\"".to_owned()]).is_empty());
    }
}

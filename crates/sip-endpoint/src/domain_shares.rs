//! How many questions about one domain may be in flight: who has calls sent to a domain whose name servers are silent must not use up
//! what the calls to all others need.
//!
//! A domain is what somebody can register, as far as labels tell without a list of suffixes: the last two, or the last three where
//! the second level is a category of a country (`co.uk`). Names are made up freely below it, so they count together.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

/// One domain has this part of all questions. With all of its share silent nine parts are left for others.
const PART: usize = 10;

/// The domains that are asked about now; as many at most as there are questions in flight.
#[derive(Debug)]
pub(crate) struct DomainShares {
    /// With the number of questions about each.
    asked: Mutex<HashMap<Arc<str>, usize>>,
    most: usize,
}

/// The place of one question, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    shares: &'a DomainShares,
    domain: Arc<str>,
}

impl DomainShares {
    /// Shares of so many questions together.
    pub(crate) fn of(lookups: usize) -> Self {
        Self { asked: Mutex::default(), most: (lookups / PART).max(1) }
    }

    /// A place for a question about a name, unless its domain has all it may have.
    pub(crate) fn take(&self, name: &str) -> Option<Place<'_>> {
        let domain: Arc<str> = domain(name).to_ascii_lowercase().into();
        let mut asked = self.asked.lock();
        let count = asked.entry(domain.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(asked);
        Some(Place { shares: self, domain })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut asked = self.shares.asked.lock();
        if let Some(count) = asked.get_mut(&self.domain) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&self.domain);
            }
        }
    }
}

fn domain(name: &str) -> &str {
    /// `co`, `com`, `ac`, `gov`: no longer than this, and below a country of two letters.
    const CATEGORY: usize = 3;
    let name = name.trim_end_matches('.');
    let mut labels = name.rsplitn(4, '.');
    let (Some(top), Some(second)) = (labels.next(), labels.next()) else { return name };
    let is_category = top.len() == 2 && second.len() <= CATEGORY;
    let third = if is_category { labels.next().map_or(0, |third| third.len() + 1) } else { 0 };
    &name[name.len() - (top.len() + 1 + second.len() + third)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_one_owner_can_make_up_are_one_domain() {
        for (name, expected) in [
            ("_sip._udp.example.com", "example.com"),
            ("a.b.c.example.com.", "example.com"),
            ("_sip._udp.a.evil.co.uk", "evil.co.uk"),
            ("co.uk", "co.uk"),
            ("evil.uk", "evil.uk"),
            ("x.example.de", "example.de"),
            ("localhost", "localhost"),
            ("", ""),
            (".", ""),
            ("..", ""),
            ("a..b", ".b"),
        ] {
            assert_eq!(domain(name), expected, "{name}");
        }
    }

    #[test]
    fn a_domain_has_its_share_and_leaves_nothing_behind() {
        let shares = DomainShares::of(25);
        let first = shares.take("a.evil.example").unwrap();
        let second = shares.take("B.EVIL.example").unwrap();
        assert!(shares.take("c.evil.example").is_none());
        let other = shares.take("good.example").unwrap();
        drop(first);
        let third = shares.take("c.evil.example").unwrap();
        drop((second, third, other));
        assert!(shares.asked.lock().is_empty());
        assert!(DomainShares::of(1).take("evil.example").is_some(), "nobody is without a share");
    }
}

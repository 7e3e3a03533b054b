//! Pools of numbers: what is in them, and which of them a request is for.

use std::{ops::RangeInclusive, time::Duration};

use sip_message::Uri;

use super::book::Line;
use super::gateway;
use crate::domains::Domains;
use crate::trunks::is_number;

/// Numbers of one pool: each that is not free has a line in the book, which is one record.
const MOST_NUMBERS: u64 = 10_000;

/// One pool of numbers to lend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPoolConfig {
    /// Its name, for operators and events.
    pub name: String,
    /// Numbers in global form, `+13125550100`, and rows of them, `+13125550100..+13125550199`.
    pub numbers: Vec<String>,
    /// It is for requests whose Allocate-For begins with one of these; without any it is for all others.
    pub prefixes: Vec<String>,
    /// Longest loan; a number rests twice as long. 180 s (ALLOCATE draft 3.1).
    pub max_ttl: Duration,
    /// Shorter loans are refused with 423: 10 s.
    pub min_ttl: Duration,
    /// Numbers that one borrower has at a time: 10.
    pub quota: u32,
    /// A gateway that calls one contact only: requests with several are refused with 488.
    pub one_contact: bool,
    /// A gateway elsewhere that has the numbers, as `sip:gw58.ca.pstn-gws.example`: it is asked by ALLOCATE, and the pool has none itself.
    /// Empty for a pool of our own.
    pub gateway: String,
    /// The trunk by which the gateway is asked, whose credentials answer its challenges; empty asks it as any server of another domain.
    pub trunk: String,
}

impl Default for NumberPoolConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            numbers: Vec::new(),
            prefixes: Vec::new(),
            max_ttl: Duration::from_secs(180),
            min_ttl: Duration::from_secs(10),
            quota: 10,
            one_contact: false,
            gateway: String::new(),
            trunk: String::new(),
        }
    }
}

/// Pools that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberPoolError {
    /// Nobody could name it.
    #[error("pool {0:?}: a name is 1 to 64 letters, digits, - or _")]
    Name(String),
    /// Two of one name.
    #[error("pool {0:?} is listed twice")]
    Twice(String),
    /// What is none.
    #[error(
        "pool {0:?}: {1:?} is no number in global form (+13125550100) nor a row of them (+13125550100..+13125550199)"
    )]
    Number(String, String),
    /// What is no beginning of a number.
    #[error("pool {0:?}: the prefix {1:?} is no beginning of a number in global form, such as +1312")]
    Prefix(String, String),
    /// None, or more than one record holds.
    #[error("pool {0:?} has {1} numbers; 1 to {MOST_NUMBERS} are possible")]
    Size(String, u64),
    /// A number would belong to two.
    #[error("pools {0:?} and {1:?} have numbers in common")]
    Overlap(String, String),
    /// Which one would be meant?
    #[error(
        "pools {0:?} and {1:?} are for the same numbers: give them different prefixes (one pool may have none)"
    )]
    SamePrefix(String, String),
    /// Times that exclude each other.
    #[error("pool {0:?}: 1s <= min_ttl <= max_ttl <= 1day does not hold")]
    Times(String),
    /// Nobody could borrow.
    #[error("pool {0:?}: a quota of 0 lends nothing")]
    Quota(String),
    /// What nobody can be asked at.
    #[error(
        "pool {0:?}: {1:?} is no gateway elsewhere: give the sip or sips URI of a host that is no domain of ours, without user part, such as sip:gw58.ca.pstn-gws.example"
    )]
    Gateway(String, String),
    /// Numbers of two.
    #[error("pool {0:?} has a gateway, which has the numbers: leave numbers out")]
    OwnNumbers(String),
    /// A way to nobody.
    #[error("pool {0:?} has a trunk and no gateway to ask by it")]
    TrunkAlone(String),
}

/// A pool that can work.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(super) config: NumberPoolConfig,
    rows: Vec<RangeInclusive<u64>>,
}

/// All pools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pools(Vec<Pool>);

impl Pools {
    pub(crate) fn new(configured: &[NumberPoolConfig]) -> Result<Self, NumberPoolError> {
        let mut pools: Vec<Pool> = Vec::with_capacity(configured.len());
        for config in configured {
            let pool = Pool::new(config)?;
            for other in &pools {
                let names = || (other.config.name.clone(), config.name.clone());
                if other.config.name == config.name {
                    return Err(NumberPoolError::Twice(config.name.clone()));
                }
                if other.rows.iter().any(|row| pool.rows.iter().any(|mine| is_shared(row, mine))) {
                    let (one, two) = names();
                    return Err(NumberPoolError::Overlap(one, two));
                }
                let is_default = |of: &NumberPoolConfig| of.prefixes.is_empty();
                if (is_default(&other.config) && is_default(config))
                    || other.config.prefixes.iter().any(|prefix| config.prefixes.contains(prefix))
                {
                    let (one, two) = names();
                    return Err(NumberPoolError::SamePrefix(one, two));
                }
            }
            pools.push(pool);
        }
        pools.sort_by(|one, two| one.config.name.cmp(&two.config.name));
        Ok(Self(pools))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.0.iter()
    }

    /// The pool of the longest prefix of a number, else that of all others. ALLOCATE draft 3.1
    pub(super) fn for_number(&self, number: Option<&str>) -> Option<&Pool> {
        let length_in = |pool: &Pool| {
            let fits = |prefix: &&String| number.is_some_and(|number| number.starts_with(prefix.as_str()));
            pool.config.prefixes.iter().filter(fits).map(String::len).max()
        };
        let named = self.0.iter().filter_map(|pool| Some((length_in(pool)?, pool)));
        let longest = named.max_by_key(|(length, _)| *length).map(|(_, pool)| pool);
        longest.or_else(|| self.0.iter().find(|pool| pool.config.prefixes.is_empty()))
    }

    /// The gateways elsewhere that are asked for numbers, each with the name of its pool.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.0.iter().map(|pool| (&*pool.config.name, &*pool.config.gateway));
        named.filter(|(_, gateway)| !gateway.is_empty())
    }

    /// No gateway is one of our domains, which would ask itself.
    pub(crate) fn lead_elsewhere(&self, domains: &Domains) -> Result<(), NumberPoolError> {
        let is_ours = |gateway: &str| {
            Uri::parse(gateway.as_bytes()).is_ok_and(|gateway| domains.of(&gateway).is_some())
        };
        match self.gateways().find(|(_, gateway)| is_ours(gateway)) {
            Some((pool, gateway)) => Err(NumberPoolError::Gateway(pool.to_owned(), gateway.to_owned())),
            None => Ok(()),
        }
    }

    /// The pool that a number is of, and its place in it.
    pub(super) fn of(&self, number: &str) -> Option<(&Pool, u32)> {
        let value = value_of(number)?;
        self.0.iter().find_map(|pool| Some((pool, pool.place_of(value)?)))
    }
}

impl Pool {
    fn new(config: &NumberPoolConfig) -> Result<Self, NumberPoolError> {
        let name = || config.name.clone();
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if !(1..=64).contains(&config.name.len()) || !config.name.bytes().all(is_plain) {
            return Err(NumberPoolError::Name(name()));
        }
        let is_prefix = |text: &String| text.starts_with('+') && is_number(text);
        if let Some(bad) = config.prefixes.iter().find(|text| !is_prefix(text)) {
            return Err(NumberPoolError::Prefix(name(), bad.clone()));
        }
        let mut rows: Vec<RangeInclusive<u64>> = Vec::with_capacity(config.numbers.len());
        for text in &config.numbers {
            let row = row_of(text).ok_or_else(|| NumberPoolError::Number(name(), text.clone()))?;
            if rows.iter().any(|other| is_shared(other, &row)) {
                return Err(NumberPoolError::Overlap(name(), name()));
            }
            rows.push(row);
        }
        gateway::check(config)?;
        let size: u64 = rows.iter().map(|row| row.end() - row.start() + 1).sum();
        if config.gateway.is_empty() && !(1..=MOST_NUMBERS).contains(&size) {
            return Err(NumberPoolError::Size(name(), size));
        }
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        if config.min_ttl < second || config.max_ttl < config.min_ttl || config.max_ttl > day {
            return Err(NumberPoolError::Times(name()));
        }
        if config.quota == 0 {
            return Err(NumberPoolError::Quota(name()));
        }
        Ok(Self { config: config.clone(), rows })
    }

    /// How many numbers it has.
    pub(super) fn size(&self) -> u32 {
        let size: u64 = self.rows.iter().map(|row| row.end() - row.start() + 1).sum();
        u32::try_from(size).unwrap_or(u32::MAX)
    }

    /// The number at a place, in global form.
    pub(super) fn number_at(&self, place: u32) -> Option<String> {
        let mut left = u64::from(place);
        for row in &self.rows {
            let length = row.end() - row.start() + 1;
            if left < length {
                return Some(format!("+{}", row.start() + left));
            }
            left -= length;
        }
        None
    }

    /// The number of a line of its book; none while a gateway is asked for it.
    pub(super) fn number_of(&self, line: &Line) -> Option<String> {
        match self.config.gateway.is_empty() {
            true => self.number_at(line.place),
            false => Some(line.number.clone()).filter(|number| !number.is_empty()),
        }
    }

    fn place_of(&self, value: u64) -> Option<u32> {
        let mut before = 0;
        for row in &self.rows {
            if row.contains(&value) {
                return u32::try_from(before + value - row.start()).ok();
            }
            before += row.end() - row.start() + 1;
        }
        None
    }
}

fn is_shared(one: &RangeInclusive<u64>, two: &RangeInclusive<u64>) -> bool {
    one.start() <= two.end() && two.start() <= one.end()
}

fn row_of(text: &str) -> Option<RangeInclusive<u64>> {
    match text.split_once("..") {
        None => value_of(text).map(|value| value..=value),
        Some((first, last)) => {
            let row = value_of(first)?..=value_of(last)?;
            (first.len() == last.len() && row.start() <= row.end()).then_some(row)
        }
    }
}

/// A number in global form as a value: E.164 numbers have at most 15 digits, and none begins with 0.
fn value_of(number: &str) -> Option<u64> {
    let digits = number.strip_prefix('+')?;
    let is_global = (3..=15).contains(&digits.len()) && !digits.starts_with('0');
    (is_global && digits.bytes().all(|octet| octet.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, numbers: &[&str], prefixes: &[&str]) -> NumberPoolConfig {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        NumberPoolConfig {
            name: name.to_owned(),
            numbers: owned(numbers),
            prefixes: owned(prefixes),
            ..NumberPoolConfig::default()
        }
    }

    /// ALC-07: the longest prefix wins; what is for no pool, or not said, is for the one without prefixes.
    #[test]
    fn the_longest_prefix_chooses_the_pool() {
        let pools = Pools::new(&[
            config("rest", &["+13235554258"], &[]),
            config("us", &["+12025550100"], &["+1"]),
            config("illinois", &["+13125550100..+13125550109"], &["+1847", "+1312"]),
        ])
        .unwrap();
        let chosen = |number: &str| pools.for_number(Some(number)).unwrap().config.name.clone();
        assert_eq!(chosen("+18475550000"), "illinois");
        assert_eq!(chosen("+19175550000"), "us");
        assert_eq!(chosen("+4930"), "rest");
        assert_eq!(pools.for_number(None).unwrap().config.name, "rest");
        let without = Pools::new(&[config("us", &["+12025550100"], &["+1"])]).unwrap();
        assert!(without.for_number(Some("+49")).is_none() && without.for_number(None).is_none());
    }

    #[test]
    fn a_number_and_its_place_name_each_other() {
        let pools = Pools::new(&[config("p", &["+13235554258", "+13125550100..+13125550109"], &[])]).unwrap();
        let pool = pools.iter().next().unwrap();
        assert_eq!(pool.size(), 11);
        for place in 0..11 {
            let number = pool.number_at(place).unwrap();
            assert_eq!(pools.of(&number).map(|(_, at)| at), Some(place), "{number}");
        }
        assert_eq!(pool.number_at(11), None);
        for none in ["+13125550110", "+13125550099", "13125550100", "+1312555010", "+x", ""] {
            assert!(pools.of(none).is_none(), "{none}");
        }
    }

    #[test]
    fn pools_that_cannot_work_are_refused_with_the_reason() {
        let refused = |pools: &[NumberPoolConfig]| Pools::new(pools).unwrap_err().to_string();
        let good = || config("a", &["+13125550100"], &[]);
        for (pools, why) in [
            (vec![config("", &["+13125550100"], &[])], "a name is"),
            (vec![config("a b", &["+13125550100"], &[])], "a name is"),
            (vec![config("a", &[], &[])], "has 0 numbers"),
            (vec![config("a", &["+13120000000..+13129999999"], &[])], "has 10000000 numbers"),
            (vec![config("a", &["3125550100"], &[])], "no number in global form"),
            (vec![config("a", &["+13125550109..+13125550100"], &[])], "no number in global form"),
            (vec![config("a", &["+99..+100"], &[])], "no number in global form"),
            (vec![config("a", &["+13125550100"], &["1312"])], "no beginning of a number"),
            (vec![config("a", &["+13125550100", "+13125550100"], &[])], "in common"),
            (vec![good(), config("b", &["+13125550100"], &["+1"])], "in common"),
            (vec![good(), config("a", &["+13125550101"], &["+1"])], "listed twice"),
            (vec![good(), config("b", &["+13125550101"], &[])], "for the same numbers"),
            (vec![NumberPoolConfig { quota: 0, ..good() }], "lends nothing"),
            (vec![NumberPoolConfig { min_ttl: Duration::from_secs(200), ..good() }], "does not hold"),
        ] {
            assert!(refused(&pools).contains(why), "{pools:?}: {}", refused(&pools));
        }
    }
}

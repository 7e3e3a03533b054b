//! `[[registrar.number_pools]]`: numbers that are lent for one call.

use std::time::Duration;

use registrar::NumberPoolConfig;
use serde::{Deserialize, Serialize};

/// One pool of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberPool {
    /// Its name, for operators.
    pub name: String,
    /// Numbers in global form, `+13125550100`, and rows of them, `+13125550100..+13125550199`; at most 10,000.
    pub numbers: Vec<String>,
    /// It is for requests whose Allocate-For begins with one of these; one pool may have none, and is for all others.
    pub prefixes: Vec<String>,
    /// Longest loan; a number rests twice as long before it is lent again.
    #[serde(with = "humantime_serde")]
    pub max_ttl: Duration,
    /// Shorter loans are refused with 423.
    #[serde(with = "humantime_serde")]
    pub min_ttl: Duration,
    /// Numbers that one borrower may have at a time.
    pub quota: u32,
    /// Calls to its numbers lead to one contact: requests with several are refused with 488.
    pub one_contact: bool,
    /// A gateway elsewhere that has the numbers, `sip:gw58.ca.pstn-gws.example`: it is asked by ALLOCATE, and `numbers` stays away.
    pub gateway: String,
    /// The trunk by which the gateway is asked, and whose credentials answer it.
    pub trunk: String,
}

impl Default for NumberPool {
    fn default() -> Self {
        let NumberPoolConfig {
            name,
            numbers,
            prefixes,
            max_ttl,
            min_ttl,
            quota,
            one_contact,
            gateway,
            trunk,
        } = NumberPoolConfig::default();
        Self { name, numbers, prefixes, max_ttl, min_ttl, quota, one_contact, gateway, trunk }
    }
}

impl From<&NumberPool> for NumberPoolConfig {
    fn from(pool: &NumberPool) -> Self {
        let NumberPool { name, numbers, prefixes, max_ttl, min_ttl, quota, one_contact, gateway, trunk } =
            pool.clone();
        Self { name, numbers, prefixes, max_ttl, min_ttl, quota, one_contact, gateway, trunk }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::layers::Layers;

    fn told(text: &str) -> Result<usize, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut layers = Layers::new();
        layers.read(file.path());
        layers.finish().map(|settings| settings.registrar.number_pools.len()).map_err(|e| e.to_string())
    }

    #[test]
    fn pools_are_read_from_the_file_and_mistakes_are_told() {
        let pool = "[[registrar.number_pools]]\nname = \"a\"\nnumbers = [\"+13125550100..+13125550199\"]\n";
        assert_eq!(told(pool), Ok(1));
        assert_eq!(told(&format!("{pool}max_ttl = \"5m\"\nprefixes = [\"+1312\"]\nquota = 3\n")), Ok(1));
        let elsewhere =
            "[[registrar.number_pools]]\nname = \"b\"\ngateway = \"sip:gw58.ca.pstn-gws.example\"\n";
        assert_eq!(told(&format!("{elsewhere}trunk = \"carrier\"\nprefixes = [\"+1847\"]\n{pool}")), Ok(2));
        let own = elsewhere.replace("gw58.ca.pstn-gws.example", "localhost");
        assert!(told(&own).unwrap_err().contains("no domain of ours"));
        for (more, why) in [
            ("numberz = []\n", "[[registrar.number_pools]]"),
            ("max_ttl = 5\n", "[[registrar.number_pools]]"),
            ("quota = 0\n", "a quota of 0 lends nothing"),
            ("gateway = \"sip:gw.example\"\n", "leave numbers out"),
            ("gateway = \"gw.example\"\n", "is no gateway elsewhere"),
            ("trunk = \"carrier\"\n", "no gateway to ask"),
            ("prefixes = [\"1312\"]\n", "no beginning of a number"),
        ] {
            let told = told(&format!("{pool}{more}")).unwrap_err();
            assert!(told.contains(why) && told.contains("line 1"), "{told}");
        }
    }
}

//! `[spending]`: the operator's own service that is asked before a call leaves by a trunk.

use std::path::PathBuf;
use std::time::Duration;

use cluster_rpc::Address;
use registrar::{MOST_PATIENCE, Silent, SpendingConfig, SpendingService};
use serde::{Deserialize, Serialize};
use telemetry::Redacted;

/// Keys of the spending service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spending {
    /// Where its replicas are, as those of `peers`; empty asks nobody.
    pub urls: Vec<String>,
    /// Shown there as `authorization: Bearer`; empty for none.
    pub token: Redacted<String>,
    /// Authorities in PEM that sign for it, where the URLs are `https`; with `dns://` names it means TLS.
    pub ca: PathBuf,
    /// How long an answer is waited for.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// What becomes of a call when none comes: `deny` or `allow`.
    pub silent: Silent,
}

impl Default for Spending {
    fn default() -> Self {
        let SpendingConfig { timeout, silent, .. } = SpendingConfig::default();
        Self { urls: Vec::new(), token: Redacted::default(), ca: PathBuf::new(), timeout, silent }
    }
}

impl Spending {
    /// The service, if one is set.
    ///
    /// # Errors
    /// The key that cannot be used, and why.
    pub fn service(&self) -> Result<Option<SpendingService>, (&'static str, String)> {
        let read = |url: &String| url.parse::<Address>();
        let addresses: Vec<Address> = self
            .urls
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|e| ("spending.urls", e.to_string()))?;
        let has_ca = !self.ca.as_os_str().is_empty();
        if addresses.is_empty() {
            let given = [("spending.token", !self.token.expose().is_empty()), ("spending.ca", has_ca)];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((key, _)) => Err((key, "is for a service: say where in spending.urls".to_owned())),
                None => Ok(None),
            };
        }
        let is_tls = |address: &Address| matches!(address, Address::Url(url) if url.starts_with("https:"));
        if addresses.iter().any(is_tls) && !has_ca {
            return Err((
                "spending.ca",
                "expected the file of the authorities that sign for https URLs".to_owned(),
            ));
        }
        if !self.token.expose().chars().all(|c| c.is_ascii_graphic()) {
            return Err(("spending.token", "expected visible ASCII characters".to_owned()));
        }
        let authorities = match has_ca {
            true => Some(
                std::fs::read(&self.ca)
                    .map_err(|e| ("spending.ca", format!("{}: {e}", self.ca.display())))?,
            ),
            false => None,
        };
        Ok(Some(SpendingService { addresses, token: self.token.clone(), authorities }))
    }

    /// What is wrong with these keys.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found: Vec<_> = self.service().err().into_iter().collect();
        if self.timeout.is_zero() || self.timeout > MOST_PATIENCE {
            let most = MOST_PATIENCE.as_millis();
            found.push((
                "spending.timeout",
                format!("expected more than 0s and at most {most}ms: who asks the registrar waits no longer"),
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_is_told() {
        let told = |spending: &Spending| spending.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>();
        let at = |url: &str| Spending { urls: vec![url.to_owned()], ..Spending::default() };
        assert_eq!(told(&Spending::default()), [""; 0]);
        assert_eq!(told(&at("http://budget.example:50051")), [""; 0]);
        assert_eq!(told(&at("dns://budget.example:50051")), [""; 0]);
        assert_eq!(told(&at("budget.example")), ["spending.urls"]);
        assert_eq!(told(&at("https://budget.example:50051")), ["spending.ca"]);
        let ca = PathBuf::from("/nowhere/ca.pem");
        assert_eq!(told(&Spending { ca: ca.clone(), ..at("https://budget.example:50051") }), ["spending.ca"]);
        assert_eq!(told(&Spending { ca, ..Spending::default() }), ["spending.ca"]);
        let secret = |token: &str| Spending { token: token.to_owned().into(), ..at("http://b.example:1") };
        assert_eq!(told(&secret("a\nb")), ["spending.token"]);
        assert!(!format!("{:?}", secret("s3cret")).contains("s3cret"));
        for timeout in [Duration::ZERO, MOST_PATIENCE + Duration::from_millis(1)] {
            assert_eq!(told(&Spending { timeout, ..Spending::default() }), ["spending.timeout"]);
        }
    }
}

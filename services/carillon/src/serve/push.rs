//! `[push]`: phones that sleep until they are pushed (RFC 8599), and the service that pushes them.

use std::time::Duration;

use registrar::HttpPushConfig;
use serde::{Deserialize, Serialize};
use telemetry::Redacted;

use super::expected;

/// Keys of the push service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Push {
    /// Push services, as phones name them in `pn-provider`; empty pushes nobody.
    pub providers: Vec<String>,
    /// Where each push is sent as a POST of JSON.
    pub url: String,
    /// Shown there as `Authorization: Bearer`; empty for none.
    pub token: Redacted<String>,
    /// How long one attempt may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Attempts after the first one, when nobody answers or the answer is 429 or 5xx.
    pub retries: u32,
    /// How long a request waits for the phone to register.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
}

impl Default for Push {
    fn default() -> Self {
        let hold = edge::Config::new("", 0, sip_endpoint::Config::default()).wake_timeout;
        Self {
            providers: Vec::new(),
            url: String::new(),
            token: String::new().into(),
            // A caller waits for it.
            timeout: Duration::from_secs(5),
            retries: 2,
            hold,
        }
    }
}

impl Push {
    /// What the registrar sends pushes by.
    pub fn service(&self) -> HttpPushConfig {
        HttpPushConfig {
            url: self.url.clone(),
            token: self.token.expose().clone(),
            timeout: self.timeout,
            retries: self.retries,
        }
    }

    /// What is wrong with these keys.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let is_token = |name: &String| sip_message::is_token(name.as_bytes());
        if let Some(bad) = self.providers.iter().find(|name| !is_token(name)) {
            found.push(("push.providers", format!("expected names as in pn-provider, found {bad:?}")));
        }
        if !(self.url.is_empty() && self.providers.is_empty()) && registrar::check_url(&self.url).is_err() {
            found.push((
                "push.url",
                format!("expected a URL as https://push.example.com/wake, found {:?}", self.url),
            ));
        }
        let (_, most) = expected::bounds("push.retries");
        if self.retries as usize > most {
            found.push((
                "push.retries",
                format!("expected a whole number from 0 to {most}, found {}", self.retries),
            ));
        }
        if !self.token.expose().chars().all(|c| c.is_ascii_graphic()) {
            found.push(("push.token", "expected visible ASCII characters".to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PSH-02: who is to be pushed needs somebody who pushes.
    #[test]
    fn what_cannot_push_is_told() {
        let push = |provider: &str, url: &str, token: &str| Push {
            providers: vec![provider.to_owned()],
            url: url.to_owned(),
            token: token.to_owned().into(),
            ..Push::default()
        };
        let told = |push: &Push| push.problems().iter().map(|(key, _)| *key).collect::<Vec<_>>();
        assert_eq!(told(&Push::default()), [""; 0]);
        assert_eq!(told(&push("acme", "https://push.example/wake", "s3cret")), [""; 0]);
        assert_eq!(told(&push("acme", "", "")), ["push.url"]);
        assert_eq!(told(&push("a b", "push.example", "a\nb")), ["push.providers", "push.url", "push.token"]);
        assert!(!format!("{:?}", push("acme", "", "s3cret")).contains("s3cret"));
    }
}

//! Certificates for SIP: where the settings say they are, and taking over new ones without a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sip_endpoint::{CertificateFiles, Tls, TlsFiles, TlsProblem};
use telemetry::Metrics;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::settings::{Domain, Settings};

/// A certificate or key that cannot be used, and the setting that names it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unusable {
    /// `tls`, or `domain` for those of a domain's table.
    pub path: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The files that the settings name; `None` without any certificate.
///
/// # Errors
/// A certificate without its key, or a key without its certificate.
pub fn files(settings: &Settings) -> Result<Option<TlsFiles>, Unusable> {
    let tls = &settings.tls;
    let in_tls = |why| Unusable { path: "tls", why };
    let common = pair("tls", &tls.cert, &tls.key).map_err(in_tls)?;
    let mut certificates: Vec<CertificateFiles> = common.into_iter().collect();
    for Domain { name, tls_cert, tls_key, .. } in &settings.domain {
        let own = pair(&format!("domain {name}"), tls_cert, tls_key);
        let own = own.map_err(|why| Unusable { path: "domain", why })?;
        certificates.extend(own.map(|files| CertificateFiles { domains: vec![name.clone()], ..files }));
    }
    let client = pair("tls.client", &tls.client_cert, &tls.client_key).map_err(in_tls)?;
    let authorities = (!tls.ca.as_os_str().is_empty()).then(|| tls.ca.clone());
    if certificates.is_empty() && client.is_some() {
        return Err(in_tls(
            "a certificate for servers needs one for phones too: set tls.cert and tls.key".into(),
        ));
    }
    Ok((!certificates.is_empty()).then_some(TlsFiles { certificates, authorities, client }))
}

fn pair(of: &str, certificate: &Path, key: &Path) -> Result<Option<CertificateFiles>, String> {
    match (certificate.as_os_str().is_empty(), key.as_os_str().is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(CertificateFiles {
            domains: Vec::new(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })),
        (false, true) => Err(format!("{of}: the certificate needs its key")),
        (true, false) => Err(format!("{of}: the key needs its certificate")),
    }
}

/// The certificates, read.
///
/// # Errors
/// What cannot be used, and why.
pub fn load(settings: &Settings) -> Result<Option<Arc<Tls>>, Unusable> {
    let loaded = files(settings)?.map(Tls::load).transpose();
    loaded.map_err(|problem| match domain_of(settings, &problem) {
        Some((domain, key)) => {
            Unusable { path: "domain", why: format!("{key} of domain {domain}: {problem}") }
        }
        None => Unusable { path: "tls", why: problem.to_string() },
    })
}

/// The domain whose table names the file that cannot be used, and the key that does.
fn domain_of<'s>(settings: &'s Settings, problem: &TlsProblem) -> Option<(&'s str, &'static str)> {
    let file = match problem {
        TlsProblem::Unreadable { path, .. }
        | TlsProblem::Unlike { path, .. }
        | TlsProblem::Refused { path, .. } => path,
        TlsProblem::NoCertificate | TlsProblem::Unusable(_) => return None,
    };
    let tls = &settings.tls;
    if [&tls.cert, &tls.key, &tls.client_cert, &tls.client_key, &tls.ca].contains(&file) {
        return None;
    }
    settings.domain.iter().find_map(|Domain { name, tls_cert, tls_key, .. }| match file {
        _ if file == tls_cert => Some((name.as_str(), "tls_cert")),
        _ if file == tls_key => Some((name.as_str(), "tls_key")),
        _ => None,
    })
}

/// Looks after the certificates: at every interval, and at SIGHUP at once.
pub struct Renewal {
    tls: Arc<Tls>,
    every: Duration,
    metrics: Metrics,
    /// So that a file that stays broken is told once.
    told: Option<String>,
}

impl Renewal {
    /// Shows what there is.
    pub fn new(tls: Arc<Tls>, every: Duration, metrics: Metrics) -> Self {
        let renewal = Self { tls, every, metrics, told: None };
        renewal.show();
        renewal
    }

    /// Goes on until it is stopped.
    pub async fn run(mut self) {
        let mut asked = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP is not heard"))
            .ok();
        loop {
            tokio::select! {
                biased; // who asks wants it now
                () = told(&mut asked) => self.told = None,
                () = sleep(self.every) => {}
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let outcome = match self.tls.reload() {
            Ok(false) => {
                self.told = None;
                return;
            }
            Ok(true) => {
                self.told = None;
                tracing::info!(domains = ?self.domains(), "new TLS certificates are shown from now on");
                self.show();
                "taken"
            }
            Err(problem) => {
                let problem = problem.to_string();
                if self.told.as_ref() != Some(&problem) {
                    tracing::error!(problem, "the TLS files cannot be used; those read before stay");
                    self.told = Some(problem);
                }
                "refused"
            }
        };
        let help = "Changes of the TLS files, by what became of them; a broken file counts each time it is looked at";
        self.metrics.counters("tls_reloads_total", help, &["outcome"]).with_label_values(&[outcome]).inc();
    }

    fn domains(&self) -> Vec<String> {
        self.tls.shown().into_iter().flat_map(|shown| shown.domains).collect()
    }

    fn show(&self) {
        let help = "When the certificate that peers of this domain see ends, in seconds since 1970";
        let ends = self.metrics.gauges("tls_certificate_expiry_seconds", help, &["domain"]);
        for shown in self.tls.shown() {
            let end = shown.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let end = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
            for domain in &shown.domains {
                ends.with_label_values(&[domain.as_str()]).set(end);
            }
        }
    }
}

async fn told(asked: &mut Option<Signal>) {
    let heard = match asked {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_has_its_key_and_its_domain() {
        let mut settings = Settings::default();
        assert_eq!(files(&settings), Ok(None));
        settings.tls.cert = "a.crt".into();
        assert!(files(&settings).unwrap_err().why.contains("needs its key"));
        settings.tls.key = "a.key".into();
        (settings.domain[0].tls_cert, settings.domain[0].tls_key) = ("b.crt".into(), "b.key".into());
        let found = files(&settings).unwrap().unwrap();
        let of = |at: usize| (found.certificates[at].domains.clone(), found.certificates[at].key.clone());
        assert_eq!(of(0), (vec![], "a.key".into()));
        assert_eq!(of(1), (vec!["localhost".to_owned()], "b.key".into()));
        assert_eq!((found.authorities, found.client), (None, None));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let mut settings = Settings::default();
        (settings.tls.cert, settings.tls.key) = ("/nowhere/a.crt".into(), "/nowhere/a.key".into());
        let told = load(&settings).unwrap_err();
        assert_eq!(told.path, "tls");
        assert!(told.why.contains("/nowhere/a.crt"));
    }

    /// Whoever reads it looks where the file is named: a domain's is in no variable of the environment.
    #[test]
    fn a_file_of_a_domain_is_told_with_its_domain_and_key() {
        let mut settings = Settings::default();
        let of_domain = &mut settings.domain[0];
        of_domain.tls_key = "/nowhere/b.key".into();
        let told = files(&settings).unwrap_err();
        assert_eq!(
            (told.path, told.why.as_str()),
            ("domain", "domain localhost: the key needs its certificate")
        );
        settings.domain[0].tls_cert = "/nowhere/b.crt".into();
        let told = load(&settings).unwrap_err();
        assert_eq!(told.path, "domain");
        assert!(told.why.starts_with("tls_cert of domain localhost: /nowhere/b.crt: "), "{}", told.why);
    }
}

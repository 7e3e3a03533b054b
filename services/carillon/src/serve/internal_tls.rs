//! TLS between the edges of a cluster: what `sips` forbids to pass in clear goes from one to the other by it.
//!
//! Every edge shows a certificate with the same first name, and believes who shows that name by one of the authorities here. So a
//! certificate that all of them share will do, and nobody has to say who the others are: where they listen is in the membership.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sip_endpoint::{CertificateFiles, Siblings, Tls, TlsFiles};

/// Keys of TLS between edges. New contents of the files are taken over as those of `tls` are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InternalTls {
    /// Listener, as `192.0.2.1:5063`; empty means none, so that `sips` calls reach no phone on another edge.
    pub listen: String,
    /// Certificate chain of the edges, in PEM. It is shown by both ends of a connection, and the first DNS name in it is what
    /// either end has to prove.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities to believe, in PEM: best one that signs for edges of this cluster alone.
    pub ca: PathBuf,
}

impl InternalTls {
    /// The listener with its certificates, read; `None` where there is none.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn load(&self) -> Result<Option<Siblings>, String> {
        let files = [("cert", &self.cert), ("key", &self.key), ("ca", &self.ca)];
        if self.listen.is_empty() {
            let given = files.iter().find(|(_, path)| !path.as_os_str().is_empty());
            return match given {
                Some((key, _)) => Err(format!("{key} is for a listener: say where in internal_tls.listen")),
                None => Ok(None),
            };
        }
        if let Some((key, _)) = files.iter().find(|(_, path)| path.as_os_str().is_empty()) {
            return Err(format!("the listener between edges needs cert, key and ca: {key} is missing"));
        }
        let expected = || format!("listen: expected ADDR:PORT, as 192.0.2.1:5063, found {:?}", self.listen);
        let address: SocketAddr = self.listen.parse().map_err(|_| expected())?;
        let own =
            CertificateFiles { domains: Vec::new(), certificate: self.cert.clone(), key: self.key.clone() };
        let files = TlsFiles { certificates: vec![own], authorities: Some(self.ca.clone()), client: None };
        let tls: Arc<Tls> = Tls::load(files).map_err(|problem| problem.to_string())?;
        if tls.domain().is_empty() {
            return Err(format!("{}: a certificate between edges names a DNS name", self.cert.display()));
        }
        Ok(Some(Siblings { address, tls }))
    }
}

/// Where other edges reach the listener: at its own address, or at that of the clear one.
///
/// # Errors
/// When they are of two families.
pub fn reached(listening: SocketAddr, internal: SocketAddr) -> anyhow::Result<SocketAddr> {
    if !listening.ip().is_unspecified() {
        return Ok(listening);
    }
    anyhow::ensure!(
        listening.is_ipv4() == internal.is_ipv4(),
        "internal_tls.listen {listening} is of another family than {}, by which edges reach this process",
        internal.ip()
    );
    Ok(SocketAddr::new(internal.ip(), listening.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let told = |listen: &str, ca: &str, cert: &str| {
            let settings =
                InternalTls { listen: listen.into(), ca: ca.into(), cert: cert.into(), key: cert.into() };
            settings.load().unwrap_err()
        };
        assert!(matches!(InternalTls::default().load(), Ok(None)));
        assert!(told("", "ca.crt", "").contains("internal_tls.listen"));
        assert!(told("192.0.2.1:5063", "", "tls.crt").contains("ca is missing"));
        assert!(told("here", "ca.crt", "tls.crt").contains("expected ADDR:PORT"));
        assert!(told("192.0.2.1:5063", "/nowhere/ca.crt", "/nowhere/tls.crt").contains("/nowhere/"));
    }

    #[test]
    fn a_listener_without_an_address_of_its_own_is_reached_as_the_clear_one_is() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let of = |listening: &str| reached(address(listening), address("192.0.2.7:5060"));
        assert_eq!(of("0.0.0.0:5063").unwrap(), address("192.0.2.7:5063"));
        assert_eq!(of("192.0.2.9:5063").unwrap(), address("192.0.2.9:5063"));
        assert!(of("[::]:5063").unwrap_err().to_string().contains("another family"));
    }
}

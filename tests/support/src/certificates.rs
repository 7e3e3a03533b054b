//! Certificates of a test's own authority.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, KeyLog, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

/// An authority and the folder where its certificates are.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// An authority that nobody knows yet.
    ///
    /// # Panics
    /// When there is no room for its files.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.path().join("ca.pem"), own).expect("the folder is ours");
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// A certificate for these names and 127.0.0.1; a name that begins with `sip:` becomes a URI. An older one of the same file is
    /// replaced.
    ///
    /// # Panics
    /// When a name is none.
    pub fn issue(&self, file: &str, names: &[&str]) -> Certificate {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are good names");
        let name = |name: &&str| match name.starts_with("sip:") {
            true => SanType::URI((*name).try_into().expect("a URI")),
            false => SanType::DnsName((*name).try_into().expect("a name")),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let key = KeyPair::generate().expect("a key");
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let issued = Certificate { certificate: path("crt"), key: path("key") };
        let own = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        fs::write(&issued.key, key.serialize_pem()).expect("the folder is ours");
        fs::write(&issued.certificate, own).expect("the folder is ours");
        issued
    }

    /// The certificate of the authority.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What opens the TLS that its clients spoke, as SSLKEYLOGFILE has it; not there before the first of them.
    pub fn key_log(&self) -> PathBuf {
        self.folder.path().join("keys.log")
    }

    /// A client that believes this authority, and shows a certificate or none.
    ///
    /// # Panics
    /// When the files have been tampered with.
    pub fn client(&self, shown: Option<&Certificate>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.file()).expect("our own file");
        roots.add(own).expect("our own certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(files) => {
                let own = CertificateDer::from_pem_file(&files.certificate).expect("our own file");
                let key = PrivateKeyDer::from_pem_file(&files.key).expect("our own file");
                config.with_client_auth_cert(vec![own], key).expect("a pair")
            }
        };
        config.key_log = Arc::new(Keys(Mutex::new(self.key_log())));
        TlsConnector::from(Arc::new(config))
    }
}

/// Where secrets of connections are written, one after the other.
#[derive(Debug)]
struct Keys(Mutex<PathBuf>);

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let path = self.0.lock().expect("no writer panics");
        let file = fs::OpenOptions::new().create(true).append(true).open(&*path);
        // Whoever reads them misses them.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

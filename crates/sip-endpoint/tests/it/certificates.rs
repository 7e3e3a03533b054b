//! Certificates of a test's own authority, and clients that use them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sip_endpoint::{CertificateFiles, Tls, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An authority and the folder where its certificates are.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    /// A certificate with these names; `sip:` makes a URI of it.
    pub fn issue(&self, file: &str, names: &[&str]) -> CertificateFiles {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = |name: &&str| match name.starts_with("sip:") {
            true => SanType::URI((*name).try_into().unwrap()),
            false => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(name).collect();
        let key = KeyPair::generate().unwrap();
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        let (certificate, key_file) = (path("crt"), path("key"));
        fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        CertificateFiles { domains: Vec::new(), certificate, key: key_file }
    }

    pub fn authorities(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// TLS that shows these certificates and believes this authority.
    pub fn tls(&self, certificates: Vec<CertificateFiles>) -> Arc<Tls> {
        let authorities = Some(self.authorities());
        Tls::load(TlsFiles { certificates, authorities, client: None }).unwrap()
    }

    /// A client that believes this authority, and shows a certificate or none.
    pub fn client(&self, shown: Option<&CertificateFiles>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.authorities()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(files) => {
                let chain = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }

    /// Connects to a server that this authority calls `domain`.
    pub async fn connect(
        &self,
        to: SocketAddr,
        domain: &str,
        shown: Option<&CertificateFiles>,
    ) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(to).await.unwrap();
        let name = ServerName::try_from(domain.to_owned()).unwrap();
        self.client(shown).connect(name, stream).await.unwrap()
    }
}

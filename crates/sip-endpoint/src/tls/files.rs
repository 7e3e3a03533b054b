//! What the operator names: certificates with their keys, and the authorities to believe.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificates, keys and authorities are, in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// What is shown to peers, by the domain they ask for; the first one also to those that ask for none. RFC 5922 7.8
    pub certificates: Vec<CertificateFiles>,
    /// Whom to believe when a peer shows a certificate; nobody without it.
    pub authorities: Option<PathBuf>,
    /// What is shown to servers when it is not one of `certificates`.
    pub client: Option<CertificateFiles>,
}

/// A certificate chain, its own certificate first, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The domains it is shown for; empty means those that it names.
    pub domains: Vec<String>,
    /// The chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// It cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no PEM of what it should hold.
    #[error("{}: no {expected} in PEM: {error}", .path.display())]
    Unlike {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why.
        error: pem::Error,
    },
    /// What it holds is refused.
    #[error("{}: {why}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no certificate to show.
    #[error("TLS needs a certificate and its key")]
    NoCertificate,
    /// What was read does not make a configuration.
    #[error("TLS: {0}")]
    Unusable(String),
}

/// The contents of the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) certificates: Vec<Chain>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) authorities_in: PathBuf,
    pub(super) client: Option<Chain>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) files: CertificateFiles,
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl TlsFiles {
    pub(super) fn read(&self) -> Result<Read, TlsProblem> {
        let authorities = match &self.authorities {
            Some(path) => certificates(path)?,
            None => Vec::new(),
        };
        Ok(Read {
            certificates: self.certificates.iter().map(chain).collect::<Result<_, _>>()?,
            authorities,
            authorities_in: self.authorities.clone().unwrap_or_default(),
            client: self.client.as_ref().map(chain).transpose()?,
        })
    }
}

fn chain(files: &CertificateFiles) -> Result<Chain, TlsProblem> {
    let certificates = certificates(&files.certificate)?;
    let text = text(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsProblem::Unlike {
        path: files.key.clone(),
        expected: "private key",
        error,
    })?;
    Ok(Chain { files: files.clone(), certificates, key })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let unlike = |error| TlsProblem::Unlike { path: path.to_owned(), expected: "certificate", error };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&text(path)?).collect::<Result<_, _>>().map_err(unlike)?;
    if found.is_empty() { Err(unlike(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn text(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    std::fs::read(path).map_err(|error| TlsProblem::Unreadable { path: path.to_owned(), error })
}

//! TLS: the certificates we show, whom we believe, and which SIP domains a peer has proved to be.
//!
//! `identity.rs` is the rule (RFC 5922 7.1, 7.2) and knows no sockets; `files.rs` reads what the operator names; `live.rs` makes
//! of it what a handshake needs; `verify.rs` holds the server that we connect to against the rule. [`Tls`] keeps the latest that
//! could be read, so that certificates are renewed without a restart and a broken file costs nothing but a message.

mod distrust;
mod files;
mod identity;
mod live;
mod verify;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use distrust::Distrust;
pub use files::{CertificateFiles, TlsFiles, TlsProblem};
pub(crate) use identity::normal;
pub use identity::{domain_identities, is_identity};
pub use live::Shown;
pub(crate) use live::{Live, Secured, identities};

/// The TLS of an endpoint: what its files held when they could last be used.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    live: ArcSwap<Live>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub fn load(files: TlsFiles) -> Result<Arc<Self>, TlsProblem> {
        let live = Live::of(files.read()?)?;
        Ok(Arc::new(Self { files, live: ArcSwap::from_pointee(live) }))
    }

    /// Reads the files again; says whether they hold something else than before. Connections that are up keep what they have.
    ///
    /// # Errors
    /// The file that cannot be used, and why; what was read before stays.
    pub fn reload(&self) -> Result<bool, TlsProblem> {
        let read = self.files.read()?;
        if self.live.load().is_of(&read) {
            return Ok(false);
        }
        self.live.store(Arc::new(Live::of(read)?));
        Ok(true)
    }

    /// The certificates that are shown now.
    pub fn shown(&self) -> Vec<Shown> {
        self.live.load().shown().to_vec()
    }

    /// Whether there is an authority to believe: without one no server can prove anything.
    pub(crate) fn believes_somebody(&self) -> bool {
        self.files.authorities.is_some()
    }

    /// The domain that this process is to those that ask for none: the first of the first certificate. Empty when that has none.
    pub fn domain(&self) -> Box<str> {
        self.live.load().domain()
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }
}

//! Where the operator's service is, and how it is reached.

use cluster_rpc::{
    Address, Replicas, SpendingLink, Wiring,
    remote::{BadAddress, Config},
};
use telemetry::Redacted;
use tonic::transport::{Certificate, ClientTlsConfig};

use super::SpendingConfig;

/// The operator's service, which may have several replicas.
#[derive(Clone, Debug)]
pub struct SpendingService {
    /// Where its replicas are.
    pub addresses: Vec<Address>,
    /// Shown there as `authorization: Bearer`; empty for none.
    pub token: Redacted<String>,
    /// Authorities in PEM that sign for it, for TLS; without them only `http` is spoken.
    pub authorities: Option<Vec<u8>>,
}

impl SpendingService {
    /// The way to it. Nothing is connected yet.
    ///
    /// # Errors
    /// When an address or the authorities are unusable.
    pub fn link(self, config: &SpendingConfig, wiring: &Wiring) -> Result<SpendingLink, BadAddress> {
        // Where there is another one to ask, a silent one leaves it half of the time.
        let attempt = match &self.addresses[..] {
            [Address::Url(_)] => config.timeout,
            _ => config.timeout / 2,
        };
        let tls = |pem| ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        let config = Config {
            deadline: config.timeout,
            attempt,
            attempts: 2,
            tls: self.authorities.map(tls),
            token: (!self.token.expose().is_empty()).then_some(self.token),
            ..wiring.config.clone()
        };
        let wiring = Wiring { config, ..wiring.clone() };
        Ok(SpendingLink::Remote(Replicas::new("spending", &self.addresses, &wiring)?))
    }
}

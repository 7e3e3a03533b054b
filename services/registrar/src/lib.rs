//! The registrar service: accounts, bindings, and routing plans.
//!
//! **Here:** the answer to every REGISTER ([`registration`], with RFC 3261 10.3 as a pure function in [`register`]), the plan
//! for every request outside a dialog ([`routing`], [`plan`]), accounts and static contacts over gRPC, and the membership
//! that edges lease through us. One record holds all of one address of record ([`record`], [`aors`]).
//!
//! **Deliberately absent:** sockets toward phones, SIP text, and other services: an edge composes every message.
//! Forwarding rules and trunks are not built yet and say so.
//!
//! Start reading at [`Registrar`], then `registration.rs`.
#![forbid(unsafe_code)]

mod answer;
mod aors;
mod auth;
mod config;
mod date;
mod domains;
mod location;
mod plan;
mod record;
mod register;
mod registration;
mod routing;
mod secrets;

use std::sync::Arc;

use ambient::Entropy;
use store::{Partition, Store};

pub use config::{Algorithm, Auth, Config, ConfigError, DomainConfig};

use aors::Aors;
use auth::Authority;
use domains::Domains;
use register::Policy;
use secrets::SecretStore;

/// What the registrar needs from its process.
#[derive(Clone)]
pub struct Deps {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// For keys, nonces and jitter.
    pub entropy: Arc<dyn Entropy>,
}

/// The registrar. Clones are the same service.
#[derive(Clone)]
pub struct Registrar {
    shared: Arc<Shared>,
}

/// What all rpcs share.
pub(crate) struct Shared {
    domains: Domains,
    policy: Policy,
    authority: Authority,
    config: Config,
    aors: Aors,
    secrets: SecretStore,
}

impl Registrar {
    /// A registrar that is ready to answer; nothing is read or written yet.
    ///
    /// # Errors
    /// [`ConfigError`] when the settings cannot work.
    pub fn build(config: Config, deps: Deps) -> Result<Self, ConfigError> {
        config.check()?;
        let Deps { store, entropy } = deps;
        let shared = Shared {
            domains: Domains::new(&config.domains)?,
            policy: Policy {
                default_expires: config.default_expires,
                min_expires: config.min_expires,
                max_expires: config.max_expires,
                max_bindings: config.max_bindings,
            },
            authority: Authority {
                lifetime: config.nonce_lifetime,
                hashes: config.hashes(),
                allow_no_qop: config.danger_allow_no_qop,
                entropy: entropy.clone(),
            },
            aors: Aors::new(store.clone(), config.cached_aors, config.forget_after),
            secrets: SecretStore::new(store, entropy, Partition::new("cluster", 0)),
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

//! `[[domain]]`: the domains served.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One served domain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Domain {
    /// Domain name, as in `sip:alice@NAME`.
    pub name: String,
    /// `digest` or `none`; empty means the process's `auth`.
    pub auth: String,
    /// Digest realm; empty means the name.
    pub realm: String,
    /// Allows `auth = "none"` on listeners that are not loopback.
    pub danger_open: bool,
    /// Calls from and to all users of the domain run through call-control, as those of an account with `anchor`.
    pub anchor: bool,
    /// How telephone numbers at home begin, as `+49`: users of the domain call no others by trunks but those that their accounts allow
    /// (`allowed_prefixes`). Empty lets them call all.
    pub home_prefix: String,
    /// Certificate chain that peers see who ask for this domain, in PEM; empty means that of `tls`.
    pub tls_cert: PathBuf,
    /// Its key.
    pub tls_key: PathBuf,
}

//! Who may import whom.
//!
//! One line per package of the workspace. A package that is not listed is a breach: a new crate is a decision, and the
//! decision is written here.

/// What kind of crate it is, which decides what it may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the standards say: bytes or events in, values out. No sockets, no clock, no randomness, no runtime.
    Pure,
    /// What the runtime does: sockets, stores, rpc stacks, telemetry.
    Shell,
    /// What the product does.
    Service,
    /// The executable, which composes everything.
    Executable,
    /// Tests and their support; may import anything.
    Test,
}

/// One package and what it may import from this workspace.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Package name, equal to the folder's.
    pub package: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Packages of this workspace it may name under `[dependencies]`.
    pub may_import: &'static [&'static str],
}

const PURE: &[&str] =
    &["sip-message", "sip-transaction", "sip-dialog", "sip-proxy", "sip-digest", "sip-body"];

/// What services share; `store` is added for those that may keep something.
const FOR_EDGE: &[&str] = &[
    "sip-message",
    "sip-transaction",
    "sip-dialog",
    "sip-proxy",
    "sip-digest",
    "sip-body",
    "sip-endpoint",
    "cluster-api",
    "cluster-rpc",
    "lifecycle",
    "telemetry",
    "ambient",
];

const FOR_OTHER_SERVICES: &[&str] = &[
    "sip-message",
    "sip-dialog",
    "sip-digest",
    "sip-body",
    "store",
    "store-rpc",
    "cluster-api",
    "cluster-rpc",
    "lifecycle",
    "telemetry",
    "ambient",
];

/// The layers, from the bottom up.
pub const LAYERS: &[Layer] = &[
    Layer { package: "sip-message", kind: Kind::Pure, may_import: &[] },
    Layer { package: "sip-digest", kind: Kind::Pure, may_import: &["sip-message"] },
    Layer { package: "sip-body", kind: Kind::Pure, may_import: &["sip-message"] },
    Layer { package: "sip-transaction", kind: Kind::Pure, may_import: &["sip-message"] },
    Layer { package: "sip-dialog", kind: Kind::Pure, may_import: &["sip-message"] },
    Layer { package: "sip-proxy", kind: Kind::Pure, may_import: &["sip-message"] },
    Layer { package: "ambient", kind: Kind::Shell, may_import: &[] },
    Layer { package: "telemetry", kind: Kind::Shell, may_import: &["ambient"] },
    Layer { package: "lifecycle", kind: Kind::Shell, may_import: &["ambient", "telemetry"] },
    Layer { package: "store", kind: Kind::Shell, may_import: &["ambient", "lifecycle", "telemetry"] },
    Layer {
        package: "sip-endpoint",
        kind: Kind::Shell,
        may_import: &["sip-message", "sip-transaction", "ambient", "lifecycle", "telemetry"],
    },
    Layer {
        package: "scripted-phone",
        kind: Kind::Shell,
        may_import: &["sip-message", "sip-digest", "sip-body", "ambient"],
    },
    Layer { package: "cluster-api", kind: Kind::Shell, may_import: PURE },
    Layer {
        package: "cluster-rpc",
        kind: Kind::Shell,
        may_import: &["cluster-api", "ambient", "lifecycle", "telemetry"],
    },
    Layer { package: "store-rpc", kind: Kind::Shell, may_import: &["store", "cluster-rpc"] },
    Layer { package: "edge", kind: Kind::Service, may_import: FOR_EDGE },
    Layer { package: "registrar", kind: Kind::Service, may_import: FOR_OTHER_SERVICES },
    Layer { package: "presence", kind: Kind::Service, may_import: FOR_OTHER_SERVICES },
    Layer { package: "call-control", kind: Kind::Service, may_import: FOR_OTHER_SERVICES },
    Layer { package: "carillon", kind: Kind::Executable, may_import: EVERYTHING_BUT_TESTS },
    Layer { package: "test-support", kind: Kind::Test, may_import: EVERYTHING_BUT_TESTS },
    Layer { package: "architecture", kind: Kind::Test, may_import: &[] },
    Layer { package: "compliance", kind: Kind::Test, may_import: &[] },
    Layer { package: "compose", kind: Kind::Test, may_import: &[] },
    Layer { package: "speed", kind: Kind::Test, may_import: &["sip-message", "sip-proxy"] },
    Layer { package: "sim", kind: Kind::Test, may_import: EVERYTHING_AND_SUPPORT },
    Layer { package: "e2e", kind: Kind::Test, may_import: EVERYTHING_AND_SUPPORT },
];

const EVERYTHING_BUT_TESTS: &[&str] = &[
    "sip-message",
    "sip-transaction",
    "sip-dialog",
    "sip-proxy",
    "sip-digest",
    "sip-body",
    "sip-endpoint",
    "scripted-phone",
    "store",
    "store-rpc",
    "cluster-api",
    "cluster-rpc",
    "telemetry",
    "lifecycle",
    "ambient",
    "edge",
    "registrar",
    "presence",
    "call-control",
];

const EVERYTHING_AND_SUPPORT: &[&str] = &[
    "sip-message",
    "sip-transaction",
    "sip-dialog",
    "sip-proxy",
    "sip-digest",
    "sip-body",
    "sip-endpoint",
    "scripted-phone",
    "store",
    "store-rpc",
    "cluster-api",
    "cluster-rpc",
    "telemetry",
    "lifecycle",
    "ambient",
    "edge",
    "registrar",
    "presence",
    "call-control",
    "carillon",
    "test-support",
];

/// Everything from outside that a pure crate may use. Each is a pure computation over bytes.
pub const PURE_MAY_USE: &[&str] = &[
    "base64",
    "bytes",
    "hashbrown",
    "hmac",
    "md-5",
    "memchr",
    "quick-xml",
    "sdp-types",
    "sha2",
    "smallvec",
    "subtle",
    "thiserror",
];

/// Outside crates that belong to one place: nobody else names them.
pub const BELONGS_TO: &[(&str, &[&str])] = &[
    ("redis", &["store"]),
    ("socket2", &["sip-endpoint"]),
    ("libc", &["sip-endpoint", "lifecycle", "carillon"]),
    ("hickory-resolver", &["sip-endpoint", "cluster-rpc"]),
    ("rand", &["ambient"]),
    ("libmimalloc-sys", &["carillon"]),
    ("clap", &["carillon"]),
    ("axum", &["carillon", "lifecycle"]),
    ("prometheus", &["telemetry"]),
    ("tracing-subscriber", &["telemetry"]),
];

/// Crates that must not be compiled into anything here, each with its reason.
pub const NEVER: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with aws-lc-rs, so that a static binary needs no system library"),
    ("native-tls", "TLS is rustls with aws-lc-rs"),
    ("ring", "one cryptography provider in the process: aws-lc-rs"),
];

/// The layer of a package.
pub fn layer_of(package: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.package == package)
}

//! The one place where wire meets domain: generated gRPC code and the conversions several services share.
//!
//! **Here:** one module per package of `proto/` (messages, clients, server traits), the descriptor set for
//! reflection, and the conversions and checks that several services share ([`convert`]).
//!
//! **Not here:** connections, retries and the mapping of errors (`cluster-rpc`), and any rule of any service.
//!
//! The code in `src/gen` is made from `proto/` by the test `regenerated_code_is_what_is_checked_in`; change a
//! contract there, never the Rust code. Start reading at `proto/carillon/*/v1/*.proto`.
#![forbid(unsafe_code)]

pub mod convert;

/// SIP facts that several services exchange: headers, bodies, where a request came from.
pub mod sip {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.sip.v1.rs");
    }
}

/// Accounts, bindings, forwarding, trunks; and the decisions that edges ask for.
pub mod registrar {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.registrar.v1.rs");
    }
}

/// Edges, and the legs that they carry for call-control.
pub mod edge {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.edge.v1.rs");
    }
}

/// Calls: the business face, and the events that edges deliver.
pub mod callcontrol {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.callcontrol.v1.rs");
    }
}

/// Presence, message summaries, resource lists, instant messages.
pub mod presence {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.presence.v1.rs");
    }
}

/// Call flows as they happened.
pub mod trace {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.trace.v1.rs");
    }
}

/// Who is alive.
pub mod cluster {
    /// Version 1.
    #[allow(clippy::all, missing_docs)]
    pub mod v1 {
        include!("gen/carillon.cluster.v1.rs");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of every package, imports included, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        callcontrol::v1::leg_events_server::LegEvents, cluster::v1::membership_server::Membership,
        edge::v1::legs_server::Legs, registrar::v1::location_server::Location,
    };

    /// In-process links hold the other service as a trait object, with no HTTP/2 and no encoding.
    #[test]
    fn server_traits_between_services_are_object_safe() {
        type InProcess = (Arc<dyn Location>, Arc<dyn LegEvents>, Arc<dyn Legs>, Arc<dyn Membership>);
        assert_eq!(size_of::<InProcess>(), 4 * size_of::<Arc<dyn Location>>());
    }
}

//! What the packages are about: each topic is read from records of its resource, which commit together with its subscriptions.

pub mod bindings;
mod mailbox;
mod policy;
mod presentity;
pub mod publications;
mod registration;
mod watchers;

use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use store::StoreError;

pub use self::bindings::Bindings;
pub use self::mailbox::Mailbox;
pub use self::policy::{Policy, policy_record};
pub use self::presentity::Presentity;
pub use self::publications::Publications;
use self::registration::Registration;
pub use self::watchers::Line;
use self::watchers::Watchers;
use crate::engine::{Package, Topic};
use crate::repository::names;

/// The records that a topic is read from, by name.
pub fn records(package: Package, resource: &str) -> Vec<String> {
    let (state, policy) = (names::state(package, resource), policy_record(resource));
    match package {
        Package::MessageSummary => vec![policy, state],
        // Whether anybody watches its watchers is no part of it, and decides about what commits with a change of them.
        Package::Presence => {
            vec![policy, state, names::bindings(package, resource), names::head(Package::Winfo, resource)]
        }
        Package::Winfo => vec![policy],
        Package::Reg => vec![policy, names::bindings(package, resource)],
    }
}

/// Reads a topic from its records, in the order of [`records`]; `lines` are those who watch the presence of the resource.
///
/// # Errors
/// When a record is none of ours.
pub fn read(
    package: Package,
    resource: &str,
    values: &[Option<Bytes>],
    lines: Vec<(String, Line)>,
    now: SystemTime,
) -> Result<Box<dyn Topic>, StoreError> {
    let value = |index: usize| values.get(index).and_then(Option::as_ref);
    let policy = Policy::read(resource, value(0))?;
    Ok(match package {
        Package::MessageSummary => Box::new(Mailbox { policy, ..Mailbox::read(value(1))? }),
        Package::Winfo => Box::new(Watchers { aor: resource.to_owned(), lines, policy }),
        Package::Reg => Box::new(Registration {
            aor: resource.to_owned(),
            bindings: Bindings::read(value(1))?,
            policy,
            now_s: registration::seconds(now),
        }),
        Package::Presence => Box::new(presentity(resource, policy, value(1), value(2))?),
    })
}

/// Reads the presence of somebody.
///
/// # Errors
/// When a record is none of ours.
pub fn presentity(
    aor: &str,
    policy: Policy,
    publications: Option<&Bytes>,
    bindings: Option<&Bytes>,
) -> Result<Presentity, StoreError> {
    let publications = Publications::read(publications)?;
    Ok(Presentity { aor: aor.to_owned(), policy, publications, bindings: Bindings::read(bindings)? })
}

/// What tells contents apart, and keeps none of them.
fn fingerprint(content: &[u8]) -> Vec<u8> {
    Sha256::digest(content).to_vec()
}

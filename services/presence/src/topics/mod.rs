//! What the packages are about: each topic is read from records of its resource, which commit together with its subscriptions.

mod mailbox;
mod policy;

use bytes::Bytes;
use store::StoreError;

pub use self::mailbox::Mailbox;
pub use self::policy::{Policy, policy_record};
use crate::engine::{Package, Topic};
use crate::repository::names;

/// The records that a topic is read from, by name.
pub fn records(package: Package, resource: &str) -> Vec<String> {
    match package {
        Package::MessageSummary => vec![names::state(package, resource), policy_record(resource)],
    }
}

/// Reads a topic from its records, in the order of [`records`].
///
/// # Errors
/// When a record is none of ours.
pub fn read(
    package: Package,
    resource: &str,
    values: &[Option<Bytes>],
) -> Result<Box<dyn Topic>, StoreError> {
    let value = |index: usize| values.get(index).and_then(Option::as_ref);
    let policy = |index| Policy::read(resource, value(index));
    Ok(match package {
        Package::MessageSummary => Box::new(Mailbox { policy: policy(1)?, ..Mailbox::read(value(0))? }),
    })
}

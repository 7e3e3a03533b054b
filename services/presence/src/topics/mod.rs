//! What the packages are about: each topic is read from records of its resource, which commit together with its subscriptions.

pub mod bindings;
mod conference;
pub mod dialogs;
pub mod followed;
pub mod list;
mod mailbox;
mod policy;
mod presentity;
pub mod publications;
mod registration;
mod waiting;
mod watchers;

use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use store::StoreError;

pub use self::bindings::Bindings;
pub use self::conference::{Conference, Told as ToldConference};
pub use self::dialogs::Dialogs;
pub use self::mailbox::Mailbox;
pub use self::policy::{Policy, policy_record};
pub use self::presentity::{Presentity, Whole};
pub use self::publications::Publications;
use self::registration::Registration;
pub use self::registration::seconds;
pub use self::waiting::{Waiting, waiting_record};
pub use self::watchers::Line;
use self::watchers::Watchers;
use crate::engine::{Package, Topic};
use crate::repository::names;

/// The records that a topic is read from, by name.
pub fn records(package: Package, resource: &str) -> Vec<String> {
    let (state, policy) = (names::state(package, resource), policy_record(resource));
    match package {
        Package::MessageSummary | Package::Dialog | Package::Conference => vec![policy, state],
        // Whether anybody watches its watchers is no part of it, and decides about what commits with a change of them.
        Package::Presence => {
            let (bindings, winfo) =
                (names::bindings(package, resource), names::head(Package::Winfo, resource));
            // And whether it is on a list: then where it is registered is known, also when nobody else watches.
            vec![policy, state, bindings, winfo, names::listed(resource)]
        }
        Package::Winfo => vec![policy, waiting_record(resource)],
        Package::Reg => vec![policy, names::bindings(package, resource)],
    }
}

/// Where among its [`records`] that of the bindings is.
pub fn bindings_at(package: Package) -> Option<usize> {
    match package {
        Package::Presence => Some(2),
        Package::Reg => Some(1),
        Package::MessageSummary | Package::Winfo | Package::Dialog | Package::Conference => None,
    }
}

/// Reads a topic from its records, in the order of [`records`]; `lines` are those who watch the presence of the resource, `whole` is that
/// presence as it was composed of the same records before.
///
/// # Errors
/// When a record is none of ours.
pub fn read(
    package: Package,
    resource: &str,
    values: &[Option<Bytes>],
    (lines, whole): (Vec<(String, Line)>, Whole),
    now: SystemTime,
) -> Result<Box<dyn Topic>, StoreError> {
    let value = |index: usize| values.get(index).and_then(Option::as_ref);
    let policy = Policy::read(resource, value(0))?;
    Ok(match package {
        Package::MessageSummary => Box::new(Mailbox { policy, ..Mailbox::read(value(1))? }),
        Package::Winfo => {
            let waiting = Waiting::read(value(1))?;
            Box::new(Watchers { aor: resource.to_owned(), lines, waiting, policy })
        }
        Package::Reg => Box::new(Registration {
            aor: resource.to_owned(),
            bindings: Bindings::read(value(1))?,
            policy,
            now_s: registration::seconds(now),
        }),
        Package::Dialog => {
            Box::new(dialogs::Seen { aor: resource.to_owned(), dialogs: Dialogs::read(value(1))?, policy })
        }
        Package::Conference => {
            Box::new(conference::Roster { uri: resource.to_owned(), conference: Conference::read(value(1))? })
        }
        Package::Presence => {
            let presentity = presentity(resource, policy, value(1), value(2))?;
            Box::new(Presentity { whole, ..presentity })
        }
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
    let bindings = Bindings::read(bindings)?;
    Ok(Presentity { aor: aor.to_owned(), policy, publications, bindings, ..Presentity::default() })
}

/// What tells contents apart, and keeps none of them.
fn fingerprint(content: &[u8]) -> Vec<u8> {
    Sha256::digest(content).to_vec()
}

#[cfg(test)]
mod tests {
    use super::followed::Followed;
    use super::*;
    use crate::mail::Mail;

    /// F22: what a newer version wrote is left to it.
    #[test]
    fn a_newer_record_is_left_alone() {
        // Field 1, which says the schema, is 2.
        let record = Bytes::from_static(&[0x08, 0x02]);
        let newer = Some(&record);
        let errors = [
            Bindings::read(newer).err(),
            Mailbox::read(newer).err(),
            Conference::read(newer).err(),
            Publications::read(newer).err(),
            Dialogs::read(newer).err(),
            Followed::read(&record).err(),
            Policy::read("sip:bob@d", newer).err(),
            Mail::read(newer).err(),
            Waiting::read(newer).err(),
        ];
        for error in errors {
            let Some(StoreError::Corrupt { reason }) = &error else { panic!("{error:?}") };
            assert!(reason.ends_with("of schema 2; this version reads up to 1"), "{reason}");
        }
    }
}

//! Messages for users, kept while they are away (RFC 3428).
//!
//! All messages of one address of record are one record: they are sent one after the other (RFC 3428 8), each when the one before
//! has its final answer. Start reading at [`Mail`]; `deliver` sends.

mod deliver;
mod record;

pub use self::record::{Mail, Message, NoRoom, State};

/// The log of what became of messages.
pub const LOG: &str = "mail";
/// Index of the users who have messages.
pub const USERS: &str = "mail-users";

/// Name of the record of the messages of somebody.
pub fn record_name(aor: &str) -> String {
    format!("m/{aor}")
}

/// Name of the record that says whose a message is.
pub fn owner_name(id: &str) -> String {
    format!("i/{id}")
}

/// Id of the due entry of the messages of somebody.
pub fn due_name(aor: &str) -> String {
    format!("d/{aor}")
}

//! Who may call what: bearer tokens with scopes, or client certificates; open on loopback only.

mod guard;
mod scopes;
mod tokens;

pub use guard::{Caller, Guard, Guarded, OpenToTheWorld};
pub use scopes::{Scope, Scopes, scope_of};
pub use tokens::{BadTokenFile, Mistake, Tokens};

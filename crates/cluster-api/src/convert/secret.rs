//! Messages that hold a password show it nowhere.

use std::fmt;

use crate::registrar::v1::TrunkCredentials;

/// Everything but the password.
impl fmt::Debug for TrunkCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("TrunkCredentials");
        shown.field("username", &self.username).field("realm", &self.realm).finish_non_exhaustive()
    }
}

//! Messages that hold a password show it nowhere.

use std::fmt;

use crate::registrar::v1::{Account, TrunkCredentials};

/// Everything but the password.
impl fmt::Debug for TrunkCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("TrunkCredentials");
        shown.field("username", &self.username).field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// What tells accounts apart; not the password.
impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Account");
        shown.field("aor", &self.aor).field("disabled", &self.disabled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T22: no password in what a log or a panic could show.
    #[test]
    fn a_password_is_not_shown() {
        let password = String::from("hunter2");
        let account = Account { password: password.clone(), aor: "sip:a@b".into(), ..Account::default() };
        let trunk = TrunkCredentials { password: password.clone(), ..TrunkCredentials::default() };
        for shown in [format!("{account:#?}"), format!("{trunk:?}"), format!("{:?}", Some(account))] {
            assert!(!shown.contains(&password), "{shown}");
        }
    }
}

//! The event packages that are carried.

/// The option tag of subscriptions to lists. RFC 4662 9.1
pub const EVENT_LIST: &str = "eventlist";

/// An event package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Package {
    /// RFC 3842.
    MessageSummary,
    /// RFC 3856.
    Presence,
    /// RFC 3857, of presence.
    Winfo,
    /// RFC 3680.
    Reg,
    /// RFC 4235.
    Dialog,
    /// RFC 4575.
    Conference,
}

impl Package {
    /// Every package, as Allow-Events lists them.
    pub const ALL: [Package; 6] = [
        Package::Presence,
        Package::Winfo,
        Package::MessageSummary,
        Package::Reg,
        Package::Dialog,
        Package::Conference,
    ];

    /// The package of this name; case counts (RFC 6665 8.2.1).
    pub fn named(name: &str) -> Option<Package> {
        Package::ALL.into_iter().find(|package| package.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Package::MessageSummary => "message-summary",
            Package::Presence => "presence",
            Package::Winfo => "presence.winfo",
            Package::Reg => "reg",
            Package::Dialog => "dialog",
            Package::Conference => "conference",
        }
    }

    /// What its notifications hold.
    pub fn content_type(self) -> &'static str {
        match self {
            Package::MessageSummary => sip_body::message_summary::CONTENT_TYPE,
            Package::Presence => sip_body::pidf::CONTENT_TYPE,
            Package::Winfo => sip_body::watcherinfo::CONTENT_TYPE,
            Package::Reg => sip_body::reginfo::CONTENT_TYPE,
            Package::Dialog => sip_body::dialog_info::CONTENT_TYPE,
            Package::Conference => sip_body::conference_info::CONTENT_TYPE,
        }
    }

    /// How long a subscription lasts that asks for no time, in seconds; nobody gets more.
    pub fn default_expires_s(self) -> u32 {
        match self {
            Package::MessageSummary => 3_600, // RFC 3842 3.4
            Package::Presence => 3_600,       // RFC 3856 6.4
            Package::Winfo => 3_600,          // RFC 3857 4.4
            Package::Reg => 3_761,            // RFC 3680 4.4
            Package::Dialog => 3_600,         // RFC 4235 3.4
            Package::Conference => 3_600,     // RFC 4575 3.3
        }
    }

    /// The least time between two notifications that only a change brought about, in milliseconds.
    pub fn interval_ms(self) -> u64 {
        match self {
            Package::MessageSummary => 1_000, // RFC 3842 3.10
            Package::Presence => 5_000,       // RFC 3856 6.10
            Package::Winfo => 5_000,          // RFC 3857 4.10
            Package::Reg => 1_000,            // RFC 3680 4.10 leaves it to us
            Package::Dialog => 1_000,         // RFC 4235 3.10
            Package::Conference => 1_000,     // RFC 4575 3.10 allows five a second
        }
    }

    /// Whether it tells where somebody is registered.
    pub fn is_of_bindings(self) -> bool {
        match self {
            Package::Presence | Package::Reg => true,
            Package::MessageSummary | Package::Winfo | Package::Dialog | Package::Conference => false,
        }
    }
}

/// The value of Allow-Events.
pub fn allow_events() -> String {
    Package::ALL.map(Package::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_found_by_its_name_and_no_other_spelling() {
        for package in Package::ALL {
            assert_eq!(Package::named(package.name()), Some(package));
            assert_eq!(Package::named(&package.name().to_uppercase()), None);
        }
    }
}

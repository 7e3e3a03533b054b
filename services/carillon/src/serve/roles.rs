//! Which services a process runs, and where it finds the others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use cluster_rpc::Address;

use super::unknown;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Transports, transactions, the proxy core.
    Edge,
    /// Accounts, bindings, routing plans.
    Registrar,
    /// Event packages.
    Presence,
    /// Calls that Carillon is a party of.
    CallControl,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Registrar, Self::Presence, Self::CallControl];

    /// The name in flags, configuration and membership.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Registrar => "registrar",
            Self::Presence => "presence",
            Self::CallControl => "call-control",
        }
    }

    /// Whether the service keeps state in the store.
    pub fn has_store(self) -> bool {
        self != Self::Edge
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("{}; roles are {}", unknown::message("role", text, names.into_iter()), names.join(", "))
        })
    }
}

/// The roles of a process.
///
/// # Errors
/// A name that is no role, a role named twice (another one was meant), or no role at all.
pub fn roles(names: &[String]) -> Result<BTreeSet<Role>, String> {
    let mut roles = BTreeSet::new();
    for name in names {
        let role: Role = name.parse()?;
        if !roles.insert(role) {
            return Err(format!("{role} is named twice; name each role once, separated by commas"));
        }
    }
    if roles.is_empty() {
        Err("expected at least one of edge, registrar, presence, call-control".into())
    } else {
        Ok(roles)
    }
}

/// Where the other services are.
///
/// # Errors
/// A peer that is not `ROLE=URL`.
pub fn peers(all: &[String]) -> Result<Vec<(Role, Address)>, String> {
    let peer = |peer: &String| {
        let (role, url) = peer
            .split_once('=')
            .ok_or_else(|| format!("{peer}: expected ROLE=URL, as registrar=http://192.0.2.1:50051"))?;
        let role = role.parse().map_err(|e| format!("{peer}: {e}"))?;
        Ok((role, url.parse().map_err(|e| format!("{peer}: {e}"))?))
    };
    all.iter().map(peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_role_names_the_nearest_one() {
        assert!(roles(&["egde".into()]).unwrap_err().contains("`edge`"));
    }

    #[test]
    fn a_role_named_twice_was_meant_to_be_another() {
        assert!(roles(&["edge".into(), "edge".into()]).unwrap_err().contains("edge is named twice"));
        assert_eq!(roles(&["edge".into(), "registrar".into()]).unwrap().len(), 2);
    }

    #[test]
    fn peers_are_found_by_role() {
        let all = ["registrar=http://127.0.0.1:1", "edge=dns://edges:2", "registrar=http://127.0.0.1:3"]
            .map(String::from);
        let registrars = peers(&all).unwrap().into_iter().filter(|(role, _)| *role == Role::Registrar);
        assert_eq!(registrars.count(), 2);
        assert!(peers(&["registrar".into()]).unwrap_err().contains("ROLE=URL"));
        assert!(peers(&["registrar=127.0.0.1:1".into()]).is_err());
        assert!(peers(&["foo=http://127.0.0.1:1".into()]).unwrap_err().contains("roles are edge, registrar"));
    }
}

//! Scopes, and the one table of which rpc needs which.

use std::{fmt, str::FromStr};

/// A right that a token may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// See calls and their flows.
    CallsRead,
    /// Make and change calls.
    CallsWrite,
    /// See accounts, bindings, forwarding and trunks.
    AccountsRead,
    /// Change them.
    AccountsWrite,
    /// See presence, watchers, lists and messages.
    PresenceRead,
    /// Change presence, policies and lists.
    PresenceWrite,
    /// Send and delete messages.
    MessagesWrite,
    /// See the cluster.
    ClusterRead,
    /// Steer the cluster; what services need to talk to each other.
    ClusterWrite,
}

const NAMES: [(Scope, &str); 9] = [
    (Scope::CallsRead, "calls:read"),
    (Scope::CallsWrite, "calls:write"),
    (Scope::AccountsRead, "accounts:read"),
    (Scope::AccountsWrite, "accounts:write"),
    (Scope::PresenceRead, "presence:read"),
    (Scope::PresenceWrite, "presence:write"),
    (Scope::MessagesWrite, "messages:write"),
    (Scope::ClusterRead, "cluster:read"),
    (Scope::ClusterWrite, "cluster:write"),
];

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(scope, _)| scope == self).map_or("", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        NAMES.iter().find(|(_, name)| *name == text).map(|(scope, _)| *scope).ok_or(())
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Every scope there is.
    pub const ALL: Scopes = Scopes(u16::MAX);

    /// Whether the scope is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | (1 << scope as u16)))
    }
}

/// Whether services ask each other this too: their token opens it.
pub fn is_between_services(path: &str) -> bool {
    matches!(
        path,
        "/carillon.registrar.v1.Bindings/ListBindings"
            | "/carillon.registrar.v1.Bindings/WatchBindings"
            | "/carillon.callcontrol.v1.CallControl/ListCalls"
            | "/carillon.callcontrol.v1.CallControl/WatchCalls"
    )
}

/// The scope that the rpc at a path ("/package.Service/Method") needs; `None` for a path that no token opens.
pub fn scope_of(path: &str) -> Option<Scope> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let reads = ["Get", "List", "Watch", "Query"].iter().any(|verb| method.starts_with(verb));
    let (read, write) = match service {
        "carillon.callcontrol.v1.CallControl" => (Scope::CallsRead, Scope::CallsWrite),
        "carillon.trace.v1.Traces" => (Scope::CallsRead, Scope::CallsWrite),
        "carillon.registrar.v1.Accounts"
        | "carillon.registrar.v1.Bindings"
        | "carillon.registrar.v1.Forwarding"
        | "carillon.registrar.v1.Trunks" => (Scope::AccountsRead, Scope::AccountsWrite),
        "carillon.presence.v1.Presence"
        | "carillon.presence.v1.MessageSummary"
        | "carillon.presence.v1.ResourceLists" => (Scope::PresenceRead, Scope::PresenceWrite),
        "carillon.presence.v1.Messages" => (Scope::PresenceRead, Scope::MessagesWrite),
        "carillon.edge.v1.Edges" => (Scope::ClusterRead, Scope::ClusterWrite),
        // Between services.
        "carillon.registrar.v1.Location"
        | "carillon.registrar.v1.LocationStream"
        | "carillon.cluster.v1.Membership"
        | "carillon.callcontrol.v1.LegEvents"
        | "carillon.callcontrol.v1.ProxiedCalls"
        | "carillon.presence.v1.Intake"
        | "carillon.presence.v1.Conferences"
        | "carillon.edge.v1.Legs"
        | "carillon.edge.v1.Requests"
        | "carillon.trace.v1.Capture"
        // Asked of the operator's service, and served by none of Carillon's.
        | "carillon.registrar.v1.Spending" => (Scope::ClusterWrite, Scope::ClusterWrite),
        "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
            (Scope::ClusterRead, Scope::ClusterRead)
        }
        _ => return None,
    };
    Some(if reads { read } else { write })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_scope_is_read_as_it_is_written() {
        for (scope, name) in NAMES {
            assert_eq!(name.parse(), Ok(scope));
            assert_eq!(scope.to_string(), name);
        }
        assert_eq!("calls".parse::<Scope>(), Err(()));
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set: Scopes = [Scope::CallsRead, Scope::ClusterWrite].into_iter().collect();
        let held: Vec<_> =
            NAMES.iter().map(|(scope, _)| *scope).filter(|scope| set.contains(*scope)).collect();
        assert_eq!(held, [Scope::CallsRead, Scope::ClusterWrite]);
    }

    #[test]
    fn every_rpc_of_the_contracts_needs_a_scope() {
        let files = FileDescriptorSet::decode(cluster_api::DESCRIPTORS).expect("the checked-in descriptors");
        let mut rpcs = 0;
        for file in files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    assert!(scope_of(&path).is_some(), "{path} needs no scope");
                    rpcs += 1;
                }
            }
        }
        assert!(rpcs > 50, "only {rpcs} rpcs seen");
    }

    /// The token of the services is none of an application: it reads bindings, and no accounts.
    #[test]
    fn services_may_ask_each_other_about_bindings_alone() {
        assert!(is_between_services("/carillon.registrar.v1.Bindings/WatchBindings"));
        assert!(!is_between_services("/carillon.registrar.v1.Bindings/RemoveBinding"));
        assert!(!is_between_services("/carillon.registrar.v1.Accounts/ListAccounts"));
    }

    /// A read scope cannot mutate.
    #[test]
    fn rpcs_that_change_something_need_a_write_scope() {
        for path in [
            "/carillon.callcontrol.v1.CallControl/Dial",
            "/carillon.registrar.v1.Accounts/DeleteAccount",
            "/carillon.presence.v1.Messages/SendMessage",
            "/carillon.edge.v1.Edges/DrainEdge",
            "/carillon.registrar.v1.Location/Register",
            "/carillon.trace.v1.Capture/WatchCapture",
        ] {
            let scope = scope_of(path).expect(path);
            assert!(scope.to_string().ends_with(":write"), "{path} {scope}");
        }
        assert_eq!(scope_of("/carillon.callcontrol.v1.CallControl/GetCall"), Some(Scope::CallsRead));
        assert_eq!(scope_of("/other.Service/Get"), None);
    }
}

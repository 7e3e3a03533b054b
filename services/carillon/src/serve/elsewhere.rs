//! What a process answers to rpcs of roles that it does not run: which role serves them, and where it is known to be.

use std::collections::BTreeSet;

use axum::http::Uri;
use cluster_rpc::membership::View;
use cluster_rpc::{Reason, Refusal};
use tokio::sync::watch;
use tonic::Status;

use super::roles::{self, Role};
use super::settings::Settings;

/// How many members are named.
const SOME: usize = 3;

/// The roles of this process and the places of the others.
#[derive(Clone)]
pub struct Elsewhere {
    here: BTreeSet<Role>,
    peers: Vec<(Role, String)>,
    members: watch::Receiver<View>,
}

impl Elsewhere {
    /// As the settings have it.
    pub fn new(settings: &Settings, here: BTreeSet<Role>, members: watch::Receiver<View>) -> Self {
        let peers = roles::peers(&settings.peers).unwrap_or_default();
        Self {
            here,
            peers: peers.into_iter().map(|(role, address)| (role, address.to_string())).collect(),
            members,
        }
    }

    /// The answer to an rpc that nothing here serves; `uri` is its path, `/carillon.edge.v1.Edges/ListEdges`.
    pub fn refuse(&self, uri: &Uri) -> Status {
        let service = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        if service == "carillon.registrar.v1.Spending" {
            let text = "Carillon asks this of your own service (spending.urls) and serves it nowhere";
            return Refusal::new(Reason::NotImplemented, text).into();
        }
        let Some(role) = role_of(service).filter(|role| !self.here.contains(role)) else {
            return Refusal::new(
                Reason::NotImplemented,
                "no such service; reflection lists those that there are",
            )
            .into();
        };
        let here: Vec<&str> = self.here.iter().map(|role| role.name()).collect();
        let places = self.places(role);
        let ask = match places.is_empty() {
            true => format!("ask a process that does (--roles {role}); none is known here now"),
            false => format!("ask {}", places.join(" or ")),
        };
        let text = format!("this process runs {}, not {role}, which serves this: {ask}", here.join(", "));
        Refusal::new(Reason::NotImplemented, text).fact("role", role.name()).into()
    }

    /// Where the settings, or else the members of the cluster, say that a role is served: some places are enough.
    fn places(&self, role: Role) -> Vec<String> {
        let named: Vec<String> =
            self.peers.iter().filter(|(of, _)| *of == role).map(|(_, at)| at.clone()).collect();
        if !named.is_empty() {
            return named;
        }
        let members = self.members.borrow();
        members.of_role(role.name()).take(SOME).map(|member| member.grpc.clone()).collect()
    }
}

/// Which role serves a service: the packages are named after them.
fn role_of(service: &str) -> Option<Role> {
    Some(match service.strip_prefix("carillon.")?.split('.').next()? {
        "callcontrol" => Role::CallControl,
        "registrar" | "cluster" => Role::Registrar,
        "presence" => Role::Presence,
        "edge" | "trace" => Role::Edge,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use cluster_api::cluster::v1::Member;

    use super::*;

    fn asked(path: &'static str) -> Status {
        let settings =
            Settings { peers: vec!["registrar=http://10.0.0.1:50051".into()], ..Settings::default() };
        let presence = Member {
            id: "presence-0".into(),
            role: "presence".into(),
            grpc: "http://10.0.0.9:50051".into(),
            ..Member::default()
        };
        let (_, members) = watch::channel(View::fixed(vec![presence], Vec::new()));
        Elsewhere::new(&settings, BTreeSet::from([Role::Edge]), members).refuse(&Uri::from_static(path))
    }

    #[test]
    fn the_role_that_serves_an_rpc_is_named_with_its_place() {
        let refused = asked("/carillon.registrar.v1.Accounts/ListAccounts");
        let text = refused.message();
        assert!(
            text.contains("runs edge, not registrar") && text.contains("http://10.0.0.1:50051"),
            "{text}"
        );
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        let text = asked("/carillon.presence.v1.Presence/GetPresence").message().to_owned();
        assert!(text.contains("ask http://10.0.0.9:50051"), "a member of the cluster: {text}");
        let text = asked("/carillon.callcontrol.v1.CallControl/Dial").message().to_owned();
        assert!(text.contains("not call-control") && text.contains("a process that does"), "{text}");
    }

    #[test]
    fn what_no_role_serves_is_no_service() {
        assert!(asked("/carillon.registrar.v1.Spending/Authorize").message().contains("spending.urls"));
        for path in ["/carillon.billing.v1.Bills/List", "/carillon.edge.v1.Wings/Flap", "/"] {
            assert!(asked(path).message().contains("no such service"), "{path}");
        }
    }

    #[test]
    fn every_package_of_the_api_belongs_to_a_role() {
        use prost::Message;
        let files = prost_types::FileDescriptorSet::decode(cluster_api::DESCRIPTORS).unwrap();
        let packages = files.file.iter().filter(|f| !f.service.is_empty()).map(|f| f.package());
        for package in packages.filter(|package| package.starts_with("carillon.")) {
            assert!(role_of(&format!("{package}.X")).is_some(), "{package}");
        }
    }
}

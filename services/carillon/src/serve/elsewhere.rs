//! What a process answers to rpcs of roles that it does not run: which role serves them, and where it is known to be.

use std::collections::BTreeSet;

use axum::http::Uri;
use cluster_rpc::{Reason, Refusal};
use tonic::Status;

use super::roles::{self, Role};
use super::settings::Settings;

/// The roles of this process and the places of the others.
#[derive(Clone)]
pub struct Elsewhere {
    here: BTreeSet<Role>,
    peers: Vec<(Role, String)>,
}

impl Elsewhere {
    /// As the settings have it.
    pub fn new(settings: &Settings, here: BTreeSet<Role>) -> Self {
        let peers = roles::peers(&settings.peers).unwrap_or_default();
        Self { here, peers: peers.into_iter().map(|(role, address)| (role, address.to_string())).collect() }
    }

    /// The answer to an rpc that nothing here serves; `uri` is its path, `/carillon.edge.v1.Edges/ListEdges`.
    pub fn refuse(&self, uri: &Uri) -> Status {
        let service = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let Some(role) = role_of(service).filter(|role| !self.here.contains(role)) else {
            return Refusal::new(
                Reason::NotImplemented,
                "no such service; reflection lists those that there are",
            )
            .into();
        };
        let here: Vec<&str> = self.here.iter().map(|role| role.name()).collect();
        let places: Vec<&str> =
            self.peers.iter().filter(|(of, _)| *of == role).map(|(_, at)| &**at).collect();
        let ask = match places.is_empty() {
            true => "ask a process that does".to_owned(),
            false => format!("ask {}", places.join(" or ")),
        };
        let text = format!("this process runs {}, not {role}, which serves this: {ask}", here.join(", "));
        Refusal::new(Reason::NotImplemented, text).fact("role", role.name()).into()
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
    use super::*;

    fn asked(path: &'static str) -> Status {
        let settings =
            Settings { peers: vec!["registrar=http://10.0.0.1:50051".into()], ..Settings::default() };
        Elsewhere::new(&settings, BTreeSet::from([Role::Edge])).refuse(&Uri::from_static(path))
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
        let text = asked("/carillon.callcontrol.v1.CallControl/Dial").message().to_owned();
        assert!(text.contains("not call-control") && text.contains("a process that does"), "{text}");
    }

    #[test]
    fn what_no_role_serves_is_no_service() {
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

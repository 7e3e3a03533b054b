//! The settings of each service, and the rpcs it adds to the server.

use cluster_api::callcontrol::v1::call_control_server::CallControlServer;
use cluster_api::callcontrol::v1::leg_events_server::LegEventsServer;
use cluster_api::callcontrol::v1::proxied_calls_server::ProxiedCallsServer;
use cluster_api::cluster::v1::membership_server::MembershipServer;
use cluster_api::edge::v1::edges_server::EdgesServer;
use cluster_api::edge::v1::legs_server::LegsServer;
use cluster_api::edge::v1::requests_server::RequestsServer;
use cluster_api::presence::v1::intake_server::IntakeServer;
use cluster_api::presence::v1::message_summary_server::MessageSummaryServer;
use cluster_api::presence::v1::messages_server::MessagesServer;
use cluster_api::presence::v1::presence_server::PresenceServer;
use cluster_api::presence::v1::resource_lists_server::ResourceListsServer;
use cluster_api::registrar::v1::accounts_server::AccountsServer;
use cluster_api::registrar::v1::bindings_server::BindingsServer;
use cluster_api::registrar::v1::forwarding_server::ForwardingServer;
use cluster_api::registrar::v1::location_server::LocationServer;
use cluster_api::registrar::v1::trunks_server::TrunksServer;
use cluster_api::trace::v1::capture_server::CaptureServer;
use cluster_api::trace::v1::traces_server::TracesServer;
use cluster_rpc::EdgeDirectory;
use edge::BoundEdge;
use presence::Presence;
use registrar::{Auth, DomainConfig, Registrar};
use tonic::service::RoutesBuilder;

use super::settings::{Domain, Settings};

/// How phones of a domain authenticate.
pub fn auth_of<'a>(domain: &'a Domain, settings: &'a Settings) -> &'a str {
    if domain.auth.is_empty() { &settings.auth } else { &domain.auth }
}

/// Settings of the registrar.
pub fn registrar_config(settings: &Settings) -> registrar::Config {
    let domain = |d: &Domain| DomainConfig {
        name: d.name.clone(),
        auth: if auth_of(d, settings) == "none" { Auth::None } else { Auth::Digest },
        realm: (!d.realm.is_empty()).then(|| d.realm.clone()),
    };
    registrar::Config {
        domains: settings.domain.iter().map(domain).collect(),
        default_expires: settings.registrar.default_expires,
        min_expires: settings.registrar.min_expires,
        max_expires: settings.registrar.max_expires,
        algorithms: settings.registrar.algorithms.clone(),
        ..registrar::Config::default()
    }
}

/// Settings of call-control.
pub fn call_control_config(settings: &Settings) -> call_control::Config {
    let host = settings.domain.first().map_or("localhost", |d| d.name.as_str());
    call_control::Config {
        controller_uri: format!("sip:carillon@{host}"),
        host: host.to_string(),
        ring_timeout: settings.call_control.ring_timeout,
        guard: settings.call_control.guard,
        t1: settings.sip.t1,
        watch_buffer: settings.limits.watch_buffer,
        ..call_control::Config::default()
    }
}

/// Adds the rpcs of the edge; `others` leads to the edges of the other processes.
pub fn add_edge(routes: &mut RoutesBuilder, edge: &BoundEdge, others: &EdgeDirectory) {
    routes
        .add_service(LegsServer::new(edge.legs()))
        .add_service(RequestsServer::new(edge.requests()))
        .add_service(CaptureServer::new(edge.capture()))
        .add_service(TracesServer::new(edge.traces(Some(others.clone()))))
        .add_service(EdgesServer::new(edge.edges_service(Some(others.clone()))));
}

/// Adds the rpcs of the registrar.
pub fn add_registrar(routes: &mut RoutesBuilder, registrar: &Registrar) {
    routes
        .add_service(LocationServer::new(registrar.clone()))
        .add_service(MembershipServer::new(registrar.clone()))
        .add_service(AccountsServer::new(registrar.clone()))
        .add_service(BindingsServer::new(registrar.clone()))
        .add_service(ForwardingServer::new(registrar.clone()))
        .add_service(TrunksServer::new(registrar.clone()));
}

/// Adds the rpcs of presence.
pub fn add_presence(routes: &mut RoutesBuilder, presence: &Presence) {
    routes
        .add_service(IntakeServer::new(presence.clone()))
        .add_service(PresenceServer::new(presence.clone()))
        .add_service(MessageSummaryServer::new(presence.clone()))
        .add_service(ResourceListsServer::new(presence.clone()))
        .add_service(MessagesServer::new(presence.clone()));
}

/// Adds the rpcs of call-control.
pub fn add_call_control(routes: &mut RoutesBuilder, calls: &call_control::Service) {
    routes
        .add_service(CallControlServer::new(calls.api.clone()))
        .add_service(LegEventsServer::new(calls.leg_events.clone()))
        .add_service(ProxiedCallsServer::new(calls.proxied_calls.clone()));
}

//! The presence service: subscriptions, publications, lists, summaries, stored messages.
//!
//! **Here:** the place of the service in the cluster, and an honest answer to everything that is asked of it: no event
//! package is carried yet. A phone gets 489, business software gets `UNIMPLEMENTED` with reason `NOT_IMPLEMENTED`.
//!
//! **Deliberately absent:** everything else, until it works. Nothing is accepted here and then lost.
//!
//! Start reading at `intake.rs`.
#![forbid(unsafe_code)]

mod absent;
mod intake;

use cluster_api::presence::v1::{
    intake_server::IntakeServer, message_summary_server::MessageSummaryServer,
    messages_server::MessagesServer, presence_server::PresenceServer,
    resource_lists_server::ResourceListsServer,
};
use tonic::service::RoutesBuilder;

/// The presence service; nothing about it can be set yet. Clones are the same service.
#[derive(Clone, Debug, Default)]
pub struct Presence {}

impl Presence {
    /// Adds the gRPC services of presence to a server.
    pub fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(IntakeServer::new(self.clone()))
            .add_service(PresenceServer::new(self.clone()))
            .add_service(MessageSummaryServer::new(self.clone()))
            .add_service(ResourceListsServer::new(self.clone()))
            .add_service(MessagesServer::new(self.clone()));
    }
}

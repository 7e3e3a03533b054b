//! Whose connections stay when there is no room for all.

use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Refuse, RegisterResponse};

use crate::rig::Rig;
use crate::services::FakeLocation;
use crate::stream::Connection;

const LINES: [&str; 3] =
    ["From: <sip:alice@example.com>;tag=a", "To: <sip:alice@example.com>", "Call-ID: c1"];

/// T14: who registered, proved to be somebody or is a trusted neighbour is no stranger, whatever became of the request. A stranger
/// makes room for who comes next.
#[tokio::test]
async fn only_strangers_make_room_for_others() {
    for (request, status, identity, is_trusted, stays) in [
        ("REGISTER sip:example.com", 200, "", false, true),
        ("INVITE sip:bob@example.com", 404, "sip:alice@example.com", false, true),
        ("INVITE sip:bob@example.com", 404, "", true, true),
        ("OPTIONS sip:example.com", 200, "", true, true),
        ("INVITE sip:bob@example.com", 404, "", false, false),
        ("OPTIONS sip:example.com", 200, "", false, false),
    ] {
        let location = FakeLocation::full(
            |_| Ok(Plan::Refuse(Refuse { status: 404, ..Refuse::default() })),
            |_| RegisterResponse { status: 200, ..RegisterResponse::default() },
        );
        *location.identity.lock().unwrap() = identity.to_owned();
        let rig = Rig::configured(location, |config| {
            config.endpoint.max_connections = 1;
            if is_trusted {
                config.trusted = vec!["127.0.0.0/8".parse().unwrap()];
            }
        })
        .await;
        let mut first = Connection::to(rig.address).await;
        first.request(request, "1", &LINES).await;
        first.receive_status(status).await;
        let mut second = Connection::to(rig.address).await;
        let leaves = if stays { &mut second } else { &mut first };
        leaves.expect_end().await;
        let mut left = if stays { first } else { second };
        left.request("OPTIONS sip:example.com", "2", &LINES).await;
        left.receive_status(200).await;
    }
}

//! What the README says of the API.

use std::collections::{BTreeMap, BTreeSet};

use cluster_api::DESCRIPTORS;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use test_support::{Carillon, PATIENCE};
use tokio_stream::iter;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

type Rpcs = BTreeMap<String, BTreeSet<String>>;

/// The table of the README: `service` and its rpcs, or `all` of them.
fn listed(all: &Rpcs) -> Rpcs {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let rows =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "));
    let row = |(service, rpcs): (&str, &str)| {
        let service = format!("carillon.{service}");
        let rpcs = match rpcs {
            "all" => all.get(&service).cloned().unwrap_or_default(),
            some => some.split(", ").map(String::from).collect(),
        };
        (service, rpcs)
    };
    rows.map(row).collect()
}

/// Served by nobody here: Carillon asks it of a service of the operator's.
const ASKED: &str = "carillon.registrar.v1.Spending";

/// Every rpc of the API, those between the services included.
fn all() -> Rpcs {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let ours = files.iter().filter(|file| file.package().starts_with("carillon."));
    let services = ours.flat_map(|file| file.service.iter().map(|s| (file.package().to_owned(), s)));
    let rpcs = |(package, service): (String, &prost_types::ServiceDescriptorProto)| {
        let methods = service.method.iter().map(|method| method.name().to_owned()).collect();
        (format!("{package}.{}", service.name()), methods)
    };
    services.map(rpcs).filter(|(service, _)| service != ASKED).collect()
}

/// Asks with an empty message, as if every rpc were a stream both ways: on the wire they begin alike.
async fn is_unimplemented(channel: &Channel, service: &str, rpc: &str) -> bool {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("the server takes requests");
    let path = PathAndQuery::try_from(format!("/{service}/{rpc}")).expect("names of rpcs are paths");
    let asked = client.streaming(Request::new(iter([()])), path, ProstCodec::<(), ()>::default());
    match tokio::time::timeout(PATIENCE, asked).await.expect("an answer begins") {
        Ok(_) => false,
        Err(status) => status.code() == Code::Unimplemented,
    }
}

#[tokio::test]
async fn the_readme_lists_exactly_the_rpcs_that_are_not_implemented() {
    let carillon = Carillon::all_in_one();
    let channel = Channel::from_shared(carillon.api.clone()).unwrap().connect().await.unwrap();
    let all = all();
    let mut missing = Rpcs::new();
    for (service, rpcs) in &all {
        for rpc in rpcs {
            if is_unimplemented(&channel, service, rpc).await {
                missing.entry(service.clone()).or_default().insert(rpc.clone());
            }
        }
    }
    assert_eq!(missing, listed(&all));
}

//! SIPp as a phone that watches: a mailbox, the calls of a user, a list.

use std::path::PathBuf;
use std::time::Instant;

use cluster_api::presence::v1::resource_lists_client::ResourceListsClient;
use cluster_api::presence::v1::watcher_policy::Action;
use cluster_api::presence::v1::{CreateListRequest, ListMember, ResourceList};
use test_support::{Carillon, PATIENCE, Sipp, free_port};

use super::people::allow;
use super::user;

/// Plays a scenario as `watcher`, and lets the change happen once its first NOTIFY was answered.
fn watched(carillon: &Carillon, scenario: &str, watcher: &str, change: impl FnOnce()) {
    let scenario = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp").join(scenario);
    let server = carillon.sip.as_str();
    std::thread::scope(|scope| {
        let plays = scope.spawn(move || Sipp::plays(&scenario, watcher, free_port(), server, &[]));
        let end = Instant::now() + PATIENCE;
        while carillon.metric("carillon_presence_notifies_total{outcome=\"accepted\"}") < 1.0 {
            assert!(Instant::now() < end && !plays.is_finished(), "the first NOTIFY is not answered");
        }
        change();
        plays.join().expect("the scenario succeeds");
    });
}

fn run(carillon: &Carillon, arguments: &[&str]) {
    let done = carillon.command(arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// PKG-06, EVT-02, EVT-03, EVT-08: the lamp of a mailbox, as phones of RFC 3842 have it.
#[test]
fn a_sipp_phone_follows_its_mailbox() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let _alice = user(&carillon, "alice");
    watched(&carillon, "watch_mailbox.xml", "alice", || {
        run(&carillon, &["mwi", "set", "sip:alice@localhost", "--voice", "2/8(1/0)"]);
    });
}

/// PKG-03, EVT-03: the busy lamp of a user who is called.
#[test]
fn a_sipp_phone_follows_the_calls_of_a_user() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (alice, bob) = (user(&carillon, "alice"), user(&carillon, "bob"));
    watched(&carillon, "watch_dialogs.xml", "alice", || {
        let contact = format!("Contact: <sip:bob@{}>", bob.address());
        let lines = ["From: <sip:bob@localhost>;tag=b", "To: <sip:alice@localhost>", &contact];
        bob.request("INVITE sip:alice@localhost", &lines);
        let invite = alice.receive_request("INVITE");
        alice.respond(&invite, "180 Ringing", &[]);
    });
}

/// RLS-01, RLS-02, RLS-03: a list, with the change of one who is on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sipp_phone_follows_a_list() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let _alice = user(&carillon, "alice");
    allow(&carillon, &[("bob", Action::Allow)]).await;
    let members = vec![ListMember { uri: "sip:alice@localhost".to_owned(), ..ListMember::default() }];
    let list = ResourceList { list_uri: "sip:team@localhost".to_owned(), members, ..ResourceList::default() };
    let mut client = ResourceListsClient::connect(carillon.api.clone()).await.unwrap();
    client
        .create_list(CreateListRequest { request_id: String::new(), list: Some(list) })
        .await
        .expect("a list");
    watched(&carillon, "watch_list.xml", "bob", || {
        run(
            &carillon,
            &["presence", "publish", "sip:alice@localhost", "--state", "open", "--note", "at work"],
        );
    });
}

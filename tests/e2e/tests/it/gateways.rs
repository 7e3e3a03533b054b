//! Who names the gateway of a trunk, and whom that costs: calls past the rules of a trunk, by every way that leads to its peer.

use cluster_api::registrar::v1::bindings_client::BindingsClient;
use cluster_api::registrar::v1::{AddBindingRequest, Trunk, TrunkPeer};
use scripted_phone::{Happening, Remote, Script};
use test_support::{Carillon, NameServer, Starting, TestPhone, free_port};

use crate::trunks::{create, refused, trunk};
use crate::wire::{Wire, header, status};

fn run(carillon: &Carillon, arguments: &[&str]) -> String {
    let done = tokio::task::block_in_place(|| carillon.command(arguments));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// T6: the address of the gateway, its name, a name that DNS leads there, a proxy on the way, a contact and a forwarding: none of them
/// is a way around the rules of the account, and what is allowed goes by the trunk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_to_a_gateway_goes_around_the_rules() {
    let dns = free_port();
    let server = format!("127.0.0.1:{dns}");
    let carillon = Starting::with(&[], &[("CARILLON_DNS_SERVERS", server.as_str())]).ready();
    let gateway = Wire::at("127.0.0.2", &carillon);
    let (place, port) = (gateway.address(), gateway.address().port());
    let _dns = NameServer::serving(dns, "far.test", "gw A 127.0.0.2\ninnocent A 127.0.0.2");
    let named = TrunkPeer { uri: "sip:gw.far.test".into(), priority: 1, ..TrunkPeer::default() };
    let mut any = trunk("any", place, "");
    any.peers.push(named);
    create(&carillon, Trunk { max_calls: 1, ..any }).await;
    for user in ["alice", "bob"] {
        let aor = format!("sip:{user}@localhost");
        run(&carillon, &["account", "add", &aor, "--password", "secret", "--denied-prefixes", "+33"]);
    }
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::plain()).await;
    for denied in [
        format!("sip:+33123@{place}"),
        format!("sip:+33123@{place};user=phone"),
        format!("sip:0033123@gw.far.test:{port}"),
        format!("sip:%2B33123@gw.far.test:{port}"),
        format!("sip:+49123@innocent.far.test:{port}"),
        format!("sip:bob@innocent.far.test:{port}"),
        format!("sip:+33123@elsewhere.test:{port};maddr=127.0.0.2"),
        format!("sip:bob@{place}"),
    ] {
        alice.act(Remote::Dial(denied.clone())).await;
        assert_eq!(refused(&mut alice).await, 403, "{denied}");
    }
    let forwards = format!("sip:+33123@{place}");
    for forward in [forwards.as_str(), "sip:+33123@elsewhere.test"] {
        run(&carillon, &["forward", "set", "sip:bob@localhost", "--unreachable", forward]);
        alice.act(Remote::Dial("sip:bob@localhost".into())).await;
        assert_eq!(refused(&mut alice).await, 480, "{forward}");
    }
    gateway.expect_nothing();

    alice.act(Remote::Dial(format!("sip:+4930@{place}"))).await;
    let request = gateway.receive_request("INVITE");
    assert!(request.starts_with(&format!("INVITE sip:+4930@{place}")), "{request}");
    let contact = format!("Contact: <sip:gw@{place}>");
    gateway.respond(&request, "200 OK", &[&contact]);
    gateway.receive_request("ACK");
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    // the dialog goes on where it leads
    alice.act(Remote::Hangup).await;
    let bye = gateway.receive_request("BYE");
    assert_eq!(header(&bye, "Call-ID"), header(&request, "Call-ID"));
    gateway.respond(&bye, "200 OK", &[]);
}

/// T6, PXY-27: who has the mark of a dialog with somebody else calls no number by it at the gateway of a trunk, and whom his account does not
/// let call it, calls it by no call by the trunk either, which goes on by its own number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_a_dialog_a_gateway_is_called_by_its_number_alone() {
    let carillon = Carillon::all_in_one();
    let [gateway, desk] = ["127.0.0.2", "127.0.0.4"].map(|ip| Wire::at(ip, &carillon));
    let place = gateway.address();
    create(&carillon, trunk("any", place, "")).await;
    run(&carillon, &["account", "add", "sip:bob@localhost", "--password", "secret"]);
    let denied =
        ["account", "add", "sip:alice@localhost", "--password", "secret", "--denied-prefixes", "+33"];
    run(&carillon, &denied);
    let aor = "sip:bob@localhost".to_owned();
    let contact_uri = format!("sip:bob@{}", desk.address());
    let mut bindings = BindingsClient::connect(carillon.api.clone()).await.expect("the API answers");
    let binding = AddBindingRequest { aor, contact_uri, ..AddBindingRequest::default() };
    bindings.add_binding(binding).await.expect("an account");
    let mut alice =
        TestPhone::registered(&carillon.sip, "sip:alice@localhost", "secret", Script::plain()).await;
    while carillon.metric("carillon_edge_gateways") < 1.0 {
        // with its next lease the edge knows of the trunk
        tokio::task::yield_now().await;
    }

    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let invite = desk.receive_request("INVITE");
    desk.respond(&invite, "180 Ringing", &[]);
    let refused_within = |wire: &Wire, invite: &str, uri: &str, cseq: u32| {
        let of_invite = |name: &str| header(invite, name).expect("every request has it");
        let lines = [
            format!("From: {};tag=w", of_invite("To")),
            format!("To: {}", of_invite("From")),
            format!("Call-ID: {}", of_invite("Call-ID")),
            format!("Route: {}", of_invite("Record-Route")),
            format!("CSeq: {cseq} INVITE"),
            format!("Contact: <sip:bob@{}>", wire.address()),
        ];
        let call_id = wire.request(&format!("INVITE {uri}"), &lines.each_ref().map(String::as_str));
        status(&wire.answer_to(&call_id))
    };
    for (cseq, uri) in [(1, format!("sip:+33123@{place}")), (2, format!("sip:x@{place}"))] {
        assert_eq!(refused_within(&desk, &invite, &uri, cseq), 403, "{uri}");
    }
    gateway.expect_nothing();
    desk.respond(&invite, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);

    alice.act(Remote::Dial("tel:+4930".into())).await;
    let invite = gateway.receive_request("INVITE");
    assert!(header(&invite, "Record-Route").is_some_and(|route| route.contains(";g=")), "{invite}");
    let contact = format!("Contact: <sip:004930@{place}>");
    gateway.respond(&invite, "200 OK", &[&contact]);
    gateway.receive_request("ACK");
    alice.wait_for("the call", |h| *h == Happening::Connected).await;
    alice.act(Remote::Hold(true)).await;
    let hold = gateway.receive_request("INVITE");
    assert!(hold.starts_with(&format!("INVITE sip:004930@{place}")), "{hold}");
    gateway.respond(&hold, "488 Not Acceptable Here", &[]);
    gateway.receive_request("ACK");
}

/// FWD-05: what leads to a gateway without a number leads nowhere, and the rule for who cannot be reached holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_led_to_a_gateway_without_a_number_is_forwarded_as_unreachable() {
    let carillon = Carillon::all_in_one();
    let gateway = Wire::at("127.0.0.2", &carillon);
    create(&carillon, trunk("any", gateway.address(), "")).await;
    run(&carillon, &["account", "add", "sip:bob@localhost", "--password", "secret"]);
    run(&carillon, &["forward", "set", "sip:bob@localhost", "--unreachable", "tel:+4930"]);
    let contact_uri = format!("sip:sbc-7@{}", gateway.address());
    let binding = AddBindingRequest { aor: "sip:bob@localhost".into(), contact_uri, ..Default::default() };
    let mut bindings = BindingsClient::connect(carillon.api.clone()).await.expect("the API answers");
    bindings.add_binding(binding).await.expect("an account");
    let mut alice = crate::trunks::alice(&carillon).await;
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    let request = gateway.receive_request("INVITE");
    assert!(request.starts_with("INVITE sip:+4930@"), "{request}");
    gateway.respond(&request, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
}

/// TRN-09: a number that is called by `sips` does not go to a peer in clear: the caller hears 480, with the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_by_sips_does_not_leave_in_clear() {
    let carillon = Carillon::all_in_one();
    let gateway = Wire::at("127.0.0.2", &carillon);
    create(&carillon, trunk("germany", gateway.address(), "+49")).await;
    let mut alice = crate::trunks::alice(&carillon).await;
    for dialled in ["sips:+4966@localhost", "sips:+4966@localhost;user=phone"] {
        alice.act(Remote::Dial(dialled.into())).await;
        assert_eq!(refused(&mut alice).await, 480, "{dialled}");
    }
    run(&carillon, &["account", "add", "sip:bob@localhost", "--password", "secret"]);
    run(&carillon, &["forward", "set", "sip:bob@localhost", "--unreachable", "sips:+4966@localhost"]);
    alice.act(Remote::Dial("sip:bob@localhost".into())).await;
    assert_eq!(refused(&mut alice).await, 480);
    gateway.expect_nothing();
    alice.act(Remote::Dial("tel:+4966;ext=5".into())).await;
    let request = gateway.receive_request("INVITE");
    assert!(request.starts_with(&format!("INVITE sip:+4966;ext=5@{}", gateway.address())), "{request}");
    gateway.respond(&request, "486 Busy Here", &[]);
    assert_eq!(refused(&mut alice).await, 486);
}

/// `trunk add` refuses what carries nothing, and names the flag of what is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_that_cannot_be_is_refused_by_its_flag() {
    let carillon = Carillon::all_in_one();
    for (arguments, expected) in [
        (&["--peer", "sip:gw.test"][..], "--prefix"),
        (&["--peer", "sip:gw.test;transport=sctp", "--prefix", ""], "--peer (1 of those given)"),
        (&["--peer", "sip:a.test", "--peer", "x", "--prefix", ""], "--peer (2 of those given)"),
        (&["--peer", "sip:gw.test", "--domain", "localhost"], "--domain"),
    ] {
        let all = [&["trunk", "add", "t"], arguments].concat();
        let done = tokio::task::block_in_place(|| carillon.command(&all));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
    run(&carillon, &["trunk", "add", "t", "--peer", "sip:gw.test", "--by-name"]);
}

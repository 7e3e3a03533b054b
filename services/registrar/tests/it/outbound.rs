//! Flows of one device, and GRUUs.

use cluster_api::registrar::v1::{
    ListBindingsRequest, RegisterContact, RegisterRequest, RegisterResponse, bindings_server::Bindings as _,
};
use tonic::Request;

use crate::rig::{Phone, Rig, contact, header, status, targets, uris};

fn flow(uri: &str, instance: u32, reg_id: u32) -> RegisterContact {
    let params = vec![format!("+sip.instance=\"<urn:uuid:{instance}>\""), format!("reg-id={reg_id}")];
    RegisterContact { params, ..contact(uri) }
}

async fn register(phone: &mut Phone, contacts: &[RegisterContact], options: &[&str]) -> RegisterResponse {
    let supported = options.iter().map(|option| (*option).to_owned()).collect();
    let request = RegisterRequest { supported, ..phone.request(contacts) };
    phone.register_as(request).await
}

const OUTBOUND: &[&str] = &["path", "outbound"];

/// OBD-02, OBD-03: two flows of one device are two bindings, also with one contact; the same pair replaces, whatever its contact.
#[tokio::test]
async fn a_flow_is_a_binding() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let first = register(&mut phone, &[flow("sip:b@h", 1, 1)], OUTBOUND).await;
    assert_eq!((first.status, header(&first, "Require")), (200, Some("outbound")));
    let second = register(&mut phone, &[flow("sip:b@h", 1, 2)], OUTBOUND).await;
    assert_eq!(uris(&second), ["sip:b@h", "sip:b@h"]);
    let mut again = Phone { call_id: "after-restart".into(), cseq: 0, ..phone.clone() };
    let third = register(&mut again, &[flow("sip:b@elsewhere:99", 1, 1)], OUTBOUND).await;
    assert_eq!(uris(&third), ["sip:b@elsewhere:99", "sip:b@h"]);
    let other = register(&mut again, &[flow("sip:b@h", 2, 1)], OUTBOUND).await;
    assert_eq!(other.contacts.len(), 3, "another device");
    let list = ListBindingsRequest { aor: "sip:bob@d".into(), ..ListBindingsRequest::default() };
    let listed = rig.registrar().list_bindings(Request::new(list)).await.unwrap().into_inner().bindings;
    let shown: Vec<(u32, &str)> = listed.iter().map(|binding| (binding.reg_id, &*binding.instance)).collect();
    assert_eq!(shown, [(1, "<urn:uuid:1>"), (2, "<urn:uuid:1>"), (1, "<urn:uuid:2>")]);
    let gone = RegisterContact { expires: Some(0), ..flow("sip:b@elsewhere:99", 1, 1) };
    assert_eq!(register(&mut again, &[gone], OUTBOUND).await.contacts.len(), 2);
}

/// OBD-02: without the option, an instance or the right to it a reg-id is a parameter like others.
#[tokio::test]
async fn a_reg_id_that_does_not_count_is_ignored() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    for (number, reg_id) in (1..).zip([1, 2]) {
        let plain = register(&mut phone, &[flow("sip:b@h", 1, reg_id)], &["path"]).await;
        assert_eq!((plain.contacts.len(), header(&plain, "Require")), (1, None), "{number}");
    }
    let mut bare = flow("sip:b@h", 1, 3);
    bare.params.remove(0);
    assert_eq!(register(&mut phone, &[bare], OUTBOUND).await.contacts.len(), 1);
}

/// OBD-03: behind a proxy that keeps no flow a phone that wants one is told so, and one that does not is registered.
#[tokio::test]
async fn a_first_hop_without_outbound_is_told() {
    let rig = Rig::new();
    rig.account("bob").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    let ask = |path: &[&str], options: &[&str]| {
        let text = |list: &[&str]| list.iter().map(|part| (*part).to_owned()).collect();
        (text(path), text(options))
    };
    for (path, options, expected) in [
        (&["<sip:p;lr>"][..], OUTBOUND, 439),
        (&["<sip:p;lr>"], &["path"], 200),
        (&["<sip:p2;lr>", "<sip:tok@p;lr;ob>"], OUTBOUND, 200),
    ] {
        let (path, supported) = ask(path, options);
        let contacts = [RegisterContact { by_uri: true, ..flow("sip:b@h", 1, 1) }];
        let request = RegisterRequest { path, supported, ..phone.request(&contacts) };
        assert_eq!(phone.register_as(request).await.status, expected);
    }
    let several = [flow("sip:a@h", 1, 1), flow("sip:b@h", 1, 2)];
    assert_eq!(register(&mut phone, &several, OUTBOUND).await.status, 400);
}

/// GRU-01, GRU-02, GRU-03: a device that asks is told its public GRUU, the same each time and never as required, and a call to it
/// reaches that device alone.
#[tokio::test]
async fn a_device_has_a_gruu() {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let mut phone = Phone::of(&rig, "bob", "d");
    assert!(!shows_gruu(&register(&mut phone, &[flow("sip:b1@h", 1, 1)], OUTBOUND).await));
    let both = &["path", "outbound", "gruu"][..];
    register(&mut phone, &[flow("sip:b2@h", 2, 1)], both).await;
    for _ in 0..2 {
        let mut again = flow("sip:b1@h", 1, 1);
        again.params.push("pub-gruu=\"sip:forged@d;gr\"".into());
        let told = register(&mut phone, &[again], both).await;
        let params = &told.contacts[0].params;
        let (temporary, others) = params.split_last().expect("they are there");
        assert!(temporary.starts_with("temp-gruu=\"sip:tgruu."), "{temporary}");
        assert_eq!(
            others,
            ["+sip.instance=\"<urn:uuid:1>\"", "reg-id=1", "pub-gruu=\"sip:bob@d;gr=urn:uuid:1\""]
        );
        assert_eq!(header(&told, "Require"), Some("outbound"));
    }
    let mut alice = Phone::of(&rig, "alice", "d");
    assert_eq!(targets(&alice.route("sip:bob@d;gr=urn:uuid:2").await), [["sip:b2@h"]]);
    let gone = RegisterContact { expires: Some(0), ..flow("sip:b2@h", 2, 1) };
    register(&mut phone, &[gone], both).await;
    assert_eq!(status(&alice.route("sip:bob@d;gr=urn:uuid:2").await), 480, "it is away");
    assert_eq!(status(&alice.route("sip:bob@d;gr=urn:uuid:9").await), 404, "there never was one");
}

fn shows_gruu(response: &RegisterResponse) -> bool {
    response.contacts.iter().flat_map(|contact| &contact.params).any(|param| param.contains("gruu"))
}

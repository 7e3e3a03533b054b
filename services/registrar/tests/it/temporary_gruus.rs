//! Temporary GRUUs: names of a device that say nothing of whose it is, and end with its registration.

use cluster_api::registrar::v1::{
    Binding, ListBindingsRequest, RegisterContact, RegisterRequest, RegisterResponse,
    bindings_server::Bindings as _,
};
use tonic::Request;

use crate::rig::{Phone, Rig, contact, status, targets};

const OPTIONS: [&str; 3] = ["path", "outbound", "gruu"];

fn device(uri: &str, instance: u32, reg_id: Option<u32>) -> RegisterContact {
    let instance = format!("+sip.instance=\"<urn:uuid:{instance}>\"");
    let params = std::iter::once(instance).chain(reg_id.map(|id| format!("reg-id={id}"))).collect();
    RegisterContact { params, ..contact(uri) }
}

async fn register(phone: &mut Phone, contact: RegisterContact) -> RegisterResponse {
    let supported = OPTIONS.map(str::to_owned).to_vec();
    let request = RegisterRequest { supported, ..phone.request(&[contact]) };
    let response = phone.register_as(request).await;
    assert_eq!(response.status, 200);
    response
}

/// The temporary GRUU of the contact with this URI.
fn temporary(response: &RegisterResponse, uri: &str) -> String {
    let contact = response.contacts.iter().find(|contact| contact.uri == uri).expect("it is bound");
    let found = contact.params.iter().find_map(|param| param.strip_prefix("temp-gruu=\""));
    found.expect("it is given").trim_end_matches('"').to_owned()
}

async fn phones() -> (Rig, Phone, Phone) {
    let rig = Rig::new();
    rig.account("bob").await;
    rig.account("alice").await;
    let (bob, alice) = (Phone::of(&rig, "bob", "d"), Phone::of(&rig, "alice", "d"));
    (rig, bob, alice)
}

/// GRU-01, GRU-02, GRU-03: one for each refresh, unlike the others and without the user's name; all of them reach that device and no
/// other, until it registers under another Call-ID.
#[tokio::test]
async fn each_refresh_gives_another_name_and_all_are_good_under_one_call_id() {
    let (_rig, mut bob, mut alice) = phones().await;
    let mut desk = Phone { call_id: "desk".into(), ..bob.clone() };
    register(&mut desk, device("sip:desk@h", 2, None)).await;
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(temporary(&register(&mut bob, device("sip:b@h", 1, None)).await, "sip:b@h"));
    }
    for (at, name) in names.iter().enumerate() {
        assert!(!name.contains("bob") && name.ends_with("@d;gr"), "{name}");
        assert!(!names[..at].contains(name));
        assert_eq!(targets(&alice.route(name).await), [["sip:b@h"]], "{name}");
    }
    let mut again = Phone { call_id: "another".into(), cseq: 0, ..bob.clone() };
    let newest = temporary(&register(&mut again, device("sip:b@h", 1, None)).await, "sip:b@h");
    for name in &names {
        assert_eq!(status(&alice.route(name).await), 404, "{name}");
    }
    assert_eq!(targets(&alice.route(&newest).await), [["sip:b@h"]]);
    let of_desk = temporary(&register(&mut desk, device("sip:desk@h", 2, None)).await, "sip:desk@h");
    assert_eq!(targets(&alice.route(&of_desk).await), [["sip:desk@h"]], "the other device is none of this");
}

/// GRU-02, GRU-03: with the registration they die, and a later one under the same Call-ID does not bring them back.
#[tokio::test]
async fn a_name_dies_with_its_registration() {
    let (_rig, mut bob, mut alice) = phones().await;
    let name = temporary(&register(&mut bob, device("sip:b@h", 1, None)).await, "sip:b@h");
    register(&mut bob, RegisterContact { expires: Some(0), ..device("sip:b@h", 1, None) }).await;
    assert_eq!(status(&alice.route(&name).await), 404);
    let next = temporary(&register(&mut bob, device("sip:b@h", 1, None)).await, "sip:b@h");
    assert_eq!(status(&alice.route(&name).await), 404);
    assert_eq!(targets(&alice.route(&next).await), [["sip:b@h"]]);
}

/// GRU-02, OBD-04: flows of one device that register under one Call-ID share the life of their names: the device is reached as long as
/// one of them is there.
#[tokio::test]
async fn a_name_is_good_as_long_as_one_flow_of_the_device_is() {
    let (_rig, mut bob, mut alice) = phones().await;
    let name = temporary(&register(&mut bob, device("sip:b1@h", 1, Some(1))).await, "sip:b1@h");
    register(&mut bob, device("sip:b2@h", 1, Some(2))).await;
    assert_eq!(targets(&alice.route(&name).await).concat(), ["sip:b1@h", "sip:b2@h"]);
    register(&mut bob, RegisterContact { expires: Some(0), ..device("sip:b1@h", 1, Some(1)) }).await;
    assert_eq!(targets(&alice.route(&name).await), [["sip:b2@h"]]);
}

/// GRU-01, GRU-03: what was not given out here names nobody, and who does not ask is given none.
#[tokio::test]
async fn nobody_makes_a_name_up_and_who_does_not_ask_has_none() {
    let (_rig, mut bob, mut alice) = phones().await;
    let plain = bob.register(&[device("sip:b@h", 1, None)]).await;
    assert!(plain.contacts[0].params.iter().all(|param| !param.contains("gruu")));
    let name = temporary(&register(&mut bob, device("sip:b@h", 1, None)).await, "sip:b@h");
    let (user, _) = name.split_once('@').expect("a URI");
    let changed = format!("{}{}@d;gr", &user[..user.len() - 1], if user.ends_with('A') { "B" } else { "A" });
    for odd in [&*changed, "sip:tgruu.AAAA@d;gr", &format!("{user}@d"), &format!("{user}@d;gr=x")] {
        assert_eq!(status(&alice.route(odd).await), 404, "{odd}");
    }
}

/// GRU-02, PKG-02: of each binding the latest name that its own REGISTER was given is known at every replica, and since which CSeq all of
/// them are good: from the first one under this Call-ID on, also for another flow of the device.
#[tokio::test]
async fn the_latest_name_of_a_binding_and_the_first_good_one_are_known() {
    let (rig, mut bob, mut alice) = phones().await;
    let known = async || -> Vec<Binding> {
        let request = ListBindingsRequest { aor: "sip:bob@d".into(), ..ListBindingsRequest::default() };
        rig.replicas[1].list_bindings(Request::new(request)).await.expect("listed").into_inner().bindings
    };
    bob.register(&[device("sip:plain@h", 9, None)]).await;
    assert_eq!(known().await[0].temp_gruu, "", "who does not ask is given none");
    let first = register(&mut bob, device("sip:b1@h", 1, Some(1))).await;
    let first_cseq = bob.cseq;
    register(&mut bob, device("sip:b2@h", 1, Some(2))).await;
    let latest = temporary(&register(&mut bob, device("sip:b1@h", 1, Some(1))).await, "sip:b1@h");
    assert_ne!(temporary(&first, "sip:b1@h"), latest);
    let all = known().await;
    let of = |uri: &str| all.iter().find(|binding| binding.contact_uri == uri).expect("it is bound");
    assert_eq!((&of("sip:b1@h").temp_gruu, of("sip:b1@h").temp_gruu_first_cseq), (&latest, first_cseq));
    assert_eq!(of("sip:b2@h").temp_gruu_first_cseq, first_cseq, "the flows of a device share their life");
    assert_eq!(targets(&alice.route(&of("sip:b2@h").temp_gruu).await).concat(), ["sip:b1@h", "sip:b2@h"]);
    let mut again = Phone { call_id: "another".into(), cseq: 70, challenge: None, ..bob.clone() };
    register(&mut again, device("sip:b1@h", 1, Some(1))).await;
    let all = known().await;
    let renewed = all.iter().find(|binding| binding.contact_uri == "sip:b1@h").expect("it is bound");
    assert_eq!((renewed.temp_gruu_first_cseq, renewed.cseq), (again.cseq, again.cseq), "a new life");
    assert_ne!(renewed.temp_gruu, latest);
}

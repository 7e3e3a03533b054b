//! Temporary GRUUs: names of a device that say nothing of whose it is, and end with its registration.

use cluster_api::registrar::v1::{RegisterContact, RegisterRequest, RegisterResponse};

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

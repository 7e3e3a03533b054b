//! Two softphones that nobody here wrote, each watching the other.

use std::time::Instant;

use test_support::{Baresip, Carillon, Linphone, PATIENCE};

/// PRS-01, PRS-02, PRS-05, PRS-06, PUB-01, PUB-02: what baresip publishes, linphonec shows, and the other way round; both prove who they are. What
/// baresip says before it is told its state, "unknown", is no state of RFC 3863, and is taken all the same.
#[test]
fn a_baresip_and_a_linphonec_show_each_others_presence() {
    let carillon = Carillon::for_old_phones();
    for user in ["alice", "bob"] {
        carillon.account(&format!("sip:{user}@localhost"), "secret");
    }
    for (owner, friend) in [("alice", "bob"), ("bob", "alice")] {
        let (owner, friend) = (format!("sip:{owner}@localhost"), format!("sip:{friend}@localhost"));
        let set = carillon.command(&["presence", "policy", "set", &owner, "--allow", &friend]);
        assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    }
    let mut baresip = Baresip::watching("alice", "secret", &carillon.sip, "bob");
    let changes = |line: &str, to: &str| {
        line.contains("sip:bob@localhost") && line.contains("changed status") && line.contains(to)
    };
    // baresip tells a change from what it was told, so its first NOTIFY comes before there is anything to see.
    let end = Instant::now() + PATIENCE;
    while carillon.metric("carillon_presence_notifies_total{outcome=\"accepted\"}") < 1.0 {
        assert!(Instant::now() < end, "baresip watches nobody: {:?}", baresip.lines.seen());
    }
    let mut linphone = Linphone::watching("bob", "secret", &carillon, "alice");
    baresip.lines.wait_for("bob, who has come", |l| changes(l, "Online"));
    let shows = |linphone: &Linphone, state: &str| {
        let shown = format!("<sip:alice@localhost> is {state}");
        linphone.lines.wait_for(&shown, |l| l.contains(&shown));
    };
    shows(&linphone, "Offline");
    baresip.order("presence_online");
    shows(&linphone, "Online");
    baresip.order("presence_offline");
    shows(&linphone, "Offline");
    assert!(carillon.metric("carillon_presence_answers_total{method=\"PUBLISH\",status=\"200\"}") >= 4.0);
    linphone.order("quit");
    baresip.lines.wait_for("bob, who has gone", |l| changes(l, "Offline"));
    let refused = carillon.metric("carillon_presence_answers_total{method=\"PUBLISH\",status=\"400\"}");
    assert_eq!(refused, 0.0, "what these phones publish is understood");
}

//! What takes the place of a target that was looked up: groups with times and conditions of their own.

use std::time::Duration;

use super::tests::{Call, Phone, forwarding, plan};
use super::{Condition, Group, Nature, Settings};
use crate::BranchId;

const INVITE: Nature = Nature { invite: true, breadth: 60, recurse: true };

/// FWD-03, FWD-04: who was forwarded to has rules too, and they look at that user's phones alone.
#[test]
fn the_rules_of_a_forward_target_are_about_its_own_phones() {
    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    assert_eq!(call.says(0, 486), ["start busy/60"]);
    assert_eq!(takes_place(&mut call, 1, carol()), ["start desk/60"]);
    call.says(2, 180);
    call.wait(5);
    assert_eq!(call.takes(), ["cancel desk NoAnswer"], "it rings as long as its own plan says");
    assert_eq!(call.says(2, 487), ["start cell/60"]);
    call.says(3, 180);
    call.wait(5);
    call.takes();
    assert_eq!(
        call.says(3, 487),
        ["start dave/60"],
        "that the first callee was busy is no rule of the second"
    );
    assert_eq!(call.says(4, 404), ["fail 486"]);
}

/// FWD-03: a contact that is an address of ours stands for its user's phones, and the callee is as busy as they are.
#[test]
fn the_callee_is_busy_when_the_phones_behind_a_contact_are() {
    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    assert_eq!(takes_place(&mut call, 0, plan(&[&["desk"]])), ["start desk/60"]);
    assert_eq!(call.says(1, 486), ["start busy/60"]);
}

/// FWD-05: a forward target without a phone is unreachable itself.
#[test]
fn a_forward_target_without_phones_forwards_too() {
    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    assert_eq!(call.fails(0, crate::BranchFailure::FlowFailed), ["start gone/60"]);
    let groups = vec![on(Condition::Unreachable, "voicemail")];
    assert_eq!(takes_place(&mut call, 1, groups), ["start voicemail/60"]);
}

/// FWD-08: a place that was tried is not tried again, whoever leads there.
#[test]
fn two_that_forward_to_each_other_end() {
    let mut call = Call::of(INVITE, &[&["bob"]]);
    call.takes();
    assert_eq!(takes_place(&mut call, 0, plan(&[&["alice"]])), ["start alice/60"]);
    assert_eq!(takes_place(&mut call, 1, plan(&[&["bob"]])), ["fail local 480"]);
}

/// FWD-04, PXY-24: targets that join others which ring already ring with them.
#[test]
fn what_joins_a_running_group_rings_as_long() {
    let mut call = Call::of(INVITE, &[&["phone", "carol"]]);
    call.takes();
    call.says(0, 180);
    assert_eq!(takes_place(&mut call, 1, carol()), ["start desk/30"]);
    call.says(2, 180);
    call.wait(5);
    assert_eq!(call.takes(), [""; 0]);
    call.wait(55);
    assert_eq!(call.takes(), ["cancel phone NoAnswer", "cancel desk NoAnswer"]);
}

/// DNS-05: a gateway that comes to nothing is followed by the next one; what a callee behind one says is the end.
#[test]
fn a_gateway_stands_in_for_one_that_did_not_serve() {
    let gateways = || {
        vec![on(Condition::Always, "one"), on(Condition::NotServed, "two"), on(Condition::NotServed, "three")]
    };
    for unserved in [500, 502, 503, 504] {
        let mut call = Call::with(Settings::default(), INVITE, gateways());
        call.takes();
        assert_eq!(call.says(0, unserved), ["start two/60"], "{unserved}");
        assert_eq!(call.fails(1, crate::BranchFailure::Timeout), ["start three/60"]);
        assert_eq!(call.says(2, 486), ["fail 486"]);
    }
    for answered in [401, 403, 404, 408, 480, 486, 501, 603] {
        let mut call = Call::with(Settings::default(), INVITE, gateways());
        call.takes();
        assert_eq!(call.fails(0, crate::BranchFailure::Transport), ["start two/60"]);
        assert_eq!(call.says(1, answered), [format!("fail {answered}")]);
    }
}

/// Two phones one after the other, five seconds each, then a target for no answer and one for busy.
fn carol() -> Vec<Group<Phone>> {
    let brief = |uri| Group { ring_time: Some(Duration::from_secs(5)), ..on(Condition::Always, uri) };
    vec![brief("desk"), brief("cell"), on(Condition::Busy, "wrong"), on(Condition::NoAnswer, "dave")]
}

fn on(condition: Condition, uri: &'static str) -> Group<Phone> {
    Group { targets: vec![Phone { uri, device: None }], ring_time: None, condition }
}

fn takes_place(call: &mut Call, branch: u32, groups: Vec<Group<Phone>>) -> Vec<String> {
    call.context.redirect(call.now, BranchId(branch), groups);
    call.takes()
}

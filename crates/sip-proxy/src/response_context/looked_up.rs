//! What takes the place of a target that was looked up or that led elsewhere, and which rule applies after several phones.

use std::time::Duration;

use super::tests::{Answer, Call, Phone, forwarding, plan};
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

/// FWD-03, FWD-04, FWD-05: one voicemail for every outcome.
#[test]
fn one_target_may_serve_several_outcomes() {
    let of_every_outcome = || {
        let conditions = [Condition::Busy, Condition::NoAnswer, Condition::Unreachable];
        let mut groups = plan(&[&["phone"]]);
        groups.extend(conditions.map(|condition| on(condition, "voicemail")));
        let mut call = Call::with(Settings::default(), INVITE, groups);
        call.takes();
        call
    };
    assert_eq!(of_every_outcome().says(0, 486), ["start voicemail/60"]);
    assert_eq!(of_every_outcome().says(0, 503), ["start voicemail/60"]);
    assert_eq!(of_every_outcome().fails(0, crate::BranchFailure::Transport), ["start voicemail/60"]);
    let mut call = of_every_outcome();
    call.says(0, 180);
    call.wait(60);
    call.takes();
    assert_eq!(call.says(0, 487), ["start voicemail/60"]);
    assert_eq!(call.says(1, 486), ["fail 486"], "and it is tried once");
}

/// FWD-04, FWD-08: what another user's rule names for an outcome that did not come stands in nobody's way, and what was tried is not tried again.
#[test]
fn two_users_may_share_one_voicemail() {
    let outer = vec![
        plan(&[&["bob"]]).remove(0),
        on(Condition::Busy, "voicemail"),
        on(Condition::NoAnswer, "voicemail"),
    ];
    let mut call = Call::with(Settings::default(), INVITE, outer);
    call.takes();
    let inner = vec![plan(&[&["desk"]]).remove(0), on(Condition::Busy, "voicemail")];
    assert_eq!(takes_place(&mut call, 0, inner), ["start desk/60"]);
    assert_eq!(call.says(1, 486), ["start voicemail/60"], "by the inner rule");
    assert_eq!(call.says(2, 486), ["fail 486"], "not again by the outer one");
}

/// FWD-08: a place that was tried is not tried again, whoever leads there.
#[test]
fn two_that_forward_to_each_other_end() {
    let mut call = Call::of(INVITE, &[&["bob"]]);
    call.takes();
    assert_eq!(takes_place(&mut call, 0, plan(&[&["alice"]])), ["start alice/60"]);
    assert_eq!(takes_place(&mut call, 1, plan(&[&["bob"]])), ["fail local 480"]);
}

/// PXY-10, PXY-17, PXY-21: who is led to a phone that is called already adds nothing: it rings on, and what it says counts.
#[test]
fn a_target_that_is_called_already_is_ignored_and_the_others_count() {
    for (answer, expected) in [(486, "fail 486"), (404, "fail 404"), (200, "up 200"), (503, "fail 503")] {
        // by a redirection, and by what an address of ours stands for
        for redirects in [true, false] {
            let mut call = Call::of(INVITE, &[&["desk", "cell"]]);
            call.takes();
            call.says(1, 180);
            if redirects {
                call.says(0, 302);
            }
            assert_eq!(takes_place(&mut call, 0, plan(&[&["cell"]])), [""; 0]);
            assert_eq!(call.says(1, answer), [expected], "{redirects}");
        }
    }
    let mut call = Call::of(INVITE, &[&["desk"], &["cell"]]);
    call.takes();
    call.says(0, 302);
    assert_eq!(takes_place(&mut call, 0, plan(&[&["cell"]])), ["start cell/60"], "it comes in its own time");
    assert_eq!(call.says(1, 486), ["fail 486"]);
    let mut call = Call::of(INVITE, &[&["desk"]]);
    call.takes();
    call.says(0, 302);
    assert_eq!(takes_place(&mut call, 0, plan(&[&["desk"]])), ["fail local 480"], "to itself");
    let mut call = Call::of(INVITE, &[&["desk"]]);
    call.takes();
    call.says(0, 302);
    assert_eq!(takes_place(&mut call, 0, Vec::new()), ["fail 302"], "to nobody who can be called");
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
    let brief = Settings { ring_time: Duration::from_secs(10), ..Settings::default() };
    let mut call = Call::with(brief, INVITE, gateways());
    call.takes();
    call.wait(10);
    assert_eq!(
        call.takes(),
        ["start two/60"],
        "one that says nothing for the ring time does not serve either"
    );
    assert_eq!(call.says(0, 183), ["cancel one NoAnswer"]);
    call.says(1, 183);
    call.wait(10);
    assert_eq!(call.takes(), ["cancel two NoAnswer"]);
    assert_eq!(call.says(1, 487), ["fail local 408"], "one that rang has served");
    for answered in [401, 403, 404, 408, 480, 486, 501, 603] {
        let mut call = Call::with(Settings::default(), INVITE, gateways());
        call.takes();
        assert_eq!(call.fails(0, crate::BranchFailure::Transport), ["start two/60"]);
        assert_eq!(call.says(1, answered), [format!("fail {answered}")]);
    }
}

/// FWD-04, PXY-24: the time until nobody has answered is the callee's, however many phones are tried one after the other in it; what
/// one leaves of its part is for those that follow.
#[test]
fn contacts_of_falling_q_have_the_time_of_the_callee_together() {
    let rings = |first: u64| {
        let mut call = Call::with(Settings::default(), INVITE, carol());
        call.takes();
        call.says(0, 180);
        call.wait(first);
        call
    };
    let mut call = rings(5);
    assert_eq!(call.takes(), ["cancel desk NoAnswer"]);
    assert_eq!(call.says(0, 487), ["start cell/60"]);
    call.says(1, 180);
    call.wait(5);
    assert_eq!(call.takes(), ["cancel cell NoAnswer"]);
    assert_eq!(call.says(1, 487), ["start dave/60"]);

    let mut call = rings(1);
    assert_eq!(call.says(0, 480), ["start cell/60"]);
    call.says(1, 180);
    call.wait(8);
    assert_eq!(call.takes(), [""; 0]);
    call.wait(1);
    assert_eq!(call.takes(), ["cancel cell NoAnswer"], "ten seconds after the call came");

    let mut call = rings(5);
    call.takes();
    call.wait(5);
    assert_eq!(call.says(0, 487), ["start dave/60"], "the end of the first one took all that was left");
}

/// FWD-04: of two phones one is busy, and the other one rings until its time is over: nobody answered.
#[test]
fn a_phone_that_rang_in_vain_beside_a_busy_one_goes_to_the_no_answer_target() {
    let two_phones = |without: Condition| {
        let mut groups = forwarding();
        groups[0].targets.push(Phone { uri: "other", device: None });
        groups.retain(|group| group.condition != without);
        let mut call = Call::with(Settings::default(), INVITE, groups);
        call.takes();
        call.says(1, 180);
        assert_eq!(call.says(0, 486), [""; 0]);
        call
    };
    for without in [Condition::NotServed, Condition::Busy] {
        let mut call = two_phones(without);
        call.wait(60);
        assert_eq!(call.takes(), ["cancel other NoAnswer"]);
        assert_eq!(call.says(1, 487), ["start late/60"]);
    }
    assert_eq!(two_phones(Condition::NoAnswer).says(1, 486), ["start busy/60"], "each of them is");
}

/// PXY-21: what is left of a 3xx that was followed in part is an answer among the others. RFC 3261 16.7 step 4
#[test]
fn the_rest_of_a_3xx_joins_the_choice() {
    let led = |status: u16| {
        let mut call = Call::of(INVITE, &[&["a"]]);
        call.takes();
        call.says(0, 302);
        call.context.keep_rest(Answer(301, ""));
        assert_eq!(call.redirects(0, &["b"]), ["start b/60"]);
        call.says(1, status)
    };
    assert_eq!(led(404), ["fail 301"]);
    assert_eq!(led(603), ["fail 603"]);
    assert_eq!(led(200), ["up 200"]);

    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    call.says(0, 302);
    call.context.keep_rest(Answer(301, ""));
    call.redirects(0, &["b"]);
    assert_eq!(call.says(1, 486), ["start busy/60"], "it says nothing about the callee's phones");
    assert_eq!(call.cancels(), [""; 0]);
    call.says(2, 180);
    assert_eq!(call.says(2, 487), ["fail 486"], "who cancels is not sent elsewhere");
}

/// Two phones one after the other, ten seconds together, then a target for no answer and one for busy.
fn carol() -> Vec<Group<Phone>> {
    let brief = |uri| Group { ring_time: Some(Duration::from_secs(10)), ..on(Condition::Always, uri) };
    vec![brief("desk"), brief("cell"), on(Condition::Busy, "wrong"), on(Condition::NoAnswer, "dave")]
}

fn on(condition: Condition, uri: &'static str) -> Group<Phone> {
    Group { targets: vec![Phone { uri, device: None }], ring_time: None, condition }
}

fn takes_place(call: &mut Call, branch: u32, groups: Vec<Group<Phone>>) -> Vec<String> {
    call.context.redirect(call.now, BranchId(branch), groups);
    call.takes()
}

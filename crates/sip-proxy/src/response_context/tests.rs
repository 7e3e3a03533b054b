//! Scenarios in virtual time: what happens to the branches, and what goes up.

use std::time::{Duration, Instant};

use super::{
    Best, BranchFailure, BranchId, Condition, Group, Nature, Output, Response, ResponseContext, Settings,
    Target,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phone {
    pub(super) uri: &'static str,
    pub(super) device: Option<&'static str>,
}

/// A gateway of somebody else's.
const GATEWAY: &str = "gateway";

impl Target for Phone {
    fn same_as(&self, other: &Self) -> bool {
        self.uri == other.uri
    }

    fn device(&self) -> Option<&str> {
        self.device
    }

    fn is_elsewhere(&self) -> bool {
        self.uri == GATEWAY
    }
}

/// Status and a word that tells two responses apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer(pub(super) u16, pub(super) &'static str);

impl Response for Answer {
    fn status(&self) -> u16 {
        self.0
    }
}

pub(super) const INVITE: Nature = Nature { invite: true, breadth: 60, recurse: true };

/// PXY-16, PXY-23, UAC-24, LAD-10 R6
#[test]
fn every_2xx_goes_up_and_the_losers_are_cancelled() {
    let mut call = Call::of(INVITE, &[&["a", "b", "c"]]);
    assert_eq!(call.takes(), ["start a/20", "start b/20", "start c/20"]);
    assert_eq!(call.says(0, 180), ["up 180"]);
    assert_eq!(call.says(1, 180), ["up 180"]);
    assert_eq!(call.says(1, 200), ["up 200", "cancel a AnsweredElsewhere"]);
    assert_eq!(call.says(0, 200), ["up 200"], "a second 200 crosses the CANCEL");
    assert!(!call.context.is_finished());
    assert_eq!(call.says(2, 100), ["cancel c AnsweredElsewhere"], "the CANCEL was held until a 1xx came");
    assert_eq!(call.says(2, 487), [""; 0]);
    assert!(call.context.is_finished());
}

/// PXY-16
#[test]
fn a_100_is_never_forwarded_and_other_1xx_are() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    assert_eq!(call.says(0, 100), [""; 0]);
    assert_eq!(call.says(0, 183), ["up 183"]);
    assert_eq!(call.says(0, 199), ["up 199"]);
}

/// PXY-16
#[test]
fn a_2xx_goes_up_even_after_a_final_failure() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    call.wait(181);
    assert_eq!(call.takes(), ["fail local 408"], "silence for the whole ring time");
    assert_eq!(call.says(0, 200), ["up 200"]);
}

/// PXY-17, PXY-20
#[test]
fn the_best_of_all_failures_goes_up_with_all_challenges() {
    let mut call = Call::of(INVITE, &[&["a", "b", "c"]]);
    call.takes();
    assert_eq!(call.says(0, 404), [""; 0]);
    assert_eq!(call.says(1, 407), [""; 0]);
    assert_eq!(call.says(2, 407), ["fail 407 with 407"]);
}

/// PXY-17
#[test]
fn no_response_at_all_counts_as_408_and_a_transport_error_as_503() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    assert_eq!(call.fails(0, BranchFailure::Timeout), ["fail local 408"]);

    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    assert_eq!(call.fails(0, BranchFailure::Transport), ["fail local 503"]);
}

/// PXY-18, LAD-10 R11
#[test]
fn a_6xx_cancels_the_others_and_goes_up_when_all_have_ended() {
    for status in [600, 603] {
        let mut call = Call::of(INVITE, &[&["a", "b"], &["c"]]);
        call.takes();
        call.says(1, 180);
        assert_eq!(call.says(0, status), [format!("cancel b Declined({status})")]);
        assert_eq!(call.says(1, 487), [format!("fail {status}")], "c is never tried");
    }
}

/// `no-cancel` of RFC 3841 9.1: who rings goes on ringing, and may answer too.
#[test]
fn losers_may_be_left_alone() {
    let settings = Settings { leave_losers: true, ..Settings::default() };
    let mut call = Call::with(settings, INVITE, plan(&[&["a", "b", "c"], &["d"]]));
    call.takes();
    call.says(1, 180);
    assert_eq!(call.says(0, 200), ["up 200"]);
    assert_eq!(call.says(1, 180), [""; 0], "nothing but a 2xx goes up any more");
    assert_eq!(call.says(2, 100), [""; 0], "nor was a CANCEL held for c");
    call.wait(60);
    assert_eq!(call.takes(), [""; 0], "the ring time is over for nobody");
    assert_eq!(call.says(1, 200), ["up 200"]);
    call.wait(121);
    assert_eq!(call.takes(), ["cancel c NoAnswer"], "Timer C runs all the same");
    assert_eq!(call.says(2, 487), [""; 0]);
    assert!(call.context.is_finished());
}

/// PXY-18, LAD-10 R11
#[test]
fn a_200_that_crosses_a_6xx_wins() {
    let mut call = Call::of(INVITE, &[&["a", "b"]]);
    call.takes();
    call.says(1, 180);
    call.says(0, 603);
    assert_eq!(call.says(1, 200), ["up 200"]);
    assert!(call.context.is_finished());
}

/// PXY-24
#[test]
fn groups_are_tried_one_after_the_other() {
    let mut call = Call::of(INVITE, &[&["a", "b"], &["c"]]);
    assert_eq!(call.takes(), ["start a/30", "start b/30"]);
    assert_eq!(call.says(0, 486), [""; 0]);
    assert_eq!(call.says(1, 480), ["start c/60"]);
    assert_eq!(call.says(2, 200), ["up 200"]);
}

/// PXY-24, FWD-04, LAD-10 R15
#[test]
fn a_group_that_rings_too_long_is_cancelled_before_the_next_begins() {
    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    call.says(0, 180);
    call.wait(60);
    assert_eq!(call.takes(), ["cancel a NoAnswer"]);
    assert_eq!(call.says(0, 487), ["start b/60"]);

    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    call.says(0, 180);
    call.wait(60);
    call.takes();
    assert_eq!(call.says(0, 200), ["up 200"], "a 200 that crosses the CANCEL wins and b is never tried");
}

/// FWD-04, LAD-10 R1
#[test]
fn a_silent_target_does_not_hold_the_next_group_up_and_is_cancelled_when_it_speaks() {
    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    call.wait(60);
    assert_eq!(call.takes(), ["start b/60"]);
    assert_eq!(call.says(0, 180), ["cancel a NoAnswer"]);
    assert_eq!(call.says(0, 180), [""; 0], "one CANCEL is enough");
}

/// PXY-15, LAD-10 R14
#[test]
fn timer_c_restarts_with_each_1xx_and_then_cancels() {
    let settings = Settings { ring_time: Duration::from_secs(1000), ..Settings::default() };
    let mut call = Call::with(settings, INVITE, plan(&[&["a"]]));
    call.takes();
    call.wait(100);
    assert_eq!(call.says(0, 180), ["up 180"]);
    call.wait(100);
    assert_eq!(call.says(0, 199), ["up 199"]);
    call.wait(100);
    assert_eq!(call.says(0, 100), [""; 0], "16.7 step 2 leaves the 100 out");
    call.wait(80);
    assert_eq!(call.takes(), [""; 0]);
    call.wait(1);
    assert_eq!(call.takes(), ["cancel a NoAnswer"]);
    assert_eq!(call.says(0, 487), ["fail local 408"]);
}

/// PXY-15: how long phones of ours ring is no time for what others lead to; in silence it is.
#[test]
fn a_target_elsewhere_rings_until_timer_c() {
    let mut call = Call::of(INVITE, &[&[GATEWAY, "phone"]]);
    call.takes();
    call.says(1, 180);
    call.wait(40);
    call.says(0, 183);
    call.wait(20);
    assert_eq!(call.takes(), ["cancel phone NoAnswer"]);
    for _ in 0..10 {
        call.wait(20);
        assert_eq!(call.says(0, 183), ["up 183"]);
    }
    call.says(1, 487);
    call.wait(180);
    assert_eq!(call.takes(), [""; 0]);
    call.wait(1);
    assert_eq!(call.takes(), ["cancel gateway NoAnswer"]);

    let mut call = Call::of(INVITE, &[&[GATEWAY]]);
    call.takes();
    call.wait(60);
    assert_eq!(call.takes(), ["fail local 408"]);

    let named = || vec![Group { ring_time: Some(Duration::from_secs(5)), ..plan(&[&[GATEWAY]]).remove(0) }];
    let everywhere = Settings { bounds_elsewhere: true, ..Settings::default() };
    for (settings, groups, rings) in
        [(Settings::default(), named(), 5), (everywhere, plan(&[&[GATEWAY]]), 60)]
    {
        let mut call = Call::with(settings, INVITE, groups);
        call.takes();
        call.says(0, 183);
        call.wait(rings);
        assert_eq!(call.takes(), ["cancel gateway NoAnswer"], "a time that was asked for is for everybody");
    }
}

/// LAD-10 R7
#[test]
fn a_cancelled_branch_without_a_487_ends_by_itself() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    call.says(0, 180);
    assert_eq!(call.cancels(), ["cancel a Caller"]);
    assert_eq!(call.fails(0, BranchFailure::Timeout), ["fail local 408"]);
}

/// PXY-22, LAD-10 R1
#[test]
fn a_cancel_before_any_1xx_is_held() {
    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    assert_eq!(call.cancels(), [""; 0]);
    assert_eq!(call.says(0, 100), ["cancel a Caller"]);
    assert_eq!(call.says(0, 487), ["fail 487"], "b is never tried");

    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    call.cancels();
    assert_eq!(call.fails(0, BranchFailure::Timeout), ["fail local 408"], "no 1xx at all: no CANCEL is sent");
}

/// PXY-22, LAD-10 R2, LAD-10 R5
#[test]
fn a_cancel_reaches_every_ringing_branch_and_487_goes_up() {
    let mut call = Call::of(INVITE, &[&["a", "b", "c"]]);
    call.takes();
    call.says(0, 180);
    call.says(1, 183);
    assert_eq!(call.cancels(), ["cancel a Caller", "cancel b Caller"]);
    assert_eq!(call.cancels(), [""; 0], "a second CANCEL changes nothing");
    assert_eq!(call.says(2, 180), ["up 180", "cancel c Caller"]);
    assert_eq!(call.says(0, 487), [""; 0]);
    assert_eq!(call.says(1, 487), [""; 0]);
    assert_eq!(call.says(2, 487), ["fail 487"]);
}

/// PXY-22, LAD-10 R2, LAD-10 R15: it rang too long, and before its 487 comes the caller gives up as well; or it rang elsewhere before.
#[test]
fn a_cancel_after_what_rang_in_vain_ends_in_487() {
    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    call.says(0, 180);
    call.wait(60);
    assert_eq!(call.takes(), ["cancel a NoAnswer"]);
    assert_eq!(call.cancels(), [""; 0], "one CANCEL is enough");
    assert_eq!(call.says(0, 487), ["fail 487"], "b is never tried");

    let mut call = Call::of(INVITE, &[&["a"], &["b"]]);
    call.takes();
    call.says(0, 180);
    call.wait(60);
    call.takes();
    assert_eq!(call.says(0, 487), ["start b/60"]);
    call.says(1, 180);
    assert_eq!(call.cancels(), ["cancel b Caller"]);
    assert_eq!(call.says(1, 487), ["fail 487"]);
}

/// LAD-10 R3
#[test]
fn a_200_that_crosses_the_cancel_goes_up() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    call.says(0, 180);
    call.cancels();
    assert_eq!(call.says(0, 200), ["up 200"]);
    assert!(call.context.is_finished());
}

/// LAD-10 R4
#[test]
fn a_cancel_after_the_final_answer_changes_nothing() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    assert_eq!(call.says(0, 486), ["fail 486"]);
    assert_eq!(call.cancels(), [""; 0]);
}

/// LAD-10 R12, TXN-12
#[test]
fn only_an_invite_is_cancelled_and_timed() {
    let mut message = Call::of(Nature { invite: false, ..INVITE }, &[&["a", "b"]]);
    message.takes();
    assert_eq!(message.context.next_deadline(), None);
    assert_eq!(message.cancels(), [""; 0]);
    assert_eq!(message.says(0, 200), ["up 200"]);
    assert_eq!(message.says(1, 200), [""; 0], "one final answer to a non-INVITE");
    assert!(message.context.is_finished());
}

/// PXY-05
#[test]
fn breadth_is_split_and_used_again_as_branches_end() {
    let mut call = Call::of(Nature { breadth: 2, ..INVITE }, &[&["a", "b", "c"]]);
    assert_eq!(call.takes(), ["start a/1", "start b/1"]);
    assert_eq!(call.says(0, 404), ["start c/1"]);

    let mut call = Call::of(Nature { breadth: 1, ..INVITE }, &[&["a", "b"]]);
    assert_eq!(call.takes(), ["start a/1"]);
    assert_eq!(call.says(0, 404), ["start b/1"]);

    let mut call = Call::of(Nature { breadth: 7, ..INVITE }, &[&["a", "b", "c"]]);
    assert_eq!(call.takes(), ["start a/3", "start b/2", "start c/2"]);

    let mut call = Call::of(Nature { breadth: 0, ..INVITE }, &[&["a"]]);
    assert_eq!(call.takes(), ["fail local 440"]);
}

/// PXY-10
#[test]
fn the_same_place_is_tried_once() {
    let mut call = Call::of(INVITE, &[&["a", "a", "b"], &["b", "c"]]);
    assert_eq!(call.takes(), ["start a/30", "start b/30"]);
    call.says(0, 404);
    assert_eq!(call.says(1, 404), ["start c/60"]);
}

/// PXY-21, PXY-10
#[test]
fn a_3xx_is_followed_once_and_not_returned() {
    let mut call = Call::of(INVITE, &[&["a"], &["z"]]);
    call.takes();
    assert_eq!(call.says(0, 302), ["look up 302 of a"]);
    assert_eq!(call.redirects(0, &["a", "b", "c"]), ["start b/30", "start c/30"]);
    assert_eq!(call.says(1, 302), ["look up 302 of b"]);
    assert_eq!(call.redirects(1, &["a"]), [""; 0], "tried before");
    assert_eq!(call.says(2, 404), ["start z/60"]);
    assert_eq!(call.says(3, 486), ["fail 486"], "no 302 that was followed counts");
}

/// PXY-10
#[test]
fn a_target_that_had_to_be_looked_up_may_stand_for_itself() {
    let mut call = Call::of(INVITE, &[&["name"]]);
    call.takes();
    assert_eq!(call.redirects(0, &["name", "other"]), ["start name/30", "start other/30"]);
}

/// PXY-21
#[test]
fn without_recursion_a_3xx_goes_up() {
    let mut call = Call::of(Nature { recurse: false, ..INVITE }, &[&["a"]]);
    call.takes();
    assert_eq!(call.says(0, 302), ["fail 302"]);
}

/// PXY-21, PXY-22
#[test]
fn a_cancel_ends_a_redirection_that_is_being_looked_up() {
    let mut call = Call::of(INVITE, &[&["a"]]);
    call.takes();
    call.says(0, 302);
    assert_eq!(call.cancels(), ["fail local 487"]);
    assert_eq!(call.redirects(0, &["b"]), [""; 0]);
}

/// OBD-04
#[test]
fn flows_of_one_device_are_tried_one_after_the_other() {
    let flow = |uri| Phone { uri, device: Some("urn:uuid:1") };
    let groups = vec![group(vec![flow("f1"), flow("f2"), Phone { uri: "other", device: None }])];
    let mut call = Call::with(Settings::default(), INVITE, groups.clone());
    assert_eq!(call.takes(), ["start f1/30", "start other/30"]);
    assert_eq!(call.fails(0, BranchFailure::FlowFailed), ["start f2/30"]);

    let mut call = Call::with(Settings::default(), INVITE, groups);
    call.takes();
    call.says(1, 404);
    assert_eq!(
        call.says(0, 486),
        ["fail 486"],
        "any other final answer is the device's own: f2 is not tried"
    );
}

/// FWD-03
#[test]
fn busy_goes_to_the_busy_target_even_after_a_600() {
    for status in [486, 600] {
        let mut call = Call::with(Settings::default(), INVITE, forwarding());
        call.takes();
        assert_eq!(call.says(0, status), ["start busy/60"]);
        assert_eq!(call.says(1, 404), [format!("fail {}", if status == 600 { 600 } else { 486 })]);
    }
}

/// FWD-04
#[test]
fn no_answer_goes_to_the_no_answer_target() {
    let rang_in_vain = || {
        let mut call = Call::with(Settings::default(), INVITE, forwarding());
        call.takes();
        call.says(0, 180);
        call.wait(60);
        assert_eq!(call.takes(), ["cancel phone NoAnswer"], "the next one waits for its end");
        call
    };
    assert_eq!(rang_in_vain().says(0, 487), ["start late/60"]);
    assert_eq!(rang_in_vain().says(0, 408), ["start late/60"]);
    assert_eq!(rang_in_vain().fails(0, BranchFailure::Timeout), ["start late/60"], "no 487 came");
    assert_eq!(rang_in_vain().says(0, 486), ["start busy/60"], "who says more than 487 is believed");
}

/// FWD-05
#[test]
fn an_unreachable_callee_goes_to_the_unreachable_target() {
    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    assert_eq!(call.fails(0, BranchFailure::Transport), ["start gone/60"]);

    let nobody = forwarding().split_off(1);
    let mut call = Call::with(Settings::default(), INVITE, nobody);
    assert_eq!(call.takes(), ["start gone/60"], "no binding at all");
}

/// FWD-03
#[test]
fn a_callee_that_declines_is_not_forwarded() {
    let mut call = Call::with(Settings::default(), INVITE, forwarding());
    call.takes();
    assert_eq!(call.says(0, 603), ["fail 603"]);
}

#[test]
fn an_empty_plan_is_480() {
    let mut call = Call::of(INVITE, &[]);
    assert_eq!(call.takes(), ["fail local 480"]);
    assert!(call.context.is_finished());
}

#[test]
fn the_number_of_branches_is_bounded() {
    let settings = Settings { max_branches: 2, ..Settings::default() };
    let mut call = Call::with(settings, INVITE, plan(&[&["a", "b", "c"], &["d"]]));
    assert_eq!(call.takes(), ["start a/30", "start b/30"]);
    assert_eq!(call.says(0, 404), [""; 0]);
    assert_eq!(call.says(1, 404), ["fail 404"]);

    let mut call = Call::with(settings, INVITE, plan(&[&["a"]]));
    call.takes();
    call.says(0, 302);
    assert_eq!(call.redirects(0, &["b", "c"]), ["start b/60"], "redirections count");
    assert_eq!(call.says(1, 404), ["fail 404"]);
}

/// Callee's phone, then a target for each condition.
pub(super) fn forwarding() -> Vec<Group<Phone>> {
    let on = |condition, uri| Group { condition, ..group(vec![Phone { uri, device: None }]) };
    vec![
        on(Condition::Always, "phone"),
        on(Condition::Busy, "busy"),
        on(Condition::NoAnswer, "late"),
        on(Condition::Unreachable, "gone"),
    ]
}

fn group(targets: Vec<Phone>) -> Group<Phone> {
    Group { targets, ring_time: None, condition: Condition::Always }
}

pub(super) fn plan(groups: &[&[&'static str]]) -> Vec<Group<Phone>> {
    let phones = |uris: &&[&'static str]| uris.iter().map(|uri| Phone { uri, device: None }).collect();
    groups.iter().map(|uris| group(phones(uris))).collect()
}

/// A context with a clock of its own, and outputs as short lines.
pub(super) struct Call {
    pub(super) context: ResponseContext<Answer, Phone>,
    pub(super) now: Instant,
}

impl Call {
    pub(super) fn of(nature: Nature, groups: &[&[&'static str]]) -> Self {
        Self::with(Settings::default(), nature, plan(groups))
    }

    pub(super) fn with(settings: Settings, nature: Nature, groups: Vec<Group<Phone>>) -> Self {
        let now = Instant::now();
        Self { context: ResponseContext::new(now, settings, nature, groups), now }
    }

    pub(super) fn says(&mut self, branch: u32, status: u16) -> Vec<String> {
        self.context.handle_response(self.now, BranchId(branch), Answer(status, ""));
        self.takes()
    }

    pub(super) fn fails(&mut self, branch: u32, failure: BranchFailure) -> Vec<String> {
        self.context.handle_failure(self.now, BranchId(branch), failure);
        self.takes()
    }

    pub(super) fn cancels(&mut self) -> Vec<String> {
        self.context.cancel(self.now);
        self.takes()
    }

    pub(super) fn redirects(&mut self, branch: u32, uris: &[&'static str]) -> Vec<String> {
        self.context.redirect(self.now, BranchId(branch), plan(&[uris]));
        self.takes()
    }

    /// Lets time pass, visiting the machine at each of its deadlines.
    pub(super) fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(deadline) = self.context.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.context.handle_deadline(self.now);
        }
        self.now = end;
    }

    pub(super) fn takes(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.context.poll_output() {
            lines.push(match output {
                Output::Start { target, breadth, .. } => format!("start {}/{breadth}", target.uri),
                Output::Cancel { branch, cause } => {
                    format!("cancel {} {cause:?}", self.context.target(branch).unwrap().uri)
                }
                Output::Forward(answer) => format!("up {}", answer.0),
                Output::Fail { best: Best::Received(answer), challenges } if challenges.is_empty() => {
                    format!("fail {}", answer.0)
                }
                Output::Fail { best: Best::Local(status), .. } => format!("fail local {status}"),
                Output::Fail { best, challenges } => {
                    let others: Vec<String> = challenges.iter().map(|answer| answer.0.to_string()).collect();
                    format!("fail {} with {}", best.status(), others.join(" "))
                }
                Output::Redirected { branch, response } => {
                    format!("look up {} of {}", response.0, self.context.target(branch).unwrap().uri)
                }
            });
        }
        lines
    }
}

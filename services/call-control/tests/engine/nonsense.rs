//! What a phone may answer to each request of an operation: nonsense, nothing, or twice. Whatever it is, the operation has one end, the call
//! is free for the next one or over, and no phone is left in a dialog that is over here.

use std::time::Duration;

use call_control::engine::StepError;
use call_control::engine::call::{CallState, Flow, Party};
use call_control::engine::conference::{Mixer, Mixing};
use call_control::engine::effect::What;
use call_control::engine::event::{
    Command, Event, FailureCause, LegEvent, Method, RequestFailed, ResponseReceived, Target,
};
use call_control::engine::leg::InvitePhase;
use call_control::engine::transfer::record::{Lent, Word};

use crate::ladder::{Answer, Ladder, sdp};

/// An operation that waits for a phone.
struct Waiting {
    name: &'static str,
    begin: fn() -> Ladder,
    /// The leg and the method of the request that is open.
    asked: (&'static str, &'static str),
    ends: Ends,
}

/// How its one end is told.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// TRANSFER_SUCCEEDED or TRANSFER_FAILED.
    Transfer,
    /// PARTY_JOINED of this leg, or its end.
    Join(&'static str),
    /// PLAY_ENDED.
    Play,
    /// By what the legs are.
    Hold,
}

const WAITING: [Waiting; 18] = [
    Waiting { name: "transfer by REFER", begin: referred, asked: ("a", "REFER"), ends: Ends::Transfer },
    Waiting { name: "transfer, target", begin: moving, asked: ("c", "INVITE"), ends: Ends::Transfer },
    Waiting { name: "transfer, stay", begin: moved, asked: ("a", "INVITE"), ends: Ends::Transfer },
    Waiting { name: "bridge, stay", begin: borrowed, asked: ("a", "INVITE"), ends: Ends::Transfer },
    Waiting { name: "bridge, come", begin: offered, asked: ("c", "INVITE"), ends: Ends::Transfer },
    Waiting { name: "reconnect", begin: reconnecting, asked: ("c", "INVITE"), ends: Ends::Transfer },
    Waiting { name: "hold", begin: || held(None), asked: ("a", "INVITE"), ends: Ends::Hold },
    Waiting { name: "hold of a leg", begin: || held(Some("b")), asked: ("b", "INVITE"), ends: Ends::Hold },
    Waiting { name: "unhold, asked", begin: resuming, asked: ("b", "INVITE"), ends: Ends::Hold },
    Waiting { name: "unhold, offered", begin: resumed, asked: ("a", "INVITE"), ends: Ends::Hold },
    Waiting { name: "play, other", begin: playing, asked: ("b", "INVITE"), ends: Ends::Play },
    Waiting { name: "play, party", begin: listening, asked: ("a", "INVITE"), ends: Ends::Play },
    Waiting { name: "play, server", begin: served, asked: ("c", "INVITE"), ends: Ends::Play },
    Waiting { name: "join, who comes", begin: joining, asked: ("c", "INVITE"), ends: Ends::Join("c") },
    Waiting { name: "join, mixer", begin: mixing, asked: ("d", "INVITE"), ends: Ends::Join("c") },
    Waiting { name: "join, who is moved", begin: gathering, asked: ("a", "INVITE"), ends: Ends::Join("c") },
    Waiting { name: "join, phone that mixes", begin: local, asked: ("d", "INVITE"), ends: Ends::Join("c") },
    Waiting { name: "add, who comes", begin: adding, asked: ("g", "INVITE"), ends: Ends::Join("g") },
];

/// What the phone does, and whether its request is open still.
type Way = (&'static str, fn(&mut Ladder, &str, &str));

const WAYS: [Way; 22] = [
    ("nothing", |t, leg, method| t.silence(leg, method, FailureCause::Timeout)),
    ("no way to it", |t, leg, method| t.silence(leg, method, FailureCause::Transport)),
    ("100 alone", |_, _, _| {}),
    ("183 alone", |t, leg, method| t.reply(leg, method, 183)),
    ("200 twice", |t, leg, method| {
        t.reply(leg, method, good(t, leg, method));
        let (effect, request) = t.last(leg, method);
        let (to_tag, cseq) = (format!("{leg}1"), request.cseq);
        let again = ResponseReceived {
            effect,
            status: 200,
            method: method.into(),
            to_tag,
            cseq,
            ..Default::default()
        };
        t.event(leg, LegEvent::Response(again));
    }),
    ("200 of another fork, too", |t, leg, method| {
        t.reply(leg, method, good(t, leg, method));
        let (effect, request) = t.last(leg, method);
        let cseq = request.cseq;
        let again = ResponseReceived {
            effect,
            status: 200,
            method: method.into(),
            to_tag: "fork".into(),
            contact: "sip:fork@phone.example".into(),
            cseq,
            ..Default::default()
        };
        t.event(leg, LegEvent::Response(again));
    }),
    ("200 without session", |t, leg, method| t.reply(leg, method, 200)),
    ("200 with garbage", |t, leg, method| t.reply(leg, method, Answer::new(200).sdp("v=0\r\ngarbage\r\n"))),
    ("200 that refuses all", |t, leg, method| t.reply(leg, method, Answer::new(200).sdp(&sdp(&["audio 0"])))),
    ("202", |t, leg, method| t.reply(leg, method, 202)),
    ("302", |t, leg, method| t.reply(leg, method, 302)),
    ("401 without challenge", |t, leg, method| t.reply(leg, method, 401)),
    ("408", |t, leg, method| t.reply(leg, method, 408)),
    ("481", |t, leg, method| t.reply(leg, method, 481)),
    ("491", |t, leg, method| t.reply(leg, method, 491)),
    ("500", |t, leg, method| t.reply(leg, method, 500)),
    ("503", |t, leg, method| t.reply(leg, method, 503)),
    ("a status that there is not", |t, leg, method| t.reply(leg, method, 699)),
    ("BYE, and 200", |t, leg, method| {
        bye(t, leg);
        late(t, leg, method, 200);
    }),
    ("BYE, and 481", |t, leg, method| {
        bye(t, leg);
        late(t, leg, method, 481);
    }),
    ("200 after the end", |t, leg, method| {
        hang_up(t);
        late(t, leg, method, 200);
    }),
    ("481 after the end", |t, leg, method| {
        hang_up(t);
        late(t, leg, method, 481);
    }),
];

/// TPC-09, TPC-15, UAC-17, UAC-22, CCL-07, EVT-05, RFC 3261 12.2.1.2: every request of every operation, answered in every way; the phones that
/// are asked further answer as they should, or never again.
#[test]
fn whatever_a_phone_answers_an_operation_ends_once_and_nobody_is_left_behind() {
    for waiting in &WAITING {
        let (leg, method) = waiting.asked;
        for (way, answer) in WAYS {
            for behaves in [true, false] {
                let name = format!(
                    "{}: {way}, further phones {}",
                    waiting.name,
                    if behaves { "answer" } else { "are silent" }
                );
                let mut t = (waiting.begin)();
                let (open, _) = t.last(leg, method);
                answer(&mut t, leg, method);
                go_on(&mut t, open, behaves);
                has_ended(&t, waiting.ends, &name);
                if t.call.outcome.is_none() {
                    is_free(&t, &name);
                    hang_up(&mut t);
                    go_on(&mut t, open, behaves);
                }
                assert!(t.finished, "{name}: something is left: {:#?}", t.lines);
                assert_eq!(count(&t, "Ended", None), 1, "{name}: {:#?}", t.lines);
                nobody_is_left(&t, &name);
            }
        }
    }
}

/// All that is open is answered, or never, and then time passes; the request `open` has had what answer it has.
fn go_on(t: &mut Ladder, open: u64, behaves: bool) {
    let mut waited = 0;
    for _ in 0..400 {
        let is_cancelled = t
            .effects
            .iter()
            .any(|effect| matches!(&effect.what, Some(What::Cancel(cancel)) if cancel.invite_effect == open));
        let hears = |effect: &u64| *effect != open || is_cancelled;
        let next = t.call.legs.iter().find_map(|leg| {
            let invite = leg.invite.as_ref().filter(|invite| match invite.phase() {
                InvitePhase::Cancelling => true,
                InvitePhase::Calling | InvitePhase::Proceeding => invite.effect != open,
                InvitePhase::Accepted | InvitePhase::Failed => false,
            });
            let invite = invite.map(|invite| (leg.leg_id.clone(), invite.effect));
            let mut pending = leg.pending.iter().map(|pending| pending.effect).filter(hears);
            invite.or_else(|| pending.next().map(|effect| (leg.leg_id.clone(), effect)))
        });
        match next {
            Some((leg, effect)) => say(t, &leg, effect, behaves),
            None if waited > 600 => return,
            None => {
                waited += 20;
                t.wait(Duration::from_secs(20));
            }
        }
    }
    panic!("it never comes to rest: {:#?}", &t.lines[t.lines.len().saturating_sub(60)..]);
}

fn say(t: &mut Ladder, leg: &str, effect: u64, behaves: bool) {
    let at = t.sent.iter().position(|(on, number, _)| on == leg && *number == effect).expect("it was sent");
    let earlier = t.sent[at].clone();
    let method = earlier.2.method.clone();
    t.sent.push(earlier);
    let is_cancelled = t
        .effects
        .iter()
        .any(|one| matches!(&one.what, Some(What::Cancel(cancel)) if cancel.invite_effect == effect));
    match (behaves, is_cancelled) {
        (true, true) => t.reply(leg, &method, 487),
        (true, false) => t.reply(leg, &method, good(t, leg, &method)),
        (false, _) => {
            let cause = FailureCause::Timeout;
            t.event(leg, LegEvent::Failed(RequestFailed { effect, method, cause }));
        }
    }
}

fn good(t: &Ladder, leg: &str, method: &str) -> Answer {
    let port = 4000 + 2 * u32::from(leg.as_bytes()[0]);
    let is_held =
        t.last(leg, method).1.body.is_some_and(|body| body.content.windows(10).any(|at| at == b"a=inactive"));
    let line = format!("audio {port}{}", if is_held { " inactive" } else { "" });
    match method {
        "INVITE" => Answer::new(200).sdp(&sdp(&[&line])),
        _ => Answer::new(200),
    }
}

fn bye(t: &mut Ladder, leg: &str) {
    let on = t.call.legs.iter().find(|on| on.leg_id == leg).expect("the leg");
    if !on.remote_tag.is_empty() {
        t.request(leg, "BYE", None);
    }
}

/// An answer that comes although nobody may wait for it.
fn late(t: &mut Ladder, leg: &str, method: &str, status: u32) {
    let answer = if status == 200 { good(t, leg, method) } else { Answer::new(status) };
    t.reply(leg, method, answer);
}

fn hang_up(t: &mut Ladder) {
    if t.call.outcome.is_none() {
        t.command(Command::Hangup { reason: String::new() }).expect("it can always be ended");
    }
}

fn count(t: &Ladder, kind: &str, leg: Option<&str>) -> usize {
    let is_it = |event: &&call_control::engine::report::CallEvent| {
        format!("{:?}", event.kind) == kind && leg.is_none_or(|leg| event.leg_id.as_deref() == Some(leg))
    };
    t.told.iter().filter(is_it).count()
}

#[track_caller]
fn has_ended(t: &Ladder, ends: Ends, name: &str) {
    let count = |kind: &str, leg: Option<&str>| count(t, kind, leg);
    let (started, ended) = match ends {
        Ends::Transfer => {
            (count("TransferStarted", None), count("TransferSucceeded", None) + count("TransferFailed", None))
        }
        Ends::Join(leg) => (1, count("PartyJoined", Some(leg)).max(count("LegEnded", Some(leg)))),
        Ends::Play => (1, count("PlayEnded", None)),
        Ends::Hold => return,
    };
    assert_eq!((started, ended), (1, 1), "{name}: {:#?}", t.lines);
}

/// Another operation may begin.
#[track_caller]
fn is_free(t: &Ladder, name: &str) {
    let mut t = t.clone();
    let next = match t.call.conference.is_some() {
        true => join(&mut t, "erin", Mixer::Auto),
        false => {
            let stays = t.call.legs[t.call.first as usize].leg_id.clone();
            t.transfer(&stays, party("erin"))
        }
    };
    assert_eq!(next, Ok(()), "{name}: nothing more can be done: {:#?}", t.lines);
}

/// Whoever answered an INVITE of a leg that is over here has had BYE, or has sent it. A leg that goes back to its call is that call's.
#[track_caller]
fn nobody_is_left(t: &Ladder, name: &str) {
    let goes_back = |leg: &str| {
        t.effects.iter().any(|effect| match &effect.what {
            Some(What::Tell(tell)) => match &tell.word {
                Some(Word::GivenBack(Lent { leg: back, .. })) => {
                    let on = t.call.legs.iter().find(|on| on.leg_id == leg);
                    on.is_some_and(|on| on.sip_call_id == back.sip_call_id)
                }
                _ => false,
            },
            _ => false,
        })
    };
    for on in &t.call.legs {
        let upper = on.leg_id.to_uppercase();
        let answered = t.told.iter().any(|event| {
            format!("{:?}", event.kind) == "LegAnswered"
                && event.leg_id.as_deref() == Some(on.leg_id.as_str())
        });
        let is_in_call = answered || on.borrowed.is_some();
        let byes = t.sent.iter().filter(|(leg, _, request)| {
            *leg == on.leg_id && request.method == "BYE" && request.to_tag == on.remote_tag
        });
        let has_bye = byes.count() > 0 || t.lines.contains(&format!("{upper}>C BYE"));
        assert!(
            !is_in_call || has_bye || goes_back(&on.leg_id),
            "{name}: leg {} is left half open: {:#?}",
            on.leg_id,
            t.lines
        );
    }
}

fn party(user: &str) -> Target {
    Target::Party(Party { uri: format!("sip:{user}@example.com"), ..Party::default() })
}

fn ok(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port}")]))
}

fn inactive(port: u32) -> Answer {
    Answer::new(200).sdp(&sdp(&[&format!("audio {port} inactive")]))
}

fn connected() -> Ladder {
    connected_with(&["INVITE", "ACK", "BYE", "CANCEL", "REFER", "NOTIFY"], &[])
}

fn connected_with(allow: &[&str], supported: &[&str]) -> Ladder {
    let mut t = Ladder::dial_with(Flow::Iv, |policy| policy.session_expires_s = 0);
    t.reply("a", "INVITE", Answer::new(200).sdp(&sdp(&[])).allow(allow));
    t.reply("b", "INVITE", ok(5000).supported(supported));
    t.reply("a", "INVITE", ok(4000).allow(allow));
    t
}

fn referred() -> Ladder {
    let mut t = connected();
    t.transfer_by("a", party("carol"), Method::Refer).expect("they talk");
    t
}

fn moving() -> Ladder {
    let mut t = connected();
    t.transfer("a", party("carol")).expect("they talk");
    t
}

fn moved() -> Ladder {
    let mut t = moving();
    t.reply("c", "INVITE", ok(6000));
    t
}

/// Another call lends its leg b.
fn borrowed() -> Ladder {
    let (mut t, mut other) = (connected(), Ladder::connected("call-2"));
    t.transfer("a", Target::Leg { call_id: "call-2".into(), leg_id: "b".into() }).expect("they talk");
    let tell = |from: &str, tells: Vec<call_control::engine::transfer::record::Tell>, to: &mut Ladder| {
        for tell in tells {
            let word = tell.word.expect("a word");
            to.take(&Event::Told { from: from.into(), operation: tell.operation, word })
                .expect("it is taken");
        }
    };
    tell("call-1", t.tells(), &mut other);
    tell("call-2", other.tells(), &mut t);
    t
}

fn offered() -> Ladder {
    let mut t = borrowed();
    t.reply("a", "INVITE", ok(4000));
    t
}

fn reconnecting() -> Ladder {
    let mut t = connected();
    let dave = Party { uri: "sip:dave@example.com".into(), ..Party::default() };
    t.call.policy.reconnect_to = Some(dave);
    t.request("b", "BYE", None);
    t
}

fn held(leg: Option<&str>) -> Ladder {
    let mut t = connected();
    let leg_id = leg.map(str::to_owned);
    t.command(Command::Hold { leg_id, music: String::new() }).expect("they talk");
    t
}

fn resuming() -> Ladder {
    let mut t = held(None);
    t.reply("a", "INVITE", inactive(4000));
    t.reply("b", "INVITE", inactive(5000));
    t.command(Command::Unhold { leg_id: None }).expect("they are on hold");
    t
}

fn resumed() -> Ladder {
    let mut t = resuming();
    t.reply("b", "INVITE", ok(5000));
    t
}

fn playing() -> Ladder {
    let mut t = connected();
    let uri = "sip:annc@media.example.com".to_owned();
    t.command(Command::Play { leg_id: "a".into(), uri, limit_ms: 60_000 }).expect("they talk");
    t
}

fn listening() -> Ladder {
    let mut t = playing();
    t.reply("b", "INVITE", inactive(5000));
    t
}

fn served() -> Ladder {
    let mut t = listening();
    t.reply("a", "INVITE", ok(4000));
    t
}

fn join(t: &mut Ladder, user: &str, mixer: Mixer) -> Result<(), StepError> {
    let party = Party { uri: format!("sip:{user}@example.com"), ..Party::default() };
    t.command(Command::Join { party, mixer })
}

fn joining() -> Ladder {
    let mut t = connected();
    let mixers = vec!["sip:mix.example.com".into()];
    t.context.mixing = Mixing { mixers, ..Mixing::default() };
    join(&mut t, "carol", Mixer::Central).expect("they talk");
    t
}

fn mixing() -> Ladder {
    let mut t = joining();
    t.reply("c", "INVITE", ok(6000));
    t
}

fn gathering() -> Ladder {
    let mut t = mixing();
    t.reply("d", "INVITE", ok(7000));
    t.reply("e", "INVITE", ok(7002));
    t
}

fn adding() -> Ladder {
    let mut t = gathering();
    t.reply("a", "INVITE", ok(4000));
    t.reply("f", "INVITE", ok(7004));
    t.reply("b", "INVITE", ok(5000));
    assert_eq!(t.call.state(), CallState::Answered);
    join(&mut t, "dave", Mixer::Auto).expect("there is a conference");
    t
}

fn local() -> Ladder {
    let mut t = connected_with(&["INVITE", "ACK", "BYE", "CANCEL"], &["join"]);
    join(&mut t, "carol", Mixer::Local).expect("they talk");
    t.reply("c", "INVITE", ok(6000));
    t
}

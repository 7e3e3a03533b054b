//! Announcements and music on hold from a media server that is none of Carillon's: one process, scripted phones, a scripted server.

use std::time::Duration;

use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::call_event::Type;
use cluster_api::callcontrol::v1::play_announcement_request::Service;
use cluster_api::callcontrol::v1::{self as cc, CallEvent, call};
use scripted_phone::{Answer, Happening, Remote, Script};
use test_support::{Carillon, Starting, TestPhone};
use tonic::Code;
use tonic::transport::Channel;

use crate::calls::{Watch, dial, hang_up};
use crate::wire::{Wire, header};

/// A media server whose every word the test says.
pub struct MediaServer {
    /// Its socket.
    pub wire: Wire,
}

impl MediaServer {
    /// One that sends its own requests to this edge.
    pub fn facing(edge: &Carillon) -> Self {
        Self { wire: Wire::of(edge) }
    }

    /// Its URI without user part.
    pub fn uri(&self) -> String {
        format!("sip:{}", self.wire.address())
    }

    /// Answers an INVITE, and has the ACK.
    pub fn play(&self, invite: &str) {
        let contact = format!("Contact: <sip:play@{}>", self.wire.address());
        let session = "v=0\r\no=m 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";
        self.wire.respond_with(invite, "200 OK", &[&contact, "Content-Type: application/sdp"], session);
        self.wire.receive_request("ACK");
    }

    /// Ends the session of an INVITE, and has the answer.
    pub fn hang_up(&self, invite: &str) {
        let of = |name: &str| header(invite, name).expect("every INVITE has it");
        let contact = of("Contact");
        let target = contact.trim_start_matches('<').split('>').next().unwrap_or_default();
        let (from, to) = (format!("From: {};tag=w", of("To")), format!("To: {}", of("From")));
        let call_id = format!("Call-ID: {}", of("Call-ID"));
        self.wire.request(&format!("BYE {target}"), &[&from, &to, &call_id, "CSeq: 1 BYE"]);
        self.wire.answer_to(of("Call-ID"));
    }

    /// Is hung up on.
    pub fn is_hung_up_on(&self) {
        let bye = self.wire.receive_request("BYE");
        self.wire.respond(&bye, "200 OK", &[]);
    }
}

/// A request to play something to a leg.
pub fn play_request(
    request_id: &str,
    call_id: &str,
    leg_id: &str,
    server: Option<String>,
) -> cc::PlayAnnouncementRequest {
    let play = "http://files.example.com/low balance.wav?lang=en;x".replace(' ', "%20");
    cc::PlayAnnouncementRequest {
        request_id: request_id.into(),
        call_id: call_id.into(),
        leg_id: leg_id.into(),
        server,
        service: Some(Service::Announcement(cc::Announcement { play, repeat: 2, ..Default::default() })),
        duration: None,
    }
}

async fn phone(carillon: &Carillon, name: &str) -> TestPhone {
    let aor = format!("sip:{name}@localhost");
    carillon.account(&aor, "secret");
    let script = Script { answer: Answer::After(Duration::ZERO), ..Script::default() };
    TestPhone::registered(&carillon.sip, &aor, "secret", script).await
}

async fn api(carillon: &Carillon) -> CallControlClient<Channel> {
    CallControlClient::connect(carillon.api.clone()).await.expect("the API is there")
}

async fn connected(carillon: &Carillon) -> (String, Watch) {
    let id = dial(carillon, &[]);
    let mut watch = Watch::begin(carillon, &id, Some(String::new())).await;
    watch.until(Type::Connected).await;
    (id, watch)
}

fn told(events: &[CallEvent], kinds: &[Type]) -> Vec<(Type, String, u32)> {
    let events = events.iter().filter(|event| kinds.contains(&event.r#type()));
    events
        .map(|event| (event.r#type(), event.leg_id.clone().unwrap_or_default(), event.sip_status()))
        .collect()
}

/// TPC-14, SCN-21: alice hears an announcement while bob is on hold, and talks to him again when the server hangs up; the second one, of which
/// the server knows nothing, leaves them as they were, and so says the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_party_hears_an_announcement_in_the_middle_of_a_call() {
    let carillon = Carillon::all_in_one();
    let mut alice = phone(&carillon, "alice").await;
    let mut bob = phone(&carillon, "bob").await;
    let server = MediaServer::facing(&carillon);
    let (id, mut watch) = connected(&carillon).await;
    let mut api = api(&carillon).await;
    let request = play_request("play", &id, "a", Some(server.uri()));
    let playing = api.play_announcement(request.clone()).await.expect("they talk").into_inner();
    assert_eq!(playing.call_id, id);
    let invite = server.wire.receive_request("INVITE");
    let escaped = "play=http://files.example.com/low%2520balance.wav%3Flang%3Den%3Bx;repeat=2";
    assert!(invite.starts_with(&format!("INVITE sip:annc@{};{escaped} ", server.wire.address())), "{invite}");
    let crossing = api.play_announcement(play_request("other", &id, "b", Some(server.uri()))).await;
    assert_eq!(crossing.expect_err("one is on its way").code(), Code::Aborted);
    let again = api.play_announcement(request.clone()).await.expect("the same request").into_inner();
    assert_eq!(again.call_id, id);
    server.play(&invite);
    let started = watch.until(Type::PlayStarted).await;
    assert_eq!(started.call.expect("every event has its call").state(), call::State::Held);
    bob.wait_for("the hold", |h| matches!(h, Happening::Changed { direction: "inactive" })).await;
    server.hang_up(&invite);
    watch.until(Type::Unheld).await;
    let kinds = [Type::Held, Type::PlayStarted, Type::PlayEnded, Type::Unheld];
    let expected = [
        (Type::Held, "b".to_owned(), 0),
        (Type::PlayStarted, "a".to_owned(), 200),
        (Type::PlayEnded, "a".to_owned(), 200),
        (Type::Unheld, String::new(), 0),
    ];
    assert_eq!(told(&watch.seen, &kinds), expected);

    let of_server = server.uri();
    let arguments = ["play", &id, "http://files.example.com/none.wav", "--server", &of_server];
    let (done, server) = tokio::task::block_in_place(|| {
        let answers = std::thread::spawn(move || {
            let invite = server.wire.receive_request("INVITE");
            server.wire.respond(&invite, "404 Not Found", &[]);
            server
        });
        (carillon.command(&arguments), answers.join().expect("the server is asked"))
    });
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(!done.status.success() && text.contains("PLAY_ENDED") && text.contains("404"), "{text}");
    watch.until(Type::Unheld).await;

    let nobody = api.play_announcement(play_request("nobody", &id, "a", None)).await.expect_err("no server");
    assert_eq!(nobody.code(), Code::FailedPrecondition);
    assert!(nobody.message().contains("call_control.media_server"), "{nobody}");
    bob.act(Remote::Hangup).await;
    alice.wait_for("BYE", |h| matches!(h, Happening::Ended { by_peer: true, .. })).await;
    watch.until(Type::Ended).await;
    let late = api.play_announcement(play_request("late", &id, "a", Some(server.uri()))).await;
    let late = late.expect_err("the call is over");
    assert_eq!(late.code(), Code::FailedPrecondition);
    assert!(late.message().contains("ENDED"), "{late}");
}

/// TPC-14, T19: what is no URL, no URI, no language or no time is refused, field by field, and nothing of it reaches a phone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_passes_for_an_announcement() {
    let carillon = Carillon::all_in_one();
    let mut api = api(&carillon).await;
    let plain = play_request("r", "c", "a", Some("sip:media.example.com".into()));
    let announcement = |announcement: cc::Announcement| Some(Service::Announcement(announcement));
    let play = || "http://h/a.wav".to_owned();
    let cases = [
        ("server", cc::PlayAnnouncementRequest { server: Some("sip:me@host".into()), ..plain.clone() }),
        ("server", cc::PlayAnnouncementRequest { server: Some("sip:h\r\nX: y".into()), ..plain.clone() }),
        ("service", cc::PlayAnnouncementRequest { service: None, ..plain.clone() }),
        (
            "announcement.play",
            cc::PlayAnnouncementRequest { service: announcement(Default::default()), ..plain.clone() },
        ),
        (
            "announcement.play",
            cc::PlayAnnouncementRequest {
                service: announcement(cc::Announcement { play: "http://h/a b".into(), ..Default::default() }),
                ..plain.clone()
            },
        ),
        (
            "announcement.locale",
            cc::PlayAnnouncementRequest {
                service: announcement(cc::Announcement {
                    play: play(),
                    locale: "en;x".into(),
                    ..Default::default()
                }),
                ..plain.clone()
            },
        ),
        (
            "voicexml",
            cc::PlayAnnouncementRequest {
                service: Some(Service::Voicexml("a\r\nb".into())),
                ..plain.clone()
            },
        ),
        (
            "uri",
            cc::PlayAnnouncementRequest { service: Some(Service::Uri("tel:+1555".into())), ..plain.clone() },
        ),
        (
            "uri",
            cc::PlayAnnouncementRequest {
                service: Some(Service::Uri("sip:a@b?Replaces=x".into())),
                ..plain.clone()
            },
        ),
        (
            "duration",
            cc::PlayAnnouncementRequest {
                duration: Some(prost_types::Duration { seconds: 0, nanos: 5 }),
                ..plain.clone()
            },
        ),
    ];
    for (field, request) in cases {
        let refused = api.play_announcement(request).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
        let details = tonic_types::StatusExt::get_error_details(&refused);
        let named =
            details.bad_request().and_then(|bad| bad.field_violations.first().map(|v| v.field.clone()));
        assert_eq!(named.as_deref(), Some(field), "{refused}");
    }
    let unknown = api.play_announcement(plain).await.expect_err("no such call");
    assert_eq!(unknown.code(), Code::NotFound);
}

/// SCN-14: RFC 5359 2.3. With `call_control.music_on_hold` who is held hears music until Unhold; when the server says nothing the hold is a plain
/// one; and a request may say that there is to be none.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_hold_hears_music() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let music = format!("sip:music@{}", silent.local_addr().expect("it is bound"));
    let carillon = Starting::with(&[], &[("CARILLON_CALL_CONTROL_MUSIC_ON_HOLD", &music)]).ready();
    let mut alice = phone(&carillon, "alice").await;
    let _bob = phone(&carillon, "bob").await;
    let (id, mut watch) = connected(&carillon).await;
    let mut api = api(&carillon).await;
    let server = MediaServer::facing(&carillon);
    let hold = |request_id: &str, music: Option<String>| cc::HoldRequest {
        request_id: request_id.into(),
        call_id: id.clone(),
        leg_id: Some("b".into()),
        music,
    };
    let unhold = |request_id: &str| cc::UnholdRequest {
        request_id: request_id.into(),
        call_id: id.clone(),
        leg_id: None,
    };
    api.hold(hold("1", Some(format!("sip:music@{}", server.wire.address())))).await.expect("they talk");
    let invite = server.wire.receive_request("INVITE");
    assert!(invite.starts_with("INVITE sip:music@"), "{invite}");
    server.play(&invite);
    watch.until(Type::PlayStarted).await;
    alice.wait_for("the hold", |h| matches!(h, Happening::Changed { direction: "inactive" })).await;
    api.unhold(unhold("2")).await.expect("the call is on hold");
    server.is_hung_up_on();
    watch.until(Type::Unheld).await;

    // At the address of the setting nobody says anything
    api.hold(hold("3", None)).await.expect("they talk");
    let ended = watch.until(Type::PlayEnded).await;
    assert_eq!(ended.leg_id.as_deref(), Some("b"));
    assert_ne!(ended.sip_status(), 200, "{ended:?}");
    watch.until(Type::Held).await;
    api.unhold(unhold("4")).await.expect("the call is on hold");
    watch.until(Type::Unheld).await;

    let before = watch.seen.len();
    api.hold(hold("5", Some(String::new()))).await.expect("they talk");
    watch.until(Type::Held).await;
    assert_eq!(told(&watch.seen[before..], &[Type::PlayStarted, Type::PlayEnded]), []);
    hang_up(&carillon, &id);
    watch.until(Type::Ended).await;
}

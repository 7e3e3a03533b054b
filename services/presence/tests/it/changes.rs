//! Changes are told to who watches, in their time.

use std::time::Duration;

use tokio::time::sleep;

use crate::rig::{Rig, ask, body, header, publish, subscribe, voice};

/// PRS-01: ten changes within a second are two notifications, and the second is the last state.
#[tokio::test(start_paused = true)]
async fn ten_changes_within_a_second_are_two_notifications() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    ask(&replica, subscribe("alice", "alice", "presence", 3_600)).await;
    rig.phones.notify("alice", 1).await;
    sleep(Duration::from_secs(10)).await;
    let known = rig.phones.notified("alice").len();
    let mut etag = String::new();
    for number in 1..=10 {
        let answer = ask(&replica, publish("alice", number, &etag, &format!("note {number}"))).await;
        assert_eq!(answer.status, 200);
        etag = header(&answer, "SIP-ETag");
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(20)).await;
    let told = rig.phones.notified("alice").split_off(known);
    let notes: Vec<String> = told.iter().map(|(_, request)| body(request)).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("<note>note 1<") && notes[1].contains("<note>note 10<"), "{notes:?}");
    assert!(told[1].0 - told[0].0 >= Duration::from_secs(5), "{:?}", told[1].0 - told[0].0);
}

/// PUB-04: of PUBLISHs to the same tag at the same time one survives.
#[tokio::test(start_paused = true)]
async fn of_two_changes_of_one_version_one_survives() {
    let rig = Rig::new();
    let (one, two) = (rig.replica(false), rig.replica(false));
    let etag = header(&ask(&one, publish("alice", 1, "", "a")).await, "SIP-ETag");
    let (left, right) =
        tokio::join!(ask(&one, publish("alice", 2, &etag, "b")), ask(&two, publish("alice", 3, &etag, "c")));
    let mut statuses = [left.status, right.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

/// A watcher that does not answer delays no other one, and is given up (EVT-06).
#[tokio::test(start_paused = true)]
async fn a_silent_watcher_delays_nobody() {
    let rig = Rig::new();
    let replica = rig.replica(false);
    rig.phones.answers.lock().insert("silent".to_owned(), 0);
    for call in ["silent", "alice"] {
        let mut request = subscribe("alice", "alice", "message-summary", 3_600);
        request.sip_call_id = call.to_owned();
        assert_eq!(ask(&replica, request).await.status, 200);
        rig.phones.notify(call, 1).await;
    }
    for new in 1..=5 {
        voice(&replica, "alice", new).await;
        let told = rig.phones.notify("alice", new + 1).await;
        assert!(body(&told).contains(&format!("Voice-Message: {new}/0")));
    }
    let took = rig.phones.notified("alice").last().map(|(at, _)| *at).unwrap_or_default();
    assert!(took < Duration::from_secs(10), "{took:?}");
    sleep(Duration::from_secs(60)).await;
    voice(&replica, "alice", 9).await;
    rig.phones.notify("alice", 7).await;
    assert!(rig.phones.notified("silent").iter().all(|(_, request)| request.cseq == 1));
}

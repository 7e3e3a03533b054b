//! The events of one call until its end, over streams that break: each begins where the last one ended, at whichever replica answers.

use std::time::Duration;

use anyhow::anyhow;
use cluster_api::callcontrol::v1::call_control_client::CallControlClient;
use cluster_api::callcontrol::v1::{Call, WatchCallsRequest, call_event};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::call_view::{event_json, event_line};
use super::connect::Connection;
use super::refusal::Refusal;
use crate::out::{OutputError, complain, say};

/// How long nobody may answer before the watch is given up; a replica that is replaced is back much sooner.
const PATIENCE: Duration = Duration::from_secs(30);
/// Before the first attempt to reconnect; doubled after each.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Most between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a stream brought no end of the call.
enum Broken {
    /// Another attempt may do better.
    Perhaps(Status),
    /// It would be told the same.
    Surely(anyhow::Error),
}

impl From<OutputError> for Broken {
    fn from(error: OutputError) -> Self {
        Self::Surely(error.into())
    }
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => Self::Surely(Refusal(status).into()),
            _ => Self::Perhaps(status),
        }
    }
}

/// Prints every event of the call until the call ends.
///
/// # Errors
/// A refusal, or that no replica answered for longer than anybody waits; the call goes on all the same.
pub async fn follow(
    client: &mut CallControlClient<Connection>,
    call_id: &str,
    json: bool,
) -> anyhow::Result<Call> {
    // Empty: from the first event of the call.
    let mut cursor = String::new();
    let mut attempts = Attempts::default();
    loop {
        let was_at = cursor.clone();
        let broken = match stream(client, call_id, &mut cursor, json).await {
            Ok(call) => return Ok(call),
            Err(Broken::Surely(error)) => return Err(error),
            Err(Broken::Perhaps(status)) => status,
        };
        if cursor != was_at {
            attempts = Attempts::default();
        }
        if attempts.are_none() {
            complain!("the event stream broke, going on where it was: {}", Refusal(broken.clone()));
        }
        match attempts.pause(Instant::now()) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(lost(call_id, broken)),
        }
    }
}

/// One stream from behind `cursor`, which moves with every event.
async fn stream(
    client: &mut CallControlClient<Connection>,
    call_id: &str,
    cursor: &mut String,
    json: bool,
) -> Result<Call, Broken> {
    let (id, after) = (Some(call_id.to_owned()), Some(cursor.clone()));
    let request = WatchCallsRequest { call_id: id, after_cursor: after, filter: None };
    let mut events = client.watch_calls(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        match json {
            true => say!("{}", event_json(&event))?,
            false => say!("{}", event_line(&event))?,
        }
        let has_ended = event.r#type() == call_event::Type::Ended;
        *cursor = event.cursor;
        if let (true, Some(call)) = (has_ended, event.call) {
            return Ok(call);
        }
    }
    Err(Broken::Perhaps(Status::unavailable("the stream ended before the call")))
}

fn lost(call_id: &str, last: Status) -> anyhow::Error {
    anyhow!(
        "nothing was heard of {call_id} for {} seconds: {}\n  nobody hung it up: `carillon call show {call_id}` tells where it stands, \
         `carillon hangup {call_id}` ends it",
        PATIENCE.as_secs(),
        Refusal(last)
    )
}

/// Attempts to reconnect since the last event.
#[derive(Default)]
struct Attempts {
    first: Option<Instant>,
    count: u32,
}

impl Attempts {
    fn are_none(&self) -> bool {
        self.first.is_none()
    }

    /// How long to wait before the next attempt; `None` when there were enough.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let since = now.duration_since(*self.first.get_or_insert(now));
        let pause = SHORTEST_PAUSE.saturating_mul(1 << self.count.min(16)).min(LONGEST_PAUSE);
        self.count += 1;
        (since < PATIENCE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_less_and_less_often_and_end() {
        let (mut attempts, start) = (Attempts::default(), Instant::now());
        let (mut now, mut pauses) = (start, Vec::new());
        while let Some(pause) = attempts.pause(now) {
            now += pause;
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses[..7], [100, 200, 400, 800, 1600, 2000, 2000]);
        let lasted = now - start;
        assert!(lasted >= PATIENCE && lasted < PATIENCE + LONGEST_PAUSE, "{lasted:?}");
    }

    #[test]
    fn what_another_replica_may_know_better_is_asked_again() {
        for status in [
            Status::unavailable("this replica ends"),
            Status::cancelled("operation was canceled"),
            Status::unknown("transport error"),
            Status::resource_exhausted("too slow"),
        ] {
            assert!(matches!(Broken::from(status), Broken::Perhaps(_)));
        }
        for status in
            [Status::not_found("no such call"), Status::unauthenticated("who"), Status::out_of_range("old")]
        {
            assert!(matches!(Broken::from(status), Broken::Surely(_)));
        }
    }

    #[test]
    fn who_gives_up_says_that_the_call_goes_on_and_where_to_look() {
        let told = lost("c-1", Status::unavailable("transport error")).to_string();
        assert!(told.contains("nobody hung it up") && told.contains("`carillon call show c-1`"), "{told}");
    }
}

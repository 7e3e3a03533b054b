//! PlayAnnouncement: a party listens to a media server.

use std::time::Duration;

use cluster_api::callcontrol::v1 as wire;
use cluster_api::callcontrol::v1::play_announcement_request::Service;
use cluster_rpc::Reason;
use tonic::Status;

use super::{CallControlApi, dial};
use crate::engine::conference::is_mixer;
use crate::engine::event::Command;
use crate::engine::media::service::{Annc, annc_uri, dialog_uri};
use crate::refusal;
use crate::violations::Violations;

/// How long anything may be listened to.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest pause between repetitions.
const LONGEST_DELAY: Duration = Duration::from_secs(3600);
/// Longest URL: escaped and with the other parameters, the URI stays within what an edge takes.
const MAX_URL: usize = 512;

impl CallControlApi {
    pub(super) async fn play_announcement(
        &self,
        request: wire::PlayAnnouncementRequest,
    ) -> Result<wire::Call, Status> {
        let fingerprint = dial::plain_fingerprint("PlayAnnouncement", &request);
        let mut violations = Violations::default();
        violations.line("request_id", &request.request_id, 64);
        violations.call_id(&request.call_id);
        violations.line("leg_id", &request.leg_id, 64);
        if let Some(server) = request.server.as_deref().filter(|server| !is_mixer(server)) {
            let expected =
                format!("a sip or sips URI without user part, as sip:media.example.com, not {server:?}");
            violations.add(Reason::BadUri, "server", expected);
        }
        let limits = Duration::from_secs(1)..=LONGEST;
        let duration = violations.duration("duration", request.duration, limits);
        let server = request.server.unwrap_or_else(|| self.runner.config().media_server.clone());
        let needs_server = !matches!(request.service, Some(Service::Uri(_)));
        let uri = match request.service {
            Some(Service::Announcement(announcement)) => {
                url(&mut violations, "announcement.play", &announcement.play);
                let delay = violations.duration(
                    "announcement.delay",
                    announcement.delay,
                    Duration::ZERO..=LONGEST_DELAY,
                );
                let locale = announcement.locale;
                if locale.len() > 35 || !locale.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
                    violations.add(Reason::BadField, "announcement.locale", "a language tag, as en or de-CH");
                }
                let (play, repeat, forever) =
                    (announcement.play, announcement.repeat, announcement.repeat_forever);
                annc_uri(&server, &Annc { play, repeat, forever, delay, duration, locale })
            }
            Some(Service::Voicexml(script)) => {
                url(&mut violations, "voicexml", &script);
                dialog_uri(&server, &script)
            }
            Some(Service::Uri(uri)) => {
                violations.media_uri("uri", &uri);
                uri
            }
            None => {
                violations.add(Reason::BadField, "service", "announcement, voicexml or uri");
                String::new()
            }
        };
        violations.check()?;
        if needs_server && server.is_empty() {
            return Err(no_media_server());
        }
        let limit_ms = duration.map_or(0, |duration| duration.as_millis() as u64);
        let command = Command::Play { leg_id: request.leg_id, uri, limit_ms };
        self.command(&request.request_id, &request.call_id, fingerprint, command).await
    }
}

fn url(violations: &mut Violations, field: &str, url: &str) {
    let is_visible = url.bytes().all(|c| c.is_ascii_graphic());
    if url.is_empty() || url.len() > MAX_URL || !is_visible {
        violations.add(Reason::BadUri, field, format!("a URL of at most {MAX_URL} visible ASCII characters"));
    }
}

fn no_media_server() -> Status {
    let text = "no media server: name one in `server`, or in call_control.media_server";
    refusal::refuse(Reason::NoMediaServer, text)
}

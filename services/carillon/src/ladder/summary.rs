//! One message in a few words: what a person looks for in a ladder.

use bytes::Bytes;
use sip_message::{HeaderId, Limits, Message};

/// A message in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Call-ID.
    pub call_id: String,
    /// "INVITE", "200 INVITE".
    pub name: String,
    /// What it carries: "offer without media", "tone + SDP", "Reason 180", "RSeq 1".
    pub details: Vec<String>,
}

impl Summary {
    /// The text on an arrow.
    pub fn label(&self) -> String {
        match self.details.is_empty() {
            true => self.name.clone(),
            false => format!("{} ({})", self.name, self.details.join(", ")),
        }
    }
}

/// Summarises a message; `None` for octets that are none.
pub fn summarise(bytes: &[u8]) -> Option<Summary> {
    let message = Message::parse(Bytes::copy_from_slice(bytes), &Limits::default()).ok()?;
    let method = message.method();
    let name = match message.status() {
        Some(status) => format!("{status} {}", method.as_str()),
        None => method.as_str().to_string(),
    };
    let mut details = Vec::new();
    if let Some(rseq) = message.first(HeaderId::RSeq) {
        details.push(format!("RSeq {}", text(rseq)));
    }
    if let Some(reason) = message.named("Reason").next() {
        let reason = text(reason);
        let cause = reason.split(';').find_map(|p| p.trim().strip_prefix("cause="));
        details.push(cause.map_or_else(|| format!("Reason {reason}"), |c| format!("Reason {c}")));
    }
    details.extend(body(&message));
    let call_id = text(message.call_id().ok()?);
    Some(Summary { call_id, name, details })
}

fn body(message: &Message) -> Option<String> {
    let kind = text(message.first(HeaderId::ContentType)?).to_ascii_lowercase();
    let body = text(message.body());
    let sdp = |b: &str| match b.lines().find(|l| l.starts_with("m=")) {
        None => "SDP without media",
        Some(_) if b.contains("a=inactive") => "SDP inactive",
        Some(_) => "SDP",
    };
    Some(match kind.split(';').next().unwrap_or_default().trim() {
        "application/sdp" => sdp(&body).to_string(),
        "multipart/mixed" => {
            let tone = if body.contains("audio/tone-info+xml") { "tone" } else { "" };
            let sdp = if body.contains("application/sdp") { sdp(&body) } else { "" };
            [tone, sdp].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" + ")
        }
        other => other.to_string(),
    })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_method_status_reason_and_body() {
        let bytes = b"UPDATE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\n\
            To: <sip:a@h>;tag=2\r\nCall-ID: x\r\nCSeq: 2 UPDATE\r\nMax-Forwards: 70\r\nReason: SIP;cause=180;text=\"Ringing\"\r\n\
            Content-Type: application/sdp\r\nContent-Length: 7\r\n\r\nv=0\r\n\r\n";
        assert_eq!(summarise(bytes).unwrap().label(), "UPDATE (Reason 180, SDP without media)");
        assert_eq!(summarise(b"junk"), None);
    }
}

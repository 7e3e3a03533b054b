//! The URIs by which media servers are told what to do (RFC 4240): `annc@` plays, `dialog@` runs a script. `conf=` mixes, see
//! [`conference`](crate::engine::conference).

use std::time::Duration;

use crate::engine::conference::with_user;

/// An announcement (RFC 4240 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annc {
    /// URL of what is played.
    pub play: String,
    /// How often; 0 for once.
    pub repeat: u32,
    /// Until it is ended.
    pub forever: bool,
    /// Pause between repetitions.
    pub delay: Option<Duration>,
    /// Longest time in all.
    pub duration: Option<Duration>,
    /// Language; empty for that of the server.
    pub locale: String,
}

/// The URI that plays an announcement. `server` is a URI without user part; empty when it is none.
pub fn annc_uri(server: &str, annc: &Annc) -> String {
    let mut uri = with_user(server, "annc").unwrap_or_default();
    uri.push_str(&format!(";play={}", escaped(&annc.play)));
    match (annc.forever, annc.repeat) {
        (true, _) => uri.push_str(";repeat=forever"),
        (false, 0) => {}
        (false, times) => uri.push_str(&format!(";repeat={times}")),
    }
    for (name, time) in [("delay", annc.delay), ("duration", annc.duration)] {
        if let Some(time) = time {
            uri.push_str(&format!(";{name}={}", time.as_millis()));
        }
    }
    if !annc.locale.is_empty() {
        uri.push_str(&format!(";locale={}", annc.locale));
    }
    uri
}

/// The URI that runs a VoiceXML script (RFC 4240 4).
pub fn dialog_uri(server: &str, script: &str) -> String {
    format!("{};voicexml={}", with_user(server, "dialog").unwrap_or_default(), escaped(script))
}

/// A value of a URI parameter: what RFC 3261 25.1 lets stand there, and all else escaped.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match octet.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&octet) {
            true => text.push(char::from(octet)),
            false => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TPC-14: RFC 4240 3.1 and 4.1; nothing in a URL becomes a parameter or a header of the URI.
    #[test]
    fn what_a_server_is_to_do_is_in_its_uri() {
        let plain = Annc { play: "file:///prompts/low.wav".into(), ..Annc::default() };
        assert_eq!(
            annc_uri("sip:ms.example.com", &plain),
            "sip:annc@ms.example.com;play=file:///prompts/low.wav"
        );
        let all = Annc {
            play: "http://h/a b?x=1;y@%20".into(),
            repeat: 3,
            delay: Some(Duration::from_millis(1500)),
            duration: Some(Duration::from_secs(60)),
            locale: "de-CH".into(),
            forever: false,
        };
        assert_eq!(
            annc_uri("sips:ms.example.com:5061;transport=tcp", &all),
            "sips:annc@ms.example.com:5061;transport=tcp;play=http://h/a%20b%3Fx%3D1%3By%40%2520;repeat=3\
             ;delay=1500;duration=60000;locale=de-CH"
        );
        let forever = Annc { forever: true, repeat: 3, ..plain };
        assert!(annc_uri("sip:ms.example.com", &forever).ends_with(";repeat=forever"));
        assert_eq!(
            dialog_uri("sip:ms.example.com", "http://h/pin.vxml"),
            "sip:dialog@ms.example.com;voicexml=http://h/pin.vxml"
        );
    }
}

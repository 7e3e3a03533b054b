//! What a key may hold, in the operator's words: a value of the wrong kind is answered with this.

use toml::Value;

use super::unknown;

/// Most of what a bound on a number of things may be: what they are kept in takes no more.
pub const MOST_THINGS: usize = 1_000_000_000;
/// Most of what a bound on octets may be: a tebibyte.
pub const MOST_OCTETS: usize = 1 << 40;
/// How a time is written.
const TIME: &str = "a time with its unit, for example \"500ms\", \"6s\" or \"2m\"";

/// The least and the most that a bound may be.
pub fn bounds(path: &str) -> (usize, usize) {
    match path {
        "limits.ladder_messages" | "limits.failed_servers" => (0, MOST_THINGS), // none are kept
        "limits.source_requests" | "limits.sources" => (0, MOST_THINGS),        // nobody is bounded
        "dns.attempts" => (1, 10),
        "push.retries" => (0, 10),
        "limits.head_bytes" => (1, sip_message::Limits::MAX_HEAD_BYTES),
        _ if path.ends_with("_bytes") => (1, MOST_OCTETS),
        _ => (1, MOST_THINGS),
    }
}

/// The names that a key of a few names may hold.
fn names(path: &str) -> Option<&'static [&'static str]> {
    Some(match path {
        "auth" => &["digest", "none"],
        "log.format" => &["text", "json"],
        "spending.silent" => &["deny", "allow"],
        "call_control.redirects" => &["domains", "anywhere", "never"],
        "call_control.conference_end" => &["last", "creator"],
        "registrar.algorithms" => &["SHA-512-256", "SHA-256", "MD5"],
        _ => return None,
    })
}

/// What was expected of a key, whose default shows its kind.
fn kind(path: &str, default: Option<&Value>) -> String {
    let text = match path {
        "call_control.credentials" => {
            "tables [[call_control.credentials]] with realm, username and password, in the file alone"
        }
        "registrar.number_pools" => {
            "tables [[registrar.number_pools]] with name = \"…\", numbers = [\"+13125550100..+13125550199\"] or gateway = \
             \"sip:…\" and, if needed, trunk, prefixes, max_ttl, min_ttl, quota and one_contact, in the file alone"
        }
        "call_control.mixers" => {
            "a list of URIs of conference servers without user part, as [\"sip:mixer.example.com\"]"
        }
        "domain" => {
            "tables [[domain]] with name = \"…\" and, if needed, auth, realm, danger_open, anchor, home_prefix, tls_cert and tls_key"
        }
        "redis.wait_replicas" => "a whole number from 0 to 4294967295, or \"auto\"",
        "registrar.algorithms" => {
            "a list of SHA-512-256, SHA-256 and MD5, best first, as [\"SHA-256\", \"MD5\"]"
        }
        "sip.listen" => "a list of listeners, as [\"udp://192.0.2.1:5060\"]",
        "roles" => "a list of edge, registrar, presence and call-control, as [\"edge\", \"registrar\"]",
        "peers" => "a list of the other services, as [\"registrar=http://registrar.example:50051\"]",
        "spending.urls" => {
            "a list of URLs, as [\"http://budget.example:50051\"] or [\"dns://budget.example:50051\"]"
        }
        "push.providers" => "a list of push services as phones name them, as [\"apns\", \"fcm\"]",
        "dns.servers" => "a list of name servers, as [\"192.0.2.53\", \"[2001:db8::53]:53\"]",
        "edge.scanners" => "a list of beginnings of User-Agents, as [\"friendly-scanner\", \"sipcli\"]",
        "edge.trusted" | "edge.local_nets" | "edge.danger_reach" => "a list of networks, as [\"10.0.0.0/8\"]",
        _ => match (names(path), default) {
            (Some(names), _) => return names.join(" or "),
            (None, Some(Value::Integer(_))) => {
                let (least, most) = bounds(path);
                return format!("a whole number from {least} to {most}");
            }
            (None, Some(Value::Boolean(_))) => "true or false",
            (None, Some(Value::Array(_))) => "a list",
            (None, Some(Value::String(time))) if is_time(time) => TIME,
            (None, _) => "text in quotes",
        },
    };
    text.to_owned()
}

/// "expected THIS, found THAT", without the value where that is text: it may be a secret in the wrong place.
pub fn instead(path: &str, default: Option<&Value>, found: &Value) -> String {
    let is_time = matches!(default, Some(Value::String(time)) if is_time(time));
    let is_secret = path.contains("token") || path.contains("credentials");
    let found_kind = match found {
        Value::Integer(_) | Value::Float(_) if is_secret => "a number".to_owned(),
        Value::Integer(number) if is_time => format!("{number} without quotes and unit"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(on) => on.to_string(),
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) if is_time && text.parse::<f64>().is_ok() => "a number without unit".to_owned(),
        Value::String(text) if text.parse::<f64>().is_ok() => {
            "a number as text, or none of this kind".to_owned()
        }
        Value::String(_) => "other text".to_owned(),
        Value::Array(list) if list.iter().all(Value::is_str) => "a list".to_owned(),
        Value::Array(_) => "a list of something else".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        Value::Datetime(_) => "a date".to_owned(),
    };
    format!("expected {}, found {found_kind}{}", kind(path, default), meant(path, found))
}

/// The name that was probably meant.
fn meant(path: &str, found: &Value) -> String {
    let Some(names) = names(path) else { return String::new() };
    let texts: Vec<&str> = match found {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        found => found.as_str().into_iter().collect(),
    };
    let wrong = texts.into_iter().find(|text| !names.contains(text));
    let near = wrong.and_then(|text| {
        let same = names.iter().copied().find(|name| name.eq_ignore_ascii_case(text));
        same.or_else(|| unknown::nearest(text, names.iter().copied()))
    });
    near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}

fn is_time(default: &str) -> bool {
    default.starts_with(|first: char| first.is_ascii_digit())
        && humantime_serde::re::humantime::parse_duration(default).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::*;

    fn told(path: &str, value: impl Into<Value>) -> String {
        let mut layers = Layers::new();
        layers.put(path, "file line 1".into(), value.into());
        layers.finish().unwrap_err().to_string()
    }

    #[test]
    fn what_bounds_nobody_when_it_is_zero_may_be_zero() {
        for path in ["limits.source_requests", "limits.sources", "limits.failed_servers"] {
            let mut layers = Layers::new();
            layers.put(path, "file line 1".into(), 0.into());
            assert!(layers.finish().is_ok(), "{path}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_in_the_operators_words() {
        for (path, value, expected) in [
            ("limits.forks", Value::from(-1), "expected a whole number from 1 to 1000000000, found -1"),
            ("limits.forks", "many".into(), "expected a whole number from 1 to 1000000000, found other text"),
            ("limits.bindings", 5_000_000_000_i64.into(), "from 1 to 1000000000, found 5000000000"),
            ("limits.head_bytes", 70_000.into(), "expected a whole number from 1 to 65535, found 70000"),
            ("sip.t1", "5".into(), "expected a time with its unit, for example \"500ms\""),
            ("sip.t1", "5".into(), "found a number without unit"),
            ("sip.t1", 5.into(), "found 5 without quotes and unit"),
            ("drain", "".into(), "found nothing"),
            ("api", 5060.into(), "expected text in quotes, found 5060"),
            ("sip.listen", "udp://127.0.0.1:5060".into(), "expected a list of listeners, as [\"udp://"),
            (
                "call_control.redirects",
                "Domains".into(),
                "domains or anywhere or never, found other text: did you mean `domains`?",
            ),
            ("call_control.redirects", 5.into(), "expected domains or anywhere or never, found 5"),
            ("registrar.algorithms", vec!["SHA256"].into(), "did you mean `SHA-256`?"),
            ("call_control.inactive_first", "yes".into(), "expected true or false, found other text"),
            ("redis.wait_replicas", (-1).into(), "expected a whole number from 0 to 4294967295, or \"auto\""),
        ] {
            let told = told(path, value);
            assert!(told.starts_with("file line 1: ") && told.contains(expected), "{path}: {told}");
        }
    }

    /// No word of the language that this is written in reaches the operator, whatever the kind of the key and of the value.
    #[test]
    fn no_key_answers_a_wrong_kind_with_the_name_of_a_type() {
        let wrong: [Value; 5] = [
            Value::from(1.5),
            Value::from(vec![Value::from(1)]),
            toml::Table::new().into(),
            (-1).into(),
            "\0".into(),
        ];
        let layers = Layers::new();
        for (path, _) in layers.known() {
            for value in &wrong {
                let mut layers = Layers::new();
                layers.put(path, "here".into(), value.clone());
                let Err(told) = layers.finish() else { continue };
                let told = told.to_string();
                for word in
                    ["usize", "u32", "struct", "variant", "sequence", "map", "invalid type", "as i128"]
                {
                    assert!(!told.contains(word), "{path} = {value}: {told}");
                }
            }
        }
    }
}

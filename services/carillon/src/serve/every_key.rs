//! Every key of the settings reaches the service that it is about.

use std::net::SocketAddr;

use super::layers::Layers;
use super::members::Myself;
use super::settings::Settings;
use super::{edge_role, name_servers, services, store};

/// Keys that the composition itself uses: they are no setting of one service.
const OF_THE_PROCESS: [&str; 28] = [
    "roles",
    "api",
    "admin",
    "peers",
    "api_token_file",
    "cluster_token",
    "drain",
    "log.format",
    "log.filter",
    "log.queue",
    "redis.url",
    "limits.tasks",
    // a service is set with its URL
    "push.providers",
    "push.token",
    // the same
    "spending.token",
    "spending.ca",
    "cluster_url",
    "domain",
    "tls.cert",
    "tls.key",
    "tls.ca",
    "tls.client_cert",
    "tls.client_key",
    "tls.reload",
    "internal_tls.listen",
    "internal_tls.cert",
    "internal_tls.key",
    "internal_tls.ca",
];

/// What the services are given.
async fn given(settings: &Settings) -> String {
    let myself = Myself::new(settings, SocketAddr::from(([127, 0, 0, 1], 1)), 1, lifecycle::Drain::new());
    let edge = edge_role::config(settings, &myself).await.unwrap();
    let (registrar, calls) = (services::registrar_config(settings), services::call_control_config(settings));
    let presence = services::presence_config(settings);
    let dns = name_servers::resolver(settings).unwrap();
    let (redis, logs) = (store::options(settings), store::log_limits(settings));
    let push = settings.push.service();
    let spending = settings.spending.service().unwrap();
    format!("{edge:?} {registrar:?} {presence:?} {calls:?} {redis:?} {logs:?} {dns:?} {push:?} {spending:?}")
}

/// Another good value of a key.
fn another(key: &str, default: &toml::Value) -> toml::Value {
    let text = match key {
        "id" => "another",
        "advertise" => "sip.example",
        "auth" => "none",
        "sip.listen" => return vec!["udp://127.0.0.1:5070"].into(),
        "sip.t2" => "3s",
        "sip.advertise_tls" | "sip.advertise_ws" | "sip.advertise_wss" => "sip.example",
        "sip.origins" => return vec!["https://phone.example"].into(),
        "edge.trusted_domains" => return vec!["peer.example"].into(),
        "edge.scanners" => return vec!["scanner"].into(),
        "edge.local_nets" | "edge.trusted" | "edge.danger_reach" => return vec!["192.0.2.0/24"].into(),
        "dns.servers" => return vec!["192.0.2.53"].into(),
        "registrar.algorithms" => return vec!["MD5"].into(),
        "call_control.ringback_tone" => "uk",
        "call_control.takers" | "call_control.pass_refer" => return vec!["sip:*@example.com"].into(),
        "call_control.redirects" => "never",
        "call_control.callback_user" => "callback",
        "call_control.callback_target" => "sip:desk@example.com",
        "call_control.mixers" => return vec!["sip:mixer.example"].into(),
        "call_control.media_server" => "sip:media.example",
        "call_control.music_on_hold" => "sip:music@media.example",
        "call_control.conference_end" => "creator",
        "call_control.conference_user" => "conference",
        "call_control.conference_factory" => "sip:conf-factory@conf.example",
        "call_control.credentials" => {
            let table = toml::toml! { realm = "gateway" username = "carillon" password = "secret" };
            return vec![table].into();
        }
        "registrar.number_pools" => {
            let table = toml::toml! { name = "spare" numbers = ["+13125550100..+13125550199"] };
            return vec![table].into();
        }
        "spending.urls" => return vec!["http://budget.example:50051"].into(),
        "spending.silent" => "allow",
        "push.url" => "https://push.example/wake",
        "redis.wait_replicas" => return 2.into(),
        "limits.head_bytes" => return 9_999.into(),
        _ => match default {
            toml::Value::Integer(number) => return (number + 1).into(),
            toml::Value::Boolean(on) => return (!on).into(),
            toml::Value::String(time) if time.starts_with(|c: char| c.is_ascii_digit()) => "61s",
            _ => panic!("no other value of {key} is known here"),
        },
    };
    // Of the times some have bounds among each other.
    match key {
        "dns.timeout" | "sip.t1" | "redis.wait_timeout" => "490ms".into(),
        "spending.timeout" => "490ms".into(),
        "sip.t4" | "call_control.guard" => "7s".into(),
        "registrar.max_expires" | "presence.max_expires" => "7201s".into(),
        _ => text.into(),
    }
}

#[tokio::test]
async fn every_key_changes_what_a_service_is_given() {
    // A conference needs a mixer: with one, each of its keys can be given alone.
    let with_mixer = || {
        let mut layers = Layers::new();
        layers.put("call_control.mixers", "mixers".into(), vec!["sip:media.example"].into());
        layers
    };
    let plain = given(&Layers::new().finish().unwrap()).await;
    assert_eq!(given(&Settings::default()).await, plain, "nothing in it is left to chance");
    let layers = Layers::new();
    assert!(
        OF_THE_PROCESS.iter().all(|key| *key == "domain" || layers.known().iter().any(|(k, _)| k == key))
    );
    let unchanged = given(&with_mixer().finish().unwrap()).await;
    for (key, default) in layers.known().iter().filter(|(key, _)| !OF_THE_PROCESS.contains(&key.as_str())) {
        let mut layers = with_mixer();
        layers.put(key, key.clone(), another(key, default));
        let settings = layers.finish().unwrap_or_else(|problems| panic!("{key}: {problems}"));
        assert!(given(&settings).await != unchanged, "{key} reaches nobody");
    }
}

#[test]
fn every_limit_has_a_key_of_its_name_and_is_shown_by_a_metric() {
    let settings = Settings::default();
    let metrics = telemetry::Metrics::new();
    settings.limits.show(&metrics);
    let (text, all) = (metrics.text(), settings.limits.all());
    let layers = Layers::new();
    let known: Vec<_> = layers.known().iter().filter(|(key, _)| key.starts_with("limits.")).collect();
    assert_eq!(known.len(), all.len());
    for (key, default) in known {
        let (_, value) =
            all.iter().find(|(name, _)| name == key).unwrap_or_else(|| panic!("{key} is not among all"));
        assert_eq!(default.as_integer(), i64::try_from(*value).ok(), "{key}");
        let line = format!("carillon_limit{{name=\"{}\"}} {value}\n", key.trim_start_matches("limits."));
        assert!(text.contains(&line), "no {line} in {text}");
    }
}

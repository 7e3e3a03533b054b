//! What settings of the right type can still have wrong: found before anything starts, all of it at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambient::{SystemClock, SystemEntropy, WallClock};
use call_control::engine::conference;
use cluster_rpc::Address;
use cluster_rpc::auth::{Guard, Tokens};
use registrar::Registrar;
use store::{MemoryStore, RedisStore};
use telemetry::Metrics;

use super::listeners::listeners;
use super::roles::{self, Role};
use super::settings::{self, Domain, Settings};
use super::streams::streams;
use super::{expected, name_servers, services, store as stores, tls};

/// A key or section, and what is wrong with it.
pub type Problem = (&'static str, String);

/// Everything that is wrong; nothing when a process can start with these settings.
pub fn problems(settings: &Settings) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    found.roles_and_peers(settings);
    found.api(settings);
    found.edge(settings);
    found.streams(settings);
    found.dns(settings);
    found.domains(settings);
    found.call_control(settings);
    found.mixers(settings);
    found.0.extend(settings.push.problems());
    found.0.extend(settings.spending.problems());
    found.store(settings);
    found.times(settings);
    found.limits(settings);
    found.note("log.filter", settings.log.check());
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn note<E: std::fmt::Display>(&mut self, path: &'static str, result: Result<(), E>) {
        if let Err(why) = result {
            self.0.push((path, format!("{why:#}")));
        }
    }

    fn unless(&mut self, good: bool, path: &'static str, why: impl FnOnce() -> String) {
        if !good {
            self.0.push((path, why()));
        }
    }

    fn roles_and_peers(&mut self, s: &Settings) {
        self.note("cluster_url", optional(&s.cluster_url, |url| url.parse::<Address>().map(drop)));
        let peers = roles::peers(&s.peers);
        self.note("peers", peers.as_ref().map(|_| ()));
        let roles = match roles::roles(&s.roles) {
            Ok(roles) => roles,
            Err(why) => return self.0.push(("roles", why)),
        };
        let Ok(peers) = peers else { return };
        let mut needed = vec![Role::Registrar];
        needed.extend(roles.contains(&Role::Edge).then_some(Role::CallControl));
        for role in needed {
            let is_known = roles.contains(&role) || peers.iter().any(|(of, _)| *of == role);
            self.unless(is_known, "peers", || {
                format!(
                    "this process does not run {role} and does not know where it is: give --peers \
                     {role}=http://HOST:PORT"
                )
            });
        }
        let shared = !s.redis.url.is_empty();
        self.unless(shared || !stores::is_apart(&roles), "redis.url", || {
            "the embedded store is not shared: services that run apart need --redis URL".into()
        });
    }

    fn api(&mut self, s: &Settings) {
        self.note("api", place(&s.api));
        self.note("admin", place(&s.admin));
        let file = &s.api_token_file;
        let tokens = match file.as_os_str().is_empty() {
            true => None,
            false => match Tokens::load(file) {
                Ok(tokens) => Some(tokens),
                Err(e) => return self.0.push(("api_token_file", format!("{}: {e}", file.display()))),
            },
        };
        if let Ok(address) = s.api.parse::<SocketAddr>() {
            let guard = Guard::new(address.ip(), tokens, false, &Metrics::new()).map(drop);
            self.note("api", guard.map_err(|e| format!("{e} (--api-token-file names the tokens)")));
        }
    }

    fn edge(&mut self, s: &Settings) {
        self.note("advertise", optional(&s.advertise, host));
        for (path, networks) in [
            ("edge.trusted", &s.edge.trusted),
            ("edge.local_nets", &s.edge.local_nets),
            ("edge.danger_reach", &s.edge.danger_reach),
        ] {
            for network in networks {
                self.note(path, network.parse::<edge::Network>().map(drop));
            }
        }
        match listeners(&s.sip.listen, &s.advertise) {
            Err(why) => self.0.push(("sip.listen", why)),
            Ok(listen) => {
                let uncertain = listen.first().is_some_and(|first| first.address.ip().is_unspecified());
                self.unless(!runs_edge(s) || !uncertain || !s.cluster_url.is_empty(), "sip.listen", || {
                    "the first listener has no certain address: listen on one, or set --cluster-url to \
                     this process's own address"
                        .into()
                });
            }
        }
    }

    fn streams(&mut self, s: &Settings) {
        for (path, shown) in [
            ("sip.advertise_tls", &s.sip.advertise_tls),
            ("sip.advertise_ws", &s.sip.advertise_ws),
            ("sip.advertise_wss", &s.sip.advertise_wss),
        ] {
            self.note(path, optional(shown, host));
        }
        for origin in &s.sip.origins {
            let host = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            let good = host.is_some_and(|host| !host.is_empty() && !host.trim_end_matches('/').contains('/'));
            self.unless(good, "sip.origins", || format!("expected https://HOST, found {origin:?}"));
        }
        for domain in &s.edge.trusted_domains {
            self.note("edge.trusted_domains", host(domain));
        }
        match streams(s) {
            Err(why) => self.0.push(("sip.listen", why)),
            Ok(listen) => {
                let wants = listen.iter().find(|listen| listen.transport.is_secure());
                let has = matches!(tls::files(s), Ok(Some(_)) | Err(_));
                self.unless(wants.is_none() || has, "sip.listen", || {
                    "a listener for TLS needs a certificate: give --tls-cert and --tls-key".into()
                });
            }
        }
        if runs_edge(s) {
            if let Err(tls::Unusable { path, why }) = tls::load(s) {
                self.0.push((path, why));
            }
            self.note("internal_tls", s.internal_tls.load().map(drop));
        }
    }

    fn mixers(&mut self, s: &Settings) {
        for mixer in &s.call_control.mixers {
            self.unless(conference::is_mixer(mixer), "call_control.mixers", || {
                format!(
                    "expected a sip or sips URI without user part, as sip:mixer.example.com, found {mixer:?}"
                )
            });
        }
        let server = &s.call_control.media_server;
        self.unless(server.is_empty() || conference::is_mixer(server), "call_control.media_server", || {
            format!(
                "expected a sip or sips URI without user part, as sip:media.example.com, found {server:?}"
            )
        });
        let music = &s.call_control.music_on_hold;
        let is_sip = ["sip:", "sips:"].iter().any(|scheme| music.starts_with(scheme));
        let can_be_called = is_sip && call_control::can_be_dialled(music);
        self.unless(music.is_empty() || can_be_called, "call_control.music_on_hold", || {
            format!("expected a sip or sips URI, as sip:music@media.example.com, found {music:?}")
        });
        let user = &s.call_control.conference_user;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        self.unless(user.len() <= 64 && user.chars().all(is_plain), "call_control.conference_user", || {
            format!("expected up to 64 letters, digits, '-', '_' and '.', found {user:?}")
        });
        let has_mixer = user.is_empty() || !s.call_control.mixers.is_empty();
        self.unless(has_mixer, "call_control.conference_user", || {
            "a conference needs a mixer: name one in call_control.mixers".into()
        });
        let factory = &s.call_control.conference_factory;
        let is_factory = factory.is_empty() || conference::elsewhere::is_factory(factory);
        self.unless(is_factory, "call_control.conference_factory", || {
            format!(
                "expected a sip or sips URI with a user part, as sip:conf-factory@conf.example.com, found {factory:?}"
            )
        });
        let most = conference::MAX_MIXERS;
        self.unless(s.call_control.mixers.len() <= most, "call_control.mixers", || {
            format!("expected at most {most}, found {}", s.call_control.mixers.len())
        });
    }

    fn dns(&mut self, s: &Settings) {
        self.note("dns.servers", name_servers::resolver(s).map(drop));
        let (least, most) = expected::bounds("dns.attempts");
        self.unless((least..=most).contains(&s.dns.attempts), "dns.attempts", || {
            format!("expected a whole number from {least} to {most}, found {}", s.dns.attempts)
        });
        // The caller's own patience: 64*T1 by default.
        let most = Duration::from_secs(32);
        self.unless(!s.dns.timeout.is_zero() && s.dns.timeout <= most, "dns.timeout", || {
            format!("expected more than 0s and at most {}", shown(most))
        });
    }

    fn domains(&mut self, s: &Settings) {
        self.note("auth", auth(&s.auth));
        for domain in &s.domain {
            self.note("domain", optional(&domain.auth, auth).map_err(|e| format!("{}: {e}", domain.name)));
            self.unless(!is_open(domain, s), "auth", || {
                format!(
                    "\"none\" for domain {} lets everybody register and call: listen on loopback, use digest, \
                     or set danger_open = true for the domain",
                    domain.name
                )
            });
        }
        // Built for its checks alone: it reads and writes nothing.
        let deps = registrar::Deps {
            store: Arc::new(MemoryStore::new(|| SystemClock.now())),
            entropy: Arc::new(SystemEntropy),
            metrics: Metrics::new(),
        };
        match Registrar::build(services::registrar_config(s), deps) {
            Ok(_) => {}
            Err(e @ registrar::ConfigError::Numbers(_)) => {
                self.0.push(("registrar.number_pools", e.to_string()));
            }
            Err(registrar::ConfigError::Expires) => self.0.push(("registrar", expiries(&s.registrar))),
            Err(e @ registrar::ConfigError::NoAlgorithm) => {
                self.0.push((
                    "registrar.algorithms",
                    format!("{e}: name at least one of SHA-512-256, SHA-256 and MD5"),
                ));
            }
            Err(e @ registrar::ConfigError::NoDomain) => {
                self.0.push(("domain", format!("{e}: name one, as --domain example.com does")));
            }
            // told with its own keys
            Err(registrar::ConfigError::Spending) => {}
            Err(e) => self.0.push(("domain", e.to_string())),
        }
    }

    fn call_control(&mut self, s: &Settings) {
        let tone = s.call_control.ringback_tone.as_str();
        self.unless(
            tone.is_empty() || call_control::TONES.contains(&tone),
            "call_control.ringback_tone",
            || format!("expected one of {}", call_control::TONES.join(", ")),
        );
        let target = s.call_control.callback_target.as_str();
        self.unless(
            target.is_empty() || call_control::can_be_dialled(target),
            "call_control.callback_target",
            || "expected a sip, sips or tel URI, for example sip:desk@example.com".to_owned(),
        );
        for (path, users) in [
            ("call_control.takers", &s.call_control.takers),
            ("call_control.pass_refer", &s.call_control.pass_refer),
        ] {
            let users = call_control::engine::claim::takers::Takers::new(users);
            self.unless(users.is_some(), path, || {
                "expected users, such as \"sip:desk@example.com\", or \"sip:*@example.com\" for all of a domain"
                    .into()
            });
        }
    }

    fn store(&mut self, s: &Settings) {
        // The URL may hold a password, so the error does not repeat it.
        let url = |url: &str| RedisStore::check(url, &stores::options(s));
        self.note("redis.url", optional(&s.redis.url, url));
    }

    fn times(&mut self, s: &Settings) {
        for (path, time) in [
            ("sip.t1", s.sip.t1),
            ("sip.t2", s.sip.t2),
            ("sip.t4", s.sip.t4),
            ("sip.connect_timeout", s.sip.connect_timeout),
            ("sip.handshake_timeout", s.sip.handshake_timeout),
            ("sip.message_timeout", s.sip.message_timeout),
            ("sip.write_timeout", s.sip.write_timeout),
            ("sip.idle_timeout", s.sip.idle_timeout),
            ("sip.stranger_timeout", s.sip.stranger_timeout),
            ("sip.websocket_ping", s.sip.websocket_ping),
            ("tls.reload", s.tls.reload),
            ("edge.ring_timeout", s.edge.ring_timeout),
            ("edge.dialog_lifetime", s.edge.dialog_lifetime),
            ("call_control.ring_timeout", s.call_control.ring_timeout),
            ("call_control.guard", s.call_control.guard),
            ("push.timeout", s.push.timeout),
            ("push.hold", s.push.hold),
            ("redis.wait_timeout", s.redis.wait_timeout),
        ] {
            self.unless(!time.is_zero(), path, || "expected more than 0s".into());
        }
        let longest = [
            ("drain", s.drain),
            ("sip.t1", s.sip.t1),
            ("sip.t2", s.sip.t2),
            ("sip.t4", s.sip.t4),
            ("edge.ring_timeout", s.edge.ring_timeout),
            ("edge.flow_timer", s.edge.flow_timer),
            ("edge.avoid_failed", s.edge.avoid_failed),
            ("edge.target_timeout", s.edge.target_timeout),
            ("edge.dialog_lifetime", s.edge.dialog_lifetime),
            ("dns.negative_ttl", s.dns.negative_ttl),
            ("call_control.ring_timeout", s.call_control.ring_timeout),
            ("call_control.guard", s.call_control.guard),
            ("push.timeout", s.push.timeout),
            ("push.hold", s.push.hold),
            ("redis.wait_timeout", s.redis.wait_timeout),
            ("registrar.max_expires", s.registrar.max_expires),
            ("presence.max_expires", s.presence.max_expires),
        ];
        for (path, time) in longest {
            self.unless(time <= LONGEST, path, || format!("expected at most {}", shown(LONGEST)));
        }
        self.unless(s.presence.min_expires <= s.presence.max_expires, "presence", || {
            let (least, most) = (shown(s.presence.min_expires), shown(s.presence.max_expires));
            format!(
                "min_expires is {least} and max_expires {most}: expected the first to be at most the second"
            )
        });
        self.unless(s.sip.t1 <= s.sip.t2, "sip", || {
            format!("t1 is {} and t2 {}: expected t1 to be at most t2", shown(s.sip.t1), shown(s.sip.t2))
        });
        let give_up = 64 * s.sip.t1.min(Duration::from_secs(3600));
        // A T1 of nothing was told already.
        self.unless(s.call_control.guard < give_up || give_up.is_zero(), "call_control.guard", || {
            format!(
                "it is {}: expected less than 64*T1 ({}), after which a phone gives up by itself",
                shown(s.call_control.guard),
                shown(give_up)
            )
        });
    }

    fn limits(&mut self, s: &Settings) {
        for (path, limit) in s.limits.all().into_iter().chain([("log.queue", s.log.queue)]) {
            let (least, most) = expected::bounds(path);
            self.unless((least..=most).contains(&limit), path, || {
                format!("expected a whole number from {least} to {most}, found {limit}")
            });
        }
    }
}

/// How long anything may take: no timer counts further than some decades.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

fn shown(time: Duration) -> impl std::fmt::Display {
    humantime_serde::re::humantime::format_duration(time)
}

fn expiries(s: &settings::Registrar) -> String {
    let (least, usual, most) = (shown(s.min_expires), shown(s.default_expires), shown(s.max_expires));
    format!(
        "min_expires is {least}, default_expires {usual} and max_expires {most}: expected each to be at most the next"
    )
}

fn optional<E>(text: &str, check: impl FnOnce(&str) -> Result<(), E>) -> Result<(), E> {
    if text.is_empty() { Ok(()) } else { check(text) }
}

/// ADDR:PORT, where ADDR may be a name of this machine.
fn place(text: &str) -> Result<(), String> {
    let good = text.parse::<SocketAddr>().is_ok()
        || text.rsplit_once(':').is_some_and(|(name, port)| {
            let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            // Digits and dots alone are meant to be an address, and this is none.
            let is_name = name.contains(|c: char| c.is_ascii_alphabetic()) && name.chars().all(letters);
            is_name && port.parse::<u16>().is_ok()
        });
    if good {
        Ok(())
    } else {
        Err(format!(
            "expected ADDR:PORT with a port from 0 to 65535, as 127.0.0.1:50051 or [::1]:50051, found {text:?}"
        ))
    }
}

/// HOST or HOST:PORT, as it stands in Via and Contact.
fn host(text: &str) -> Result<(), String> {
    let uri = format!("sip:{text}");
    let good = sip_message::Uri::parse(uri.as_bytes()).is_ok_and(|u| u.user.is_none() && u.params.is_empty());
    if good {
        Ok(())
    } else {
        Err(format!(
            "expected HOST or HOST:PORT, as sip.example.com, 192.0.2.1:5060 or [2001:db8::1]:5060, found {text:?}"
        ))
    }
}

fn auth(text: &str) -> Result<(), String> {
    match text {
        "digest" | "none" => Ok(()),
        _ => Err(format!("expected digest or none, found {text:?}")),
    }
}

fn runs_edge(s: &Settings) -> bool {
    roles::roles(&s.roles).is_ok_and(|roles| roles.contains(&Role::Edge))
}

/// Whether strangers could register and call.
fn is_open(domain: &Domain, s: &Settings) -> bool {
    let listens = listeners(&s.sip.listen, "").unwrap_or_default();
    runs_edge(s)
        && services::auth_of(domain, s) == "none"
        && !domain.danger_open
        && (listens.iter().any(|listen| !listen.address.ip().is_loopback())
            || streams(s).unwrap_or_default().iter().any(|listen| !listen.address.ip().is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(settings: &Settings) -> Vec<&'static str> {
        problems(settings).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn the_defaults_have_nothing_wrong() {
        assert_eq!(problems(&Settings::default()), []);
    }

    #[test]
    fn every_wrong_value_is_found_in_one_go() {
        let mut s = Settings {
            api: "garbage".into(),
            admin: "127.0.0.1:99999".into(),
            advertise: "a b".into(),
            auth: "basic".into(),
            peers: vec!["foo=http://127.0.0.1:1".into()],
            roles: vec!["edgy".into()],
            cluster_url: "127.0.0.1:1".into(),
            ..Settings::default()
        };
        s.sip.listen = vec!["127.0.0.1:5060".into()];
        s.registrar.min_expires = Duration::from_secs(9999);
        s.call_control.guard = Duration::from_secs(32);
        s.redis.url = "http://127.0.0.1".into();
        s.log.filter = "=,=".into();
        s.edge.trusted = vec!["10.0.0.0/99".into()];
        let found = paths(&s);
        for path in [
            "api",
            "admin",
            "advertise",
            "auth",
            "peers",
            "roles",
            "cluster_url",
            "sip.listen",
            "registrar",
            "call_control.guard",
            "redis.url",
            "log.filter",
            "edge.trusted",
        ] {
            assert!(found.contains(&path), "{path} is not among {found:?}");
        }
    }

    #[test]
    fn an_api_or_domains_that_would_be_open_to_the_world_are_refused() {
        let open = Settings { api: "0.0.0.0:50051".into(), ..Settings::default() };
        assert_eq!(paths(&open), ["api"]);
        let mut none = Settings { auth: "none".into(), ..Settings::default() };
        assert_eq!(problems(&none), []);
        none.sip.listen = vec!["udp://192.0.2.1:5060".into()];
        assert_eq!(paths(&none), ["auth"]);
        none.domain[0].danger_open = true;
        assert_eq!(problems(&none), []);
    }

    #[test]
    fn a_role_that_runs_apart_needs_its_peers_and_a_shared_store() {
        let apart = Settings { roles: vec!["call-control".into()], ..Settings::default() };
        assert_eq!(paths(&apart), ["peers", "redis.url"]);
    }
}

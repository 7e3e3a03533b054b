//! The settings of each service but the edge, from those of the process.

use call_control::engine::claim::takers::Takers;
use call_control::engine::conference::Mixing;
use call_control::engine::conference::record::Ends;
use call_control::engine::{Credential, Redirects};
use registrar::{Auth, DomainConfig, SpendingConfig};

use super::settings::{self, Domain, Settings};

/// How phones of a domain authenticate.
pub fn auth_of<'a>(domain: &'a Domain, settings: &'a Settings) -> &'a str {
    if domain.auth.is_empty() { &settings.auth } else { &domain.auth }
}

/// Settings of the registrar.
pub fn registrar_config(settings: &Settings) -> registrar::Config {
    let domain = |d: &Domain| DomainConfig {
        name: d.name.clone(),
        auth: if auth_of(d, settings) == "none" { Auth::None } else { Auth::Digest },
        realm: (!d.realm.is_empty()).then(|| d.realm.clone()),
        anchor: d.anchor,
        home_prefix: (!d.home_prefix.is_empty()).then(|| d.home_prefix.clone()),
    };
    registrar::Config {
        domains: settings.domain.iter().map(domain).collect(),
        default_expires: settings.registrar.default_expires,
        min_expires: settings.registrar.min_expires,
        max_expires: settings.registrar.max_expires,
        algorithms: settings.registrar.algorithms.clone(),
        max_bindings: settings.limits.bindings,
        cached_aors: settings.limits.cached_aors,
        push_providers: settings.push.providers.clone(),
        recurse: settings.registrar.recurse,
        danger_allow_no_qop: settings.registrar.danger_allow_no_qop,
        number_pools: settings.registrar.number_pools.iter().map(Into::into).collect(),
        call_control_users: service_users(settings),
        conferences: !settings.call_control.mixers.is_empty(),
        pushes_at_once: settings.limits.pushes,
        pushes_queued: settings.limits.pushes_queued,
        spending: SpendingConfig {
            timeout: settings.spending.timeout,
            silent: settings.spending.silent,
            at_once: settings.limits.spending_questions,
        },
        ..registrar::Config::default()
    }
}

/// User parts that are no users but services of call-control.
fn service_users(settings: &Settings) -> Vec<String> {
    let calls = &settings.call_control;
    let calls_back = !calls.callback_user.is_empty() && !calls.callback_target.is_empty();
    let callback = calls_back.then_some(&calls.callback_user);
    let factory = Some(&calls.conference_user).filter(|user| !user.is_empty());
    callback.into_iter().chain(factory).cloned().collect()
}

/// Settings of presence.
pub fn presence_config(settings: &Settings) -> presence::Config {
    presence::Config {
        min_expires: settings.presence.min_expires,
        max_expires: settings.presence.max_expires,
        watchers: settings.limits.watchers,
        members_elsewhere: settings.limits.members_elsewhere,
        tasks: settings.limits.presence_tasks,
        ..presence::Config::default()
    }
}

/// Settings of call-control.
pub fn call_control_config(settings: &Settings) -> call_control::Config {
    let credential = |known: &super::credential::Credential| Credential {
        realm: known.realm.clone(),
        username: known.username.clone(),
        password: known.password.expose().clone(),
    };
    let redirects = match settings.call_control.redirects {
        settings::Redirects::Domains => Redirects::within(settings.domain.iter().map(|d| d.name.as_str())),
        settings::Redirects::Anywhere => Redirects::Anywhere,
        settings::Redirects::Never => Redirects::Never,
    };
    let host = settings.domain.first().map_or("localhost", |d| d.name.as_str());
    call_control::Config {
        controller_uri: format!("sip:carillon@{host}"),
        host: host.to_string(),
        ring_timeout: settings.call_control.ring_timeout,
        guard: settings.call_control.guard,
        t1: settings.sip.t1,
        inactive_first: settings.call_control.inactive_first,
        ringback_tone: settings.call_control.ringback_tone.clone(),
        credentials: settings.call_control.credentials.iter().map(credential).collect(),
        redirects,
        mixing: Mixing {
            mixers: settings.call_control.mixers.clone(),
            factory: settings.call_control.conference_user.clone(),
            elsewhere: settings.call_control.conference_factory.clone(),
            ends: match settings.call_control.conference_end {
                settings::ConferenceEnd::Last => Ends::Last,
                settings::ConferenceEnd::Creator => Ends::Creator,
            },
        },
        media_server: settings.call_control.media_server.clone(),
        music_on_hold: settings.call_control.music_on_hold.clone(),
        reliable_provisional: settings.call_control.reliable_provisional,
        demand_timer: settings.call_control.demand_timer,
        callback_user: settings.call_control.callback_user.clone(),
        callback_target: settings.call_control.callback_target.clone(),
        callbacks: settings.limits.callbacks,
        callbacks_per_user: settings.limits.callbacks_per_user,
        // What is no pattern was refused with the settings
        takers: Takers::new(&settings.call_control.takers).unwrap_or_default(),
        referrers: Takers::new(&settings.call_control.pass_refer).unwrap_or_default(),
        watch_buffer: settings.limits.watch_buffer,
        cached_calls: settings.limits.cached_calls,
        tasks: settings.limits.call_tasks,
        ..call_control::Config::default()
    }
}

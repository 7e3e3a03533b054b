//! Which Redis: the URL, and how to get a connection to it.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::cluster::{ClusterClient, ClusterClientBuilder};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use ::redis::io::tcp::TcpSettings;
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, RedisResult, TlsCertificates, TlsMode, Value,
};

use super::options::RedisOptions;

/// The URL or a TLS file cannot be used. Never repeats the URL: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unusable Redis URL: {reason}")]
pub struct BadRedisUrl {
    /// What was expected.
    pub reason: String,
}

/// What may be written.
const FORMS: &str = "expected redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] (rediss:// with TLS), redis+sentinel://HOST:PORT,…/NAME, \
                     redis+cluster://HOST:PORT,… or unix:///PATH";

/// Host and port of a URL, without user, password and parameters.
pub(super) fn place(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    if rest.starts_with('/') {
        return rest.split('?').next().unwrap_or_default();
    }
    // A password may hold an @, and what stands behind the hosts may too.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts)
}

fn bad(reason: impl Into<String>) -> BadRedisUrl {
    BadRedisUrl { reason: reason.into() }
}

/// A Redis and how it is reached.
pub(super) enum Target {
    Single(Box<Client>),
    Sentinel(Arc<tokio::sync::Mutex<SentinelClient>>),
    /// The cluster, and one of its nodes for notifications, which every node passes on.
    Cluster(Box<ClusterClient>, Box<Client>),
}

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target {
    pub(super) fn parse(url: &str, options: &RedisOptions) -> Result<Target, BadRedisUrl> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad(FORMS));
        };
        match scheme {
            "redis" | "rediss" | "redis+unix" | "unix" => Ok(Target::Single(Box::new(single(url, options)?))),
            "redis+sentinel" | "rediss+sentinel" => {
                let sentinel = sentinel(rest, scheme.starts_with("rediss"), options)?;
                Ok(Target::Sentinel(Arc::new(tokio::sync::Mutex::new(sentinel))))
            }
            "redis+cluster" | "rediss+cluster" => cluster(rest, scheme.starts_with("rediss"), options),
            _ => Err(bad(FORMS)),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Target::Cluster(..))
    }

    /// Connects; `lost` is called when the connection ends (a cluster's connection heals itself).
    pub(super) async fn connect(
        &self,
        options: &RedisOptions,
        lost: impl Fn() + Send + Sync + 'static,
    ) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    lost();
                }
                Ok::<(), ::redis::aio::SendError>(())
            });
        let connection = match self {
            Target::Single(client) => {
                Connection::Node(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Target::Sentinel(sentinel) => {
                Connection::Node(sentinel.lock().await.get_async_connection_with_config(&config).await?)
            }
            Target::Cluster(client, _) => Connection::Cluster(client.get_async_connection().await?),
        };
        Ok(connection)
    }

    /// A client of a node that passes notifications on.
    pub(super) async fn notifier(&self) -> RedisResult<Client> {
        match self {
            Target::Single(client) | Target::Cluster(_, client) => Ok((**client).clone()),
            Target::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }
}

impl Connection {
    /// Sends commands that all belong to the slot of `key`; errors of single commands come as values.
    pub(super) async fn send(&mut self, pipeline: Pipeline, key: &str) -> RedisResult<Vec<Value>> {
        let count = pipeline.len();
        match self {
            Connection::Node(node) => node.send_packed_commands(&pipeline, 0, count).await,
            Connection::Cluster(cluster) => {
                let route = Route::with_key(key, SlotAddr::Master);
                cluster.route_pipeline(pipeline, 0, count, SingleNodeRoutingInfo::SpecificNode(route)).await
            }
        }
    }
}

fn certificates(options: &RedisOptions) -> TlsCertificates {
    TlsCertificates {
        client_tls: options
            .tls_identity
            .clone()
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
        root_cert: options.tls_ca.clone(),
    }
}

fn nodelay() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn single(url: &str, options: &RedisOptions) -> Result<Client, BadRedisUrl> {
    let explain = |error: RedisError| bad(error.category());
    let info = url.into_connection_info().map_err(|_| bad(FORMS))?.set_tcp_settings(nodelay());
    // RESP3 announces the end of a connection even while it is idle.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings);
    match info.addr() {
        ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, certificates(options)).map_err(explain),
        ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | _ => Client::open(info).map_err(explain),
    }
}

/// `[user:password@]host:port,host:port/master[/db]`
fn sentinel(rest: &str, tls: bool, options: &RedisOptions) -> Result<SentinelClient, BadRedisUrl> {
    let Authority { credentials, hosts, path } = authority(rest)?;
    let mut path = path.split('/');
    let master = path.next().filter(|master| !master.is_empty());
    let master =
        master.ok_or_else(|| bad("expected the master's name: redis+sentinel://host:port,…/NAME"))?;
    let addresses = hosts.into_iter().map(|(host, port)| match tls {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    });
    let explain = |error: RedisError| bad(error.category());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)
        .map_err(explain)?
        .set_client_to_redis_tcp_settings(nodelay())
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_sentinel_tcp_settings(nodelay());
    if let Some((user, password)) = credentials {
        if !user.is_empty() {
            builder = builder.set_client_to_redis_username(user);
        }
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(db) = path.next() {
        builder = builder.set_client_to_redis_db(db.parse().map_err(|_| bad("expected a database number"))?);
    }
    if tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates(options))
            .set_client_to_sentinel_certificates(certificates(options));
    }
    builder.build().map_err(explain)
}

/// `[user:password@]host:port,host:port`
fn cluster(rest: &str, tls: bool, options: &RedisOptions) -> Result<Target, BadRedisUrl> {
    let Authority { credentials, hosts, .. } = authority(rest)?;
    let scheme = if tls { "rediss" } else { "redis" };
    let explain = |error: RedisError| bad(error.category());
    let nodes: Result<Vec<ConnectionInfo>, _> = hosts
        .iter()
        .map(|(host, port)| format!("{scheme}://{host}:{port}").into_connection_info().map_err(explain))
        .collect();
    let mut builder = ClusterClientBuilder::new(nodes?)
        .tcp_settings(nodelay())
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.response_timeout)
        .overall_response_timeout(Some(options.response_timeout + Duration::from_millis(50)))
        .retries(1);
    let mut node = format!("{scheme}://{}:{}", hosts[0].0, hosts[0].1)
        .into_connection_info()
        .map_err(explain)?
        .set_tcp_settings(nodelay());
    if let Some((user, password)) = credentials {
        let mut settings = node.redis_settings().clone();
        if !user.is_empty() {
            builder = builder.username(&user);
            settings = settings.set_username(&user);
        }
        builder = builder.password(&password);
        node = node.set_redis_settings(settings.set_password(&password));
    }
    let node = if tls {
        builder = builder.tls(TlsMode::Secure).certs(certificates(options));
        Client::build_with_tls(node, certificates(options)).map_err(explain)?
    } else {
        Client::open(node).map_err(explain)?
    };
    Ok(Target::Cluster(Box::new(builder.build().map_err(explain)?), Box::new(node)))
}

/// What stands between `://` and the first question of the scheme.
struct Authority<'a> {
    credentials: Option<(String, String)>,
    hosts: Vec<(String, u16)>,
    path: &'a str,
}

/// Splits `[user:password@]host:port,host:port[/path]`.
fn authority(rest: &str) -> Result<Authority<'_>, BadRedisUrl> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, hosts) = match authority.rsplit_once('@') {
        None => (None, authority),
        Some((credentials, hosts)) => {
            let (user, password) =
                credentials.split_once(':').ok_or_else(|| bad("expected user:password before the @"))?;
            (Some((unescape(user)?, unescape(password)?)), hosts)
        }
    };
    let hosts: Option<Vec<_>> = hosts
        .split(',')
        .map(|host| {
            let (name, port) = host.rsplit_once(':')?;
            let name = name.trim_start_matches('[').trim_end_matches(']');
            Some((name.to_owned(), port.parse().ok()?)).filter(|(name, _): &(String, u16)| !name.is_empty())
        })
        .collect();
    let hosts = hosts.ok_or_else(|| bad("expected host:port, several of them separated by commas"))?;
    Ok(Authority { credentials, hosts, path })
}

/// Undoes percent-encoding.
fn unescape(text: &str) -> Result<String, BadRedisUrl> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            let octet = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            octets.push(octet.ok_or_else(|| bad("expected two hexadecimal digits after %"))?);
            rest = &tail[2..];
        } else {
            octets.push(first);
        }
    }
    String::from_utf8(octets).map_err(|_| bad("expected UTF-8 in user and password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_understood() {
        for url in [
            "redis://127.0.0.1:6379",
            "redis://user:p%40ss@redis.example/2",
            "rediss://redis.example:6380",
            "redis+sentinel://a:26379,b:26379,c:26379/mymaster",
            "redis+sentinel://:secret@[::1]:26379/mymaster/3",
            "rediss+sentinel://a:26379/mymaster",
            "redis+cluster://a:6379,b:6379",
            "rediss+cluster://u:p@a:6379",
            "unix:///run/redis.sock",
        ] {
            let result = Target::parse(url, &RedisOptions::default()).map(|_| ());
            assert_eq!(result, Ok(()), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "127.0.0.1:6379",
            "http://u:secret@x",
            "redis+sentinel://u:secret@a:26379",
            "redis+sentinel://u:secret@a/mymaster",
            "redis+cluster://u:se%zzcret@a:1",
            "redis+cluster://usecret@a:1",
            "redis+cluster://",
        ] {
            let error = Target::parse(url, &RedisOptions::default()).map(|_| ()).expect_err(url);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_place_that_a_log_shows_has_no_password() {
        for (url, expected) in [
            ("redis://127.0.0.1:6379/2", "127.0.0.1:6379"),
            ("redis://user:p%40ss@redis.example", "redis.example"),
            ("redis+sentinel://:s@[::1]:26379,b:1/mymaster/3", "[::1]:26379,b:1"),
            ("unix:///run/redis.sock?pass=secret", "/run/redis.sock"),
        ] {
            assert_eq!(place(url), expected);
        }
    }

    #[test]
    fn credentials_are_unescaped() {
        let Authority { credentials, hosts, path } =
            authority("us%3Aer:p%40ss@h:1,[::1]:2/m/4").expect("valid");
        assert_eq!(credentials, Some(("us:er".into(), "p@ss".into())));
        assert_eq!(hosts, [("h".into(), 1), ("::1".into(), 2)]);
        assert_eq!(path, "m/4");
    }
}

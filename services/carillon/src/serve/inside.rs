//! Where this process serves other than SIP, and where it knows the other services and the store to be: no phone is led there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::settings::Settings;

/// How long a name may take: the start does not wait for what others have to set right.
const PATIENCE: Duration = Duration::from_secs(2);

/// The listeners that are bound, and the addresses that the settings name now. A name that leads elsewhere later is not followed.
pub async fn addresses(settings: &Settings, bound: [SocketAddr; 2]) -> Vec<SocketAddr> {
    let mut found = bound.to_vec();
    let peers = settings.peers.iter().filter_map(|peer| Some(peer.split_once('=')?.1));
    let urls = peers.chain([settings.cluster_url.as_str(), settings.redis.url.as_str()]);
    for place in urls.flat_map(places) {
        if let Ok(Ok(addresses)) = timeout(PATIENCE, lookup_host(&place)).await {
            found.extend(addresses);
        }
    }
    found
}

/// Each `host:port` of a URL, which may name several. What has no host, a socket of this host, names none.
fn places(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ if scheme.ends_with("sentinel") => 26379,
        _ => 6379,
    };
    let has_port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = |host: &str| if has_port(host) { host.to_owned() } else { format!("{host}:{port}") };
    hosts.split(',').filter(|host| !host.is_empty()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_each_of_its_places() {
        for (url, expected) in [
            ("http://10.0.0.1:50051", &["10.0.0.1:50051"][..]),
            ("redis://user:p@ss@redis.example/3", &["redis.example:6379"]),
            ("rediss+sentinel://:secret@a:1,b/master/0", &["a:1", "b:26379"]),
            ("redis+cluster://[fd00::1]:7000,10.0.0.2:7001", &["[fd00::1]:7000", "10.0.0.2:7001"]),
            ("unix:///run/redis.sock", &[]),
            ("", &[]),
        ] {
            assert_eq!(places(url), expected, "{url}");
        }
    }

    /// PXY-27
    #[tokio::test]
    async fn listeners_services_and_store_are_inside() {
        let mut settings = Settings {
            cluster_url: "http://192.0.2.1:50051".into(),
            peers: vec!["registrar=http://192.0.2.2:50052".into()],
            ..Settings::default()
        };
        settings.redis.url = "redis://192.0.2.3".into();
        let bound: [SocketAddr; 2] = ["0.0.0.0:50051", "0.0.0.0:9090"].map(|text| text.parse().unwrap());
        let found: Vec<String> =
            addresses(&settings, bound).await.iter().map(SocketAddr::to_string).collect();
        let expected =
            ["0.0.0.0:50051", "0.0.0.0:9090", "192.0.2.2:50052", "192.0.2.1:50051", "192.0.2.3:6379"];
        assert_eq!(found, expected);
    }
}

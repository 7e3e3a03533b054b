//! A server by TLS that proves to be somebody else.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use cluster_api::registrar::v1::{Fork, Group, Target};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use sip_endpoint::{Answer, CertificateFiles, Dns, ListenStream, Tls, TlsFiles, Transport};
use sip_message::HeaderId;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::forwarding::INVITE;
use crate::legs::invite;
use crate::peer::values;
use crate::rig::Rig;
use crate::services::{FakeLocation, fork_to};

/// Every name is this host.
struct Here;

impl Dns for Here {
    fn addresses<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

/// SEC-02, PXY-19, F16: the caller, and call-control for its leg, hear 502 and what is wrong with which certificate; the connection is
/// closed, and counted.
#[tokio::test]
async fn a_server_that_does_not_prove_its_domain_is_a_bad_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, of_another, out_of_date, of_a_stranger] = certificates(folder.path());
    for (theirs, fault, event) in [
        (of_another, "not one of far.example", "tls_foreign_servers"),
        (out_of_date, "out of date, looking for far.example", "tls_expired_servers"),
        (
            of_a_stranger,
            "an authority that is not known here, looking for far.example",
            "tls_unknown_authorities",
        ),
    ] {
        let far = Rig::configured(FakeLocation::planning(|_| fork_to(&[])), |config| {
            let address = "127.0.0.1:0".parse().unwrap();
            config.endpoint.tls = Some(theirs);
            config.endpoint.streams.push(ListenStream {
                transport: Transport::Tls,
                address,
                advertise: None,
            });
        })
        .await;
        let uri = format!("sip:bob@far.example:{};transport=tls", far.listens(Transport::Tls).port());
        let location = FakeLocation::planning(move |_| -> Plan { fork_to(std::slice::from_ref(&uri)) });
        let ours = ours.clone();
        let rig = Rig::resolving(location, Arc::new(Here), |config| config.endpoint.tls = Some(ours)).await;
        let alice = rig.peer().await;
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let refused = alice.receive_status(502).await;
        let warning = values(&refused, HeaderId::Warning).remove(0);
        assert!(warning.starts_with("399 carillon") && warning.contains(fault), "{warning}");
        assert_eq!(rig.counted("sip_total", event), 1);
        assert_eq!(rig.counted("branch_failures_total", "transport"), 1);

        rig.carry(1, Effect::Send(invite())).await;
        let What::Response(told) = rig.events.next_what().await else { panic!("a status") };
        assert_eq!((told.status, told.reason.as_str()), (502, "Bad Gateway"));
    }
}

/// SEC-02, F16: so is a server that speaks no TLS of ours; the caller hears what it is and whom it was taken for.
#[tokio::test]
async fn a_server_without_tls_is_a_bad_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, ..] = certificates(folder.path());
    for (said, fault) in [
        (&b"garbage\r\n"[..], "no TLS 1.2 or later, looking for far.example"),
        (&[0x15, 3, 2, 0, 2, 2, 70], "no TLS 1.2 or later, looking for far.example"),
        (&[0x15, 3, 3, 0, 2, 2, 40], "refuses TLS with this one, looking for far.example"),
        (&[], "does not finish its TLS handshake, looking for far.example"),
    ] {
        let (rig, listening) = rig_toward("sip:bob@far.example:PORT;transport=tls", ours.clone()).await;
        let alice = rig.peer().await;
        alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
        let (mut stream, _) = listening.accept().await.unwrap();
        stream.write_all(said).await.unwrap();
        stream.shutdown().await.unwrap();
        let refused = alice.receive_status(502).await;
        let warning = values(&refused, HeaderId::Warning).remove(0);
        assert!(warning.starts_with("399 carillon") && warning.contains(fault), "{warning}");
        assert_eq!(rig.counted("sip_total", "tls_unspoken_servers"), 1);
    }
}

/// TRN-09, PXY-19: a call to `sips` that leads to where no TLS is to be had says so, whichever way it was led there. RFC 5630 6.4
#[tokio::test]
async fn a_sips_call_that_leads_to_clear_text_alone_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, ..] = certificates(folder.path());
    for (uri, status, expected) in [
        ("sips:bob@127.0.0.1:PORT", 480, "380 carillon \"By TLS only names are called"),
        ("sip:bob@127.0.0.1:PORT;transport=tls", 480, "399 carillon \"By TLS only names are called"),
        (
            "sips:bob@far.example:PORT",
            500,
            "399 carillon \"No server of far.example takes a connection by TLS",
        ),
    ] {
        let (rig, listening) = rig_toward(uri, ours.clone()).await;
        drop(listening);
        let alice = rig.peer().await;
        alice.request("INVITE sips:bob@example.com", "a1", &INVITE).await;
        let refused = alice.receive_status(status).await;
        let warning = values(&refused, HeaderId::Warning).remove(0);
        assert!(warning.starts_with(expected), "{uri}: {warning}");
    }
    // Without certificates of ours there is no TLS at all.
    let location = FakeLocation::planning(|_| -> Plan { fork_to(&["sips:bob@far.example".to_owned()]) });
    let rig = Rig::resolving(location, Arc::new(Here), |_| {}).await;
    let alice = rig.peer().await;
    alice.request("INVITE sips:bob@example.com", "a1", &INVITE).await;
    let refused = alice.receive_status(480).await;
    assert_eq!(values(&refused, HeaderId::Warning), ["380 carillon \"SIPS Not Allowed\""]);
}

/// An edge whose registrar leads to a URI with the port of a listener.
async fn rig_toward(uri: &str, ours: Arc<Tls>) -> (Rig, TcpListener) {
    let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listening.local_addr().unwrap().port().to_string();
    // by nothing but its URI
    let target = Target { uri: uri.replace("PORT", &port), ..Target::default() };
    let location = FakeLocation::planning(move |_| {
        let group = Group { targets: vec![target.clone()], ring_time: None, cause: "contact".into() };
        Plan::Fork(Fork { groups: vec![group], recurse: false })
    });
    let rig = Rig::resolving(location, Arc::new(Here), |config| config.endpoint.tls = Some(ours)).await;
    (rig, listening)
}

/// Ours, and three of servers: that of `other.example`, one that ended in 2001, and one of another authority.
fn certificates(folder: &Path) -> [Arc<Tls>; 4] {
    let authority = || {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        (authority.self_signed(&key).unwrap().pem(), Issuer::new(authority, key))
    };
    let ((known, ours), (_, unknown)) = (authority(), authority());
    let authorities = folder.join("ca.pem");
    fs::write(&authorities, known).unwrap();
    let issued = |file: &str, name: &str, issuer: &Issuer<'_, KeyPair>, until: i32| {
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(vec![name.to_owned()]).unwrap();
        own.not_after = date_time_ymd(until, 1, 1);
        let files = CertificateFiles {
            domains: Vec::new(),
            certificate: folder.join(format!("{file}.crt")),
            key: folder.join(format!("{file}.key")),
        };
        fs::write(&files.certificate, own.signed_by(&key, issuer).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        let authorities = Some(authorities.clone());
        Tls::load(TlsFiles { certificates: vec![files], authorities, client: None }).unwrap()
    };
    [
        issued("ours", "example.com", &ours, 2999),
        issued("another", "other.example", &ours, 2999),
        issued("late", "far.example", &ours, 2001),
        issued("stranger", "far.example", &unknown, 2999),
    ]
}

//! A server by TLS that proves to be somebody else.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use cluster_api::callcontrol::v1::leg_event::What;
use cluster_api::edge::v1::carry_request::What as Effect;
use cluster_api::registrar::v1::route_response::Plan;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sip_endpoint::{Answer, CertificateFiles, Dns, ListenStream, Tls, TlsFiles, Transport};
use sip_message::HeaderId;

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

/// SEC-02, PXY-19: the caller, and call-control for its leg, hear 502 and which name did not match; the connection is closed, and counted.
#[tokio::test]
async fn a_server_with_the_certificate_of_another_domain_is_a_bad_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs] = certificates(folder.path());
    let far = Rig::configured(FakeLocation::planning(|_| fork_to(&[])), |config| {
        let address = "127.0.0.1:0".parse().unwrap();
        config.endpoint.tls = Some(theirs);
        config.endpoint.streams.push(ListenStream { transport: Transport::Tls, address, advertise: None });
    })
    .await;
    let uri = format!("sip:bob@far.example:{};transport=tls", far.listens(Transport::Tls).port());
    let location = FakeLocation::planning(move |_| -> Plan { fork_to(std::slice::from_ref(&uri)) });
    let rig = Rig::resolving(location, Arc::new(Here), |config| config.endpoint.tls = Some(ours)).await;
    let alice = rig.peer().await;
    alice.request("INVITE sip:bob@example.com", "a1", &INVITE).await;
    let refused = alice.receive_status(502).await;
    let warning = values(&refused, HeaderId::Warning).remove(0);
    assert!(warning.starts_with("399 carillon") && warning.contains("not one of far.example"), "{warning}");
    assert_eq!(rig.counted("sip_total", "tls_foreign_servers"), 1);
    assert_eq!(rig.counted("branch_failures_total", "transport"), 1);

    rig.carry(1, Effect::Send(invite())).await;
    let What::Response(told) = rig.events.next_what().await else { panic!("a status") };
    assert_eq!((told.status, told.reason.as_str()), (502, "Bad Gateway"));
}

/// Ours, and that of `other.example`, of one authority.
fn certificates(folder: &std::path::Path) -> [Arc<Tls>; 2] {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authorities = Some(folder.join("ca.pem"));
    fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    ["example.com", "other.example"].map(|name| {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let files = CertificateFiles {
            domains: Vec::new(),
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        fs::write(&files.certificate, own.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        Tls::load(TlsFiles { certificates: vec![files], authorities: authorities.clone(), client: None })
            .unwrap()
    })
}

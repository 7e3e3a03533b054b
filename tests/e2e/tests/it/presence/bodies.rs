//! The bodies that subscriptions are told, read by a parser that nobody here wrote and held against the schemas of the RFCs.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use cluster_api::presence::v1::resource_lists_client::ResourceListsClient;
use cluster_api::presence::v1::watcher_policy::Action;
use cluster_api::presence::v1::{CreateListRequest, ListMember, ResourceList};
use test_support::Carillon;

use super::people::{PIDF, allow, publish};
use super::watcher::{Told, Watcher};
use super::{register, user};
use crate::wire::{header, status};

/// Has them read; the types of the documents that were found right.
///
/// # Panics
/// When one is not right, with what is wrong.
pub fn read(told: &[&Told]) -> Vec<String> {
    let done = reading(told);
    let (said, wrong) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{wrong}\n{told:#?}");
    said.lines().map(str::to_owned).collect()
}

fn reading(told: &[&Told]) -> Output {
    let body =
        |told: &&Told| serde_json::json!({ "type": header(&told.text, "Content-Type"), "body": told.body });
    let bodies = serde_json::Value::Array(told.iter().map(body).collect());
    let mut reader = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/read_bodies.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is installed (make test installs it)");
    reader.stdin.take().expect("stdin is piped").write_all(bodies.to_string().as_bytes()).expect("it reads");
    reader.wait_with_output().expect("it ends")
}

/// PRS-05, WIN-01, PKG-01, PKG-03, RLS-02, RLS-03, EVT-13: what is told of a user whose name, notes and publications are full of what XML has to
/// escape. A reader that took anything would be no proof: it refuses the same documents with a word changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_body_is_read_by_a_parser_of_others() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let (alice, bob) = (user(&carillon, "alice"), user(&carillon, "bob"));
    allow(&carillon, &[("bob", Action::Allow), ("aunt", Action::PoliteBlock)]).await;
    let document = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:x=\"urn:x\" entity=\"sip:alice@localhost\">\
        <tuple id=\"desk\"><status><basic>open</basic><x:a b='\"'/></status><contact priority='0.5'>sip:a@h;p=&lt;</contact>\
        <note xml:lang=\"de\">\u{fc}ber &amp; &lt;unter&gt;</note><timestamp>2026-11-21T00:00:00Z</timestamp></tuple>\
        <note>]]&gt;</note><x:person/></presence>"
        .replace("sip:a@h;p=&lt;", "sip:a@h;p=1");
    assert_eq!(status(&publish(&alice, &[PIDF], &document)), 200);
    let noted =
        ["presence", "publish", "sip:alice@localhost", "--state", "open", "--note", "\"<&>' \u{1f514}"];
    let noted = carillon.command(&noted);
    assert!(noted.status.success(), "{}", String::from_utf8_lossy(&noted.stderr));
    let members = ["sip:alice@localhost", "sip:nobody@localhost"];
    let member = |uri: &&str| ListMember { uri: (*uri).to_owned(), display_name: "<A&B>".to_owned() };
    let list = ResourceList {
        list_uri: "sip:team@localhost".to_owned(),
        display_name: "\"us\" & <them>".to_owned(),
        members: members.iter().map(member).collect(),
        ..ResourceList::default()
    };
    let mut client = ResourceListsClient::connect(carillon.api.clone()).await.unwrap();
    let request = CreateListRequest { request_id: String::new(), list: Some(list) };
    client.create_list(request).await.expect("a list");

    let mut told = Vec::new();
    let mut begin = |watcher: &str, resource: &str, package: &str, more: &[&str]| {
        let mut watcher = Watcher::new(&carillon, watcher, resource, package, more);
        let answer = watcher.subscribe(600);
        assert_eq!(status(&answer), 200, "{answer}");
        told.push(watcher.told());
        watcher
    };
    let winfo = begin("alice", "alice", "presence.winfo", &[]);
    let reg = begin("alice", "alice", "reg", &[]);
    let dialogs = begin("alice", "alice", "dialog", &[]);
    let knows_lists =
        ["Supported: eventlist", "Accept: application/pidf+xml, application/rlmi+xml, multipart/related"];
    let _list = begin("bob", "team", "presence", &knows_lists);
    for watcher in ["bob", "aunt", "stranger"] {
        begin(watcher, "alice", "presence", &[]);
    }
    // And what changes: a watcher more, a contact more, a call that rings and is refused.
    told.push(winfo.until(|told| told.body.contains("pending")));
    let further = crate::wire::Wire::of(&carillon);
    assert_eq!(status(&register(&further, "alice", "Expires: 600")), 200);
    told.push(reg.told());
    let contact = format!("Contact: <sip:bob@{}>", bob.address());
    let lines = ["From: \"B <&> b\" <sip:bob@localhost>;tag=b", "To: <sip:alice@localhost>", &contact];
    bob.request("INVITE sip:alice@localhost", &lines);
    let invite = alice.receive_request("INVITE");
    alice.respond(&invite, "486 Busy Here", &[]);
    let invite = further.receive_request("INVITE");
    further.respond(&invite, "180 Ringing", &[&format!("Contact: <sip:alice@{}>", further.address())]);
    told.push(dialogs.until(|told| told.body.contains("<dialog ")));
    further.respond(&invite, "603 Decline", &[]);
    told.push(dialogs.until(|told| told.body.contains("terminated")));

    let told: Vec<&Told> = told.iter().collect();
    let read = read(&told);
    for kind in ["pidf", "watcherinfo", "reginfo", "dialog-info", "rlmi"] {
        assert!(read.contains(&format!("application/{kind}+xml")), "{kind}: {read:?}");
    }
    for (good, bad) in [
        ("<basic>open<", "<basic>ajar<"),
        ("</tuple>", "</tuple >&undefined;"),
        (" entity=", " whose="),
        ("status=\"pending\"", "status=\"perhaps\""),
        ("<uri>", "<display-name/><uri>"),
        (" fullState=", " full="),
        ("cid=\"", "cid=\"x"),
    ] {
        let broken = told.iter().find(|told| told.body.contains(good)).unwrap_or_else(|| panic!("no {good}"));
        let broken = Told { body: broken.body.replace(good, bad), ..(*broken).clone() };
        assert!(!reading(&[&broken]).status.success(), "{bad} is taken: {broken:?}");
    }
}

/// T27: what entities, document types and encodings can be used for is refused with 400 and its reason, at once, and the process goes on.
#[test]
fn tricks_with_entities_are_refused() {
    let carillon = Carillon::serve(&["--auth", "none"]);
    let alice = user(&carillon, "alice");
    let presence = |note: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@localhost\">\
             <tuple id=\"t\"><status><basic>open</basic></status><note>{note}</note></tuple></presence>"
        )
    };
    let levels: String =
        (1..12).map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))).collect();
    let outside = "<!ENTITY x SYSTEM \"file:///etc/hostname\">";
    for (name, document) in [
        ("a billion laughs", format!("<!DOCTYPE p [<!ENTITY l0 \"ha\">{levels}]>{}", presence("&l11;"))),
        ("an external entity", format!("<!DOCTYPE p [{outside}]>{}", presence("&x;"))),
        (
            "a document type of elsewhere",
            format!("<!DOCTYPE p SYSTEM \"http://127.0.0.1/p.dtd\">{}", presence("n")),
        ),
        (
            "a parameter entity",
            format!("<!DOCTYPE p [<!ENTITY % p \"<!ENTITY q 'r'>\"> %p;]>{}", presence("&q;")),
        ),
        ("an entity that nobody defined", presence("&x;")),
        ("a character that there is not", presence("&#x110000;")),
        ("a document type within", presence("<!DOCTYPE p []>")),
        ("another encoding", format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{}", presence("n")) + "\0"),
        ("no end", presence("n").replace("</presence>", "")),
    ] {
        let answer = publish(&alice, &[PIDF], &document);
        assert_eq!(status(&answer), 400, "{name}: {answer}");
        assert!(answer.starts_with("SIP/2.0 400 Bad Presence Document ("), "{name}: {answer}");
    }
    let shown = carillon.command(&["presence", "show", "sip:alice@localhost"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(!shown.contains("ha") && status(&publish(&alice, &[PIDF], &presence("n"))) == 200, "{shown}");
}

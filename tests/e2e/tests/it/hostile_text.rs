//! Line ends and NUL in every string of every rpc that is carried out, as the descriptors list them.
//!
//! Each request is a valid one with a single field spoilt by appending that field once more: by the rules of protobuf the last
//! value counts, messages merge, and lists and maps grow.

use cluster_api::callcontrol::v1 as cc;
use cluster_api::edge::v1 as edge;
use cluster_api::registrar::v1 as registrar;
use cluster_api::sip::v1::Header;
use cluster_api::trace::v1 as trace;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};
use test_support::Carillon;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// What ends a line, or a string.
const HOSTILE: [&str; 4] = ["a\rb", "a\nb", "a\0b", "a\r\nVia: SIP/2.0/UDP evil"];

/// Fields that take any text, because it reaches no message, no log line and no record.
const HARMLESS: [(&str, &str); 3] = [
    // Output only, and not looked at.
    ("CreateAccount", "account.etag"),
    // Compared with what is there.
    ("ListAccounts", "filter.domain"),
    ("ListAccounts", "filter.contains"),
];

/// T19: each spoilt string is refused, and the refusal names the field or says that there is no such thing.
#[tokio::test]
async fn no_string_of_any_rpc_may_hold_the_end_of_a_line() {
    let carillon = Carillon::all_in_one();
    carillon.account("sip:alice@localhost", "secret");
    let set = FileDescriptorSet::decode(cluster_api::DESCRIPTORS).unwrap();
    let channel = Channel::from_shared(carillon.api.clone()).unwrap().connect().await.unwrap();
    let mut wrong = Vec::new();
    let mut spoilt = 0;
    for (service, rpc, request) in rpcs() {
        let input = input_of(&set, service, rpc);
        for field in strings_of(&set, &input) {
            for text in HOSTILE {
                let mut bytes = request.clone();
                field.append(text, &mut bytes);
                spoilt += 1;
                let answer = ask(&channel, service, rpc, bytes).await;
                if let Some(why) = fault(rpc, &field.name, answer) {
                    wrong.push(format!("{rpc} {} {text:?}: {why}", field.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {spoilt}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(spoilt > 150, "{spoilt} strings were found");
}

/// Every rpc of applications that this version carries out, with a valid request.
fn rpcs() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let party = |uri: &str| Some(cc::Party { uri: uri.into(), ..cc::Party::default() });
    let dial = cc::DialRequest {
        from: party("sip:alice@localhost"),
        to: party("sip:bob@localhost"),
        ..cc::DialRequest::default()
    };
    let account = registrar::Account {
        aor: "sip:carol@localhost".into(),
        password: "secret".into(),
        ..registrar::Account::default()
    };
    let known = registrar::Account { aor: "sip:alice@localhost".into(), ..registrar::Account::default() };
    let binding = registrar::AddBindingRequest {
        aor: "sip:alice@localhost".into(),
        contact_uri: "sip:alice@192.0.2.1".into(),
        ..registrar::AddBindingRequest::default()
    };
    let aor = || "sip:alice@localhost".to_owned();
    let calls = "carillon.callcontrol.v1.CallControl";
    let accounts = "carillon.registrar.v1.Accounts";
    let bindings = "carillon.registrar.v1.Bindings";
    let edges = "carillon.edge.v1.Edges";
    vec![
        (calls, "Dial", dial.encode_to_vec()),
        (calls, "GetCall", cc::GetCallRequest::default().encode_to_vec()),
        (calls, "ListCalls", cc::ListCallsRequest::default().encode_to_vec()),
        (calls, "WatchCalls", cc::WatchCallsRequest::default().encode_to_vec()),
        (calls, "Hangup", cc::HangupRequest { call_id: "c".into(), ..Default::default() }.encode_to_vec()),
        (calls, "Hold", cc::HoldRequest { call_id: "c".into(), ..Default::default() }.encode_to_vec()),
        (calls, "PlayAnnouncement", crate::media::play_request("", "c", "a", None).encode_to_vec()),
        (calls, "Unhold", cc::UnholdRequest { call_id: "c".into(), ..Default::default() }.encode_to_vec()),
        (
            accounts,
            "CreateAccount",
            registrar::CreateAccountRequest { account: Some(account), ..Default::default() }.encode_to_vec(),
        ),
        (accounts, "GetAccount", registrar::GetAccountRequest { aor: aor() }.encode_to_vec()),
        (accounts, "ListAccounts", registrar::ListAccountsRequest::default().encode_to_vec()),
        (
            accounts,
            "UpdateAccount",
            registrar::UpdateAccountRequest { account: Some(known), ..Default::default() }.encode_to_vec(),
        ),
        (
            accounts,
            "DeleteAccount",
            registrar::DeleteAccountRequest { aor: "sip:nobody@localhost".into(), ..Default::default() }
                .encode_to_vec(),
        ),
        (
            bindings,
            "ListBindings",
            registrar::ListBindingsRequest { aor: aor(), ..Default::default() }.encode_to_vec(),
        ),
        (bindings, "AddBinding", binding.encode_to_vec()),
        (
            bindings,
            "RemoveBinding",
            registrar::RemoveBindingRequest { aor: aor(), ..Default::default() }.encode_to_vec(),
        ),
        (bindings, "WatchBindings", registrar::WatchBindingsRequest::default().encode_to_vec()),
        (edges, "ListEdges", edge::ListEdgesRequest::default().encode_to_vec()),
        (
            edges,
            "DrainEdge",
            edge::DrainEdgeRequest { request_id: "r".into(), edge_id: "e".into() }.encode_to_vec(),
        ),
        (
            edges,
            "UndrainEdge",
            edge::UndrainEdgeRequest { request_id: "r".into(), edge_id: "e".into() }.encode_to_vec(),
        ),
        (edges, "QueryCapabilities", edge::QueryCapabilitiesRequest::default().encode_to_vec()),
        ("carillon.trace.v1.Traces", "GetLadder", trace::GetLadderRequest::default().encode_to_vec()),
    ]
}

/// Why the answer is not as it should be.
fn fault(rpc: &str, field: &str, answer: Result<(), Status>) -> Option<String> {
    let Err(status) = answer else {
        return (!HARMLESS.contains(&(rpc, field))).then(|| "accepted".to_owned());
    };
    let details = status.get_error_details();
    let names_field = details.bad_request().is_some_and(|bad| {
        let violations = bad.field_violations.iter();
        // The refusal may name the list or map in which it is.
        violations
            .into_iter()
            .any(|violation| violation.field.starts_with(field) || field.starts_with(&violation.field))
    });
    match status.code() {
        Code::AlreadyExists if HARMLESS.contains(&(rpc, field)) => None,
        Code::InvalidArgument if names_field => None,
        Code::InvalidArgument => Some(format!("the field is not named: {}", status.message())),
        // What is only looked up is not there.
        Code::NotFound if field.ends_with("_id") || field == "aor" => None,
        // A part that this version does not carry out.
        Code::Unimplemented if field == "leg_id" => None,
        code => Some(format!("{code:?}: {}", status.message())),
    }
}

/// A string somewhere in a message: the numbers of the fields on the way, and its path.
struct Field {
    numbers: Vec<i32>,
    name: String,
}

impl Field {
    fn append(&self, text: &str, message: &mut Vec<u8>) {
        let mut encoded = text.as_bytes().to_vec();
        for (depth, number) in self.numbers.iter().rev().enumerate() {
            let mut outer = Vec::new();
            if depth == 0 && self.name.ends_with("headers[0].value") {
                // A header has a name before its value is looked at.
                outer = Header { name: "X-Test".into(), ..Header::default() }.encode_to_vec();
            }
            prost::encoding::encode_key(
                u32::try_from(*number).unwrap(),
                prost::encoding::WireType::LengthDelimited,
                &mut outer,
            );
            prost::encoding::encode_varint(encoded.len() as u64, &mut outer);
            outer.extend(&encoded);
            encoded = outer;
        }
        message.extend(encoded);
    }
}

fn input_of(set: &FileDescriptorSet, service: &str, rpc: &str) -> String {
    let (package, name) = service.rsplit_once('.').unwrap();
    let file = set
        .file
        .iter()
        .find(|file| file.package() == package && file.service.iter().any(|service| service.name() == name));
    let service = file.unwrap().service.iter().find(|service| service.name() == name).unwrap();
    service.method.iter().find(|method| method.name() == rpc).unwrap().input_type().to_owned()
}

fn message_of<'a>(set: &'a FileDescriptorSet, name: &str) -> Option<&'a DescriptorProto> {
    set.file.iter().find_map(|file| {
        let rest = name.strip_prefix(&format!(".{}.", file.package()))?;
        let mut parts = rest.split('.');
        let first = parts.next()?;
        let outer = file.message_type.iter().find(|message| message.name() == first)?;
        parts.try_fold(outer, |outer, part| outer.nested_type.iter().find(|inner| inner.name() == part))
    })
}

/// Every string within a message; lists at the place behind those that a valid request has.
fn strings_of(set: &FileDescriptorSet, message: &str) -> Vec<Field> {
    let Some(message) = message_of(set, message) else { return Vec::new() };
    let mut found = Vec::new();
    for field in &message.field {
        let is_list = field.label() == Label::Repeated;
        let name = if is_list && !is_map(set, field) {
            format!("{}[0]", field.name())
        } else {
            field.name().to_owned()
        };
        match field.r#type() {
            Type::String => {
                found.push(Field { numbers: vec![field.number()], name });
            }
            Type::Message => found.extend(strings_of(set, field.type_name()).into_iter().map(|inner| {
                let numbers = [vec![field.number()], inner.numbers].concat();
                let name = if is_map(set, field) { name.clone() } else { format!("{name}.{}", inner.name) };
                Field { numbers, name }
            })),
            _ => {}
        }
    }
    found
}

fn is_map(set: &FileDescriptorSet, field: &prost_types::FieldDescriptorProto) -> bool {
    field.r#type() == Type::Message
        && message_of(set, field.type_name())
            .and_then(|message| message.options.as_ref())
            .is_some_and(|options| options.map_entry())
}

/// One call of any rpc, with a request that is encoded already; of a stream, its first message.
async fn ask(channel: &Channel, service: &str, rpc: &str, request: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.expect("the server is there");
    let path = format!("/{service}/{rpc}").parse().unwrap();
    let mut request = Request::new(request);
    request.set_timeout(test_support::PATIENCE);
    let mut stream = client.server_streaming(request, path, Raw).await?.into_inner();
    stream.message().await.map(drop)
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(into, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(from);
        Ok(Some(bytes::Buf::copy_to_bytes(from, length).to_vec()))
    }
}

//! The conventions that every contract in `proto/` keeps: comments, zero values, one request message for each rpc.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::generated::compiled;

/// Field numbers within descriptors, of which the paths of source locations are made (descriptor.proto).
mod number {
    pub const FILE_MESSAGE: i32 = 4;
    pub const FILE_ENUM: i32 = 5;
    pub const FILE_SERVICE: i32 = 6;
    pub const MESSAGE_FIELD: i32 = 2;
    pub const MESSAGE_NESTED: i32 = 3;
    pub const MESSAGE_ENUM: i32 = 4;
    pub const MESSAGE_ONEOF: i32 = 8;
    pub const ENUM_VALUE: i32 = 2;
    pub const SERVICE_METHOD: i32 = 2;
}

#[test]
fn every_message_field_rpc_and_enum_value_has_a_comment() {
    let mut bare = Vec::new();
    for file in ours(&compiled()) {
        let mut walk = Walk::new(&file);
        walk.file();
        assert!(walk.visited > 0, "{} declares nothing", file.name());
        bare.extend(walk.bare);
    }
    assert!(bare.is_empty(), "without a comment: {bare:#?}");
}

#[test]
fn the_zero_value_of_every_enum_is_unspecified() {
    let mut wrong = Vec::new();
    for file in ours(&compiled()) {
        for (name, definition) in enums(&file) {
            let first = definition.value.first().expect("an enum has a value");
            if first.number() != 0 || !first.name().ends_with("_UNSPECIFIED") {
                wrong.push(format!("{name}.{}", first.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_rpc_has_a_request_message_of_its_own_named_after_it() {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in ours(&compiled()) {
        for service in &file.service {
            for method in &service.method {
                let request = method.input_type().rsplit('.').next().unwrap_or_default();
                assert_eq!(request, format!("{}Request", method.name()), "{}", service.name());
                let rpc = format!("{}.{}", service.name(), method.name());
                users.entry(method.input_type().to_owned()).or_default().push(rpc);
            }
        }
    }
    users.retain(|_, rpcs| rpcs.len() > 1);
    assert!(users.is_empty(), "shared request messages: {users:#?}");
}

#[test]
fn the_folder_of_a_file_is_its_package() {
    for file in ours(&compiled()) {
        let folder = file.name().rsplit_once('/').map(|(folder, _)| folder.replace('/', "."));
        assert_eq!(folder.as_deref(), Some(file.package()), "{}", file.name());
    }
}

#[test]
fn the_checked_in_descriptors_are_what_reflection_serves() {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(cluster_api::DESCRIPTORS)
        .build_v1()
        .map(drop)
        .expect("complete descriptors, imports included");
}

fn ours(files: &FileDescriptorSet) -> Vec<FileDescriptorProto> {
    let ours: Vec<_> =
        files.file.iter().filter(|file| file.package().starts_with("carillon.")).cloned().collect();
    assert!(!ours.is_empty(), "no contracts found");
    ours
}

fn enums(file: &FileDescriptorProto) -> Vec<(String, &EnumDescriptorProto)> {
    fn of<'a>(message: &'a DescriptorProto, found: &mut Vec<(String, &'a EnumDescriptorProto)>) {
        let name = message.name();
        found.extend(message.enum_type.iter().map(|inner| (format!("{name}.{}", inner.name()), inner)));
        message.nested_type.iter().for_each(|nested| of(nested, found));
    }
    let mut found: Vec<_> = file.enum_type.iter().map(|inner| (inner.name().to_owned(), inner)).collect();
    file.message_type.iter().for_each(|message| of(message, &mut found));
    found
}

/// Goes through a file and notes what has no comment in front of it.
struct Walk<'a> {
    file: &'a FileDescriptorProto,
    commented: HashSet<&'a [i32]>,
    visited: usize,
    bare: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let locations = &file.source_code_info.as_ref().expect("compiled with comments").location;
        let comments: HashMap<&[i32], bool> = locations
            .iter()
            .map(|location| (&location.path[..], !location.leading_comments().trim().is_empty()))
            .collect();
        let commented = comments.into_iter().filter(|(_, there)| *there).map(|(path, _)| path).collect();
        Self { file, commented, visited: 0, bare: Vec::new() }
    }

    fn file(&mut self) {
        let file = self.file;
        for (index, message) in (0..).zip(&file.message_type) {
            self.message(&[number::FILE_MESSAGE, index], "", message);
        }
        for (index, definition) in (0..).zip(&file.enum_type) {
            self.enumeration(&[number::FILE_ENUM, index], "", definition);
        }
        for (index, service) in (0..).zip(&file.service) {
            let path = [number::FILE_SERVICE, index];
            self.visit(&path, service.name());
            for (index, method) in (0..).zip(&service.method) {
                let name = format!("{}.{}", service.name(), method.name());
                self.visit(&below(&path, number::SERVICE_METHOD, index), &name);
            }
        }
    }

    fn message(&mut self, path: &[i32], outer: &str, message: &DescriptorProto) {
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return; // made by the compiler for a map field
        }
        let name = format!("{outer}{}", message.name());
        self.visit(path, &name);
        for (index, field) in (0..).zip(&message.field) {
            let path = below(path, number::MESSAGE_FIELD, index);
            self.visit(&path, &format!("{name}.{}", field.name()));
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            if !oneof.name().starts_with('_') {
                // The others are made by the compiler for optional fields.
                let path = below(path, number::MESSAGE_ONEOF, index);
                self.visit(&path, &format!("{name}.{}", oneof.name()));
            }
        }
        let outer = format!("{name}.");
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(&below(path, number::MESSAGE_NESTED, index), &outer, nested);
        }
        for (index, definition) in (0..).zip(&message.enum_type) {
            self.enumeration(&below(path, number::MESSAGE_ENUM, index), &outer, definition);
        }
    }

    fn enumeration(&mut self, path: &[i32], outer: &str, definition: &EnumDescriptorProto) {
        let name = format!("{outer}{}", definition.name());
        self.visit(path, &name);
        for (index, value) in (0..).zip(&definition.value) {
            let path = below(path, number::ENUM_VALUE, index);
            self.visit(&path, &format!("{name}.{}", value.name()));
        }
    }

    fn visit(&mut self, path: &[i32], name: &str) {
        self.visited += 1;
        if !self.commented.contains(path) {
            self.bare.push(format!("{}: {name}", self.file.name()));
        }
    }
}

fn below(path: &[i32], field: i32, index: i32) -> Vec<i32> {
    [path, &[field, index]].concat()
}

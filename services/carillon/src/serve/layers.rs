//! Settings as they come: from the file, the environment and the flags, each value with its origin.
//!
//! Nothing stops at the first mistake: everything that is wrong is told at once, so that one more start is enough.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;
use toml::de::{DeTable, DeValue};

use super::cluster_url::{bracketed, bracketed_host};
use super::settings::Settings;
use super::{domain_tables, expected, problems, unknown};

/// Everything that is wrong with the settings, in words for the operator.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("\n          "))]
pub struct Problems(pub Vec<String>);

/// What was given so far; a later layer wins over an earlier one.
pub struct Layers {
    known: Vec<(String, Value)>,
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
}

struct Given {
    origin: String,
    value: Value,
}

impl Layers {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self { known: known(), given: BTreeMap::new(), problems: Vec::new() }
    }

    /// Every key but the domain tables, with its default as an example of its type.
    pub fn known(&self) -> &[(String, Value)] {
        &self.known
    }

    /// Notes something that is wrong.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Takes a value of `path` ("section.key") over, when the key exists and the value has its type.
    pub fn put(&mut self, path: &str, origin: String, value: Value) {
        let default = self.known.iter().find(|(known, _)| known == path).map(|(_, default)| default);
        if path != "domain" && default.is_none() {
            let why = self.unknown(path);
            return self.problems.push(format!("{origin}: {why}"));
        }
        // On its own, so that one bad value does not hide another.
        let alone = table([(path, &value)]);
        match alone.try_into::<Settings>() {
            Ok(_) => {
                self.given.insert(path.to_owned(), Given { origin, value });
            }
            Err(_) => {
                let why = expected::instead(path, default, &value);
                self.problems.push(format!("{origin}: {why}"));
            }
        }
    }

    /// What is wrong with a name that is no key.
    fn unknown(&self, path: &str) -> String {
        let is_section = |name: &str| self.known.iter().any(|(known, _)| section_of(known) == Some(name));
        if is_section(path) {
            return format!("{path} is a section: write [{path}] in a line of its own, and its keys below");
        }
        if section_of(path) == Some("domain") {
            return "domains are a list: write [[domain]], once for each".to_owned();
        }
        let keys = || self.known.iter().map(|(known, _)| known.as_str());
        let of_a_section = || keys().filter_map(section_of).chain(["domain"]);
        match path.split_once('.') {
            Some((section, name)) if is_section(section) => {
                let beside = || keys().filter_map(|key| key.strip_prefix(section)?.strip_prefix('.'));
                match unknown::nearest(name, beside()) {
                    Some(near) => format!("unknown key, did you mean `{section}.{near}`?"),
                    None => format!("unknown key, the keys of [{section}] are {}", in_a_row(beside())),
                }
            }
            Some((section, _)) => match unknown::nearest(path, keys()) {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => unknown::message("section", section, of_a_section()),
            },
            None => match unknown::nearest(path, keys().chain(of_a_section())) {
                Some(near) => format!("unknown key, did you mean `{near}`?"),
                None => format!("unknown key, the sections are {}", in_a_row(of_a_section())),
            },
        }
    }

    /// Takes the keys of a TOML file over.
    pub fn read(&mut self, path: &Path) {
        let name = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) => {
                return self.problem(format!("--config (or CARILLON_CONFIG) {name}: cannot be read: {e}"));
            }
        };
        let (values, places) = match (toml::from_str::<toml::Table>(&text), DeTable::parse(&text)) {
            (Ok(values), Ok(places)) => (values, places.into_inner()),
            (Err(e), _) | (_, Err(e)) => {
                // The line itself is not repeated: it may hold a secret.
                let line = e.span().map_or(0, |span| line_of(&text, span.start));
                return self.problem(format!("{name} line {line}: {}", in_words(e.message())));
            }
        };
        for (key, place) in &places {
            let origin = |path: &str, at: usize| format!("{name} line {}, {path}", line_of(&text, at));
            let value = &values[key.get_ref().as_ref()];
            let is_key = self.known.iter().any(|(known, _)| known == key.get_ref().as_ref());
            match (place.get_ref(), value) {
                (DeValue::Table(inner), Value::Table(section)) if !is_key => {
                    for key_of_section in inner.keys() {
                        let within = key_of_section.get_ref().as_ref();
                        let path = format!("{}.{within}", key.get_ref());
                        let origin = origin(&path, key_of_section.span().start);
                        self.put(&path, origin, section[within].clone());
                    }
                }
                (DeValue::Array(tables), _) if key.get_ref() == "domain" => {
                    let found = domain_tables::problems(tables);
                    if found.is_empty() {
                        self.put("domain", origin("domain", key.span().start), value.clone());
                    }
                    self.problems.extend(
                        found.into_iter().map(|(at, path, why)| format!("{}: {why}", origin(&path, at))),
                    );
                }
                _ => self.put(key.get_ref(), origin(key.get_ref(), key.span().start), value.clone()),
            }
        }
    }

    /// The settings, when nothing is wrong with them.
    ///
    /// # Errors
    /// Everything that is.
    pub fn finish(mut self) -> Result<Settings, Problems> {
        let all = table(self.given.iter().map(|(path, given)| (path.as_str(), &given.value)));
        match all.try_into::<Settings>() {
            Ok(mut settings) => {
                settings.cluster_url = bracketed(&settings.cluster_url);
                settings.advertise = bracketed_host(&settings.advertise);
                let found = problems::problems(&settings);
                let told = found.into_iter().map(|(path, why)| format!("{}: {why}", self.origin(path)));
                self.problems.extend(told.collect::<Vec<_>>());
                if self.problems.is_empty() { Ok(settings) } else { Err(Problems(self.problems)) }
            }
            Err(e) => {
                self.problems.push(e.message().to_owned());
                Err(Problems(self.problems))
            }
        }
    }

    /// Where the value of a key, or the values of a section, came from; its name when it is the default.
    fn origin(&self, path: &str) -> String {
        let section = format!("{path}.");
        let origins = self.given.iter().filter(|(given, _)| *given == path || given.starts_with(&section));
        let origins: Vec<&str> = origins.map(|(_, given)| given.origin.as_str()).collect();
        if origins.is_empty() { path.to_owned() } else { origins.join(", ") }
    }
}

/// Each of the names once; those of a section stand together.
fn in_a_row<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    names.join(", ")
}

/// "sip" of "sip.listen".
fn section_of(path: &str) -> Option<&str> {
    path.split_once('.').map(|(section, _)| section)
}

/// What the reader of the file format says, where it speaks of its own types.
fn in_words(message: &str) -> &str {
    if message.starts_with("invalid type: integer") { "this number is too large" } else { message }
}

/// The default settings, flattened.
fn known() -> Vec<(String, Value)> {
    let defaults = toml::Table::try_from(Settings::default())
        .expect("the default settings are plain TOML: the tests of this module convert them");
    let mut keys = Vec::new();
    for (name, value) in defaults {
        match value {
            Value::Table(section) => {
                keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ if name == "domain" => {}
            value => keys.push((name, value)),
        }
    }
    keys
}

fn table<'a>(values: impl IntoIterator<Item = (&'a str, &'a Value)>) -> toml::Table {
    let mut table = toml::Table::new();
    for (path, value) in values {
        match path.split_once('.') {
            Some((section, key)) => {
                let entry = table.entry(section).or_insert_with(|| toml::Table::new().into());
                if let Some(inner) = entry.as_table_mut() {
                    inner.insert(key.to_owned(), value.clone());
                }
            }
            None => {
                table.insert(path.to_owned(), value.clone());
            }
        }
    }
    table
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|octet| *octet == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<Settings, Problems> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut layers = Layers::new();
        layers.read(file.path());
        layers.finish()
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_line() {
        let problems = read("api = 5\n[edge]\nring_timeot = \"6s\"\n[sip]\nt1 = \"5\"\n").unwrap_err().0;
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("line 1")), "{problems:?}");
        let unknown = problems.iter().find(|p| p.contains("line 3")).unwrap();
        assert!(unknown.contains("did you mean `edge.ring_timeout`"), "{unknown}");
        assert!(problems.iter().any(|p| p.contains("line 5")), "{problems:?}");
    }

    /// What is near is looked for in the section first, and what stands in no section among all.
    #[test]
    fn an_unknown_name_is_told_with_the_nearest_known_one() {
        let told = |text: &str| read(text).unwrap_err().to_string();
        for (text, expected) in [
            ("[domian]\nname = \"a.example\"\n", "did you mean `domain`"),
            ("[sipp]\nt1 = \"1s\"\n", "did you mean `sip.t1`"),
            ("[presence]\nmin_expire = \"90s\"\n", "did you mean `presence.min_expires`"),
            ("[limits]\nladder_mesages = 1\n", "did you mean `limits.ladder_messages`"),
            ("[limits]\nzzzzzzzzzzzzzzzzzzzzzz = 1\n", "the keys of [limits] are "),
            ("zzzzzzzzzzzz = 1\n", "the sections are "),
        ] {
            assert!(told(text).contains(expected), "{text}: {}", told(text));
        }
    }

    #[test]
    fn a_domain_table_is_read_and_an_unknown_key_in_it_is_named() {
        assert_eq!(read("[[domain]]\nname = \"a.example\"\n").unwrap().domain[0].name, "a.example");
        let problems = read("[[domain]]\nnam = \"a.example\"\n").unwrap_err().to_string();
        assert!(problems.contains("did you mean `name`"), "{problems}");
    }

    /// T22
    #[test]
    fn a_line_that_is_no_toml_is_not_repeated() {
        let problems = read("id = \"x\"\ncluster_token = s3cret\n").unwrap_err().to_string();
        assert!(problems.contains("line 2") && !problems.contains("s3cret"), "{problems}");
    }

    #[test]
    fn a_wrong_value_names_where_it_was_given() {
        let problems = read("[registrar]\nmin_expires = \"9h\"\n").unwrap_err().to_string();
        assert!(problems.contains("line 2") && problems.contains("min_expires"), "{problems}");
    }
}

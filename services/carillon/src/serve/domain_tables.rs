//! The `[[domain]]` tables of the file: which of their keys are none, and which hold the wrong kind of value.

use toml::de::{DeArray, DeValue};

use super::unknown;

/// The keys of a domain, and whether each is a switch; the others are text.
const KEYS: [(&str, bool); 8] = [
    ("name", false),
    ("auth", false),
    ("realm", false),
    ("danger_open", true),
    ("anchor", true),
    ("home_prefix", false),
    ("tls_cert", false),
    ("tls_key", false),
];

/// What is wrong with the kinds of these tables: where in the file, the key, and why.
pub fn problems(tables: &DeArray<'_>) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for table in tables {
        let DeValue::Table(keys) = table.get_ref() else {
            let why = "expected tables [[domain]] with name = \"…\"".to_owned();
            found.push((table.span().start, "domain".to_owned(), why));
            continue;
        };
        for (key, value) in keys {
            let (name, at) = (key.get_ref().as_ref(), key.span().start);
            let why = match (KEYS.iter().find(|(known, _)| *known == name), value.get_ref()) {
                (None, _) => unknown::message("key", name, KEYS.iter().map(|(known, _)| *known)),
                (Some((_, true)), DeValue::Boolean(_)) | (Some((_, false)), DeValue::String(_)) => continue,
                (Some((_, true)), _) => "expected true or false".to_owned(),
                (Some((_, false)), _) => "expected text in quotes".to_owned(),
            };
            found.push((at, format!("domain.{name}"), why));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::layers::Layers;
    use super::super::settings::Domain;
    use super::KEYS;

    fn told(text: &str) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut layers = Layers::new();
        layers.read(file.path());
        layers.finish().err().map(|problems| problems.0).unwrap_or_default()
    }

    #[test]
    fn a_mistake_in_a_domain_table_is_told_with_the_line_of_its_key() {
        for (text, line, why) in [
            (
                "[[domain]]\nname = \"a\"\n[[domain]]\nnam = \"b\"\n",
                "line 4, domain.nam: ",
                "did you mean `name`?",
            ),
            ("[[domain]]\nname = 5\n", "line 2, domain.name: ", "expected text in quotes"),
            (
                "[[domain]]\nname = \"a\"\ndanger_open = \"yes\"\n",
                "line 3, domain.danger_open: ",
                "true or false",
            ),
            ("domain = [\"a\"]\n", "line 1, domain: ", "expected tables [[domain]]"),
            ("domain = \"a\"\n", "line 1, domain: ", "expected tables [[domain]]"),
            ("[domain]\nname = \"a\"\n", "line 2, domain.name: ", "write [[domain]]"),
        ] {
            let told = told(text);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(line) && told[0].contains(why), "{told:?}");
        }
    }

    /// Every key of a domain is taken from a file, with a value of its kind.
    #[test]
    fn each_key_of_a_domain_may_be_given() {
        let toml::Value::Table(domain) = toml::Value::try_from(Domain::default()).unwrap() else { panic!() };
        let known: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        for (key, default) in &domain {
            assert!(known.contains(&key.as_str()), "{key}");
            let value = if key == "name" { "\"b\"".to_owned() } else { default.to_string() };
            let name = if key == "name" { "" } else { "name = \"a\"\n" };
            let all = told(&format!("[[domain]]\n{name}{key} = {value}\n"));
            assert_eq!(all, Vec::<String>::new());
        }
        assert_eq!(domain.len(), KEYS.len());
    }

    #[test]
    fn a_section_that_is_no_table_is_told_how_to_be_one() {
        for text in ["sip = 5\n", "[[sip]]\nlisten = [\"udp://127.0.0.1:1\"]\n", "limits = []\n"] {
            let told = told(text);
            assert!(told[0].contains("line 1") && told[0].contains("is a section: write ["), "{told:?}");
        }
        assert!(told("[egde]\na = 1\n")[0].contains("unknown section `egde`, did you mean `edge`?"));
        assert!(told("roles = { edge = true }\n")[0].contains("expected a list of edge, registrar"));
        assert!(
            told("[limits]\nforks = 99999999999999999999\n")[0].ends_with("line 2: this number is too large")
        );
    }
}

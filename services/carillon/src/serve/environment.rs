//! `CARILLON_…` variables: one for each flag of `serve`, and `CARILLON_SECTION_KEY` for each key of the file.

use super::layers::Layers;
use super::unknown;

/// Variables that client commands, the phone, the image and the tests of this repository use; not settings of `serve`.
const NOT_SETTINGS: [&str; 8] =
    ["API_URL", "TOKEN", "CONFIG", "PHONE_PASSWORD", "ACCOUNT_PASSWORD", "IMAGE", "BINARY", "WITHOUT_DOCKER"];

/// Variables that stand for a flag rather than for a key of that name, and the key behind them.
const FLAGS: [(&str, &str); 3] = [("DOMAIN", "domain"), ("SIP", "sip.listen"), ("REDIS", "redis.url")];

/// Takes over what the environment says. A variable that begins with `CARILLON_` and is no setting, or whose value has
/// the wrong type, is a problem.
pub fn apply(layers: &mut Layers, environment: impl Iterator<Item = (String, String)>) {
    let mut variables: Vec<(String, String)> = environment.collect();
    variables.sort();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix("CARILLON_") else { continue };
        if NOT_SETTINGS.contains(&key) || is_service_link(key, &text) {
            continue;
        }
        let flag = FLAGS.iter().find(|(flag, _)| *flag == key).map(|(_, path)| (*path).to_owned());
        let path = flag.or_else(|| {
            layers.known().iter().map(|(path, _)| path).find(|path| variable(path) == key).cloned()
        });
        let Some(path) = path else {
            let keys = layers.known().iter().map(|(path, _)| variable(path));
            let flags = FLAGS.iter().map(|(flag, _)| *flag).chain(NOT_SETTINGS).map(String::from);
            let names: Vec<String> = keys.chain(flags).collect();
            let why = match unknown::nearest(key, names.iter().map(String::as_str)) {
                Some(near) => format!("unknown variable, did you mean `CARILLON_{near}`?"),
                None => "unknown variable".to_owned(),
            };
            layers.problem(format!("{name}: {why}"));
            continue;
        };
        let example = layers.known().iter().find(|(known, _)| *known == path).map(|(_, example)| example);
        let value = match example {
            Some(example) => typed(example, &text),
            None => domains(&split(&text)),
        };
        layers.put(&path, name, value);
    }
}

/// `[[domain]]` tables with just a name.
pub fn domains(names: &[String]) -> toml::Value {
    let table = |name: &String| toml::Table::from_iter([("name".to_string(), name.clone().into())]);
    toml::Value::Array(names.iter().map(table).map(toml::Value::Table).collect())
}

/// Kubernetes describes each Service of the namespace to every pod in variables of this shape.
fn is_service_link(key: &str, value: &str) -> bool {
    key.contains("_SERVICE_HOST")
        || key.contains("_SERVICE_PORT")
        || (key.contains("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://")))
        || ["_TCP_PROTO", "_UDP_PROTO", "_TCP_ADDR", "_UDP_ADDR", "_TCP_PORT", "_UDP_PORT"]
            .iter()
            .any(|end| key.ends_with(end))
}

fn variable(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

/// The text as a value of the key's kind. What is none stays text, which the key then refuses.
fn typed(example: &toml::Value, text: &str) -> toml::Value {
    match example {
        toml::Value::Integer(_) => text.parse::<i64>().map_or_else(|_| text.into(), Into::into),
        toml::Value::Boolean(_) => text.parse::<bool>().map_or_else(|_| text.into(), Into::into),
        toml::Value::Array(_) => split(text).into(),
        toml::Value::String(_) | toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            text.into()
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let mut layers = Layers::new();
        apply(&mut layers, variables.iter().map(|(name, text)| (name.to_string(), text.to_string())));
        layers.finish().err().map(|problems| problems.0).unwrap_or_default()
    }

    #[test]
    fn every_key_of_the_file_has_a_variable_of_its_own() {
        let layers = Layers::new();
        let mut names: Vec<String> = layers.known().iter().map(|(path, _)| variable(path)).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.contains(&"CALL_CONTROL_GUARD".to_string()));
        assert!(FLAGS.iter().all(|(flag, _)| !names.iter().any(|name| name == flag)));
    }

    #[test]
    fn a_value_of_the_wrong_type_says_what_was_expected() {
        let told = problems(&[("CARILLON_REDIS_WAIT_REPLICAS", "many")]);
        let expected = "expected a whole number from 0 to 4294967295, or \"auto\", found other text";
        assert_eq!(told, [format!("CARILLON_REDIS_WAIT_REPLICAS: {expected}")]);
        let told = problems(&[("CARILLON_LIMITS_FORKS", "many")]);
        let expected = "expected a whole number from 1 to 1000000000, found other text";
        assert_eq!(told, [format!("CARILLON_LIMITS_FORKS: {expected}")]);
    }

    #[test]
    fn the_nearest_variable_is_named_among_flags_and_keys_alike() {
        let told = problems(&[
            ("CARILLON_DOMAINN", "x"),
            ("CARILLON_SIP_T11", "1s"),
            ("CARILLON_TOKN", "x"),
            ("CARILLON_ZZZZZZZZZZZZ", "x"),
        ]);
        let expected = [
            "CARILLON_DOMAINN: unknown variable, did you mean `CARILLON_DOMAIN`?",
            "CARILLON_SIP_T11: unknown variable, did you mean `CARILLON_SIP_T1`?",
            "CARILLON_TOKN: unknown variable, did you mean `CARILLON_TOKEN`?",
            "CARILLON_ZZZZZZZZZZZZ: unknown variable",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn variables_that_kubernetes_and_the_tests_set_are_no_settings() {
        assert_eq!(problems(&[("CARILLON_API_SERVICE_HOST", "10.0.0.1")]), [""; 0]);
        let of_tests = ["BINARY", "IMAGE", "WITHOUT_DOCKER"].map(|name| format!("CARILLON_{name}"));
        assert_eq!(problems(&of_tests.each_ref().map(|name| (name.as_str(), "1"))), [""; 0]);
    }
}

//! `CARILLON_…` variables: one for each flag of `serve`, and `CARILLON_SECTION_KEY` for each key of the file.

use super::settings::{Settings, SettingsError, domains, set_in};
use super::unknown;

/// Variables that client commands, the phone and the image use, and Kubernetes sets; not settings of `serve`.
const NOT_SETTINGS: [&str; 5] = ["API_URL", "TOKEN", "CONFIG", "PHONE_PASSWORD", "ACCOUNT_PASSWORD"];

/// Puts what the environment says into `table`.
///
/// # Errors
/// A variable that begins with `CARILLON_` and is no setting, or whose value has the wrong type.
pub fn apply(
    table: &mut toml::Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), SettingsError> {
    let known = known();
    for (name, value) in environment {
        let Some(key) = name.strip_prefix("CARILLON_") else { continue };
        if NOT_SETTINGS.contains(&key) || is_service_link(key, &value) {
            continue;
        }
        match key {
            "DOMAIN" => {
                table.insert("domain".into(), domains(&split(&value)));
                continue;
            }
            "SIP" => {
                set_in(table, "sip", "listen", Some(split(&value).into()));
                continue;
            }
            "REDIS" => {
                set_in(table, "redis", "url", Some(value.into()));
                continue;
            }
            _ => {}
        }
        let Some((path, example)) = known.iter().find(|(path, _)| variable(path) == key) else {
            let names: Vec<String> = known.iter().map(|(p, _)| format!("CARILLON_{}", variable(p))).collect();
            let why = unknown::message("variable", &name, names.iter().map(String::as_str));
            return Err(SettingsError::Wrong { origin: "environment".into(), why });
        };
        let value = typed(example, &value).map_err(|expected| SettingsError::Wrong {
            origin: "environment".into(),
            why: format!("{name}: expected {expected}, found \"{value}\""),
        })?;
        match path.split_once('.') {
            Some((section, key)) => set_in(table, section, key, Some(value)),
            None => {
                table.insert(path.clone(), value);
            }
        }
    }
    Ok(())
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

/// Every key of the file but the domain tables, with its default as an example of its type.
fn known() -> Vec<(String, toml::Value)> {
    let defaults = toml::Table::try_from(Settings::default())
        .expect("the default settings are plain TOML: the tests of this module convert them");
    let mut keys = Vec::new();
    for (name, value) in defaults {
        match value {
            toml::Value::Table(section) => {
                keys.extend(section.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ if name == "domain" => {}
            value => keys.push((name, value)),
        }
    }
    keys
}

fn variable(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

fn typed(example: &toml::Value, text: &str) -> Result<toml::Value, &'static str> {
    match example {
        toml::Value::Integer(_) => text.parse::<i64>().map(Into::into).map_err(|_| "a number"),
        toml::Value::Boolean(_) => text.parse::<bool>().map(Into::into).map_err(|_| "true or false"),
        toml::Value::Array(_) => Ok(split(text).into()),
        toml::Value::String(_) | toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            Ok(text.into())
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_file_has_a_variable_of_its_own() {
        let mut names: Vec<String> = known().iter().map(|(path, _)| variable(path)).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.contains(&"CALL_CONTROL_GUARD".to_string()));
    }

    #[test]
    fn a_value_of_the_wrong_type_says_what_was_expected() {
        let mut table = toml::Table::new();
        let variables = [("CARILLON_REDIS_WAIT_REPLICAS".to_string(), "many".to_string())];
        let e = apply(&mut table, variables.into_iter()).unwrap_err().to_string();
        assert!(e.contains("expected a number"), "{e}");
    }
}

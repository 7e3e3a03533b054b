//! Credentials with which Carillon answers challenges to the legs that it dials.

use serde::{Deserialize, Serialize};
use telemetry::Redacted;

/// A user name and password for one realm, of a gateway or a proxy that challenges calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Credential {
    /// The realm, as the challenge has it.
    pub realm: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Redacted<String>,
}

impl TryFrom<toml::Value> for Credential {
    type Error = &'static str;

    /// The error says what was expected and never repeats a value: it may be the password.
    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected tables [[call_control.credentials]] with realm, username and password";
        let toml::Value::Table(mut table) = value else { return Err(EXPECTED) };
        let mut text = |name: &str| match table.remove(name) {
            Some(toml::Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(EXPECTED),
        };
        let found =
            Self { realm: text("realm")?, username: text("username")?, password: text("password")?.into() };
        if table.is_empty() { Ok(found) } else { Err(EXPECTED) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;

    fn told(text: &str) -> Result<usize, String> {
        let mut layers = Layers::new();
        let table: toml::Table = toml::from_str(text).unwrap();
        layers.put("call_control.credentials", "line 1".into(), table["credentials"].clone());
        layers.finish().map(|settings| settings.call_control.credentials.len()).map_err(|e| e.to_string())
    }

    #[test]
    fn credentials_are_whole_or_refused_without_a_word_of_them() {
        let whole = "realm = \"gw\"\nusername = \"u\"\npassword = \"s3cret\"\n";
        assert_eq!(told(&format!("[[credentials]]\n{whole}[[credentials]]\n{whole}")), Ok(2));
        for broken in [
            "credentials = [\"s3cret\"]".to_owned(),
            "[[credentials]]\nrealm = \"gw\"\npassword = \"s3cret\"".to_owned(),
            "[[credentials]]\nrealm = \"gw\"\nusername = \"\"\npassword = \"s3cret\"".to_owned(),
            format!("[[credentials]]\n{whole}passwort = \"s3cret\""),
        ] {
            let told = told(&broken).unwrap_err();
            assert!(told.contains("realm, username and password") && !told.contains("s3cret"), "{told}");
        }
    }
}

//! What a phone can do, as its Contact says, and what a caller asks for: feature tags, RFC 3840 5 and 9.

/// Tags that need no `+` before them. RFC 3840 9
const BASE: [&str; 19] = [
    "audio",
    "automata",
    "class",
    "duplex",
    "data",
    "control",
    "mobility",
    "description",
    "events",
    "priority",
    "methods",
    "extensions",
    "schemes",
    "application",
    "video",
    "language",
    "type",
    "isfocus",
    "text",
];

/// One tag with the values it may have; any of them will do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feature {
    tag: String,
    values: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
struct Value {
    is_negated: bool,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Boolean(bool),
    Token(String),
    Text(String),
    /// From, to.
    Number(f64, f64),
}

/// The features among header parameters, each "name" or "name=value".
pub(crate) fn features<'a>(params: impl Iterator<Item = &'a str>) -> Vec<Feature> {
    params.filter_map(Feature::parse).collect()
}

impl Feature {
    /// A single token of a tag, as a request itself shows it: its method, its event package.
    pub(crate) fn token(tag: &str, value: &str) -> Self {
        let kind = Kind::Token(value.to_ascii_lowercase());
        Self { tag: tag.to_owned(), values: vec![Value { is_negated: false, kind }] }
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// `None` for a parameter that is no feature.
    fn parse(param: &str) -> Option<Self> {
        let (name, value) = param.split_once('=').map_or((param, None), |(name, value)| (name, Some(value)));
        let tag = name.trim().to_ascii_lowercase();
        // the instance names a device, and says nothing of what it can do
        if tag == "+sip.instance" || !(tag.starts_with('+') || BASE.contains(&&*tag)) {
            return None;
        }
        let values = match value {
            None => vec![Value { is_negated: false, kind: Kind::Boolean(true) }],
            Some(value) => value.trim().trim_matches('"').split(',').filter_map(Value::parse).collect(),
        };
        Some(Self { tag, values })
    }

    /// Is there a value that both allow?
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.tag == other.tag
            && self.values.iter().any(|one| other.values.iter().any(|other| one.meets(other)))
    }
}

impl Value {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (is_negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, text),
        };
        let kind = if let Some(number) = text.strip_prefix('#') {
            number_range(number)?
        } else if let Some(text) = text.strip_prefix('<') {
            Kind::Text(text.strip_suffix('>')?.to_owned())
        } else {
            match text.to_ascii_lowercase().as_str() {
                "true" => Kind::Boolean(true),
                "false" => Kind::Boolean(false),
                "" => return None,
                token => Kind::Token(token.to_owned()),
            }
        };
        Some(Self { is_negated, kind })
    }

    fn meets(&self, other: &Self) -> bool {
        let is_equal = match (&self.kind, &other.kind) {
            (Kind::Number(from, to), Kind::Number(low, high)) => from <= high && low <= to,
            (one, two) => one == two,
        };
        match (self.is_negated, other.is_negated) {
            (false, false) => is_equal,
            (true, false) | (false, true) => !is_equal,
            // what neither of two names is something that both allow
            (true, true) => true,
        }
    }
}

/// "5", "=5", ">=5", "<=5", "1:5". RFC 3840 9
fn number_range(text: &str) -> Option<Kind> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let (from, to) = if let Some(least) = text.strip_prefix(">=") {
        (number(least)?, f64::INFINITY)
    } else if let Some(most) = text.strip_prefix("<=") {
        (f64::NEG_INFINITY, number(most)?)
    } else if let Some((from, to)) = text.split_once(':') {
        (number(from)?, number(to)?)
    } else {
        let exact = number(text.strip_prefix('=').unwrap_or(text))?;
        (exact, exact)
    };
    Some(Kind::Number(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(param: &str) -> Feature {
        Feature::parse(param).unwrap_or_else(|| panic!("{param} is a feature"))
    }

    /// CAP-01: booleans, tokens, strings, numbers and negations, whatever the letters of the tag.
    #[test]
    fn features_of_every_kind_are_read_and_compared() {
        for (contact, wanted, is_met) in [
            ("video", "VIDEO=\"TRUE\"", true),
            ("video=\"FALSE\"", "video", false),
            ("methods=\"INVITE,MESSAGE\"", "methods=\"message\"", true),
            ("methods=\"INVITE\"", "methods=\"MESSAGE\"", false),
            ("methods=\"!MESSAGE\"", "methods=\"MESSAGE\"", false),
            ("methods=\"!MESSAGE\"", "methods=\"INVITE\"", true),
            ("class=\"business\"", "class=\"!personal\"", true),
            ("+sip.x=\"#>=5\"", "+sip.x=\"#7\"", true),
            ("+sip.x=\"#>=5\"", "+sip.x=\"#<=4.5\"", false),
            ("+sip.x=\"#1:5\"", "+sip.x=\"#=5\"", true),
            ("+sip.x=\"#1:5\"", "+sip.x=\"#6:7\"", false),
            ("description=\"<Desk>\"", "description=\"<Desk>\"", true),
            ("description=\"<Desk>\"", "description=\"<desk>\"", false),
            ("audio", "video", false),
        ] {
            assert_eq!(one(contact).meets(&one(wanted)), is_met, "{contact} {wanted}");
        }
    }

    /// CAP-01: what is no feature is left out, and what cannot be read has no value.
    #[test]
    fn other_parameters_are_no_features() {
        for other in ["expires=60", "reg-id=1", "+sip.instance=\"<urn:uuid:1>\"", "x=y"] {
            assert_eq!(Feature::parse(other), None, "{other}");
        }
        for odd in ["+sip.x=\"#\"", "+sip.x=\"#x:1\"", "+sip.x=\"#inf\"", "+sip.x=\"<a\"", "+sip.x=\"\""] {
            assert!(!one(odd).meets(&one(odd)), "{odd}");
        }
    }
}

//! Values of Content-Type and Content-Disposition: a word or two, and parameters (RFC 2045 5.1, RFC 3261 20.11, 20.15).

/// A media type such as `multipart/mixed;boundary=x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// "multipart", lower case.
    pub main: String,
    /// "mixed", lower case.
    pub sub: String,
    /// Parameters in order.
    pub params: Params,
}

/// Parameters: names in lower case, values without their quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl MediaType {
    /// Reads a Content-Type value; `None` when it is not `main/sub` with parameters.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (essence, params) = split_params(value)?;
        let (main, sub) = essence.split_once('/')?;
        let (main, sub) = (main.trim(), sub.trim());
        (is_token(main) && is_token(sub)).then(|| Self {
            main: main.to_ascii_lowercase(),
            sub: sub.to_ascii_lowercase(),
            params,
        })
    }

    /// Whether this is the type `main/sub`, given in lower case; parameters do not count.
    pub fn is(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(main, sub)| self.main == main && self.sub == sub)
    }

    /// "main/sub".
    pub fn essence(&self) -> String {
        format!("{}/{}", self.main, self.sub)
    }
}

impl Params {
    /// The value of the first parameter of that name, given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// `word *(;name[=value])`: the word and the parameters.
pub(crate) fn split_params(value: &str) -> Option<(&str, Params)> {
    let (word, mut rest) = value.split_at(value.find(';').unwrap_or(value.len()));
    let mut params = Vec::new();
    while let Some(after) = rest.trim_start().strip_prefix(';') {
        let after = after.trim_start();
        let end = after.find(['=', ';']).unwrap_or(after.len());
        let name = after[..end].trim();
        let (value, remaining) = match after[end..].strip_prefix('=') {
            Some(value) => parameter_value(value.trim_start())?,
            None => (String::new(), &after[end..]),
        };
        if is_token(name) {
            params.push((name.to_ascii_lowercase(), value));
        } else if !name.is_empty() {
            return None;
        }
        rest = remaining;
    }
    rest.trim().is_empty().then_some((word.trim(), Params(params)))
}

fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut octets = quoted.char_indices();
    while let Some((at, one)) = octets.next() {
        match one {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(octets.next()?.1),
            _ => value.push(one),
        }
    }
    None
}

pub(crate) fn is_token(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_with_and_without_quotes() {
        let read = MediaType::parse(b"Multipart/Mixed ; Boundary=\"a;\\\"b\" ;x=y;flag").unwrap();
        assert!(read.is("multipart/mixed"));
        assert_eq!(read.params.get("boundary"), Some("a;\"b"));
        assert_eq!((read.params.get("x"), read.params.get("flag")), (Some("y"), Some("")));
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for bad in ["", "sdp", "application/", "/sdp", "a/b;x=\"open", "a b/c", "a/b;x=\"y\"z"] {
            assert_eq!(MediaType::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}

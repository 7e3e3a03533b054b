//! Errors about names that do not exist, with the nearest one that does.

/// "unknown KIND NAME, did you mean NEAREST?"
pub fn message<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {kind} `{name}`, did you mean `{near}`?"),
        None => format!("unknown {kind} `{name}`"),
    }
}

/// The known name that is so much like `name` that it was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= 2 + k.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_far_from_all_others_gets_no_suggestion() {
        assert_eq!(message("key", "zzzzzzzzzz", ["edge", "sip"].into_iter()), "unknown key `zzzzzzzzzz`");
        assert_eq!(
            message("key", "egde", ["edge", "sip"].into_iter()),
            "unknown key `egde`, did you mean `edge`?"
        );
    }
}

//! Who may reach an account: patterns over the caller's address of record.

/// A pattern in normal form; `None` when it is none. `*` stands for any user or host, and at the end of a user for any rest.
pub(crate) fn read(pattern: &str) -> Option<String> {
    let (user, host) = pattern.strip_prefix("sip:")?.rsplit_once('@')?;
    let is_user = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~'()&=+$,;?/%".contains(&octet);
    let begin = user.strip_suffix('*').unwrap_or(user);
    let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-.[]:".contains(&octet);
    let is_good = !user.is_empty()
        && begin.bytes().all(is_user)
        && !host.is_empty()
        && (host == "*" || host.bytes().all(is_host));
    is_good.then(|| format!("sip:{user}@{}", host.to_ascii_lowercase()))
}

/// Whether a caller, by address of record in normal form, is one of those that the patterns name.
pub(crate) fn is_allowed(patterns: &[String], caller: &str) -> bool {
    let parts = |address: &str| -> Option<(String, String)> {
        let (user, host) = address.strip_prefix("sip:")?.rsplit_once('@')?;
        Some((user.to_owned(), host.to_owned()))
    };
    let Some((user, host)) = parts(caller) else { return false };
    patterns.iter().filter_map(|pattern| parts(pattern)).any(|(wanted, at)| {
        let is_user = match wanted.strip_suffix('*') {
            Some(begin) => user.starts_with(begin),
            None => user == wanted,
        };
        is_user && (at == "*" || at == host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_users_beginnings_and_domains() {
        let is = |pattern: &str, caller| is_allowed(&[read(pattern).unwrap()], caller);
        assert!(is("sip:alice@D", "sip:alice@d") && !is("sip:alice@d", "sip:alice2@d"));
        assert!(is("sip:+49*@d", "sip:+4930@d") && !is("sip:+49*@d", "sip:+4830@d"));
        assert!(is("sip:*@d", "sip:x@d") && !is("sip:*@d", "sip:x@e") && is("sip:*@*", "sip:x@e"));
        assert!(!is("sip:*@*", "") && !is_allowed(&[], "sip:x@d"));
        for bad in
            ["", "alice", "sip:@d", "sip:a@", "sip:a*b@d", "sip:a@*.d", "tel:+1", "sip:a b@d", "sip:a@d>"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}

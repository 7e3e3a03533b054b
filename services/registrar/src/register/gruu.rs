//! Public GRUUs, RFC 5627: an address of record with the instance of one device. They are the same for every registration of
//! that device, and nothing is stored for them.

use crate::record::BindingRecord;

/// The public GRUU of a binding's device; `None` when it has no instance, or one that cannot stand in a URI.
// RFC 5627 3.1.1, 5.1
pub(crate) fn public(aor: &str, binding: &BindingRecord) -> Option<String> {
    let instance = binding.instance().strip_prefix('<')?.strip_suffix('>')?;
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&octet);
    // an address of record is kept without escapes: one that needs them is not written down here
    let is_user = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/@:[]".contains(&octet);
    let is_written = !instance.is_empty() && instance.bytes().all(is_plain) && aor.bytes().all(is_user);
    is_written.then(|| format!("{aor};gr={instance}"))
}

/// Whether a contact parameter is one that only a registrar writes.
pub(crate) fn is_given(param: &str) -> bool {
    let name = param.split('=').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("pub-gruu") || name.eq_ignore_ascii_case("temp-gruu")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(instance: &str) -> Option<String> {
        let params = vec![format!("+sip.instance=\"{instance}\"")];
        public("sip:bob@d", &BindingRecord { params, ..BindingRecord::default() })
    }

    /// GRU-01
    #[test]
    fn a_device_has_a_public_gruu() {
        assert_eq!(of("<urn:uuid:1-2>").as_deref(), Some("sip:bob@d;gr=urn:uuid:1-2"));
        for odd in ["", "<>", "urn:uuid:1", "<a b>", "<a;b>", "<a\u{e9}>"] {
            assert_eq!(of(odd), None, "{odd}");
        }
        assert_eq!(public("sip:b%b@d", &BindingRecord::default()), None);
    }
}

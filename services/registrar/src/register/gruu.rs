//! Public GRUUs, RFC 5627: an address of record with the instance of one device. They are the same for every registration of
//! that device. Nothing is stored for them but a mark of the device, by which one that is away is told from one that never was (5.3).

use crate::record::{AorRecord, BindingRecord};

/// Devices of one user that are remembered; beyond it the oldest is forgotten.
const MOST_DEVICES: usize = 32;

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

/// Remembers the device of a binding.
pub(crate) fn remember(record: &mut AorRecord, instance: &str) {
    let mark = mark(instance);
    if bare(instance).is_empty() || record.devices.contains(&mark) {
        return;
    }
    if record.devices.len() >= MOST_DEVICES {
        record.devices.remove(0);
    }
    record.devices.push(mark);
}

/// Whether a device has ever registered, as far as is remembered.
pub(crate) fn is_remembered(record: &AorRecord, instance: &str) -> bool {
    let is_bound = |binding: &BindingRecord| bare(binding.instance()).eq_ignore_ascii_case(bare(instance));
    record.devices.contains(&mark(instance)) || record.bindings.iter().any(is_bound)
}

fn bare(instance: &str) -> &str {
    instance.trim_start_matches('<').trim_end_matches('>')
}

/// FNV-1a: all replicas and versions agree on it, and nobody gains by two that are alike.
fn mark(instance: &str) -> u64 {
    bare(instance).bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    })
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
    /// GRU-03
    #[test]
    fn a_device_is_remembered_and_their_number_is_bounded() {
        let mut record = AorRecord::new();
        for _ in 0..2 {
            remember(&mut record, "<urn:uuid:A>");
        }
        remember(&mut record, "");
        assert_eq!(record.devices.len(), 1);
        assert!(is_remembered(&record, "urn:uuid:a") && !is_remembered(&record, "urn:uuid:b"));
        for number in 0..MOST_DEVICES {
            remember(&mut record, &format!("<urn:uuid:{number}>"));
        }
        assert_eq!(record.devices.len(), MOST_DEVICES);
        assert!(!is_remembered(&record, "urn:uuid:a") && is_remembered(&record, "urn:uuid:0"));
    }
}

//! Properties of presence documents.

use sip_body::pidf::Pidf;

/// A document is refused, or kept in a form that is read again without loss and stays as it is.
pub fn pidf(data: &[u8]) {
    if let Ok(kept) = Pidf::normalized(data) {
        let again = Pidf::normalized(kept.as_bytes());
        assert_eq!(again.as_ref(), Ok(&kept), "{}", String::from_utf8_lossy(data));
    }
}

//! What moves the remote target of a dialog.

use sip_message::Method;

/// Whether a request of this method moves the target to its Contact: a target refresh request. RFC 3261 12.2, RFC 3311 5.1,
/// RFC 6665 3.1, RFC 3515
pub fn is_moved_by_request(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer)
}

/// Whether a response to a request of this method does, in a dialog that there is already: a 2xx, or a provisional response that
/// is sent reliably. RFC 3261 12.2.1.2, RFC 6141 4.6
pub fn is_moved_by_response(method: &Method, status: u32, is_reliable: bool) -> bool {
    is_moved_by_request(method)
        && (matches!(status, 200..=299) || (is_reliable && matches!(status, 101..=199)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UAC-23
    #[test]
    fn only_a_2xx_or_a_reliable_1xx_moves_the_target() {
        for (status, is_reliable, moves) in [
            (100, true, false),
            (183, false, false),
            (183, true, true),
            (200, false, true),
            (299, false, true),
            (302, false, false),
            (488, false, false),
        ] {
            assert_eq!(is_moved_by_response(&Method::Invite, status, is_reliable), moves, "{status}");
        }
    }

    /// UAC-23
    #[test]
    fn only_target_refresh_requests_do() {
        for method in [Method::Invite, Method::Update, Method::Subscribe, Method::Notify, Method::Refer] {
            assert!(is_moved_by_request(&method), "{method}");
        }
        for method in [Method::Info, Method::Bye, Method::Prack, Method::Options, Method::Message] {
            assert!(!is_moved_by_request(&method), "{method}");
            assert!(!is_moved_by_response(&method, 200, false), "{method}");
        }
    }
}

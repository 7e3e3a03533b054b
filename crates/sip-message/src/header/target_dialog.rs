//! `Target-Dialog`: the dialog that authorises a request outside it. RFC 4538 4

use super::dialog_reference;
use crate::error::SyntaxError;

/// A Target-Dialog value; the tags are seen from the side that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetDialog<'a> {
    /// Call-ID of the dialog.
    pub call_id: &'a [u8],
    /// The tag of the receiver of this header.
    pub local_tag: &'a str,
    /// The tag of the sender of this header.
    pub remote_tag: &'a str,
}

impl<'a> TargetDialog<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the Call-ID or one of the tags is missing, or a tag comes twice.
    pub fn parse(value: &'a [u8]) -> Result<TargetDialog<'a>, SyntaxError> {
        let (call_id, [local_tag, remote_tag], _) =
            dialog_reference::scan(value, ["local-tag", "remote-tag"])?;
        Ok(TargetDialog { call_id, local_tag, remote_tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tags_are_needed() {
        let target =
            TargetDialog::parse(b"fa77as7dad8-sd98ajzz@h ;local-tag=kkaz- ;remote-tag=6544").unwrap();
        assert_eq!((target.local_tag, target.remote_tag), ("kkaz-", "6544"));
        assert!(TargetDialog::parse(b"c;local-tag=1;to-tag=2").is_err());
    }
}

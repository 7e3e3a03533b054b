//! `Join`: the dialog that a new one is mixed with. RFC 3911 7.1

use super::dialog_reference;
use crate::error::SyntaxError;

/// A Join value; the tags are seen from the side that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Join<'a> {
    /// Call-ID of the dialog.
    pub call_id: &'a [u8],
    /// Compared with the local tag.
    pub to_tag: &'a str,
    /// Compared with the remote tag.
    pub from_tag: &'a str,
}

impl<'a> Join<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the Call-ID or one of the tags is missing, or a tag comes twice.
    pub fn parse(value: &'a [u8]) -> Result<Join<'a>, SyntaxError> {
        let (call_id, [to_tag, from_tag], _) = dialog_reference::scan(value, ["to-tag", "from-tag"])?;
        Ok(Join { call_id, to_tag, from_tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tags_are_needed() {
        let join = Join::parse(b"12adf2f34456gs5;to-tag=12345;from-tag=54321").unwrap();
        assert_eq!((join.call_id, join.to_tag, join.from_tag), (&b"12adf2f34456gs5"[..], "12345", "54321"));
        assert!(Join::parse(b"12adf2f34456gs5;to-tag=12345").is_err());
    }
}

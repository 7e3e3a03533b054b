//! `Replaces`: the dialog that a new one takes the place of. RFC 3891 6.1

use super::dialog_reference;
use crate::error::SyntaxError;

/// A Replaces value; the tags are seen from the side that receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replaces<'a> {
    /// Call-ID of the dialog.
    pub call_id: &'a [u8],
    /// Compared with the local tag.
    pub to_tag: &'a str,
    /// Compared with the remote tag.
    pub from_tag: &'a str,
    /// Only an early dialog may be replaced.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When the Call-ID or one of the tags is missing, or a tag comes twice.
    pub fn parse(value: &'a [u8]) -> Result<Replaces<'a>, SyntaxError> {
        let (call_id, [to_tag, from_tag], params) = dialog_reference::scan(value, ["to-tag", "from-tag"])?;
        Ok(Replaces { call_id, to_tag, from_tag, early_only: params.has("early-only") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read_in_any_order() {
        let value =
            Replaces::parse(b"425928@bobster.example.org ; from-tag=6472 ; x=y;To-Tag=7743;early-only")
                .unwrap();
        assert_eq!(value.call_id, b"425928@bobster.example.org");
        assert_eq!((value.to_tag, value.from_tag, value.early_only), ("7743", "6472", true));
        assert!(!Replaces::parse(b"c;to-tag=0;from-tag=0").unwrap().early_only);
    }

    #[test]
    fn missing_repeated_and_bad_tags_are_refused() {
        for bad in [
            "c",
            "c;to-tag=1",
            "c;from-tag=1",
            ";to-tag=1;from-tag=2",
            "c;to-tag=1;to-tag=2;from-tag=3",
            "c;to-tag;from-tag=1",
            "c;to-tag=\"1\";from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(Replaces::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! Pages of lists.

use super::fault::{Fault, FaultKind};

/// How many entries a page has when the client does not say.
const USUAL: u32 = 100;
/// Most entries of a page.
const MOST: u32 = 1000;

/// How many entries a page has: what was asked for, 100 when nothing was, never more than 1,000.
///
/// # Errors
/// When a negative number was asked for.
pub fn page_limit(page_size: i32) -> Result<u32, Fault> {
    match u32::try_from(page_size) {
        Ok(0) => Ok(USUAL),
        Ok(asked) => Ok(asked.min(MOST)),
        Err(_) => {
            Err(Fault::new(FaultKind::Field, "page_size", "1 to 1,000 (0 means 100, more means 1,000)"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_was_asked_for_within_limits() {
        assert_eq!([0, 1, 1000, 5000].map(page_limit), [Ok(100), Ok(1), Ok(1000), Ok(1000)]);
        assert_eq!(page_limit(-1).expect_err("negative").field, "page_size");
    }
}

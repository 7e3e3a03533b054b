//! Presence as it is told, kept while the records are the same that it was made of: many who watch one user come at the same time.

use std::collections::HashMap;

use parking_lot::Mutex;
use store::Expect;

use crate::topics::Whole;

/// Users whose presence is kept; one more, and all are made anew.
const MOST: usize = 1_024;
/// Octets of the records of one of them: with more it is not kept.
pub const MOST_OCTETS: usize = 8 * 1024;

/// Versions of the records that it is made of, in their order. A version never comes back.
type MadeOf = [Expect; 2];

/// What was composed last.
#[derive(Default)]
pub struct Composed(Mutex<HashMap<String, (MadeOf, Whole)>>);

impl Composed {
    /// The presence of a resource that is made of these; still to be made when it is not known.
    pub fn of(&self, resource: &str, made_of: MadeOf) -> Whole {
        let mut all = self.0.lock();
        if let Some((known, whole)) = all.get(resource)
            && *known == made_of
        {
            return whole.clone();
        }
        if all.len() >= MOST {
            all.clear();
        }
        let whole = Whole::default();
        all.insert(resource.to_owned(), (made_of, whole.clone()));
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_kept_while_its_records_are_the_same() {
        let composed = Composed::default();
        let made_of = |version| [Expect::Version(version), Expect::Absent];
        let document = (b"one".to_vec(), Vec::new());
        composed.of("a", made_of(1)).set(document.clone()).expect("it is not made yet");
        assert_eq!(composed.of("a", made_of(1)).get(), Some(&document));
        assert_eq!(composed.of("a", made_of(2)).get(), None);
        assert_eq!(composed.of("b", made_of(1)).get(), None);
        for number in 0..MOST {
            composed.of(&number.to_string(), made_of(1));
        }
        assert!(composed.0.lock().len() <= MOST);
    }
}

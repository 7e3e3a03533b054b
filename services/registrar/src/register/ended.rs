//! The end of a flow: what only it led to is gone, or asleep until it is pushed. RFC 5626 5.3, 7

use super::order;
use crate::record::{AorRecord, BindingRecord};

/// What the end of a flow did.
pub(crate) struct Ended {
    pub gone: Vec<BindingRecord>,
    /// Those that are asleep now.
    pub slept: Vec<BindingRecord>,
}

/// Takes out the bindings that `flow` leads to, and no other: a contact that was refreshed over another flow meanwhile is there.
///
/// A request of the same client that was overtaken by the end stays refused as older, as while it was bound.
pub(crate) fn end_flow(record: &mut AorRecord, flow: &str, now_ms: u64) -> Ended {
    // The empty name is that of no flow: of contacts that their URI leads to.
    let is_led = |binding: &mut BindingRecord| !flow.is_empty() && binding.flow == flow;
    let mut slept = Vec::new();
    for binding in record.bindings.iter_mut().filter_map(|binding| is_led(binding).then_some(binding)) {
        if let Some(push) = &mut binding.push {
            // RFC 8599 5.6.2: phones close their connections when they go to sleep.
            push.awake_until_ms = 0;
            binding.flow.clear();
            slept.push(binding.clone());
        }
    }
    let gone: Vec<BindingRecord> = record.bindings.extract_if(.., is_led).collect();
    for binding in gone.iter().filter(|binding| !binding.call_id.is_empty()) {
        order::remember(record, &binding.call_id, binding.cseq, now_ms);
    }
    Ended { gone, slept }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn binding(id: u64, flow: &str) -> BindingRecord {
        let call_id = format!("c{id}");
        BindingRecord { id, flow: flow.to_owned(), call_id, cseq: 7, expires_ms: NOW, ..Default::default() }
    }

    fn ids(bindings: &[BindingRecord]) -> Vec<u64> {
        bindings.iter().map(|binding| binding.id).collect()
    }

    /// OBD-05: exactly what the flow led to goes, once, and its order is remembered.
    #[test]
    fn only_the_bindings_of_the_flow_go() {
        let bindings = vec![binding(1, "one"), binding(2, "two"), binding(3, ""), binding(4, "one")];
        let mut record = AorRecord { bindings, ..AorRecord::new() };
        assert_eq!(ids(&end_flow(&mut record, "one", NOW).gone), [1, 4]);
        assert_eq!(ids(&record.bindings), [2, 3]);
        let past: Vec<(&str, u32)> = record.past.iter().map(|past| (&*past.call_id, past.cseq)).collect();
        assert_eq!(past, [("c1", 7), ("c4", 7)]);
        let before = record.clone();
        for none in ["one", "", "tw", "twoo"] {
            assert_eq!(ids(&end_flow(&mut record, none, NOW).gone), [] as [u64; 0], "{none}");
        }
        assert_eq!(record, before);
    }
}

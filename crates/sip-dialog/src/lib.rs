//! Dialogs as values: identifiers, route set, remote target, sequence numbers, offer/answer state.

//! Prints every conformance row with its tests, and the rows without.

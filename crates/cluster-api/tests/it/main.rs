//! Integration tests of `cluster-api`: the contracts in `proto/` and the code made from them.

mod conventions;
mod generated;

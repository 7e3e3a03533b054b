//! End-to-end tests with real processes; nothing but tests is here. Start reading at `tests/it/main.rs`.

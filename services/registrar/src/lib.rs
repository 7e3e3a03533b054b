//! The registrar service: accounts, bindings, and routing plans.

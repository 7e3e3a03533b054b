//! Generated gRPC code and the conversions between wire and domain types.

//! End-to-end tests with real processes: SIPp, baresip, Redis, grpcio, Docker.

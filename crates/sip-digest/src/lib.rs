//! SIP digest authentication: challenges, credentials, verification, stateless nonces.

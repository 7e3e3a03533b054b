//! Wall clock and entropy as traits, so that time and randomness are arguments.

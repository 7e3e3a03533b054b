//! Whole-cluster simulation in virtual time from one printed seed.

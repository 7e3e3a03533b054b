//! The scripted phone as its users have it.

mod two_phones;

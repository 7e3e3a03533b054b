//! The call flows of RFC 3665, and of the services of RFC 5359 that exist, each in one process and over two edges with Redis between the services.

mod calls;
mod places;
mod registrations;
mod services;
mod sipp;
mod two_domains;

pub use places::Places;

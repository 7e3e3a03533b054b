//! The call flows of RFC 3665, each in one process and over two edges with Redis between the services.

mod calls;
mod places;
mod registrations;

pub use places::Places;

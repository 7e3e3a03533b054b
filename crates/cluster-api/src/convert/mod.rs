//! Conversions between wire and domain types that several services share. Each says which field was wrong, and what was expected.

mod fault;
mod header;
mod page;
mod secret;
mod source;
mod time;

pub use fault::{Fault, FaultKind};
pub use header::{check_display_name, check_header, check_headers, is_one_line};
pub use page::page_limit;
pub use source::Received;
pub use time::{duration, optional_duration, proto_duration, system_time, timestamp};

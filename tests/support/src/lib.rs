//! Test doubles and real processes for tests: Carillon itself, Redis, SIPp, baresip, linphonec, scripted phones.
//!
//! Everything listens on ports that the system chose and dies with its handle. Waiting is always for something that is
//! said (a line, an event), never for time to pass; [`PATIENCE`] only bounds how long a broken test hangs.

mod baresip;
mod carillon;
mod certificates;
mod http;
mod kamailio;
mod lines;
mod linphone;
mod name_server;
mod phone;
mod port;
mod redis;
mod rtp;
mod sipp;
mod store;
mod traffic;
mod tshark;
mod web;

use std::time::Duration;

pub use baresip::{Baresip, Sound};
pub use carillon::{Carillon, Starting, binary};
pub use certificates::{Authority, Certificate};
pub use http::http_get;
pub use kamailio::Kamailio;
pub use lines::Lines;
pub use linphone::Linphone;
pub use name_server::NameServer;
pub use phone::TestPhone;
pub use port::free_port;
pub use redis::Redis;
pub use rtp::Rtp;
pub use sipp::Sipp;
pub use store::{Hook, HookedStore, Read};
pub use traffic::Traffic;
pub use tshark::{Capture, read_capture};
pub use web::WebSocket;

/// How long a test waits for something that should happen at once, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

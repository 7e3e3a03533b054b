//! Headers: the names, and one file for each typed view.

mod cseq;
mod id;
mod list;
mod name_addr;
mod params;
mod via;

pub use cseq::CSeq;
pub use id::HeaderId;
pub use list::CommaList;
pub(crate) use list::{OneOrList, comma};
pub use name_addr::NameAddr;
pub use params::{Param, ParamIter, Params, quote, unquote};
pub use via::{BRANCH_COOKIE, Rport, Via};

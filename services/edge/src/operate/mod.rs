//! What operators see of an edge and ask of it, and how busy it says it is.

pub(crate) mod capabilities;
pub(crate) mod leaving;
pub(crate) mod meters;
pub(crate) mod operation;
pub(crate) mod pressure;

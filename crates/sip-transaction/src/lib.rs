//! The four SIP transaction machines, the table that finds them, and their timers.

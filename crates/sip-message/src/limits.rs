//! How much of everything one message may hold.

/// Bounds that the parser keeps; the defaults suit phones and trunks alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Start line and header lines together. At most 65,535: the header table counts in 16 bits.
    pub head_bytes: usize,
    /// The body as announced by Content-Length.
    pub body_bytes: usize,
    /// Header lines.
    pub header_lines: usize,
    /// One header line, continuation lines included.
    pub line_bytes: usize,
    /// The Request-URI.
    pub uri_bytes: usize,
    /// Via values over all lines.
    pub via_values: usize,
    /// Route values, and separately Record-Route values, over all lines.
    pub route_values: usize,
    /// Contact values over all lines.
    pub contact_values: usize,
}

impl Limits {
    /// The largest head that the header table can address.
    pub const MAX_HEAD_BYTES: usize = 65_535;

    /// The bounds of a message that this process wrote itself.
    pub const OWN: Limits = Limits {
        head_bytes: Limits::MAX_HEAD_BYTES,
        body_bytes: usize::MAX,
        header_lines: usize::MAX,
        line_bytes: usize::MAX,
        uri_bytes: usize::MAX,
        via_values: usize::MAX,
        route_values: usize::MAX,
        contact_values: usize::MAX,
    };
}

impl Default for Limits {
    /// 64 kB of head, 256 kB of body, 256 lines, 70 Via and Route values (the usual Max-Forwards),
    /// 50 contacts, 4 kB of Request-URI, 16 kB a line.
    fn default() -> Self {
        Limits {
            head_bytes: Limits::MAX_HEAD_BYTES,
            body_bytes: 256 * 1024,
            header_lines: 256,
            line_bytes: 16 * 1024,
            uri_bytes: 4096,
            via_values: 70,
            route_values: 70,
            contact_values: 50,
        }
    }
}

//! What carries the phone's messages, and what it says of itself accordingly.

use std::net::SocketAddr;

/// The transport of a phone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wire {
    /// Datagrams.
    #[default]
    Udp,
    /// A plain connection.
    Tcp,
    /// A connection inside TLS.
    Tls,
    /// WebSocket, as a page has it: no address of its own. RFC 7118
    Ws,
    /// The same inside TLS.
    Wss,
}

impl Wire {
    /// The name in a Via.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// What follows sent-by in a Via. RFC 3581 3
    pub(crate) fn via_parameter(self) -> &'static str {
        match self {
            Self::Udp => ";rport",
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => "",
        }
    }

    /// What follows the host of a Contact. Phones on TLS write it so although RFC 5630 3.1.4 has deprecated it.
    pub(crate) fn contact_parameter(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
            Self::Ws | Self::Wss => ";transport=ws",
        }
    }

    /// Who it calls itself: its address, or a name that nobody can resolve. RFC 7118 5
    pub(crate) fn sent_by(self, local: SocketAddr, minted: &str) -> String {
        match self {
            Self::Udp | Self::Tcp | Self::Tls => local.to_string(),
            Self::Ws | Self::Wss => format!("{minted}.invalid"),
        }
    }

    /// Whether requests are repeated only by who cares to hear an answer.
    pub(crate) fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls | Self::Ws | Self::Wss => true,
        }
    }
}

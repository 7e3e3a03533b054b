//! Why a server that was found is not believed.

use rustls::{AlertDescription, CertificateError};

/// What is wrong with a server's certificate (RFC 5280 6.1, RFC 5922 7), or keeps it from showing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It is of another domain than the one that is looked for. RFC 5922 7.3
    Name,
    /// Its time is over, or has not begun.
    Time,
    /// No authority that was named vouches for it.
    Authority,
    /// Anything else that is wrong with the certificate.
    Other,
    /// What it says is no TLS 1.2 or later.
    NoTls,
    /// It ends the handshake by an alert: it may want a certificate of ours, or none of the names and ciphers that we offer.
    Alert,
    /// It does not finish the handshake.
    Unfinished,
}

impl From<&CertificateError> for Distrust {
    fn from(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Time,
            // The second: of an authority that has the name of one of ours, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Authority,
            _ => Self::Other,
        }
    }
}

impl From<&rustls::Error> for Distrust {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::from(error),
            // an older server answers the versions that we offer so
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::InvalidMessage(_)
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::PeerMisbehaved(_)
            | rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => Self::NoTls,
            rustls::Error::AlertReceived(_) => Self::Alert,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    /// SEC-02, F16
    #[test]
    fn who_speaks_no_tls_is_told_from_who_refuses_it() {
        let version = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
        assert_eq!(Distrust::from(&version), Distrust::NoTls);
        assert_eq!(
            Distrust::from(&rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
            Distrust::NoTls
        );
        let refused = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(Distrust::from(&refused), Distrust::Alert);
        assert_eq!(
            Distrust::from(&rustls::Error::InvalidCertificate(CertificateError::Expired)),
            Distrust::Time
        );
    }
}

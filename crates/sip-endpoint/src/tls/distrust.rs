//! Why the certificate of a server that was found is not believed.

use rustls::CertificateError;

/// What is wrong with a server's certificate. RFC 5280 6.1, RFC 5922 7
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It is of another domain than the one that is looked for. RFC 5922 7.3
    Name,
    /// Its time is over, or has not begun.
    Time,
    /// No authority that was named vouches for it.
    Authority,
    /// Anything else.
    Other,
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

//! Where a service is, as written in the settings.

use std::{fmt, str::FromStr};

use http::uri::{Scheme, Uri};

/// One place where replicas are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// One replica: `http://host:port` or `https://host:port`.
    Url(String),
    /// All addresses behind a name, looked up again and again: `dns://name:port`.
    Name {
        /// The name, that of a headless service on Kubernetes.
        host: String,
        /// The port of every replica.
        port: u16,
    },
}

/// Not an address of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?}: expected http://host:port, https://host:port or dns://name:port")]
pub struct BadAddress {
    /// What was written.
    pub given: String,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadAddress { given: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let port = uri.port_u16().ok_or_else(bad)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('@') {
            return Err(bad());
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {
                Ok(Self::Url(format!("{scheme}://{host}:{port}")))
            }
            Some(scheme) if scheme.as_str() == "dns" => Ok(Self::Name { host: host.to_owned(), port }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => formatter.write_str(url),
            Self::Name { host, port } => write!(formatter, "dns://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        assert_eq!("http://10.0.0.7:50051".parse(), Ok(Address::Url("http://10.0.0.7:50051".into())));
        assert_eq!("https://[::1]:50051/".parse(), Ok(Address::Url("https://[::1]:50051".into())));
        let name = Address::Name { host: "registrar.carillon.svc".into(), port: 50051 };
        assert_eq!("dns://registrar.carillon.svc:50051".parse(), Ok(name.clone()));
        assert_eq!(name.to_string(), "dns://registrar.carillon.svc:50051");
    }

    #[test]
    fn what_is_none_is_refused_with_what_was_expected() {
        for bad in [
            "",
            "registrar",
            "registrar:50051",
            "http://host",
            "http://user@host:1",
            "ftp://host:1",
            "dns://:1",
            "http://h:1/x",
        ] {
            let error = bad.parse::<Address>().expect_err(bad).to_string();
            assert!(error.contains("expected http://host:port"), "{error}");
        }
    }
}

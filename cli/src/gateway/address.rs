//! Where something listens: a host and a port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS, the certificate verified.
    Https,
}

impl Scheme {
    /// The port that a URL of this scheme means when it names none.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name in lower case.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; displays without brackets.
    V6(Ipv6Addr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "{address}"),
        }
    }
}

/// One replica of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Its host.
    pub host: Host,
    /// Its port, the scheme's own when the URL names none.
    pub port: u16,
}

impl Endpoint {
    /// Value of `host` / `:authority`: brackets around IPv6, the port only if it is not the scheme's own
    /// (RFC 9110 section 4.2.3, <https://www.rfc-editor.org/rfc/rfc9110#section-4.2.3>).
    #[must_use]
    pub fn authority(&self, scheme: Scheme) -> String {
        let host = match &self.host {
            Host::V6(address) => format!("[{address}]"),
            host => host.to_string(),
        };
        if self.port == scheme.port() { host } else { format!("{host}:{}", self.port) }
    }
}

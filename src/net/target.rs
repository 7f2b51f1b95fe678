//! A base URL taken apart: which address to connect to, what to put into `Host`, which prefix the
//! paths get. Only `http://` is spoken.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Where connections go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// `host:port` as sent in the `Host` header.
    pub authority: String,
    /// Path prefix without a trailing slash; often empty.
    pub prefix: String,
    host: String,
    port: u16,
}

/// Why a base URL cannot be used.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
pub enum TargetError {
    #[error("`{0}` is not a URL of the form http://HOST[:PORT][/PREFIX]")]
    NotAUrl(String),
    #[error("`{0}` asks for TLS, which this version does not speak: use http://, or a local TLS-terminating proxy")]
    Tls(String),
    #[error("port `{port}` in `{url}` is not a number from 1 to 65535")]
    Port { url: String, port: String },
}

impl Target {
    /// Takes `http://HOST[:PORT][/PREFIX]` apart.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let not_a_url = || TargetError::NotAUrl(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(not_a_url)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(TargetError::Tls(url.to_owned())),
            _ => return Err(not_a_url()),
        }
        let (authority, prefix) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (host, port) = split_port(authority);
        if host.is_empty() || authority.contains('@') || prefix.contains(['?', '#', ' ']) {
            return Err(not_a_url());
        }
        let port = match port {
            None => 80,
            Some(text) => text.parse().ok().filter(|&p: &u16| p > 0).ok_or_else(|| TargetError::Port {
                url: url.to_owned(),
                port: text.to_owned(),
            })?,
        };
        Ok(Self {
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            host: host.to_owned(),
            port,
        })
    }

    /// Looks the host up; blocking, done once before a run.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let mut addresses: Vec<SocketAddr> = (host, self.port).to_socket_addrs()?.collect();
        // A server that listens on `0.0.0.0` only is common; `localhost` often lists `::1` first.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        Ok(addresses)
    }

    /// The first address that takes a connection; blocking, done once before a run.
    pub fn reachable(&self, time_limit: Duration) -> std::io::Result<SocketAddr> {
        let mut last = std::io::Error::other(format!("`{}` has no address", self.host));
        for address in self.resolve()? {
            match TcpStream::connect_timeout(&address, time_limit) {
                Ok(_) => return Ok(address),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether this is certainly the host that the program runs on.
    pub fn is_this_host(&self) -> bool {
        self.resolve().is_ok_and(|addresses| !addresses.is_empty() && addresses.iter().all(|a| a.ip().is_loopback()))
    }

    /// The base URL again, normalised.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.authority, self.prefix)
    }
}

/// `host:port` → both; an IPv6 host keeps its brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority.get(colon..).is_some_and(|rest| rest.contains(']')) => {
            (authority.get(..colon).unwrap_or(""), authority.get(colon + 1..))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_apart() {
        let t = Target::parse("http://gpu-7:8000/openai/").unwrap();
        assert_eq!((t.authority.as_str(), t.prefix.as_str()), ("gpu-7:8000", "/openai"));
        assert_eq!(t.base_url(), "http://gpu-7:8000/openai");
        let v6 = Target::parse("http://[::1]:8000").unwrap();
        assert_eq!(v6.resolve().unwrap(), ["[::1]:8000".parse::<SocketAddr>().unwrap()]);
        assert_eq!(Target::parse("http://localhost").unwrap().port, 80);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        assert!(matches!(Target::parse("localhost:8000"), Err(TargetError::NotAUrl(_))));
        assert!(matches!(Target::parse("https://x"), Err(TargetError::Tls(_))));
        assert!(matches!(Target::parse("http://x:http"), Err(TargetError::Port { .. })));
        assert!(matches!(Target::parse("http://x:0"), Err(TargetError::Port { .. })));
        assert!(matches!(Target::parse("http://user:pw@x"), Err(TargetError::NotAUrl(_))));
    }
}

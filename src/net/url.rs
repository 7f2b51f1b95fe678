//! An `http[s]://host:port[/path]` URL taken apart, looked up and reached. This file must not know what is
//! asked there.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Failure, usage};

/// An `http://` or `https://` URL without query, fragment or credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpUrl {
    /// `https`.
    pub tls: bool,
    /// Name or address, without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    /// Begins with `/` and does not end with it; or empty.
    pub path: String,
}

impl HttpUrl {
    /// Reads a URL; the failure names it and says what it should look like, and must be given the
    /// field's name by the caller.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        // Not quoted, where it may hold a password.
        let credentials = || {
            usage("credentials in a URL are not supported")
                .hint("give the key in the environment (OPENAI_API_KEY or --api-key-env), or use --header")
        };
        let Some((scheme, rest)) = url.split_once("://") else {
            if url.contains('@') {
                return Err(credentials());
            }
            let shown = without_query(url);
            return Err(usage(format!("expected a URL like `http://host:port`, found `{shown}`"))
                .hint(format!("did you mean `http://{shown}`?")));
        };
        let tls = scheme.eq_ignore_ascii_case("https");
        if !tls && !scheme.eq_ignore_ascii_case("http") {
            return Err(usage(format!("expected `http://` or `https://`, found `{scheme}://`")));
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.contains('@') {
            return Err(credentials());
        }
        if rest.contains(['?', '#']) {
            return Err(usage(format!("expected no `?` or `#` part, found `{}`", without_query(url))));
        }
        if !rest.chars().all(|c| c.is_ascii_graphic()) {
            return Err(usage(format!(
                "expected printable ASCII without spaces, found `{}`",
                url.escape_debug()
            )));
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 => port,
                // A `/` in the password looks like the path's.
                _ if rest.contains('@') => return Err(credentials()),
                _ => {
                    return Err(usage(format!(
                        "expected a port from 1 to 65535, found `{digits}` in `{url}`"
                    )));
                }
            },
        };
        if host.is_empty() {
            return Err(usage(format!("expected a host after `http://`, found `{url}`")));
        }
        Ok(Self { tls, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// `host:port`, as the `Host` header has it.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Looks the host up; blocking, done once before a run.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<SocketAddr> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
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
        self.resolve()
            .is_ok_and(|addresses| !addresses.is_empty() && addresses.iter().all(|a| a.ip().is_loopback()))
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.path)
    }
}

/// `host:port`, `[v6]:port`, or either without a port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(bracketed) = authority.strip_prefix('[') {
        return match bracketed.split_once(']') {
            Some((host, "")) => (host, None),
            // Whatever follows the bracket but is no port fails to parse as one, and is shown.
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None => ("", None),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// For a message: a query may hold a key.
fn without_query(url: &str) -> String {
    match url.find(['?', '#']) {
        Some(at) => format!("{}…", url.get(..=at).unwrap_or_default()),
        None => url.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_taken_apart_and_put_together() {
        let shown = |url: &str| HttpUrl::parse(url).unwrap().to_string();
        assert_eq!(shown("http://gpu:8000"), "http://gpu:8000");
        assert_eq!(shown("HTTP://gpu:8000/"), "http://gpu:8000");
        assert_eq!(shown("http://10.0.0.1"), "http://10.0.0.1:80");
        assert_eq!(shown("https://gpu/llm"), "https://gpu:443/llm");
        assert_eq!(shown("http://gpu:8000/llm/v2/"), "http://gpu:8000/llm/v2");
        assert_eq!(shown("http://[::1]:8000"), "http://[::1]:8000");
        assert_eq!(
            HttpUrl::parse("http://[::1]:9/x").unwrap(),
            HttpUrl { tls: false, host: "::1".into(), port: 9, path: "/x".into() }
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let messages: Vec<String> = [
            "gpu:8000",
            "ftp://gpu",
            "http://",
            "http://:8000",
            "http://gpu:80000",
            "http://gpu:0",
            "http://gpu:8000/v1?key=1",
            "http://user:secret@gpu:8000",
            "http://gp u:8000",
            "http://[::1:8000",
            "http://::1:8000",
        ]
        .map(|url| HttpUrl::parse(url).unwrap_err().to_string())
        .to_vec();
        insta::assert_snapshot!(messages.join("\n"), @r"
        expected a URL like `http://host:port`, found `gpu:8000`
        expected `http://` or `https://`, found `ftp://`
        expected a host after `http://`, found `http://`
        expected a host after `http://`, found `http://:8000`
        expected a port from 1 to 65535, found `80000` in `http://gpu:80000`
        expected a port from 1 to 65535, found `0` in `http://gpu:0`
        expected no `?` or `#` part, found `http://gpu:8000/v1?…`
        credentials in a URL are not supported
        expected printable ASCII without spaces, found `http://gp u:8000`
        expected a host after `http://`, found `http://[::1:8000`
        expected a port from 1 to 65535, found `:1:8000` in `http://::1:8000`
        ");
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(url in "(https?://)?[ -~é:/@\\[\\]]{0,40}") {
            if let Ok(parsed) = HttpUrl::parse(&url) {
                prop_assert_eq!(HttpUrl::parse(&parsed.to_string()).unwrap(), parsed);
            }
        }
    }
}

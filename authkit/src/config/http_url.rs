//! A strict reader of http and https addresses: what it takes, every browser and proxy reads alike.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An absolute http(s) URL without user, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpUrl<'a> {
    pub(super) https: bool,
    host: &'a str,
    pub(super) port: Option<u16>,
    /// Empty, or from its first slash on.
    pub(super) path: &'a str,
}

impl<'a> HttpUrl<'a> {
    /// Reads `text`, or says what is wrong with it without repeating it: a URL may hold a password.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err("holds a space, a control character or a letter outside of ASCII");
        }
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("is not an absolute http or https URL"),
        };
        if rest.contains('@') {
            return Err("holds a user or password part");
        }
        if rest.contains(['?', '#']) {
            return Err("holds a query or a fragment");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority)?;
        check_host(host)?;
        check_path(path)?;
        Ok(Self { https, host, port, path })
    }

    /// Whether the host is this machine: there http is as safe as https.
    pub(super) fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The host, unless it is an IP address.
    pub(super) fn domain(&self) -> Option<&'a str> {
        let address = self.host.starts_with('[') || self.host.parse::<Ipv4Addr>().is_ok();
        (!address).then_some(self.host)
    }

    /// Scheme, host and port as browsers send them (RFC 6454 section 6.2).
    pub(super) fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        match self.port.filter(|port| *port != self.default_port()) {
            Some(port) => format!("{scheme}://{}:{port}", self.host),
            None => format!("{scheme}://{}", self.host),
        }
    }

    /// The port that browsers leave out.
    pub(super) fn default_port(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }

    /// Whether credentials may be sent there: https, or this machine.
    pub(super) fn is_secure(&self) -> bool {
        self.https || self.is_loopback()
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority.get(after_host..).and_then(|tail| tail.find(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(after_host + colon);
    let digits = port.strip_prefix(':').unwrap_or(port);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    match digits.parse() {
        Ok(number) if plain => Ok((host, Some(number))),
        _ => Err("holds a port that is not a number from 1 to 65535"),
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("has no host");
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or("has a host that cannot be read")?;
        return address.parse::<Ipv6Addr>().map(|_| ()).map_err(|_| "has a host that is no IPv6 address");
    }
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("has capital letters in its host, where browsers send small ones");
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err("has a host that cannot be read");
    }
    // Browsers read a last label that starts with a digit as an address, in several notations.
    let last = host.rsplit('.').next().unwrap_or(host);
    if last.starts_with(|c: char| c.is_ascii_digit()) && host.parse::<Ipv4Addr>().is_err() {
        return Err("has a host that is no IPv4 address");
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_unreserved)
    };
    match path.strip_prefix('/') {
        None | Some("") => Ok(()),
        Some(rest) if rest.split('/').all(segment) => Ok(()),
        Some(_) => Err("has a path with empty segments, dots, escapes or a slash at its end"),
    }
}

/// Letters, digits and `-._~` (RFC 3986 section 2.3): never escaped, so never spelled in two ways.
pub(super) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_plain() {
        for (text, https, loopback, path) in [
            ("http://localhost:8000", false, true, ""),
            ("http://app.localhost", false, true, ""),
            ("http://127.9.9.9:1", false, true, ""),
            ("http://[::1]:8000/", false, true, "/"),
            ("https://login.example.com", true, false, ""),
            ("https://example.com:8443/auth/v2", true, false, "/auth/v2"),
            ("http://10.0.0.1", false, false, ""),
            ("https://[2001:db8::1]", true, false, ""),
            ("http://auth_server:8000", false, false, ""),
        ] {
            let url = HttpUrl::parse(text).unwrap_or_else(|why| panic!("{text} {why}"));
            assert_eq!((url.https, url.is_loopback(), url.path), (https, loopback, path), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "HTTPS://example.com",
            "https://",
            "https:///path",
            "https://user:pw@example.com",
            "https://example.com?x=1",
            "https://example.com#x",
            "https://example.com/a//b",
            "https://example.com/../b",
            "https://example.com/a%2fb",
            "https://example.com/a/",
            "https://example.com\\a",
            "https://exa mple.com",
            "https://exämple.com",
            "https://Example.com",
            "https://example.com:0",
            "https://example.com:",
            "https://example.com:65536",
            "https://example.com:+80",
            "https://-a.example",
            "https://a..b",
            "https://*.example.com",
            "https://1.2.3",
            "https://0x7f.1",
            "https://[::1",
            "https://[::g]",
        ] {
            assert!(HttpUrl::parse(text).is_err(), "{text}");
        }
        // Looks like this machine, is not.
        assert!(!HttpUrl::parse("http://localhost.example.com").unwrap().is_loopback());
        assert!(!HttpUrl::parse("http://127.0.0.1.example.com").unwrap().is_loopback());
    }
}

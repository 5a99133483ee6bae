//! Networks in CIDR notation, and the ones whose proxies are believed.
//!
//! A type of our own and not a crate's: it is small, it tells which network was meant when bits beyond the prefix are
//! set, and it never confuses an IPv4 address with its IPv6 form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::value::quoted;

/// Bits in front of the IPv4 address in its IPv6 form, `::ffff:a.b.c.d`.
const MAPPED_PREFIX: u8 = 96;

/// A network such as `10.0.0.0/8` or `2001:db8::/32`; a single address is the network of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// The first address: bits beyond the prefix are 0.
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// How many bits its addresses share.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `ip` is in it. An IPv4 address in its IPv6 form is that IPv4 address (R4).
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.base.is_ipv4() && first_of(ip, self.prefix) == self.base
    }

    /// Whether it is wider than any one operator's: IPv4 below /8, IPv6 below /7. `10.0.0.0/8` and `fc00::/7` are the
    /// widest that are not.
    pub(super) const fn is_too_wide(&self) -> bool {
        match self.base {
            IpAddr::V4(_) => self.prefix < 8,
            IpAddr::V6(_) => self.prefix < 7,
        }
    }
}

/// The first address of the network of `ip` with that prefix.
fn first_of(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(ip) & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(ip) & mask).into()
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// Why a text is no network. Continues a sentence that starts with the name of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkError(String);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `ADDRESS/PREFIX`, or an address alone. Bits beyond the prefix, and IPv4 in its IPv6 form, are errors
    /// that name the network which was probably meant.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let problem = |what: &str| NetworkError(format!("holds {}, {what}", quoted(text)));
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address
            .parse()
            .map_err(|_| problem("which is no network such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"))?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) => {
                let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                let number = digits.parse().ok().filter(|number| plain && *number <= bits);
                number.ok_or_else(|| problem(&format!("whose prefix is no number from 0 to {bits}")))?
            }
        };
        let canonical = address.to_canonical();
        if canonical != address
            && let Some(prefix) = prefix.checked_sub(MAPPED_PREFIX)
        {
            let meant = Self { base: first_of(canonical, prefix), prefix };
            return Err(problem(&format!("an IPv4 network in its IPv6 form; write {meant}")));
        }
        let network = Self { base: first_of(address, prefix), prefix };
        if network.base != address {
            return Err(problem(&format!(
                "an address inside of a network; write {network}, or {address} alone"
            )));
        }
        Ok(network)
    }
}

/// `TRUSTED_PROXIES`: the networks of the proxies whose word on client addresses is taken.
///
/// Security: every address in them can name itself any client address. Name the proxies, not the networks of clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Exactly these.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether the word of `ip` is taken.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }

    /// The networks.
    pub fn networks(&self) -> &[Network] {
        &self.0
    }

    /// Reads a list; the message names all items that are none.
    pub(super) fn parse(items: &[String]) -> Result<Self, String> {
        let mut problems = Vec::new();
        let mut networks = Vec::new();
        for item in items {
            match item.parse() {
                Ok(network) => networks.push(network),
                Err(NetworkError(problem)) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(Self(networks)) } else { Err(problems.join("; ")) }
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    fn holds(text: &str, ip: &str) -> bool {
        network(text).contains(ip.parse().unwrap())
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::1/128", "::1", "127.0.0.1"),
        ] {
            assert!(holds(text, inside) && !holds(text, outside), "{text}");
            assert_eq!(network(&network(text).to_string()), network(text), "{text}");
        }
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "2001:db8::1") && !holds("::/0", "203.0.113.9"));
    }

    #[test]
    fn ipv4_in_its_ipv6_form_is_ipv4() {
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!holds("::/0", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_told_with_the_one_that_is_meant() {
        for (text, meant) in [
            ("10.0.0.5/8", "write 10.0.0.0/8, or 10.0.0.5 alone"),
            ("2001:db8::1/32", "write 2001:db8::/32, or 2001:db8::1 alone"),
            ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
            ("::ffff:10.0.0.5/104", "write 10.0.0.0/8"),
            ("::ffff:192.0.2.7", "write 192.0.2.7/32"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.0/+8", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.0/0008", "from 0 to 32"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(meant) && error.contains(text), "{text}: {error}");
        }
        for bad in
            ["", "*", "10.0.0", "010.0.0.0/8", "10.0.0.0/8/8", "localhost", "[::1]", "fe80::1%eth0/64", "/8"]
        {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_tell_all_that_is_wrong() {
        let items = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let list = TrustedProxies::parse(&items("10.0.0.0/8,::1")).unwrap();
        assert_eq!((list.to_string().as_str(), list.networks().len()), ("10.0.0.0/8,::1/128", 2));
        let error = TrustedProxies::parse(&items("10.0.0.1/8,::1,x")).unwrap_err();
        assert!(error.contains("10.0.0.1/8") && error.contains("\"x\""), "{error}");
    }

    #[test]
    fn width_is_judged_by_family() {
        for (text, expected) in [
            ("0.0.0.0/0", true),
            ("128.0.0.0/1", true),
            ("10.0.0.0/7", true),
            ("10.0.0.0/8", false),
            ("::/0", true),
            ("2000::/3", true),
            ("fc00::/7", false),
        ] {
            assert_eq!(network(text).is_too_wide(), expected, "{text}");
        }
    }
}

//! Names of rows: HMAC(`lookup` key, kind, canonical e-mail or address). People type passwords into the e-mail
//! field, so not even a plain hash of it is kept.

use std::net::IpAddr;

use super::model::LockKind;
use super::tags::Tags;
use crate::crypto::key_id::KeyId;
use crate::crypto::mac;
use crate::crypto::strict::to_base64url;
use crate::ids::{DeviceId, UserId};
use crate::meta::network_of;

/// What stands for the address of a caller who has none: all of them share one row, none goes uncounted.
const UNKNOWN: &[u8] = b"unknown";

/// A row's name, and the one that it had under the lookup key before: a lock outlives the rotation of that key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyPair {
    pub(crate) current: String,
    /// Empty when there was none.
    pub(crate) former: String,
}

/// Makes names of rows.
pub(crate) struct RowKeys {
    keys: Vec<([u8; 32], KeyId)>,
}

impl RowKeys {
    /// The active lookup key, and the one before it.
    pub(crate) fn new(active: ([u8; 32], KeyId), former: Option<([u8; 32], KeyId)>) -> Self {
        Self { keys: std::iter::once(active).chain(former).collect() }
    }

    /// Of an e-mail, by its canonical key.
    pub(crate) fn email(&self, email_key: &str) -> KeyPair {
        self.pair(LockKind::Email, email_key.as_bytes())
    }

    pub(crate) fn device(&self, device: DeviceId) -> KeyPair {
        self.pair(LockKind::Device, device.as_uuid().as_bytes())
    }

    pub(crate) fn second_factor(&self, user: UserId) -> KeyPair {
        self.pair(LockKind::SecondFactor, user.as_uuid().as_bytes())
    }

    /// Of an address: IPv4 whole, IPv6 its /64 (R4).
    pub(crate) fn ip(&self, ip: Option<IpAddr>) -> KeyPair {
        self.pair(LockKind::Ip, &ip.map_or_else(|| UNKNOWN.to_vec(), network_of))
    }

    /// Of the network around an address: IPv4 /24, IPv6 /48.
    pub(crate) fn network(&self, ip: Option<IpAddr>) -> KeyPair {
        self.pair(LockKind::Network, &prefix_of(ip))
    }

    /// What is kept of an e-mail that failed from a network: see [`Tags`].
    pub(crate) fn tag(&self, ip: Option<IpAddr>, email_key: &str) -> u32 {
        let key = self.keys.first().map(|(key, _)| *key).unwrap_or_default();
        Tags::tag(&mac::mac(&key, &[b"stuffing", &prefix_of(ip), email_key.as_bytes()]))
    }

    fn pair(&self, kind: LockKind, subject: &[u8]) -> KeyPair {
        let mut names = self.keys.iter().map(|(key, kid)| {
            let tag = mac::mac(key, &[b"lockout", kind.name().as_bytes(), subject]);
            format!("{kid}.{}", to_base64url(&tag))
        });
        KeyPair { current: names.next().unwrap_or_default(), former: names.next().unwrap_or_default() }
    }
}

fn prefix_of(ip: Option<IpAddr>) -> Vec<u8> {
    match ip.map(|ip| ip.to_canonical()) {
        None => UNKNOWN.to_vec(),
        Some(IpAddr::V4(v4)) => v4.octets().into_iter().take(3).collect(),
        Some(IpAddr::V6(v6)) => v6.octets().into_iter().take(6).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> RowKeys {
        RowKeys::new(([1; 32], KeyId::from_bytes([1; 8])), None)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_counted_by_64_bits_and_networks_by_48_or_24() {
        let keys = keys();
        assert_eq!(keys.ip(ip("2001:db8:1:2::1")), keys.ip(ip("2001:db8:1:2:ffff::9")));
        assert_ne!(keys.ip(ip("2001:db8:1:2::1")), keys.ip(ip("2001:db8:1:3::1")));
        assert_eq!(keys.network(ip("2001:db8:1:2::1")), keys.network(ip("2001:db8:1:3::1")));
        assert_ne!(keys.network(ip("2001:db8:1:2::1")), keys.network(ip("2001:db8:2:2::1")));
        assert_ne!(keys.ip(ip("192.0.2.1")), keys.ip(ip("192.0.2.2")));
        assert_eq!(keys.ip(ip("192.0.2.1")), keys.ip(ip("::ffff:192.0.2.1")));
        assert_eq!(keys.network(ip("192.0.2.1")), keys.network(ip("192.0.2.255")));
        assert_ne!(keys.network(ip("192.0.2.1")), keys.network(ip("192.0.3.1")));
        assert_eq!(keys.ip(None), keys.ip(None));
    }

    #[test]
    fn a_name_tells_its_key_and_nothing_else() {
        let pair = keys().email("ada@example.com");
        assert!(pair.current.starts_with("0101010101010101.") && !pair.current.contains("ada"));
        assert_eq!(pair.former, "");
        let older = ([2; 32], KeyId::from_bytes([2; 8]));
        let both = RowKeys::new(([1; 32], KeyId::from_bytes([1; 8])), Some(older));
        assert_eq!(both.email("ada@example.com").current, pair.current);
        assert_eq!(
            both.email("ada@example.com").former,
            RowKeys::new(older, None).email("ada@example.com").current
        );
    }

    #[test]
    fn kinds_do_not_meet() {
        let keys = keys();
        let user = UserId::from_uuid(uuid::Uuid::nil());
        let device = DeviceId::from_uuid(uuid::Uuid::nil());
        assert_ne!(keys.second_factor(user), keys.device(device));
        assert_ne!(keys.tag(None, "a@example.com"), keys.tag(None, "b@example.com"));
        assert_eq!(keys.tag(ip("192.0.2.1"), "a@example.com"), keys.tag(ip("192.0.2.9"), "a@example.com"));
    }
}

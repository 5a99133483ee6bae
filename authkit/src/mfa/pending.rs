//! The text of a pending token. It proves itself: a forged one is found out before any query.
//!
//! `akm_` + base64url(`version (1) | key id (8) | pending id (16) | user id (16) | HMAC-SHA256 (32)`) and 6 characters of
//! base64url: the CRC-32 of all text before it. The HMAC key is derived from a key of the token ring for this kind of
//! token and this sign-in alone (R9), so no other token can be written as one, and the store holds no secret (R15).

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::checksum::{CHECKSUM_LEN, checksum};
use crate::crypto::key_id::KeyId;
use crate::crypto::mac::{self, KEY_LEN};
use crate::crypto::strict::{from_base64url, to_base64url};
use crate::ids::{PendingId, UserId};
use crate::secret::SecretString;

const PREFIX: &str = "akm_";
const VERSION: u8 = 1;
/// Prefix, 73 bytes as base64url, checksum: every token has this length.
const TEXT_LEN: usize = PREFIX.len() + 98 + CHECKSUM_LEN;
const INFO: &[u8] = b"authkit pending token v1";

/// A token that has the right form. Its fields are claims of whoever sent it until [`Self::verify`].
#[derive(Clone)]
pub(crate) struct PendingToken {
    /// Which key of the token ring it names.
    pub(crate) key_id: KeyId,
    /// Which sign-in it names.
    pub(crate) id: PendingId,
    /// Whose.
    pub(crate) user: UserId,
    mac: [u8; KEY_LEN],
}

impl PendingToken {
    pub(crate) fn issue(
        key_id: KeyId,
        ring_key: &[u8; KEY_LEN],
        id: PendingId,
        user: UserId,
    ) -> SecretString {
        let body =
            Zeroizing::new([signed(key_id, id, user).as_slice(), &tag(key_id, ring_key, id, user)].concat());
        let mut text = format!("{PREFIX}{}", to_base64url(&body));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        SecretString::from(text)
    }

    /// Reads the form. `None` for anything but the one canonical spelling; nothing is proven yet.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != TEXT_LEN {
            return None;
        }
        let (start, sum) = text.split_at_checked(TEXT_LEN - CHECKSUM_LEN)?;
        let body = start.strip_prefix(PREFIX)?;
        if checksum(start) != sum {
            return None;
        }
        let bytes = Zeroizing::new(from_base64url(body)?);
        let (&[version], rest) = bytes.split_first_chunk::<1>()?;
        let (key_id, rest) = rest.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (user, rest) = rest.split_first_chunk::<16>()?;
        let mac = <[u8; KEY_LEN]>::try_from(rest).ok()?;
        (version == VERSION).then(|| Self {
            key_id: KeyId::from_bytes(*key_id),
            id: PendingId::from_uuid(Uuid::from_bytes(*id)),
            user: UserId::from_uuid(Uuid::from_bytes(*user)),
            mac,
        })
    }

    /// Proves the token with the key that it names, in constant time.
    pub(crate) fn verify(&self, ring_key: &[u8; KEY_LEN]) -> bool {
        mac::constant_time_eq(&tag(self.key_id, ring_key, self.id, self.user), &self.mac)
    }
}

impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the MAC, from which the token could be written again.
        f.debug_struct("PendingToken").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

fn signed(key_id: KeyId, id: PendingId, user: UserId) -> Vec<u8> {
    [&[VERSION], key_id.as_bytes().as_slice(), id.as_uuid().as_bytes(), user.as_uuid().as_bytes()].concat()
}

fn tag(key_id: KeyId, ring_key: &[u8; KEY_LEN], id: PendingId, user: UserId) -> [u8; KEY_LEN] {
    let key = Zeroizing::new(mac::derive(ring_key, &[INFO, id.as_uuid().as_bytes()]));
    mac::hmac_sha256(key.as_slice(), &[&signed(key_id, id, user)])
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const KID: KeyId = KeyId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);

    fn issue() -> String {
        let (id, user) = (PendingId::from_uuid(Uuid::from_u128(5)), UserId::from_uuid(Uuid::from_u128(6)));
        PendingToken::issue(KID, &KEY, id, user).expose_secret().to_owned()
    }

    #[test]
    fn what_is_issued_reads_back_and_any_other_text_does_not() {
        let text = issue();
        let token = PendingToken::parse(&text).unwrap();
        assert!(token.verify(&KEY) && !token.verify(&[8; 32]));
        assert_eq!((token.id.as_uuid().as_u128(), token.user.as_uuid().as_u128()), (5, 6));
        for at in 0..text.len() {
            let mut edited = text.clone().into_bytes();
            edited[at] = if edited[at] == b'A' { b'B' } else { b'A' };
            assert!(PendingToken::parse(std::str::from_utf8(&edited).unwrap()).is_none(), "{at}");
            assert!(PendingToken::parse(&text[..at]).is_none());
        }
        // With a checksum that fits: the MAC finds it.
        let mut bytes = from_base64url(&text[PREFIX.len()..TEXT_LEN - CHECKSUM_LEN]).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let start = format!("{PREFIX}{}", to_base64url(&bytes));
            let forged = PendingToken::parse(&format!("{start}{}", checksum(&start)));
            assert!(forged.is_none_or(|token| token.key_id != KID || !token.verify(&KEY)), "{at}");
            bytes[at] ^= 1;
        }
        assert!(!format!("{token:?}").contains(&text[60..90]));
    }
}

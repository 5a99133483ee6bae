//! The text of a device token.
//!
//! `akd_` + base64url(`version (1) | key id (8) | device id (16) | secret (32) | tag (16)`). The store has an HMAC of
//! the secret under the lookup key of that id. The tag, an HMAC that takes in the e-mail, tells a forged or foreign token
//! from a genuine one before anything is asked, so that made-up tokens cost nothing and open nobody's budget.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{NewDevice, Presented};
use crate::crypto::key_id::KeyId;
use crate::crypto::mac;
use crate::crypto::strict::{from_base64url, to_base64url};
use crate::error::Result;
use crate::ids::DeviceId;
use crate::random::{self, SecureRandom};

const PREFIX: &str = "akd_";
const VERSION: u8 = 1;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Prefix and 73 bytes as base64url: every token has this length.
const TEXT_LEN: usize = PREFIX.len() + 98;

/// The codec: see the module.
#[derive(Debug)]
pub(crate) enum DeviceToken {}

/// A token that has the right form; nothing is proven yet.
pub(crate) struct Unverified {
    /// Which lookup key it names.
    pub(crate) key_id: KeyId,
    id: DeviceId,
    secret: Zeroizing<[u8; SECRET_LEN]>,
    tag: [u8; TAG_LEN],
    text: SecretString,
}

impl DeviceToken {
    /// Makes a token for the owner of `email_key`.
    pub(crate) fn issue(
        key_id: KeyId,
        key: &[u8; 32],
        id: DeviceId,
        email_key: &str,
        random: &dyn SecureRandom,
    ) -> Result<NewDevice> {
        let secret = Zeroizing::new(random::bytes::<SECRET_LEN>(random)?);
        let mut body = Zeroizing::new(vec![VERSION]);
        body.extend_from_slice(key_id.as_bytes());
        body.extend_from_slice(id.as_uuid().as_bytes());
        body.extend_from_slice(secret.as_slice());
        body.extend_from_slice(&tag(key, id, &secret, email_key));
        let token = SecretString::from(format!("{PREFIX}{}", to_base64url(&body)));
        Ok(NewDevice { id, key_id: key_id.to_string(), hash: hash(key, id, &secret), token })
    }

    /// Reads the form. `None` for anything but the one canonical spelling.
    pub(crate) fn parse(token: &SecretString) -> Option<Unverified> {
        let text = token.expose_secret();
        if text.len() != TEXT_LEN {
            return None;
        }
        let bytes = Zeroizing::new(from_base64url(text.strip_prefix(PREFIX)?)?);
        let (&[version], rest) = bytes.split_first_chunk::<1>()?;
        let (key_id, rest) = rest.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (secret, rest) = rest.split_first_chunk::<SECRET_LEN>()?;
        let tag = <[u8; TAG_LEN]>::try_from(rest).ok()?;
        (version == VERSION).then(|| Unverified {
            key_id: KeyId::from_bytes(*key_id),
            id: DeviceId::from_uuid(Uuid::from_bytes(*id)),
            secret: Zeroizing::new(*secret),
            tag,
            text: token.clone(),
        })
    }
}

impl Unverified {
    /// Proves that we made the token, for that e-mail. Whether it still counts the store tells.
    pub(crate) fn verify(&self, key: &[u8; 32], email_key: &str) -> Option<Presented> {
        let expected = tag(key, self.id, &self.secret, email_key);
        mac::constant_time_eq(&expected, &self.tag).then(|| Presented {
            id: self.id,
            hash: Some(hash(key, self.id, &self.secret)),
            last_used_at: None,
            token: Some(self.text.clone()),
        })
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").field("id", &self.id).finish_non_exhaustive()
    }
}

fn tag(key: &[u8; 32], id: DeviceId, secret: &[u8; SECRET_LEN], email_key: &str) -> [u8; TAG_LEN] {
    let whole = mac::mac(key, &[b"device tag", id.as_uuid().as_bytes(), secret, email_key.as_bytes()]);
    whole.first_chunk::<TAG_LEN>().copied().unwrap_or_default()
}

fn hash(key: &[u8; 32], id: DeviceId, secret: &[u8; SECRET_LEN]) -> String {
    to_base64url(&mac::mac(key, &[b"device", id.as_uuid().as_bytes(), secret]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    const KEY: [u8; 32] = [7; 32];

    fn issue() -> NewDevice {
        let id = DeviceId::from_uuid(Uuid::from_u128(5));
        DeviceToken::issue(KeyId::from_bytes([1; 8]), &KEY, id, "a@example.com", &SeededRandom::new(1))
            .unwrap()
    }

    #[test]
    fn a_token_opens_for_its_e_mail_and_key_only() {
        let new = issue();
        let token = DeviceToken::parse(&new.token).unwrap();
        assert_eq!(token.key_id.to_string(), new.key_id);
        let shown = token.verify(&KEY, "a@example.com").unwrap();
        assert_eq!((shown.id, shown.hash), (new.id, Some(new.hash)));
        assert!(token.verify(&KEY, "b@example.com").is_none());
        assert!(token.verify(&[8; 32], "a@example.com").is_none());
    }

    #[test]
    fn every_byte_counts() {
        let text = issue().token.expose_secret().to_owned();
        assert_eq!(text.len(), TEXT_LEN);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let edited = SecretString::from(String::from_utf8(bytes).unwrap());
            let opened = DeviceToken::parse(&edited).and_then(|token| {
                // A key of another name would be another key.
                let key = if token.key_id == KeyId::from_bytes([1; 8]) { KEY } else { [9; 32] };
                token.verify(&key, "a@example.com")
            });
            assert!(opened.is_none(), "byte {at}");
        }
        for bad in ["", "akd_", &text[1..], &format!("{text}A")] {
            assert!(DeviceToken::parse(&SecretString::from(bad)).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_not_the_token_and_debug_shows_neither() {
        let new = issue();
        assert!(!new.token.expose_secret().contains(&new.hash));
        let shown = format!("{:?} {new:?}", DeviceToken::parse(&new.token).unwrap());
        assert!(!shown.contains("akd_"), "{shown}");
    }
}

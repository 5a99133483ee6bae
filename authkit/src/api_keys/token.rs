//! The text of an API key.
//!
//! `akk_` + base64url(`version (1) | key id (8) | API key's id (16) | secret (32) | tag (16)`) and the checksum of all text
//! before it. The store has HMAC-SHA-256 over id and secret, under the key of that id of the ring `api_key`: a copy of
//! the store opens nothing. The tag, another HMAC under the same key, tells a forged key from a genuine one before
//! anything is asked of the store, so that made-up keys cost no query. The prefix lets scanners find a key that leaked.

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::checksum::{CHECKSUM_LEN, checksum};
use crate::crypto::key_id::KeyId;
use crate::crypto::mac::{self, KEY_LEN};
use crate::crypto::strict::{from_base64url, to_base64url};
use crate::error::Result;
use crate::ids::ApiKeyId;
use crate::random::{self, SecureRandom};
use crate::secret::SecretString;

/// How every key starts. No access token does.
pub(crate) const PREFIX: &str = "akk_";
const VERSION: u8 = 1;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Prefix, 73 bytes as base64url, checksum.
const TEXT_LEN: usize = PREFIX.len() + 98 + CHECKSUM_LEN;

/// A key that has the right form. What it says is anybody's word until [`Self::prove`].
pub(crate) struct ApiKeyToken {
    /// Which key of the ring it names.
    pub(crate) key_id: KeyId,
    id: ApiKeyId,
    secret: Zeroizing<[u8; SECRET_LEN]>,
    tag: [u8; TAG_LEN],
}

impl ApiKeyToken {
    /// A new one: 256 bits.
    pub(crate) fn generate(
        key_id: KeyId,
        ring_key: &[u8; KEY_LEN],
        id: ApiKeyId,
        random: &dyn SecureRandom,
    ) -> Result<Self> {
        let secret = Zeroizing::new(random::bytes(random)?);
        let tag = tag(ring_key, id, &secret);
        Ok(Self { key_id, id, secret, tag })
    }

    /// As its owner gets it, once.
    pub(crate) fn text(&self) -> SecretString {
        let mut body = Zeroizing::new(vec![VERSION]);
        body.extend_from_slice(self.key_id.as_bytes());
        body.extend_from_slice(self.id.as_uuid().as_bytes());
        body.extend_from_slice(self.secret.as_slice());
        body.extend_from_slice(&self.tag);
        let mut text = format!("{PREFIX}{}", to_base64url(&body));
        let sum = checksum(&text);
        text.push_str(&sum);
        SecretString::from(text)
    }

    /// Reads the form. `None` for anything but the one canonical spelling.
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
        let (secret, rest) = rest.split_first_chunk::<SECRET_LEN>()?;
        let tag = <[u8; TAG_LEN]>::try_from(rest).ok()?;
        (version == VERSION).then(|| Self {
            key_id: KeyId::from_bytes(*key_id),
            id: ApiKeyId::from_uuid(Uuid::from_bytes(*id)),
            secret: Zeroizing::new(*secret),
            tag,
        })
    }

    /// Whether we made it, in constant time: then its id, and the hash that its row must have. `None`: forged.
    pub(crate) fn prove(&self, ring_key: &[u8; KEY_LEN]) -> Option<(ApiKeyId, [u8; KEY_LEN])> {
        let expected = tag(ring_key, self.id, &self.secret);
        mac::constant_time_eq(&expected, &self.tag).then(|| (self.id, self.hash(ring_key)))
    }

    /// What the store has of it.
    pub(crate) fn hash(&self, ring_key: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
        mac::mac(ring_key, &[b"authkit api key v1", self.id.as_uuid().as_bytes(), self.secret.as_slice()])
    }
}

impl fmt::Debug for ApiKeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyToken").field("id", &self.id).finish_non_exhaustive()
    }
}

fn tag(ring_key: &[u8; KEY_LEN], id: ApiKeyId, secret: &[u8; SECRET_LEN]) -> [u8; TAG_LEN] {
    let whole = mac::mac(ring_key, &[b"authkit api key tag v1", id.as_uuid().as_bytes(), secret]);
    whole.first_chunk::<TAG_LEN>().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret as _;
    use crate::testing::SeededRandom;

    const KEY: [u8; 32] = [7; 32];
    const KID: KeyId = KeyId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);

    fn id() -> ApiKeyId {
        ApiKeyId::from_uuid(Uuid::from_u128(0x0192_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001))
    }

    #[test]
    fn a_key_has_256_bits_and_one_spelling() {
        let random = SeededRandom::new(1);
        let key = ApiKeyToken::generate(KID, &KEY, id(), &random).unwrap();
        let text = key.text();
        let text = text.expose_secret();
        assert_eq!((text.len(), key.secret.len()), (TEXT_LEN, 32));
        let read = ApiKeyToken::parse(text).unwrap();
        assert_eq!((read.key_id, read.id, *read.secret), (KID, id(), *key.secret));
        assert_eq!(read.prove(&KEY), Some((id(), key.hash(&KEY))));
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(ApiKeyToken::parse(std::str::from_utf8(&other).unwrap()).is_none(), "{at}");
        }
        for bad in ["", PREFIX, &text[1..], &format!("{text} "), &text.replace(PREFIX, "akl_")] {
            assert!(ApiKeyToken::parse(bad).is_none());
        }
    }

    #[test]
    fn a_forged_key_proves_nothing_even_with_a_right_checksum() {
        let key = ApiKeyToken::generate(KID, &KEY, id(), &SeededRandom::new(1)).unwrap();
        assert_eq!(key.prove(&[8; 32]), None);
        let other = ApiKeyId::from_uuid(Uuid::from_u128(2));
        let moved = ApiKeyToken { id: other, secret: key.secret.clone(), ..key };
        let moved = ApiKeyToken::parse(moved.text().expose_secret()).unwrap();
        assert_eq!(moved.prove(&KEY), None, "the tag belongs to one id");
    }

    #[test]
    fn debug_hides_the_secret() {
        let key = ApiKeyToken::generate(KID, &KEY, id(), &SeededRandom::new(1)).unwrap();
        assert_eq!(format!("{key:?}"), format!("ApiKeyToken {{ id: {:?}, .. }}", id()));
    }
}

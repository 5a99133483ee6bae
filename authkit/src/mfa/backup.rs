//! Backup codes: 120 random bits each, shown once, kept as hashes under their set's own key.

use std::fmt;

use zeroize::Zeroizing;

use super::base32;
use crate::crypto::mac;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::random::{self, SecureRandom};
use crate::secret::SecretString;

/// 15 bytes are 24 characters of base32.
const BYTES: usize = 15;
const CHARACTERS: usize = 24;
const GROUP: usize = 4;

/// The key of a user's set.
pub(crate) struct SetKey(Zeroizing<[u8; 32]>);

impl SetKey {
    pub(crate) fn generate(random: &dyn SecureRandom) -> Result<Self> {
        Ok(Self(Zeroizing::new(random::bytes::<32>(random)?)))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// What the store has of a code in its one spelling.
    pub(crate) fn hash(&self, user: UserId, canonical: &str) -> [u8; 32] {
        mac::mac(&self.0, &[b"authkit backup code v1", user.as_uuid().as_bytes(), canonical.as_bytes()])
    }
}

impl fmt::Debug for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetKey(..)")
    }
}

/// A new code as people see it, in groups, and its hash.
pub(crate) fn generate(
    key: &SetKey,
    user: UserId,
    random: &dyn SecureRandom,
) -> Result<(SecretString, [u8; 32])> {
    let canonical = base32::encode(&*Zeroizing::new(random::bytes::<BYTES>(random)?));
    let hash = key.hash(user, &canonical);
    let groups = canonical.as_bytes().chunks(GROUP).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
    let groups = groups.map_err(|_| Error::internal("base32 is ASCII"))?;
    Ok((SecretString::from(groups.join("-")), hash))
}

/// Whether it has the form of a code in its one spelling.
pub(crate) fn is_code(canonical: &str) -> bool {
    canonical.len() == CHARACTERS && canonical.bytes().all(base32::is_character)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::mfa::totp::canonical;
    use crate::secret::ExposeSecret as _;
    use crate::testing::SeededRandom;

    #[test]
    fn s_114_a_code_has_120_bits_one_spelling_and_its_user() {
        let random = SeededRandom::new(1);
        let key = SetKey::generate(&random).unwrap();
        let (user, other) =
            (UserId::from_uuid(uuid::Uuid::from_u128(1)), UserId::from_uuid(uuid::Uuid::from_u128(2)));
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            let (code, hash) = generate(&key, user, &random).unwrap();
            assert_eq!((code.expose_secret().len(), code.expose_secret().matches('-').count()), (29, 5));
            let typed = SecretString::from(code.expose_secret().to_lowercase().replace('-', " "));
            let one = canonical(&typed).unwrap();
            assert!(is_code(one.expose_secret()));
            assert_eq!(key.hash(user, one.expose_secret()), hash);
            assert_ne!(key.hash(other, one.expose_secret()), hash);
            assert!(seen.insert(hash));
        }
        assert_eq!(SetKey::from_bytes(key.as_bytes()).unwrap().hash(user, "A"), key.hash(user, "A"));
        assert!(SetKey::from_bytes(&[1; 31]).is_none());
    }
}

//! What second factors keep in the store, sealed under the operator's Fernet keys with the user's id inside: a seal that
//! was moved to another user's row does not open (security case 122).

use zeroize::Zeroizing;

use super::backup::SetKey;
use super::base32;
use crate::config::Secrets;
use crate::crypto::fernet::FernetKeys;
use crate::error::Result;
use crate::ids::UserId;
use crate::random::SecureRandom;
use crate::secret::ExposeSecret as _;
use crate::time::Timestamp;

/// Why a seal does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealFault {
    /// No key fits, or it was changed.
    Unreadable,
    /// It was made for another user or another purpose.
    Foreign,
}

impl SealFault {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "seal_unreadable",
            Self::Foreign => "seal_foreign",
        }
    }
}

/// Seals and opens. The text inside is `PURPOSE:USER:BASE32`, so that it can be read without this library.
#[derive(Debug)]
pub(crate) struct Seals(FernetKeys);

const TOTP: &str = "totp";
const BACKUP: &str = "backup";

impl Seals {
    /// # Errors
    /// [`crate::ErrorKind::Config`] for what is no key.
    pub(crate) fn new(secrets: &Secrets) -> Result<Self> {
        FernetKeys::new(&secrets.mfa_encryption_key).map(Self)
    }

    /// Whether there is a key to seal with.
    pub(crate) fn has_key(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn seal_totp(
        &self,
        user: UserId,
        secret: &[u8],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<String> {
        self.seal(TOTP, user, secret, now, random)
    }

    pub(crate) fn open_totp(&self, user: UserId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        self.open(TOTP, user, sealed)
    }

    pub(crate) fn seal_set(
        &self,
        user: UserId,
        key: &SetKey,
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<String> {
        self.seal(BACKUP, user, key.as_bytes(), now, random)
    }

    pub(crate) fn open_set(&self, user: UserId, sealed: &str) -> Result<SetKey, SealFault> {
        let bytes = self.open(BACKUP, user, sealed)?;
        SetKey::from_bytes(&bytes).ok_or(SealFault::Foreign)
    }

    /// Whether the newest key made it.
    pub(crate) fn is_newest(&self, sealed: &str) -> bool {
        self.0.is_newest(sealed)
    }

    /// The same under the newest key; `None` when it does not open.
    pub(crate) fn reseal(
        &self,
        sealed: &str,
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<Option<String>> {
        match self.0.open(sealed) {
            Some(plain) => self.0.seal(&plain, now, random).map(Some),
            None => Ok(None),
        }
    }

    fn seal(
        &self,
        purpose: &str,
        user: UserId,
        bytes: &[u8],
        now: Timestamp,
        random: &dyn SecureRandom,
    ) -> Result<String> {
        let text = base32::encode_secret(bytes);
        let plain = Zeroizing::new(format!("{purpose}:{user}:{}", text.expose_secret()));
        self.0.seal(plain.as_bytes(), now, random)
    }

    fn open(&self, purpose: &str, user: UserId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let plain = self.0.open(sealed).ok_or(SealFault::Unreadable)?;
        let text = std::str::from_utf8(&plain).map_err(|_| SealFault::Foreign)?;
        let rest = text.strip_prefix(&format!("{purpose}:{user}:")).ok_or(SealFault::Foreign)?;
        base32::decode(rest).map(Zeroizing::new).ok_or(SealFault::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SeededRandom, secrets};

    #[test]
    fn s_122_a_seal_belongs_to_its_user_and_purpose() {
        let (seals, random) = (Seals::new(&secrets()).unwrap(), SeededRandom::new(1));
        let (ann, bob) =
            (UserId::from_uuid(uuid::Uuid::from_u128(1)), UserId::from_uuid(uuid::Uuid::from_u128(2)));
        let now = Timestamp::from_secs(1_800_000_000);
        let sealed = seals.seal_totp(ann, &[7; 20], now, &random).unwrap();
        assert_eq!(seals.open_totp(ann, &sealed).unwrap().as_slice(), [7; 20]);
        assert_eq!(seals.open_totp(bob, &sealed), Err(SealFault::Foreign));
        assert!(matches!(seals.open_set(ann, &sealed), Err(SealFault::Foreign)));
        assert_eq!(seals.open_totp(ann, &sealed[1..]), Err(SealFault::Unreadable));
        let key = SetKey::generate(&random).unwrap();
        let sealed = seals.seal_set(ann, &key, now, &random).unwrap();
        assert_eq!(seals.open_set(ann, &sealed).unwrap().as_bytes(), key.as_bytes());
        assert!(seals.open_set(bob, &sealed).is_err());
    }
}

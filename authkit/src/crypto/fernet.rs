//! Fernet tokens (github.com/fernet/spec): AES-128-CBC and HMAC-SHA256, encrypt-then-MAC, as other tools read and write
//! them. Chosen for what is sealed under a key of the operator's, so that it can be exported without this library.
//!
//! `base64url(0x80 | seconds (u64 BE) | IV (16) | ciphertext | HMAC (32))`, padded; the first half of a key signs, the
//! second encrypts. The time in a token is not judged: what is sealed here does not age.

use std::fmt;

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use zeroize::Zeroizing;

use crate::config::fernet_key;
use crate::crypto::mac;
use crate::error::{Error, Result};
use crate::random::{self, SecureRandom};
use crate::secret::SecretString;
use crate::time::Timestamp;

const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
const TAG_LEN: usize = 32;
/// Nothing that is sealed here is longer; a row that somebody filled is not decoded first.
const MAX_TEXT: usize = 4096;

/// The keys by which tokens are made (the first) and read (all).
pub(crate) struct FernetKeys(Vec<Zeroizing<[u8; 32]>>);

impl FernetKeys {
    /// Newest first; none is possible.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for what is no key.
    pub(crate) fn new(keys: &[SecretString]) -> Result<Self> {
        let read = |key| {
            fernet_key(key).ok_or_else(|| Error::config("MFA_ENCRYPTION_KEY holds what is no Fernet key"))
        };
        keys.iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// Whether there is one to seal with.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Seals under the newest key.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] without a key.
    pub(crate) fn seal(&self, plain: &[u8], now: Timestamp, random: &dyn SecureRandom) -> Result<String> {
        let key = self.0.first().ok_or_else(|| Error::unavailable("MFA_ENCRYPTION_KEY is not set"))?;
        let seconds = u64::try_from(now.as_micros().div_euclid(1_000_000)).unwrap_or(0);
        seal_with(key, plain, seconds, random::bytes::<BLOCK>(random)?)
    }

    /// `None` when no key fits, or anything was changed.
    pub(crate) fn open(&self, token: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = decode(token)?;
        self.0.iter().find_map(|key| open_with(key, &bytes))
    }

    /// Whether the newest key made it.
    pub(crate) fn is_newest(&self, token: &str) -> bool {
        decode(token).is_some_and(|bytes| self.0.first().is_some_and(|key| signed(key, &bytes).is_some()))
    }
}

impl fmt::Debug for FernetKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FernetKeys({})", self.0.len())
    }
}

fn halves(key: &[u8; 32]) -> Option<(&[u8; 16], &[u8; 16])> {
    let (signing, rest) = key.split_first_chunk::<16>()?;
    Some((signing, rest.first_chunk::<16>()?))
}

fn seal_with(key: &[u8; 32], plain: &[u8], seconds: u64, iv: [u8; BLOCK]) -> Result<String> {
    let (signing, encryption) = halves(key).ok_or_else(|| Error::internal("a Fernet key has 32 bytes"))?;
    let sealed =
        cbc::Encryptor::<Aes128>::new(encryption.into(), &iv.into()).encrypt_padded_vec::<Pkcs7>(plain);
    let mut token = [&[VERSION], seconds.to_be_bytes().as_slice(), &iv, &sealed].concat();
    let tag = mac::hmac_sha256(signing, &[&token]);
    token.extend_from_slice(&tag);
    Ok(URL_SAFE.encode(token))
}

fn decode(token: &str) -> Option<Vec<u8>> {
    if token.len() > MAX_TEXT {
        return None;
    }
    URL_SAFE.decode(token).ok()
}

/// What stands before the tag, if that is right.
fn signed<'a>(key: &[u8; 32], token: &'a [u8]) -> Option<&'a [u8]> {
    let (body, tag) = token.split_at_checked(token.len().checked_sub(TAG_LEN)?)?;
    let expected = mac::hmac_sha256(halves(key)?.0, &[body]);
    mac::constant_time_eq(&expected, tag).then_some(body)
}

fn open_with(key: &[u8; 32], token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (&[version], rest) = signed(key, token)?.split_first_chunk::<1>()?;
    let (_seconds, rest) = rest.split_first_chunk::<8>()?;
    let (iv, sealed) = rest.split_first_chunk::<BLOCK>()?;
    if version != VERSION {
        return None;
    }
    let decryptor = cbc::Decryptor::<Aes128>::new(halves(key)?.1.into(), iv.into());
    decryptor.decrypt_padded_vec::<Pkcs7>(sealed).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    const SPEC_KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const SPEC_TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn keys(texts: &[&str]) -> FernetKeys {
        FernetKeys::new(&texts.iter().map(|&text| SecretString::from(text)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn agrees_with_the_vectors_of_the_specification() {
        // generate.json and verify.json: 1985-10-26T01:20:00-07:00, IV 00 01 … 0f, "hello".
        let ring = keys(&[SPEC_KEY]);
        let iv: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(seal_with(&ring.0[0], b"hello", 499_162_800, iv).unwrap(), SPEC_TOKEN);
        assert_eq!(ring.open(SPEC_TOKEN).unwrap().as_slice(), b"hello");
    }

    #[test]
    fn whatever_is_changed_or_cut_does_not_open() {
        let ring = keys(&[SPEC_KEY]);
        let bytes = URL_SAFE.decode(SPEC_TOKEN).unwrap();
        for at in 0..bytes.len() {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            assert!(ring.open(&URL_SAFE.encode(&edited)).is_none(), "{at}");
            assert!(ring.open(&URL_SAFE.encode(&bytes[..at])).is_none(), "{at}");
        }
        for noise in ["", "=", "gAAAAAA", "ä", &SPEC_TOKEN[1..], &"A".repeat(5000)] {
            assert!(ring.open(noise).is_none(), "{noise}");
        }
        // Signed rightly, but of another version, or not padded: nothing of it is believed.
        let odd = |body: &[u8]| {
            let tag = mac::hmac_sha256(&ring.0[0][..16], &[body]);
            URL_SAFE.encode([body, &tag].concat())
        };
        let mut other = bytes[..bytes.len() - TAG_LEN].to_vec();
        assert!(ring.open(&odd(&other)).is_some());
        other[0] = 0x81;
        assert!(ring.open(&odd(&other)).is_none());
        assert!(ring.open(&odd(&bytes[..25])).is_none() && ring.open(&odd(&bytes[..30])).is_none());
    }

    #[test]
    fn the_newest_key_seals_and_older_ones_still_open() {
        let random = SeededRandom::new(1);
        let newer = "Xb7rTq2LwYd0Ns5vKz8mGh1cPf4jAe6uRo9iWt3xSgM=";
        let (before, both, after) = (keys(&[SPEC_KEY]), keys(&[newer, SPEC_KEY]), keys(&[newer]));
        let now = Timestamp::from_secs(1_800_000_000);
        let old = before.seal(b"secret", now, &random).unwrap();
        assert_eq!(both.open(&old).unwrap().as_slice(), b"secret");
        assert!(!both.is_newest(&old) && after.open(&old).is_none() && before.is_newest(&old));
        let new = both.seal(b"secret", now, &random).unwrap();
        assert!(both.is_newest(&new) && after.open(&new).is_some() && before.open(&new).is_none());
        assert_ne!(both.seal(b"secret", now, &random).unwrap(), new);
        for length in 0..70 {
            let text = vec![7; length];
            assert_eq!(*both.open(&both.seal(&text, now, &random).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn no_key_seals_nothing_and_garbled_ones_are_refused() {
        let none = keys(&[]);
        assert!(none.is_empty() && none.open(SPEC_TOKEN).is_none() && !none.is_newest(SPEC_TOKEN));
        let sealed = none.seal(b"x", Timestamp::from_secs(1), &SeededRandom::new(1));
        assert_eq!(sealed.unwrap_err().kind(), crate::ErrorKind::Unavailable);
        for bad in ["", "short", &SPEC_KEY[..43], "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4"] {
            let error = FernetKeys::new(&[SecretString::from(bad)]).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config);
        }
        assert_eq!(format!("{:?}", keys(&[SPEC_KEY])), "FernetKeys(1)");
    }
}

//! Sealing of data keys under the root keys (`TOKEN_PEPPER`): ChaCha20-Poly1305 (RFC 8439).
//!
//! A sealed value is `version (1) | root id (8) | nonce (12) | ciphertext | tag (16)`. Version and root id
//! are authenticated together with the caller's associated data.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::crypto::key_id::KeyId;
use crate::crypto::mac::{self, KEY_LEN};
use crate::error::{Error, ErrorKind, Result};
use crate::random::{self, SecureRandom};

/// As it stands in lists of keys.
pub(crate) const ALGORITHM: &str = "ChaCha20-Poly1305";
const VERSION: u8 = 1;
const HEADER_LEN: usize = 9;
const SEAL_INFO: &[u8] = b"authkit root v1: seal";
const NAME_INFO: &[u8] = b"authkit root v1: name";
/// 256 bits, were every byte of the secret random (ASVS 11.2.3). What a sample value looks like, settings know.
const MIN_ROOT_LEN: usize = 32;

/// The root keys: the newest seals, all of them open.
pub(crate) struct RootKeys {
    newest: Root,
    older: Vec<Root>,
}

struct Root {
    id: KeyId,
    key: LessSafeKey,
}

impl RootKeys {
    /// Roots from their secrets, newest first. `Config` when there is none or one is under 32 bytes; the
    /// message names its place in the list, never its value.
    pub(crate) fn new(secrets: &[SecretString]) -> Result<Self> {
        let mut roots = Vec::with_capacity(secrets.len());
        for (index, secret) in secrets.iter().enumerate() {
            let secret = secret.expose_secret().as_bytes();
            if secret.len() < MIN_ROOT_LEN {
                let place = index.saturating_add(1);
                return Err(Error::config(format!("root key {place} is shorter than {MIN_ROOT_LEN} bytes")));
            }
            roots.push(Root::new(secret)?);
        }
        let mut roots = roots.into_iter();
        let newest = roots.next().ok_or_else(|| Error::config("there is no root key"))?;
        Ok(Self { newest, older: roots.collect() })
    }

    /// Seals `plaintext` under the newest root. The same `aad` must be given to [`Self::open`]: bind in what
    /// the value belongs to, so that it cannot be moved to another row (ASVS 11.3.3).
    pub(crate) fn seal(&self, plaintext: &[u8], aad: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
        let header = header(self.newest.id);
        let mut body = Zeroizing::new(plaintext.to_vec());
        let tag = self
            .newest
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound(&header, aad), &mut body)
            .map_err(|_| Error::internal("a value could not be sealed"))?;
        Ok([header.as_slice(), &nonce, &body, tag.as_ref()].concat())
    }

    /// Opens a sealed value. `Schema` when it was sealed under a root that is not here; `Internal` when it is
    /// damaged or belongs elsewhere.
    pub(crate) fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let damaged = || Error::internal("a sealed value is damaged or belongs elsewhere");
        let (id, rest) = split(sealed).ok_or_else(damaged)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let root = self.roots().find(|root| root.id == id).ok_or_else(|| {
            Error::new(
                ErrorKind::Schema,
                format!("a value is sealed under root {id}, which is not configured"),
            )
        })?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = root.key.open_in_place(nonce, bound(&header(id), aad), &mut body);
        let length = opened.map_err(|_| damaged())?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Whether the value is sealed under another root than the newest, or is no sealed value at all.
    pub(crate) fn needs_reseal(&self, sealed: &[u8]) -> bool {
        split(sealed).is_none_or(|(id, _)| id != self.newest.id)
    }

    /// The names of the roots, newest first. Derived one-way from the secrets: safe to store and to print.
    pub(crate) fn fingerprint(&self) -> Vec<String> {
        self.roots().map(|root| root.id.to_string()).collect()
    }

    fn roots(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RootKeys").field(&self.fingerprint()).finish()
    }
}

impl Root {
    fn new(secret: &[u8]) -> Result<Self> {
        let key: Zeroizing<[u8; KEY_LEN]> = Zeroizing::new(mac::hkdf_sha256(&[], secret, &[SEAL_INFO]));
        let name = mac::hkdf_sha256(&[], secret, &[NAME_INFO]);
        let id = name.first_chunk::<8>().map(|bytes| KeyId::from_bytes(*bytes));
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice());
        match (id, key) {
            (Some(id), Ok(key)) => Ok(Self { id, key: LessSafeKey::new(key) }),
            _ => Err(Error::internal("a root key could not be derived")),
        }
    }
}

/// Seals under a data key: `nonce (12) | ciphertext | tag (16)`. The key's name is kept beside the value by the caller.
pub(crate) fn seal_with(
    key: &[u8; KEY_LEN],
    plaintext: &[u8],
    aad: &[u8],
    random: &dyn SecureRandom,
) -> Result<Vec<u8>> {
    let failed = || Error::internal("a value could not be sealed");
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| failed())?);
    let nonce: [u8; NONCE_LEN] = random::bytes(random)?;
    let mut body = Zeroizing::new(plaintext.to_vec());
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| failed())?;
    Ok([nonce.as_slice(), &body, tag.as_ref()].concat())
}

/// Opens what [`seal_with`] sealed under the same key and `aad`; `Internal` when it is damaged or belongs elsewhere.
pub(crate) fn open_with(key: &[u8; KEY_LEN], sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let damaged = || Error::internal("a sealed value is damaged or belongs elsewhere");
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| damaged())?);
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
    let mut body = Zeroizing::new(body.to_vec());
    let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body);
    let length = opened.map_err(|_| damaged())?.len();
    body.truncate(length);
    Ok(body)
}

fn header(id: KeyId) -> [u8; HEADER_LEN] {
    let mut out = [VERSION; HEADER_LEN];
    for (to, from) in out.iter_mut().skip(1).zip(id.as_bytes()) {
        *to = *from;
    }
    out
}

/// The header has a fixed width, so joining it with the caller's data is unambiguous.
fn bound(header: &[u8; HEADER_LEN], aad: &[u8]) -> Aad<Vec<u8>> {
    Aad::from([header.as_slice(), aad].concat())
}

fn split(sealed: &[u8]) -> Option<(KeyId, &[u8])> {
    let (version, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    (*version == VERSION).then_some((KeyId::from_bytes(*id), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn roots(secrets: &[&str]) -> RootKeys {
        let secrets: Vec<SecretString> = secrets.iter().map(|s| SecretString::from(*s)).collect();
        RootKeys::new(&secrets).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_again() {
        let (roots, random) = (roots(&[OLD]), SeededRandom::new(1));
        for length in [0, 1, 32, 1000] {
            let text = random.bytes(length);
            let sealed = roots.seal(&text, b"kid|jwt", &random).unwrap();
            assert_eq!(*roots.open(&sealed, b"kid|jwt").unwrap(), text);
            assert_eq!(sealed.len(), length + 37);
            assert!(length < 8 || !sealed.windows(length).any(|window| window == text));
        }
    }

    #[test]
    fn a_data_key_opens_its_own_values_in_their_place_only() {
        let (key, random) = ([7; KEY_LEN], SeededRandom::new(4));
        let sealed = seal_with(&key, b"a link", b"row 1", &random).unwrap();
        assert_eq!(**open_with(&key, &sealed, b"row 1").unwrap(), *b"a link");
        assert!(
            open_with(&key, &sealed, b"row 2").is_err() && open_with(&[8; 32], &sealed, b"row 1").is_err()
        );
        for at in 0..sealed.len() {
            let mut edited = sealed.clone();
            edited[at] ^= 1;
            assert!(open_with(&key, &edited, b"row 1").is_err(), "{at}");
            assert!(open_with(&key, &sealed[..at], b"row 1").is_err(), "{at}");
        }
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let (roots, random) = (roots(&[OLD]), SeededRandom::new(1));
        assert_ne!(roots.seal(b"key", b"", &random).unwrap(), roots.seal(b"key", b"", &random).unwrap());
    }

    #[test]
    fn refuses_what_was_edited_moved_or_cut() {
        let (roots, random) = (roots(&[OLD]), SeededRandom::new(2));
        let sealed = roots.seal(b"a data key", b"row-a", &random).unwrap();
        assert_eq!(roots.open(&sealed, b"row-b").unwrap_err().kind(), ErrorKind::Internal);
        for place in 0..sealed.len() {
            for bit in 0..8 {
                let mut edited = sealed.clone();
                edited[place] ^= 1 << bit;
                assert!(roots.open(&edited, b"row-a").is_err(), "byte {place}");
            }
            assert!(roots.open(&sealed[..place], b"row-a").is_err(), "cut at {place}");
        }
    }

    #[test]
    fn an_older_root_opens_and_asks_to_be_replaced() {
        let random = SeededRandom::new(3);
        let (before, after) = (roots(&[OLD]), roots(&[NEW, OLD]));
        let sealed = before.seal(b"key", b"x", &random).unwrap();
        assert!(!before.needs_reseal(&sealed));
        assert_eq!(*after.open(&sealed, b"x").unwrap(), b"key");
        assert!(after.needs_reseal(&sealed));
        let again = after.seal(b"key", b"x", &random).unwrap();
        assert!(!after.needs_reseal(&again));
        assert_eq!(before.open(&again, b"x").unwrap_err().kind(), ErrorKind::Schema);
        assert!(after.needs_reseal(b""));
        assert_eq!(after.fingerprint(), [roots(&[NEW]).fingerprint(), before.fingerprint()].concat());
    }

    #[test]
    fn noise_never_panics_and_never_opens() {
        let (roots, random) = (roots(&[OLD]), SeededRandom::new(4));
        for _ in 0..2000 {
            let mut noise = random.bytes(random.below(80));
            if random.below(2) == 0 && noise.len() > HEADER_LEN {
                noise[..HEADER_LEN].copy_from_slice(&header(roots.newest.id));
            }
            assert!(roots.open(&noise, b"").is_err());
            roots.needs_reseal(&noise);
        }
    }

    #[test]
    fn s_58_weak_or_absent_roots_are_refused_without_their_value() {
        let short = RootKeys::new(&[SecretString::from(OLD), SecretString::from("hunter2")]).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::Config);
        assert!(!format!("{short} {short:?}").contains("hunter2"));
        assert_eq!(RootKeys::new(&[]).unwrap_err().kind(), ErrorKind::Config);
    }

    #[test]
    fn neither_debug_nor_fingerprint_shows_a_secret() {
        let shown = format!("{:?}", roots(&[OLD, NEW]));
        assert!(!shown.contains(OLD) && !shown.contains(NEW));
        assert!(shown.contains(&roots(&[OLD]).fingerprint()[0]));
    }
}

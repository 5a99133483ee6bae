//! The text of a link's secret, and the code to be typed.
//!
//! `akl_` + base64url(`version (1) | key id (8) | secret (32)`) and the checksum of all text before it. The store has
//! HMAC-SHA-256 over purpose and secret, under the key of that id of the ring `link`: a copy of the store opens
//! nothing, and a link of one purpose is not found at another's door.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::model::LinkPurpose;
use crate::crypto::checksum::{CHECKSUM_LEN, checksum};
use crate::crypto::key_id::KeyId;
use crate::crypto::mac::{self, KEY_LEN};
use crate::crypto::strict::{from_base64url, to_base64url};
use crate::error::Result;
use crate::ids::LinkId;
use crate::random::{self, SecureRandom};
use crate::secret::{ExposeSecret as _, SecretString};

const PREFIX: &str = "akl_";
const VERSION: u8 = 1;
/// Prefix, 41 bytes as base64url, checksum.
const TEXT_LEN: usize = PREFIX.len() + 55 + CHECKSUM_LEN;

/// How long a typed code lives.
pub(crate) const CODE_LIFE: Duration = Duration::from_mins(15);
/// Codes that are judged against one link. Of 10^8, so that guessing succeeds once in twenty million mails.
pub(super) const CODE_TRIES: i64 = 5;
const CODE_DIGITS: usize = 8;
const CODES: u64 = 100_000_000;

/// A link's secret that has the right form.
pub(crate) struct LinkToken {
    pub(crate) key_id: KeyId,
    secret: Zeroizing<[u8; KEY_LEN]>,
}

impl LinkToken {
    /// A new one: 256 bits.
    pub(crate) fn generate(key_id: KeyId, random: &dyn SecureRandom) -> Result<Self> {
        Ok(Self { key_id, secret: Zeroizing::new(random::bytes(random)?) })
    }

    /// As it stands in the mail.
    pub(crate) fn text(&self) -> SecretString {
        let body =
            Zeroizing::new([&[VERSION], self.key_id.as_bytes().as_slice(), self.secret.as_slice()].concat());
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
        let secret = Zeroizing::new(<[u8; KEY_LEN]>::try_from(rest).ok()?);
        (version == VERSION).then(|| Self { key_id: KeyId::from_bytes(*key_id), secret })
    }

    /// What the store has of it.
    pub(crate) fn hash(&self, ring_key: &[u8; KEY_LEN], purpose: LinkPurpose) -> [u8; KEY_LEN] {
        mac::mac(ring_key, &[b"authkit link v1", purpose.name().as_bytes(), self.secret.as_slice()])
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkToken").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What goes into the mail, and nowhere else.
#[derive(Debug)]
pub(crate) struct LinkSecret {
    pub(crate) token: SecretString,
    /// To be typed, where the purpose has one.
    pub(crate) code: Option<SecretString>,
}

/// Eight digits.
pub(super) fn new_code(random: &dyn SecureRandom) -> Result<SecretString> {
    // 2^64 is no multiple of 10^8, which favours some codes by one part in 10^11.
    let number = u64::from_be_bytes(random::bytes(random)?) % CODES;
    Ok(SecretString::from(format!("{number:08}")))
}

/// Eight digits as typed: mail clients and people group them. `None` for what is no code.
pub(crate) fn read_code(typed: &SecretString) -> Option<SecretString> {
    let text = typed.expose_secret();
    if text.len() > 4 * CODE_DIGITS {
        return None;
    }
    let digits: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let sound = digits.len() == CODE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| SecretString::from(digits))
}

/// What the store has of a code: bound to its link, so that no two links share a hash.
pub(crate) fn code_hash(ring_key: &[u8; KEY_LEN], link: LinkId, code: &SecretString) -> [u8; KEY_LEN] {
    let id = link.as_uuid();
    mac::mac(ring_key, &[b"authkit link code v1", id.as_bytes(), code.expose_secret().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    const KEY: [u8; 32] = [7; 32];
    const KID: KeyId = KeyId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);

    #[test]
    fn s_103_a_secret_has_256_bits_and_one_spelling() {
        let random = SeededRandom::new(1);
        let token = LinkToken::generate(KID, &random).unwrap();
        let text = token.text();
        let text = text.expose_secret();
        assert_eq!((text.len(), token.secret.len()), (TEXT_LEN, 32));
        let read = LinkToken::parse(text).unwrap();
        assert_eq!((read.key_id, *read.secret), (KID, *token.secret));
        assert_ne!(*LinkToken::generate(KID, &random).unwrap().secret, *token.secret);
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(LinkToken::parse(std::str::from_utf8(&other).unwrap()).is_none(), "{at}");
        }
        for bad in ["", "akl_", &text[1..], &format!("{text} "), &text.replace("akl_", "akr_")] {
            assert!(LinkToken::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_hash_belongs_to_one_purpose_and_key() {
        let token = LinkToken::generate(KID, &SeededRandom::new(1)).unwrap();
        let mut hashes: Vec<_> = LinkPurpose::ALL.iter().map(|purpose| token.hash(&KEY, *purpose)).collect();
        hashes.push(token.hash(&[8; 32], LinkPurpose::VerifyEmail));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), LinkPurpose::ALL.len() + 1);
    }

    #[test]
    fn codes_are_eight_digits_in_any_grouping() {
        let random = SeededRandom::new(1);
        for _ in 0..1000 {
            let code = new_code(&random).unwrap();
            assert_eq!(read_code(&code).unwrap().expose_secret(), code.expose_secret());
        }
        let read = |text: &str| read_code(&text.into()).map(|code| code.expose_secret().to_owned());
        for same in ["01234567", " 0123 4567\n", "0123-4567", "0 1 2 3 4 5 6 7"] {
            assert_eq!(read(same).as_deref(), Some("01234567"), "{same}");
        }
        for bad in ["", "0123456", "012345678", "0123456a", "+1234567", "\u{660}1234567", &" ".repeat(99)] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let (a, b) =
            (LinkId::from_uuid(uuid::Uuid::from_u128(1)), LinkId::from_uuid(uuid::Uuid::from_u128(2)));
        let code = SecretString::from("01234567");
        assert_ne!(code_hash(&KEY, a, &code), code_hash(&KEY, b, &code));
    }

    #[test]
    fn debug_hides_the_secret() {
        let token = LinkToken::generate(KID, &SeededRandom::new(1)).unwrap();
        assert_eq!(format!("{token:?}"), "LinkToken { key_id: KeyId(0102030405060708), .. }");
    }
}

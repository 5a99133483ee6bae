//! The text of a refresh token. It proves itself: a forged one is found out before any query.
//!
//! `akr_` + base64url(`version (1) | key id (8) | session id (16) | counter (u64 BE) | HMAC-SHA256 (32)`)
//! and 6 characters of base64url: the CRC-32 of all text before it. The checksum finds typos and lets
//! scanners recognise a leaked token; it protects nothing.
//!
//! The HMAC key is HKDF(ring key of that key id, session id), so nothing from the session's row is needed,
//! and the store holds no secret (R15).

use std::fmt;

use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::checksum::{CHECKSUM_LEN, checksum};
use crate::crypto::key_id::KeyId;
use crate::crypto::mac::{self, KEY_LEN};
use crate::crypto::strict::{from_base64url, to_base64url};
use crate::ids::SessionId;

const PREFIX: &str = "akr_";
const VERSION: u8 = 1;
const SIGNED_LEN: usize = 33;
/// Prefix, 65 bytes as base64url, checksum: every token has this length.
const TEXT_LEN: usize = PREFIX.len() + 87 + CHECKSUM_LEN;
const INFO: &[u8] = b"authkit refresh token v1";

/// The codec: see the module.
#[derive(Debug)]
pub(crate) enum RefreshToken {}

/// A token that has the right form. Its fields are claims of whoever sent it until [`Self::verify`].
#[derive(Clone)]
pub(crate) struct Unverified {
    /// Which key of the token ring it names.
    pub(crate) key_id: KeyId,
    /// Which session it names.
    pub(crate) session_id: SessionId,
    /// Which rotation it names.
    pub(crate) counter: u64,
    mac: [u8; KEY_LEN],
}

/// What a verified token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefreshClaims {
    /// The session.
    pub(crate) session_id: SessionId,
    /// The rotation for which it was issued; the present one when it equals the row's.
    pub(crate) counter: u64,
}

impl RefreshToken {
    /// Writes the token of rotation `counter`. The same input gives the same text: a lost answer can be
    /// repeated within the grace.
    pub(crate) fn issue(
        key_id: KeyId,
        ring_key: &[u8; KEY_LEN],
        session_id: SessionId,
        counter: u64,
    ) -> SecretString {
        let tag = tag(key_id, ring_key, session_id, counter);
        let body = Zeroizing::new([signed(key_id, session_id, counter).as_slice(), &tag].concat());
        let mut text = format!("{PREFIX}{}", to_base64url(&body));
        let checksum = checksum(&text);
        text.push_str(&checksum);
        SecretString::from(text)
    }

    /// Reads the form. `None` for anything but the one canonical spelling; nothing is proven yet.
    pub(crate) fn parse(text: &str) -> Option<Unverified> {
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
        let (session_id, rest) = rest.split_first_chunk::<16>()?;
        let (counter, rest) = rest.split_first_chunk::<8>()?;
        let mac = <[u8; KEY_LEN]>::try_from(rest).ok()?;
        (version == VERSION).then(|| Unverified {
            key_id: KeyId::from_bytes(*key_id),
            session_id: SessionId::from_uuid(Uuid::from_bytes(*session_id)),
            counter: u64::from_be_bytes(*counter),
            mac,
        })
    }
}

impl Unverified {
    /// Proves the token with the key that it names, in constant time. `None`: forged.
    pub(crate) fn verify(&self, ring_key: &[u8; KEY_LEN]) -> Option<RefreshClaims> {
        let expected = tag(self.key_id, ring_key, self.session_id, self.counter);
        mac::constant_time_eq(&expected, &self.mac)
            .then_some(RefreshClaims { session_id: self.session_id, counter: self.counter })
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the MAC, from which the token could be written again.
        f.debug_struct("Unverified")
            .field("key_id", &self.key_id)
            .field("session_id", &self.session_id)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

fn signed(key_id: KeyId, session_id: SessionId, counter: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(SIGNED_LEN);
    out.push(VERSION);
    out.extend_from_slice(key_id.as_bytes());
    out.extend_from_slice(session_id.as_uuid().as_bytes());
    out.extend_from_slice(&counter.to_be_bytes());
    out
}

fn tag(key_id: KeyId, ring_key: &[u8; KEY_LEN], session_id: SessionId, counter: u64) -> [u8; KEY_LEN] {
    let key = Zeroizing::new(mac::derive(ring_key, &[INFO, session_id.as_uuid().as_bytes()]));
    mac::hmac_sha256(key.as_slice(), &[&signed(key_id, session_id, counter)])
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::testing::SeededRandom;

    const KEY: [u8; 32] = [7; 32];
    const KID: KeyId = KeyId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8]);

    fn session() -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(0x0192_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001))
    }

    fn issue(counter: u64) -> String {
        RefreshToken::issue(KID, &KEY, session(), counter).expose_secret().to_owned()
    }

    /// The text over these bytes, with a checksum that fits.
    fn spelled(bytes: &[u8]) -> String {
        let start = format!("{PREFIX}{}", to_base64url(bytes));
        format!("{start}{}", checksum(&start))
    }

    fn bytes_of(text: &str) -> Vec<u8> {
        from_base64url(&text[PREFIX.len()..TEXT_LEN - CHECKSUM_LEN]).unwrap()
    }

    #[test]
    fn what_is_issued_reads_back() {
        for counter in [0, 1, 255, 1 << 40, u64::MAX] {
            let text = issue(counter);
            assert_eq!((text.len(), text.starts_with("akr_")), (TEXT_LEN, true));
            let token = RefreshToken::parse(&text).unwrap();
            assert_eq!((token.key_id, token.session_id, token.counter), (KID, session(), counter));
            assert_eq!(token.verify(&KEY), Some(RefreshClaims { session_id: session(), counter }));
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = bytes_of(&issue(0x0102));
        assert_eq!(bytes[0], 1);
        assert_eq!(bytes[1..9], *KID.as_bytes());
        assert_eq!(bytes[9..25], *session().as_uuid().as_bytes());
        assert_eq!(bytes[25..33], [0, 0, 0, 0, 0, 0, 1, 2]);
        let key = mac::derive(&KEY, &[INFO, session().as_uuid().as_bytes()]);
        assert_eq!(bytes[33..], mac::hmac_sha256(&key, &[&bytes[..33]]));
    }

    #[test]
    fn the_successor_can_be_computed_again() {
        assert_eq!(issue(5), issue(5));
        assert_ne!(issue(5), issue(6));
    }

    #[test]
    fn s_68_any_edited_byte_is_refused() {
        let text = issue(9);
        let bytes = bytes_of(&text);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut edited = bytes.clone();
                edited[place] ^= 1 << bit;
                let token = RefreshToken::parse(&spelled(&edited));
                assert_eq!(token.is_none(), place == 0, "byte {place}: only the version is part of the form");
                assert_eq!(token.and_then(|token| token.verify(&KEY)), None, "byte {place}");
            }
        }
        for place in 0..text.len() {
            for other in [b'A', b'B', b'_', b'=', b' ', 0, b'.'] {
                let mut edited = text.clone().into_bytes();
                if edited[place] == other {
                    continue;
                }
                edited[place] = other;
                assert!(RefreshToken::parse(str::from_utf8(&edited).unwrap()).is_none(), "character {place}");
            }
        }
    }

    #[test]
    fn s_68_other_spellings_are_refused() {
        let text = issue(9);
        for bad in [
            String::new(),
            text[..text.len() - 1].into(),
            text[1..].into(),
            format!("{text}A"),
            format!(" {text}"),
            format!("{text}="),
            text.replace("akr_", "akx_"),
            text.replace("akr_", "AKR_"),
            "é".repeat(TEXT_LEN / 2),
            "akr_".repeat(1 << 18),
        ] {
            assert!(RefreshToken::parse(&bad).is_none());
        }
        // 65 bytes leave two bits of the last character unused; set ones would be a second spelling.
        let (start, _) = text.split_at(TEXT_LEN - CHECKSUM_LEN);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = alphabet.find(start.chars().last().unwrap()).unwrap();
        for index in (0..64).filter(|index| *index != last) {
            let other = format!("{}{}", &start[..start.len() - 1], &alphabet[index..=index]);
            let token = RefreshToken::parse(&format!("{other}{}", checksum(&other)));
            assert_eq!(token.is_some(), index % 4 == 0);
            assert_eq!(token.and_then(|token| token.verify(&KEY)), None);
        }
        for length in [0, 1, 64, 66] {
            assert!(RefreshToken::parse(&spelled(&vec![1; length])).is_none());
        }
    }

    #[test]
    fn another_key_or_session_does_not_verify() {
        let token = RefreshToken::parse(&issue(1)).unwrap();
        assert_eq!(token.verify(&[8; 32]), None);
        let mut moved = token.clone();
        moved.session_id = SessionId::from_uuid(Uuid::from_u128(1));
        assert_eq!(moved.verify(&KEY), None);
        let mut renamed = token;
        renamed.key_id = KeyId::from_bytes([9; 8]);
        assert_eq!(renamed.verify(&KEY), None);
    }

    #[test]
    fn noise_never_panics_and_never_verifies() {
        let random = SeededRandom::new(11);
        for _ in 0..3000 {
            let noise = random.bytes(random.below(140));
            assert!(RefreshToken::parse(&String::from_utf8_lossy(&noise)).is_none());
            let mut shaped = random.bytes(65);
            shaped[0] = VERSION;
            assert_eq!(RefreshToken::parse(&spelled(&shaped)).unwrap().verify(&KEY), None);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = issue(1);
        let shown = format!(
            "{:?} {:?}",
            RefreshToken::parse(&text).unwrap(),
            RefreshToken::issue(KID, &KEY, session(), 1)
        );
        let mac = format!("{:?}", &bytes_of(&text)[33..]);
        assert!(!shown.contains(&text) && !shown.contains(mac.trim_matches(['[', ']'])));
    }
}

//! Keyed hashes and derived keys on SHA-256: HMAC (RFC 2104), HKDF (RFC 5869).

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Length of a key, of a derived key and of a tag.
pub(crate) const KEY_LEN: usize = 32;

/// HMAC-SHA256 over the parts as if they were one text. Only for layouts of fixed widths; else [`mac`].
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    bytes_of(&context.sign())
}

/// HKDF-SHA256, extract and expand, for one block of output; the parts of `info` are joined as they are.
pub(crate) fn hkdf_sha256(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> [u8; KEY_LEN] {
    let extracted = Zeroizing::new(hmac_sha256(salt, &[secret]));
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, extracted.as_slice()));
    for part in info {
        context.update(part);
    }
    context.update(&[1]);
    bytes_of(&context.sign())
}

/// A key for one purpose: HKDF-SHA256 without salt, each part of `info` preceded by its length (u64 BE),
/// so that no two lists of parts give the same key.
pub(crate) fn derive(key: &[u8; KEY_LEN], info: &[&[u8]]) -> [u8; KEY_LEN] {
    hkdf_sha256(&[], key, &[&joined(info)])
}

/// HMAC-SHA256 over the parts, each preceded by its length (u64 BE), so that no two lists of parts give
/// the same text: `["ab", "c"]` is not `["a", "bc"]`.
pub(crate) fn mac(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    bytes_of(&context.sign())
}

/// Whether both are the same, in a time that depends on their lengths only.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len().saturating_add(8)).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

fn bytes_of(tag: &hmac::Tag) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut out, byte| {
            write!(out, "{byte:02x}").unwrap();
            out
        })
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        // Test cases 1, 2 and 6 (a key longer than a block).
        let one = hmac_sha256(&[0x0b; 20], &[b"Hi ", b"There"]);
        assert_eq!(hex(&one), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let two = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&two), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let six = hmac_sha256(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(hex(&six), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn hkdf_agrees_with_rfc_5869() {
        // Test cases 1 and 3: the first block of their output.
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let one = hkdf_sha256(&salt, &[0x0b; 22], &[&info]);
        assert_eq!(hex(&one), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
        let three = hkdf_sha256(&[], &[0x0b; 22], &[]);
        assert_eq!(hex(&three), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
    }

    #[test]
    fn hkdf_agrees_with_another_implementation() {
        let mut other = [0; 32];
        let prk = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[]).extract(&[7; 32]);
        prk.expand(&[b"a", b"bc"], ring::hkdf::HKDF_SHA256).unwrap().fill(&mut other).unwrap();
        assert_eq!(hkdf_sha256(&[], &[7; 32], &[b"a", b"bc"]), other);
    }

    #[test]
    fn borders_between_parts_count() {
        let key = [1; 32];
        assert_ne!(mac(&key, &[b"ab", b"c"]), mac(&key, &[b"a", b"bc"]));
        assert_ne!(mac(&key, &[b"a", b""]), mac(&key, &[b"a"]));
        assert_ne!(derive(&key, &[b"ab", b"c"]), derive(&key, &[b"a", b"bc"]));
        assert_ne!(derive(&key, &[b"a"]), derive(&[2; 32], &[b"a"]));
        assert_eq!(mac(&key, &[b"ab", b"c"]), mac(&key, &[b"ab", b"c"]));
    }

    #[test]
    fn compares_whole_values() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
        assert!(constant_time_eq(b"", b""));
    }
}

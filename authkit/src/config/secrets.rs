use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use zeroize::Zeroizing;

use crate::secret::{ExposeSecret, SecretString};

/// The secrets that the library is given. `Debug` shows none of them.
///
/// # How strong a secret must be
///
/// One rule for every key of `TOKEN_PEPPER` and for `JWT_SECRET`: at least 256 bits (ASVS 11.2.3, RFC
/// 7518 section 3.2), counted by the alphabet that the text uses. Hexadecimal digits only: 4 bits a
/// character, so 64 of them. Letters, digits and `+/-_=` only, as in base64 and base64url: 6 bits, so 43.
/// Anything else: 8 bits, so 32. Besides, at least 16 different characters (10 in hexadecimal), nothing
/// that repeats itself, and none of the words that samples are made of. No rule can prove that a text
/// is random: take it from `openssl rand -base64 32`.
///
/// The text itself is the key; it is not decoded.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Secrets {
    /// `TOKEN_PEPPER`: the root keys, newest first. They seal the keys in the store.
    pub token_pepper: Vec<SecretString>,
    /// `JWT_SECRET`: signs access tokens with HS256, and is absent with every other algorithm.
    pub jwt_secret: Option<SecretString>,
    /// `SMTP_PASSWORD`: signs in to the mail server.
    pub smtp_password: Option<SecretString>,
    /// `MFA_ENCRYPTION_KEY`: Fernet keys, newest first. They seal what second factors keep in the store; without one no
    /// authenticator app can be set up.
    pub mfa_encryption_key: Vec<SecretString>,
    /// `INTERNAL_CLEANUP_TOKEN`: opens `POST internal/cleanup`.
    pub internal_cleanup_token: Option<SecretString>,
}

impl Secrets {
    /// Secrets with these root keys, newest first.
    pub fn new(token_pepper: impl IntoIterator<Item = SecretString>) -> Self {
        Self { token_pepper: token_pepper.into_iter().collect(), ..Self::default() }
    }

    /// Adds the key for HS256.
    #[must_use]
    pub fn with_jwt_secret(mut self, jwt_secret: SecretString) -> Self {
        self.jwt_secret = Some(jwt_secret);
        self
    }

    /// Adds the Fernet keys that seal second factors, newest first.
    #[must_use]
    pub fn with_mfa_keys(mut self, keys: impl IntoIterator<Item = SecretString>) -> Self {
        self.mfa_encryption_key = keys.into_iter().collect();
        self
    }
}

/// Parts of samples and of keys typed by hand, in small letters without punctuation. Six letters or
/// more: a random key of usual length holds one of them less than once in a million times.
const SAMPLE_WORDS: [&str; 17] = [
    "changeme",
    "changethis",
    "default",
    "example",
    "insecure",
    "password",
    "placeholder",
    "replace",
    "sample",
    "secret",
    "tokenpepper",
    "authkit",
    "qwerty",
    "abcdefgh",
    "12345678",
    "01234567",
    "deadbeef",
];

/// Published keys that pass every other check.
const PUBLISHED: [&str; 3] = [
    // The Fernet specification.
    "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=",
    // RFC 7515 appendix A.1.1.
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    // RFC 7517 appendix A.3.
    "GawgguFyGrWKav7AX4VKUg",
];

/// Why `secret` is too weak, without repeating any part of it; `None` when it will do.
pub(super) fn weakness(secret: &SecretString) -> Option<&'static str> {
    let text = secret.expose_secret();
    if text.trim() != text {
        return Some("has white space at its start or end");
    }
    let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
    let base64 = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b));
    let (bits, variety) = match (hex, base64) {
        (true, _) => (4, 10),
        (false, true) => (6, 16),
        (false, false) => (8, 16),
    };
    let length = if base64 { text.trim_end_matches('=').len() } else { text.chars().count() };
    if length * bits < 256 {
        return Some("is shorter than 256 bits (64 hexadecimal digits, 43 characters of base64, else 32)");
    }
    if text.chars().collect::<BTreeSet<_>>().len() < variety || repeats(text.as_bytes()) {
        return Some("repeats a few characters and is not random");
    }
    let plain: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if PUBLISHED.contains(&text) || SAMPLE_WORDS.iter().any(|word| plain.contains(word)) {
        return Some("is a known sample or made of guessable words");
    }
    None
}

/// Whether it is 32 bytes as base64url with padding, in the one canonical spelling.
pub(crate) fn is_fernet_key(secret: &SecretString) -> bool {
    fernet_key(secret).is_some()
}

/// The bytes of a Fernet key.
pub(crate) fn fernet_key(secret: &SecretString) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(URL_SAFE.decode(secret.expose_secret()).ok()?);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

/// Whether the text is a shorter piece written again and again.
fn repeats(text: &[u8]) -> bool {
    (1..=text.len() / 2)
        .any(|period| text.iter().skip(period).zip(text).all(|(later, earlier)| later == earlier))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    fn random(length: usize, seed: u32) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(99);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(state >> 24).unwrap()
        };
        (0..length).map(|_| next()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(d.into(), 16)).collect()
    }

    fn judge(text: &str) -> Option<&'static str> {
        weakness(&SecretString::from(text))
    }

    #[test]
    fn takes_random_keys_in_every_notation() {
        for seed in 0..500 {
            let bytes = random(32, seed);
            for text in [
                hex(&bytes),
                hex(&bytes).to_uppercase(),
                STANDARD.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
            ] {
                assert_eq!(judge(&text), None, "{text}");
            }
        }
        assert_eq!(judge("x7!Kq#9vB$2mZ%t8&Lw*5nR(6cY)3pD^"), None);
    }

    #[test]
    fn counts_bits_by_alphabet() {
        let bytes = random(31, 7);
        for text in [hex(&bytes), STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(random(24, 7))] {
            assert!(judge(&text).is_some_and(|why| why.contains("256 bits")), "{text}");
        }
        // Padding is no key material.
        assert!(judge(&format!("{}====", URL_SAFE_NO_PAD.encode(random(31, 3)))).is_some());
        assert!(judge("x7!Kq#9vB$2mZ%t8&Lw*5nR(6cY)3pD").is_some_and(|why| why.contains("256 bits")));
        assert!(judge("").is_some());
    }

    #[test]
    fn refuses_samples_and_patterns() {
        for text in [
            "changeme-changeme-changeme-changeme-0123-xyz",
            "a-string-secret-at-least-256-bits-long-and-more",
            "this is only an example of a key, nothing else!",
            "00000000000000000000000000000000000000000000000000000000000000000000",
            "kX9vkX9vkX9vkX9vkX9vkX9vkX9vkX9vkX9vkX9vkX9vkX9v",
            "0f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a6978",
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
            " kJ3mX9vQ2rT7yB5nW8cZ4fH6gL1pD0sA-eUoIyVbNqM",
        ] {
            assert!(judge(text).is_some(), "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let secrets =
            Secrets::new([SecretString::from("CANARY")]).with_jwt_secret(SecretString::from("CANARY"));
        assert!(!format!("{secrets:?}").contains("CANARY"));
    }
}

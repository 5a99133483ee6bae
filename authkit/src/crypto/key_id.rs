//! Names of data keys, as they stand in the store, in token headers and beside every keyed hash.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Result;
use crate::random::{self, SecureRandom};

/// Identifies a key: 8 bytes, shown as 16 lower-case hex digits. Says nothing about the key itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId([u8; 8]);

/// The text is not 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 lower-case hex digits")]
pub(crate) struct KeyIdError;

impl KeyId {
    /// A new name from `random`; fails only when `random` does.
    pub(crate) fn generate(random: &dyn SecureRandom) -> Result<Self> {
        random::bytes(random).map(Self)
    }

    /// Wraps bytes that came from a token or a store.
    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes inside.
    pub(crate) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would also take upper case and a plus sign: one id has one spelling.
        let canonical = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !canonical {
            return Err(KeyIdError);
        }
        u64::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| KeyIdError)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededRandom;

    #[test]
    fn has_one_spelling() {
        let id = KeyId::from_bytes([0, 1, 2, 0xab, 0xcd, 0xef, 0xfe, 0xff]);
        assert_eq!(id.to_string(), "000102abcdeffeff");
        assert_eq!("000102abcdeffeff".parse(), Ok(id));
        for bad in [
            "",
            "000102abcdeffef",
            "000102abcdeffeff0",
            "000102ABCDEFFEFF",
            "+00102abcdeffeff",
            "../../etc/passwd",
            "é00102abcdeffef",
        ] {
            assert_eq!(bad.parse::<KeyId>(), Err(KeyIdError), "{bad}");
        }
    }

    #[test]
    fn is_text_in_json_and_differs_each_time() {
        let random = SeededRandom::new(1);
        let (a, b) = (KeyId::generate(&random).unwrap(), KeyId::generate(&random).unwrap());
        assert_ne!(a, b);
        let json = serde_json::to_string(&a).unwrap();
        assert_eq!(json, format!("\"{a}\""));
        assert_eq!(serde_json::from_str::<KeyId>(&json).unwrap(), a);
        assert!(serde_json::from_str::<KeyId>("\"ABCDEFABCDEFABCD\"").is_err());
    }
}

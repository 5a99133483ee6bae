//! Second factors, as somebody gives them.

use crate::secret::SecretString;

/// What proves the second factor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SecondFactor {
    /// A code of an authenticator app or a backup code, as typed.
    Code(SecretString),
    /// A passkey.
    Passkey(PasskeyProof),
}

/// A browser's answer to a passkey challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasskeyProof {
    /// As it came with the challenge.
    pub challenge_id: String,
    /// What `navigator.credentials.get()` gave, as its `toJSON()` writes it.
    pub credential: serde_json::Value,
}

impl PasskeyProof {
    /// The answer to a challenge.
    pub fn new(challenge_id: impl Into<String>, credential: serde_json::Value) -> Self {
        Self { challenge_id: challenge_id.into(), credential }
    }
}

//! What second factors are.

use serde::Serialize;

use crate::ids::{DeviceId, PendingId, UserId};
use crate::secret::SecretString;

/// Second factors that may be tried with one pending token; then it is dead.
pub(crate) const TRIES: i64 = 5;

/// A kind of second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactorKind {
    /// An authenticator app (RFC 6238).
    Totp,
    /// One of the codes that were shown once.
    BackupCode,
    /// A passkey (WebAuthn).
    Passkey,
}

impl FactorKind {
    /// Stable name, as in answers and audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::BackupCode => "backup_code",
            Self::Passkey => "passkey",
        }
    }
}

/// A sign-in whose first factor was right and whose second one is outstanding: nobody is signed in.
#[derive(Debug)]
#[non_exhaustive]
pub struct PendingSignIn {
    /// For `AuthKit::complete_mfa` and nothing else. Dies with its use, 5 wrong tries, its time, and every change of the
    /// account's credentials.
    pub mfa_token: SecretString,
    /// What the account has.
    pub factors: Vec<FactorKind>,
    /// Life of the token, in seconds.
    pub expires_in: u64,
}

/// What a user has of the kinds that this module keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// A confirmed authenticator app.
    pub(crate) totp: bool,
    /// Backup codes that were not used yet.
    pub(crate) backup_codes: i64,
}

/// A pending sign-in as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct PendingRecord {
    pub(crate) id: PendingId,
    pub(crate) user: UserId,
    pub(crate) epoch: i64,
    /// How the first factor was given.
    pub(crate) amr: String,
    /// The device that showed itself.
    pub(crate) device: Option<DeviceId>,
}

//! What second factors are.

use serde::Serialize;

use super::totp::Parameters;
use crate::error::{Error, FieldCode, Result};
use crate::ids::{DeviceId, FactorId, PendingId, UserId};
use crate::secret::SecretString;
use crate::time::Timestamp;

/// So few backup codes are told to their owner.
pub(crate) const FEW_LEFT: i64 = 3;
/// Characters of an authenticator's name.
const MAX_NAME: usize = 64;
/// What an authenticator is called that got no name.
const NO_NAME: &str = "Authenticator app";
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

/// A second factor, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FactorInfo {
    /// Never changes.
    pub id: FactorId,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: FactorKind,
    /// As its owner called it.
    pub name: String,
    /// Whether it counts: an authenticator app that is being set up does not yet.
    pub confirmed: bool,
    /// When it was last used.
    #[serde(skip)]
    pub last_used_at: Option<Timestamp>,
}

/// The second factors of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MfaStatus {
    /// Whether a sign-in asks for one.
    pub enabled: bool,
    /// All of them, oldest first.
    pub factors: Vec<FactorInfo>,
    /// Backup codes that were not used yet.
    pub backup_codes_remaining: u64,
}

/// Backup codes, shown once. Empty where the ones from before are still good.
#[derive(Debug)]
#[non_exhaustive]
pub struct BackupCodes {
    /// Each opens the account once, beside the first factor.
    pub codes: Vec<SecretString>,
}

/// An authenticator app as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct TotpRecord {
    pub(crate) id: FactorId,
    pub(crate) name: String,
    pub(crate) parameters: Parameters,
    pub(crate) sealed: String,
    pub(crate) created_at: Timestamp,
    pub(crate) confirmed: bool,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// A name for a second factor: trimmed, one line, at most 64 characters; without one a common name.
pub(crate) fn check_name(name: Option<&str>) -> Result<String> {
    let name = name.unwrap_or(NO_NAME).trim();
    let fault = |code, message: &'static str| Err(Error::field("/name", code, message));
    if name.is_empty() {
        fault(FieldCode::Required, "must not be empty")
    } else if name.len() > 4 * MAX_NAME || name.chars().count() > MAX_NAME {
        fault(FieldCode::TooLong, "must be at most 64 characters")
    } else if name.chars().any(char::is_control) {
        fault(FieldCode::Format, "must not contain control characters")
    } else {
        Ok(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line_of_bounded_length() {
        assert_eq!(check_name(None).unwrap(), NO_NAME);
        assert_eq!(check_name(Some(" phone ")).unwrap(), "phone");
        assert!(check_name(Some(&"\u{e9}".repeat(64))).is_ok());
        for bad in ["", "  ", "a\nb", "a\u{0}", &"a".repeat(65)] {
            assert!(check_name(Some(bad)).is_err(), "{bad:?}");
        }
    }
}

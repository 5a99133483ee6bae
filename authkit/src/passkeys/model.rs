//! What a passkey is, and what a challenge is for.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::error::{FieldCode, FieldError};
use crate::ids::{PasskeyId, UserId};
use crate::time::Timestamp;

/// Passkeys of an account at the most.
pub(crate) const MAX_PER_USER: i64 = 10;
/// How long a challenge waits for its answer.
pub(crate) const CHALLENGE_LIFE: Duration = Duration::from_mins(5);
/// Characters of a name at the most.
const MAX_NAME: usize = 100;
/// The name of a passkey that was given none.
const DEFAULT_NAME: &str = "Passkey";

/// A passkey, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Passkey {
    /// Names it in this API.
    pub id: PasskeyId,
    /// What the owner called it.
    pub name: String,
    /// Whether it may be copied to other devices of its owner, as synchronised passkeys are. Else it stays in one
    /// device.
    pub backup_eligible: bool,
    /// Whether it was backed up or synchronised when it was last used.
    pub backed_up: bool,
    /// How browsers reach it: `usb`, `nfc`, `ble`, `internal`, `hybrid`, `smart-card`. As it said itself; for hints.
    pub transports: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last proved somebody.
    pub last_used_at: Option<Timestamp>,
}

/// What a challenge is for. An answer is refused everywhere else (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Register,
    /// A sign-in without a password; nobody is known yet.
    Login,
    SecondFactor,
    StepUp,
}

impl Purpose {
    /// Stable name, as in the store.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::SecondFactor => "second_factor",
            Self::StepUp => "step_up",
        }
    }
}

/// Who alone can answer a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) user: UserId,
    /// The account's epoch: what began before a change of credentials cannot finish (R8).
    pub(crate) epoch: i64,
    /// The session or the pending sign-in that asked.
    pub(crate) subject: Uuid,
}

/// A challenge to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) purpose: Purpose,
    /// `None` for a sign-in.
    pub(crate) bound: Option<Bound>,
    /// The name of the passkey to be.
    pub(crate) name: Option<String>,
    /// What its answer is judged by.
    pub(crate) state: String,
}

/// A challenge as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Challenge {
    pub(crate) purpose: String,
    pub(crate) bound: Option<Bound>,
    pub(crate) state: String,
    pub(crate) expires_at: Timestamp,
}

impl Challenge {
    /// Why it cannot be answered by `bound` for `purpose`, if so. Judged again by the statement that uses it up.
    pub(crate) fn dead(
        &self,
        purpose: Purpose,
        bound: Option<Bound>,
        now: Timestamp,
    ) -> Option<&'static str> {
        if self.purpose != purpose.name() {
            Some("challenge_of_another_purpose")
        } else if now >= self.expires_at {
            Some("challenge_expired")
        } else if self.bound != bound {
            Some("challenge_of_another")
        } else {
            None
        }
    }
}

/// A passkey as the store has it, for judging an answer.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) state: String,
    pub(crate) owner: Owner,
}

/// Whose a passkey is, as its account stands.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) user: UserId,
    pub(crate) email: String,
    pub(crate) status: String,
    pub(crate) verified: bool,
    pub(crate) epoch: i64,
}

/// What one read finds of an answer's challenge and its passkey.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looked {
    pub(crate) challenge: Option<Challenge>,
    pub(crate) credential: Option<Credential>,
}

/// A challenge that was just used up.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) state: String,
    /// The name of the passkey to be.
    pub(crate) name: Option<String>,
    /// The state of the key that answers, if it is one of the user's.
    pub(crate) credential: Option<String>,
}

/// The name of a passkey in its stored form.
///
/// # Errors
/// A fault of `/name` for a name that is too long or holds control characters.
pub(crate) fn check_name(name: Option<&str>) -> Result<String, FieldError> {
    let name = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAME);
    if name.chars().any(char::is_control) {
        return Err(FieldError::new("/name", FieldCode::Format, "must not hold control characters"));
    }
    if name.chars().count() > MAX_NAME {
        return Err(FieldError::new("/name", FieldCode::TooLong, "must be at most 100 characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_serves_one_purpose_of_one_subject_for_a_time() {
        let (user, at) = (UserId::from_uuid(Uuid::from_u128(1)), Timestamp::from_micros);
        let bound = Some(Bound { user, epoch: 1, subject: Uuid::from_u128(2) });
        let challenge =
            Challenge { purpose: "step_up".into(), bound, state: String::new(), expires_at: at(10) };
        assert_eq!(challenge.dead(Purpose::StepUp, bound, at(9)), None);
        // At the exact instant it is dead (R6).
        assert_eq!(challenge.dead(Purpose::StepUp, bound, at(10)), Some("challenge_expired"));
        let purposes = [Purpose::Register, Purpose::Login, Purpose::SecondFactor];
        for other in purposes {
            assert_eq!(challenge.dead(other, bound, at(9)), Some("challenge_of_another_purpose"));
        }
        let others = [
            None,
            Some(Bound {
                user: UserId::from_uuid(Uuid::from_u128(9)),
                epoch: 1,
                subject: Uuid::from_u128(2),
            }),
            Some(Bound { user, epoch: 2, subject: Uuid::from_u128(2) }),
            Some(Bound { user, epoch: 1, subject: Uuid::from_u128(3) }),
        ];
        for other in others {
            assert_eq!(challenge.dead(Purpose::StepUp, other, at(9)), Some("challenge_of_another"));
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(check_name(None), Ok("Passkey".into()));
        assert_eq!(check_name(Some("  ")), Ok("Passkey".into()));
        assert_eq!(check_name(Some(" Laptop ")), Ok("Laptop".into()));
        assert!(check_name(Some(&"ä".repeat(100))).is_ok() && check_name(Some(&"ä".repeat(101))).is_err());
        assert!(check_name(Some("a\nb")).is_err());
    }
}

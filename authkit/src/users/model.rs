//! What an account is.

use serde::Serialize;
use serde_json::{Map, Value};

use super::email::Email;
use crate::error::{FieldCode, FieldError};
use crate::ids::UserId;
use crate::precondition::tag_of;
use crate::time::Timestamp;

/// Code points of a name at the most.
const MAX_NAME: usize = 200;
/// Bytes of a profile at the most, as JSON text.
const MAX_PROFILE: usize = 16 * 1024;

/// Whether an account may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UserStatus {
    /// It may.
    Active,
    /// An operator forbade it.
    Disabled,
    /// Deleted, can be restored until it is purged.
    Deleted,
}

impl UserStatus {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Deleted].into_iter().find(|status| status.name() == name)
    }
}

/// An account, as its owner and operators see it. No hash, no secret (ASVS 15.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct User {
    /// Never changes.
    pub id: UserId,
    /// The address that mail goes to.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// Names of roles, sorted.
    pub roles: Vec<String>,
    /// Whether it may sign in.
    pub status: UserStatus,
    /// Whether a second factor is set up.
    pub mfa_enabled: bool,
    /// The host's own facts about the person: a JSON object.
    pub profile: Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// A tag that changes whenever anything of what is seen here does: for [`crate::Precondition`].
    pub fn version_tag(&self) -> String {
        tag_of(self)
    }
}

/// A version of an account: what tokens and sessions are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Grows with every change of roles, state or credentials.
    pub(crate) ver: i64,
    /// Grows with credentials only.
    pub(crate) epoch: i64,
}

/// An account with what only the library needs.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) user: User,
    pub(crate) version: Version,
}

/// Which accounts are wanted. Empty means all that are not deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserFilter {
    /// Of this status only; without it, deleted accounts are left out.
    pub status: Option<UserStatus>,
    /// Holding this role only.
    pub role: Option<String>,
    /// E-mail starts with this, ignoring case.
    pub email_prefix: Option<String>,
}

/// The facts of a new account, checked.
#[derive(Debug, Clone)]
pub(crate) struct NewRecord {
    pub(crate) id: UserId,
    pub(crate) email: Email,
    pub(crate) name: String,
    pub(crate) email_verified: bool,
    pub(crate) profile: Value,
}

/// A name: trimmed, one line, 1 to 200 characters, no control characters.
pub(crate) fn check_name(name: &str, faults: &mut Vec<FieldError>) -> String {
    let name = name.trim();
    let fault = |code, message: &'static str| FieldError::new("/name", code, message);
    if name.is_empty() {
        faults.push(fault(FieldCode::Required, "must not be empty"));
    } else if name.len() > 4 * MAX_NAME || name.chars().count() > MAX_NAME {
        faults.push(fault(FieldCode::TooLong, "must be at most 200 characters"));
    } else if name.chars().any(char::is_control) {
        faults.push(fault(FieldCode::Format, "must not contain control characters"));
    }
    name.to_owned()
}

/// A profile: a JSON object of at most 16 KiB without U+0000, which PostgreSQL cannot keep.
pub(crate) fn check_profile(profile: &Value, faults: &mut Vec<FieldError>) {
    let fault = |code, message: &'static str| FieldError::new("/profile", code, message);
    let text = profile.to_string();
    if !profile.is_object() {
        faults.push(fault(FieldCode::Type, "must be an object"));
    } else if text.len() > MAX_PROFILE {
        faults.push(fault(FieldCode::TooLong, "must be at most 16 KiB"));
    } else if text.contains("\\u0000") {
        faults.push(fault(FieldCode::Format, "must not contain U+0000"));
    }
}

pub(crate) fn empty_profile() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_line_of_bounded_length() {
        let faulty = |name: &str| {
            let mut faults = Vec::new();
            check_name(name, &mut faults);
            !faults.is_empty()
        };
        assert!(!faulty("Ada Lovelace") && !faulty(&"\u{e9}".repeat(200)));
        for name in ["", "  ", "a\nb", "a\u{0}", &"a".repeat(201)] {
            assert!(faulty(name), "{name:?}");
        }
    }

    #[test]
    fn profiles_are_objects_of_bounded_size() {
        let faulty = |profile: &Value| {
            let mut faults = Vec::new();
            check_profile(profile, &mut faults);
            !faults.is_empty()
        };
        assert!(!faulty(&empty_profile()));
        assert!(faulty(&Value::Null) && faulty(&serde_json::json!(["a"])));
        assert!(faulty(&serde_json::json!({ "a": "x".repeat(MAX_PROFILE) })));
        assert!(faulty(&serde_json::json!({ "a": "\u{0}" })));
    }
}

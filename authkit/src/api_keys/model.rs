//! What an API key is.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::authz::{check_permission, covers};
use crate::config::ApiKeysConfig;
use crate::error::{Error, FieldCode, FieldError, Result};
use crate::ids::{ApiKeyId, UserId};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;
use crate::users::check_name;

/// Scopes of a key at the most.
const MAX_SCOPES: usize = 50;
/// A key lives so long at the least.
const MIN_TTL: Duration = Duration::from_mins(1);
/// Keys whose last use is remembered here.
const MAX_TOUCHES: usize = 10_000;

/// Whether a key opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApiKeyStatus {
    /// It does, as far as its owner may sign in.
    Active,
    /// Its time is over.
    Expired,
    /// Its owner or an operator ended it, or a reset of the account did.
    Revoked,
}

impl ApiKeyStatus {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// An API key, as its owner and operators see it. Nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ApiKey {
    /// Never changes.
    pub id: ApiKeyId,
    /// In whose name it acts.
    pub user_id: UserId,
    /// What its maker calls it.
    pub name: String,
    /// Permissions that it may use as long as its owner has them.
    pub scopes: Vec<String>,
    /// Whether it opens anything.
    pub status: ApiKeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key that was just made. The only time that its text is there.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewApiKey {
    /// What is kept of it.
    pub api_key: ApiKey,
    /// For `Authorization: Bearer`. The store has a keyed hash only.
    pub key: SecretString,
}

/// The JSON of a [`NewApiKey`]: the one place where a key's text is written out.
#[derive(Serialize)]
pub(crate) struct ShownApiKey<'a> {
    #[serde(flatten)]
    api_key: &'a ApiKey,
    key: &'a str,
}

impl NewApiKey {
    /// As its owner gets it.
    pub(crate) fn shown(&self) -> ShownApiKey<'_> {
        ShownApiKey { api_key: &self.api_key, key: self.key.expose_secret() }
    }
}

/// Which keys are wanted. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKeyFilter {
    /// Of this account.
    pub user_id: Option<UserId>,
    /// Those too that have ended: they are kept for 30 days.
    pub ended: bool,
}

/// A key's row, at a moment.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeyRecord {
    pub(crate) id: ApiKeyId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// R6: at the very moment of its end it is over.
    pub(crate) fn status(&self, now: Timestamp) -> ApiKeyStatus {
        if self.revoked_at.is_some() {
            ApiKeyStatus::Revoked
        } else if self.expires_at <= now {
            ApiKeyStatus::Expired
        } else {
            ApiKeyStatus::Active
        }
    }

    pub(crate) fn describe(self, now: Timestamp) -> ApiKey {
        let status = self.status(now);
        ApiKey {
            id: self.id,
            user_id: self.user,
            name: self.name,
            scopes: self.scopes,
            status,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        }
    }
}

/// A key with what its owner is and may do in the same snapshot.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) record: ApiKeyRecord,
    pub(crate) hash: Vec<u8>,
    pub(crate) status: String,
    pub(crate) verified: bool,
    /// What the roles of the owner permit.
    pub(crate) permissions: Vec<String>,
}

/// What a key is to be, checked.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) ttl: Duration,
}

impl Checked {
    /// All faults at once. Whether the owner has the scopes is judged in the transaction that makes the key.
    pub(crate) fn new(
        name: &str,
        scopes: Vec<String>,
        ttl: Option<Duration>,
        config: &ApiKeysConfig,
    ) -> Result<Self> {
        let mut faults = Vec::new();
        let name = check_name(name, &mut faults);
        if scopes.len() > MAX_SCOPES {
            faults.push(FieldError::new("/scopes", FieldCode::TooLong, "must be at most 50"));
        }
        for (at, scope) in scopes.iter().enumerate().take(MAX_SCOPES) {
            if check_permission(scope).is_err() {
                let message = "must be like documents:review, documents:* or *";
                faults.push(FieldError::new(format!("/scopes/{at}"), FieldCode::Format, message));
            }
        }
        let ttl = ttl.unwrap_or(config.ttl);
        if !(MIN_TTL..=config.max_ttl).contains(&ttl) {
            let message = format!("must be {} to {}", MIN_TTL.as_secs(), config.max_ttl.as_secs());
            faults.push(FieldError::new("/expires_in_seconds", FieldCode::OutOfRange, message));
        }
        if !faults.is_empty() {
            return Err(Error::validation(faults));
        }
        let mut kept: Vec<String> = Vec::with_capacity(scopes.len());
        for scope in scopes {
            if !kept.contains(&scope) {
                kept.push(scope);
            }
        }
        Ok(Self { name, scopes: kept, ttl })
    }

    /// Scopes that `permissions` do not cover: nobody gives a key more than he has.
    pub(crate) fn beyond(&self, permissions: &[String]) -> Vec<FieldError> {
        let missing = |scope: &String| !permissions.iter().any(|grant| covers(grant, scope));
        let places = self.scopes.iter().enumerate().filter(|(_, scope)| missing(scope));
        let fault = |at| {
            let message = "is not among the permissions of the key's owner";
            FieldError::new(format!("/scopes/{at}"), FieldCode::OutOfRange, message)
        };
        places.map(|(at, _)| fault(at)).collect()
    }
}

/// When this process last noted the use of a key, so that many uses at once are one statement.
#[derive(Default)]
pub(crate) struct Touches(Mutex<HashMap<ApiKeyId, Timestamp>>);

impl Touches {
    /// Whether a use at `now` is to be noted; then it counts as noted.
    pub(crate) fn is_due(&self, key: ApiKeyId, now: Timestamp, every: Duration) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not silence a key.
        if noted.get(&key).is_some_and(|at| *at <= now && now < *at + every) {
            return false;
        }
        if noted.len() >= MAX_TOUCHES {
            noted.clear();
        }
        noted.insert(key, now);
        true
    }
}

impl fmt::Debug for Touches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Touches")
    }
}

//! What a session is.

use std::net::IpAddr;

use serde::Serialize;

use crate::ids::{DeviceId, SessionId, UserId};
use crate::time::Timestamp;

/// Bytes of a `User-Agent` that are kept.
const MAX_USER_AGENT: usize = 512;

/// A signed-in device, as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// Never changes.
    pub id: SessionId,
    /// When the user signed in.
    pub created_at: Timestamp,
    /// When it was last refreshed.
    pub last_used_at: Timestamp,
    /// When it ends unless it is refreshed before.
    pub expires_at: Timestamp,
    /// Address at sign-in.
    pub ip: Option<IpAddr>,
    /// `User-Agent` at sign-in, at most 512 bytes.
    pub user_agent: Option<String>,
    /// How the user proved who he is (RFC 8176).
    pub amr: Vec<String>,
    /// Whether it is the session that asks.
    pub current: bool,
    /// Whose it is.
    #[serde(skip)]
    pub user_id: UserId,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    Logout,
    LogoutAll,
    /// By its user from another session, or by an operator.
    Revoked,
    /// A newer sign-in took its place.
    Evicted,
    /// Replaced by a stronger one.
    SteppedUp,
    /// The account's credentials changed.
    CredentialChange,
    /// The account was disabled or deleted.
    AccountState,
    /// A used refresh token came again.
    Reuse,
    /// A refresh token newer than the store came.
    Ahead,
    /// It was refused for its age: a clock set back does not revive it (R18).
    Expired,
}

impl EndReason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutAll => "logout_all",
            Self::Revoked => "revoked",
            Self::Evicted => "evicted",
            Self::SteppedUp => "stepped_up",
            Self::CredentialChange => "credential_change",
            Self::AccountState => "account_state",
            Self::Reuse => "reuse",
            Self::Ahead => "ahead",
            Self::Expired => "expired",
        }
    }
}

/// A session as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct SessionRecord {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) key_id: String,
    pub(crate) counter: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) rotated_at: Timestamp,
    pub(crate) absolute_expires_at: Timestamp,
    pub(crate) ended: bool,
    pub(crate) ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) cip: Option<String>,
    pub(crate) auth_time: Timestamp,
    pub(crate) amr: String,
    pub(crate) epoch: i64,
    /// The device that began it.
    pub(crate) device: Option<DeviceId>,
}

/// What tokens say of a session: all that a rotation reads of it.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) key_id: String,
    pub(crate) counter: i64,
    pub(crate) rotated_at: Timestamp,
    pub(crate) absolute_expires_at: Timestamp,
    /// Whether it is bound to a network.
    pub(crate) bound: bool,
    pub(crate) auth_time: Timestamp,
    pub(crate) amr: String,
}

impl SessionRecord {
    pub(crate) fn amr(&self) -> Vec<String> {
        methods(&self.amr)
    }
}

impl Standing {
    pub(crate) fn amr(&self) -> Vec<String> {
        methods(&self.amr)
    }
}

fn methods(amr: &str) -> Vec<String> {
    amr.split_whitespace().map(str::to_owned).collect()
}

impl From<&SessionRecord> for Standing {
    fn from(record: &SessionRecord) -> Self {
        Self {
            id: record.id,
            user_id: record.user_id,
            key_id: record.key_id.clone(),
            counter: record.counter,
            rotated_at: record.rotated_at,
            absolute_expires_at: record.absolute_expires_at,
            bound: record.cip.is_some(),
            auth_time: record.auth_time,
            amr: record.amr.clone(),
        }
    }
}

/// Cuts a `User-Agent` at a character boundary and drops what no log should hold.
pub(crate) fn clean_user_agent(text: &str) -> String {
    let mut clean = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if clean.len() + c.len_utf8() > MAX_USER_AGENT {
            break;
        }
        clean.push(c);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_are_bounded_and_one_line() {
        assert_eq!(clean_user_agent("a\r\nb\u{0}c"), "abc");
        assert_eq!(clean_user_agent(&"\u{e9}".repeat(600)).len(), 512);
    }
}

//! What a lockout is.

use std::net::IpAddr;

use serde::Serialize;

use crate::ids::{LockoutId, UserId};
use crate::time::Timestamp;

/// What failed attempts are counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LockKind {
    /// Wrong passwords for one e-mail, whether or not it has an account.
    Email,
    /// Failures from one address (IPv6: one /64).
    Ip,
    /// Distinct e-mails that failed from one network (IPv4 /24, IPv6 /48): stolen lists being tried out.
    Network,
    /// Wrong passwords from one device that had signed in before.
    Device,
    /// Wrong second factors of one account.
    SecondFactor,
}

impl LockKind {
    /// All kinds.
    pub const ALL: &'static [Self] =
        &[Self::Email, Self::Ip, Self::Network, Self::Device, Self::SecondFactor];

    /// Stable name, as it stands in the store and in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Ip => "ip",
            Self::Network => "network",
            Self::Device => "device",
            Self::SecondFactor => "second_factor",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// Failed attempts on one thing, and whether it is locked. Holds no text of an address or e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lockout {
    /// Stays the same as long as the thing is remembered.
    pub id: LockoutId,
    /// What is counted.
    pub kind: LockKind,
    /// The account, for the kinds that have one and an e-mail that is known.
    pub user_id: Option<UserId>,
    /// Failures that count now; of a network, distinct e-mails.
    pub failures: u32,
    /// Until when nothing is judged; `None` when it is not locked.
    pub locked_until: Option<Timestamp>,
    /// Locks so far; those of addresses and networks grow with it.
    pub lock_count: u32,
    /// The oldest failure that counts.
    pub first_failure_at: Option<Timestamp>,
    /// The latest failure that counts.
    pub last_failure_at: Option<Timestamp>,
}

impl Lockout {
    /// Whether attempts are refused unjudged.
    pub fn is_locked(&self) -> bool {
        self.locked_until.is_some()
    }
}

/// Which lockouts are wanted. Empty means all that count something.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockoutFilter {
    /// Of this kind.
    pub kind: Option<LockKind>,
    /// Of this account.
    pub user_id: Option<UserId>,
    /// Only those that are locked now.
    pub locked: bool,
    /// Of this e-mail, in any spelling. It is hashed to be looked up: the store has no e-mail.
    pub email: Option<String>,
    /// Of this address and its network.
    pub ip: Option<IpAddr>,
}

//! Typed identifiers: UUID v7 (RFC 9562 section 5.7), so that rows made later sort later.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Result;
use crate::random::{self, SecureRandom};
use crate::time::Timestamp;

/// A UUID v7 of `now`, its random part from `random`.
pub(crate) fn uuid_v7(now: Timestamp, random: &dyn SecureRandom) -> Result<Uuid> {
    let millis = u64::try_from(now.as_micros().div_euclid(1000)).unwrap_or(0);
    let tail = random::bytes::<10>(random)?;
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
}

/// The smallest id of a moment: ids of before are smaller, later ones are not.
pub(crate) fn first_id_of(moment: Timestamp) -> Uuid {
    let millis = u64::try_from(moment.as_micros().div_euclid(1000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that came from elsewhere (a store, a token, a path).
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }

            pub(crate) fn generate(now: Timestamp, random: &dyn SecureRandom) -> Result<Self> {
                uuid_v7(now, random).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // Only the hyphenated form: one id has one spelling.
                if text.len() == 36 { Uuid::try_parse(text).map(Self) } else { Uuid::try_parse("").map(Self) }
            }
        }
    };
}

id! {
    /// Identifies a user account.
    UserId
}
id! {
    /// Identifies a session (a signed-in device).
    SessionId
}
id! {
    /// Identifies an audit event.
    EventId
}
id! {
    /// Identifies a mailed link. Opens nothing: the link's secret does.
    LinkId
}
id! {
    /// Identifies an API key. Opens nothing: the key's secret does.
    ApiKeyId
}
id! {
    /// Identifies a request that carried an idempotency key.
    IdempotencyId
}
id! {
    /// Identifies a mail in the outbox.
    MailId
}
id! {
    /// Identifies a lockout: a counter of failed attempts, and what it locks.
    LockoutId
}
id! {
    /// Identifies a device that signed in before.
    DeviceId
}
id! {
    /// Identifies a second factor of a user: an authenticator app or a passkey.
    FactorId
}
id! {
    /// Identifies a sign-in whose second factor is outstanding.
    PendingId
}
id! {
    /// Identifies a passkey. Not the credential's own id, which its authenticator chose.
    PasskeyId
}
id! {
    /// Identifies a challenge for a passkey. Opens nothing: the signature over the challenge does.
    PasskeyChallengeId
}

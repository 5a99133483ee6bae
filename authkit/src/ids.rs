//! Typed identifiers: UUID v7 (RFC 9562 section 5.7), so that rows made later sort later.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// Makes ids that sort in the order in which one process made them, those of one millisecond too: the twelve bits after
/// the time are a counter (RFC 9562 section 6.2, method 1).
#[derive(Debug, Default)]
pub(crate) struct Sequence(AtomicU64);

impl Sequence {
    /// So far a clock may run back and ids go on from where they were.
    const SET_BACK: u64 = 1_000 << 12;

    pub(crate) fn next(&self, now: Timestamp, random: &dyn SecureRandom) -> Result<Uuid> {
        let millis = u64::try_from(now.as_micros().div_euclid(1000)).unwrap_or(0);
        let first = millis << 12;
        let after = |last: u64| if last < first || last - first > Self::SET_BACK { first } else { last + 1 };
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last)));
        let number = after(last.unwrap_or_default());
        let mut tail = random::bytes::<10>(random)?;
        let counter = u16::try_from(number & 0xfff).unwrap_or_default().to_be_bytes();
        if let Some(head) = tail.first_chunk_mut::<2>() {
            *head = counter;
        }
        Ok(uuid::Builder::from_unix_timestamp_millis(number >> 12, &tail).into_uuid())
    }
}

/// The smallest id of a moment: ids of before are smaller, later ones are not.
pub(crate) fn first_id_of(moment: Timestamp) -> Uuid {
    let millis = u64::try_from(moment.as_micros().div_euclid(1000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

macro_rules! name {
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

/// A name, and how a new one is made.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        name! { $(#[$meta])* $name }

        impl $name {
            pub(crate) fn generate(now: Timestamp, random: &dyn SecureRandom) -> Result<Self> {
                uuid_v7(now, random).map(Self)
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
name! {
    /// Identifies an audit event. Those of one process sort as they were made.
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
    /// Identifies an organisation.
    OrgId
}
id! {
    /// Identifies a membership: a user's role on one resource.
    MembershipId
}
id! {
    /// Identifies an invitation. Accepts nothing: the secret of its link does.
    InvitationId
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn ids_of_one_millisecond_sort_as_they_were_made() {
        let (sequence, random) = (Sequence::default(), SystemRandom::new());
        let at = |millis: i64| Timestamp::from_micros(millis * 1000);
        let mut made = Vec::new();
        // More than a counter holds, and a clock that runs back a little.
        for n in 0..10_000 {
            made.push(sequence.next(at(1_700_000_000_000 - n / 100), &random).unwrap());
        }
        assert!(made.is_sorted() && made.iter().all(|id| id.get_version_num() == 7));
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        // One that was set back by an hour is followed.
        let later = sequence.next(at(1_699_996_400_000), &random).unwrap();
        assert!(later < made[0]);
        assert!(sequence.next(at(1_699_996_400_000), &random).unwrap() > later);
    }
}

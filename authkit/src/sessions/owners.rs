//! Whose session is it? That never changes, so it may be remembered: the limit of a user's refreshes then costs no
//! statement.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::{SessionId, UserId};

/// Sessions that are remembered at least; twice as many at most, in about 5 MiB.
const KEPT: usize = 65_536;

/// Owners of sessions that were seen lately. Bounded.
#[derive(Default)]
pub(crate) struct Owners(Mutex<Generations>);

/// What was seen lately, and what was seen before that.
#[derive(Default)]
struct Generations {
    young: HashMap<SessionId, UserId>,
    old: HashMap<SessionId, UserId>,
}

impl Owners {
    /// The owner, if remembered.
    pub(crate) fn get(&self, session: SessionId) -> Option<UserId> {
        let held = self.lock();
        held.young.get(&session).or_else(|| held.old.get(&session)).copied()
    }

    /// Remembers an owner that the store told.
    pub(crate) fn remember(&self, session: SessionId, user: UserId) {
        let mut held = self.lock();
        if held.young.contains_key(&session) {
            return;
        }
        if held.young.len() >= KEPT {
            held.old = std::mem::take(&mut held.young);
        }
        held.young.insert(session, user);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").field("young", &self.lock().young.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ids(n: usize) -> (SessionId, UserId) {
        let n = n as u128;
        (SessionId::from_uuid(Uuid::from_u128(n)), UserId::from_uuid(Uuid::from_u128(n + (1 << 64))))
    }

    #[test]
    fn the_latest_are_remembered_and_the_rest_is_bounded() {
        let owners = Owners::default();
        for (session, user) in (0..3 * KEPT).map(ids) {
            owners.remember(session, user);
            assert_eq!(owners.get(session), Some(user));
        }
        for (session, user) in (2 * KEPT..3 * KEPT).map(ids) {
            assert_eq!(owners.get(session), Some(user));
        }
        assert_eq!(owners.get(ids(0).0), None);
        let held = owners.lock();
        assert!(held.young.len() + held.old.len() <= 2 * KEPT);
    }
}

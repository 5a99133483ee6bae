//! A counter as the store has it, and how time and failures change it. No I/O: the rules of contract 4.3 in one
//! place.

use std::time::Duration;

use super::clock::{Moment, micros};
use super::model::{LockKind, Lockout};
use super::tags::Tags;
use crate::ids::{LockoutId, UserId};
use crate::time::Timestamp;

/// A reservation that nobody settled becomes a failure after so long.
pub(crate) const LEFT_BEHIND: Duration = Duration::from_secs(30);

/// What one kind of counter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The failure with this number locks.
    pub(crate) threshold: i64,
    /// How long failures count, and how long the first lock is.
    pub(crate) ttl: Duration,
    /// Each lock is twice as long as the one before it, up to this; `None` for locks that do not grow.
    pub(crate) grows_to: Option<Duration>,
}

impl Rules {
    /// How long the lock with that number is, the first being 1.
    fn length(&self, number: i64) -> Duration {
        let Some(most) = self.grows_to else { return self.ttl };
        let doublings = u32::try_from(number.saturating_sub(1).clamp(0, 31)).unwrap_or(31);
        self.ttl.saturating_mul(1_u32.wrapping_shl(doublings)).min(most.max(self.ttl))
    }
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) id: LockoutId,
    pub(crate) kind: LockKind,
    pub(crate) user: Option<UserId>,
    pub(crate) failures: i64,
    /// Reservations made since `round_at`.
    pub(crate) pending: i64,
    /// Reservations of the round before.
    pub(crate) pending_before: i64,
    /// A reservation knows its round; one of a round that is over was counted as a failure.
    pub(crate) round: i64,
    pub(crate) round_at: i64,
    /// The latest reservation.
    pub(crate) reserved_at: i64,
    pub(crate) first_failure_at: Option<i64>,
    pub(crate) last_failure_at: Option<i64>,
    /// Begin of the present lock, or of the last one.
    pub(crate) locked_at: Option<i64>,
    pub(crate) locked_until: Option<i64>,
    pub(crate) lock_count: i64,
    pub(crate) tags: Tags,
    pub(crate) touched_at: i64,
    pub(crate) version: i64,
}

/// What looking at a row at one moment brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// The row differs from what is stored.
    pub(crate) changed: bool,
    /// Its times were ahead of any known clock: the change must be written, locked or not.
    pub(crate) guessed: bool,
    /// It is locked now and was not before.
    pub(crate) locked: bool,
}

impl Row {
    /// Brings the row to `moment`: what is over ends, what was left behind counts.
    pub(crate) fn look(&mut self, moment: &Moment, rules: &Rules) -> Change {
        let before = self.clone();
        let guessed = self.translate(moment);
        let now = moment.micros();
        let counted_at = self.collect_left_behind(now);
        let mut locked = false;
        if self.locked_until.is_none() && self.failures >= rules.threshold {
            // Left behind and found late: the lock began when they became failures.
            self.lock(counted_at.unwrap_or(now), rules);
            locked = true;
        }
        self.end_what_is_over(now, rules);
        let changed = *self != before;
        Change { changed, guessed, locked: locked && self.locked_until.is_some() }
    }

    /// Whether one more attempt may be judged. Only after [`Self::look`].
    pub(crate) fn has_room(&self, rules: &Rules) -> bool {
        let taken = self.failures.saturating_add(self.pending).saturating_add(self.pending_before);
        self.locked_until.is_none() && taken < rules.threshold
    }

    /// Takes a place, as the store's statement does.
    pub(crate) fn reserve(&mut self, now: i64) {
        if self.pending == 0 && self.pending_before == 0 {
            self.round_at = now;
        }
        self.pending += 1;
        self.reserved_at = now;
    }

    /// Counts a failure that had no reservation. `true` when it locks. While locked nothing is counted.
    pub(crate) fn fail(&mut self, moment: &Moment, rules: &Rules) -> bool {
        let now = moment.micros();
        if self.locked_until.is_some() {
            return false;
        }
        self.failures += 1;
        self.note_failure(now);
        self.lock_when_due(now, rules)
    }

    /// Counts a distinct e-mail that failed. `true` when it locks.
    pub(crate) fn fail_tag(&mut self, tag: u32, moment: &Moment, rules: &Rules) -> bool {
        let now = moment.micros();
        if self.locked_until.is_some() {
            return false;
        }
        let oldest = now.saturating_sub(micros(rules.ttl));
        self.tags.note(tag, now, oldest, rules.threshold);
        self.failures = self.tags.count();
        self.note_failure(now);
        self.first_failure_at = self.tags.oldest().or(self.first_failure_at);
        self.lock_when_due(now, rules)
    }

    /// Forgets failures, lock and growth; what is being judged at this moment stays reserved. `true` when there was
    /// something to forget.
    pub(crate) fn forget(&mut self) -> bool {
        let some = self.failures > 0 || self.locked_until.is_some() || self.lock_count > 0;
        self.clear();
        self.locked_at = None;
        self.lock_count = 0;
        some
    }

    /// What operators see. Only after [`Self::look`].
    pub(crate) fn describe(&self) -> Lockout {
        let number = |n: i64| u32::try_from(n.max(0)).unwrap_or(u32::MAX);
        Lockout {
            id: self.id,
            kind: self.kind,
            user_id: self.user,
            failures: number(self.failures),
            locked_until: self.locked_until.map(Timestamp::from_micros),
            lock_count: number(self.lock_count),
            first_failure_at: self.first_failure_at.map(Timestamp::from_micros),
            last_failure_at: self.last_failure_at.map(Timestamp::from_micros),
        }
    }

    /// Reads all times on the clock of `moment`. `true` when that took a guess.
    fn translate(&mut self, moment: &Moment) -> bool {
        let (shift, guessed) = moment.shift(self.touched_at);
        if shift == 0 {
            return false;
        }
        for time in [&mut self.round_at, &mut self.reserved_at, &mut self.touched_at] {
            *time = time.saturating_add(shift);
        }
        let optional = [
            &mut self.first_failure_at,
            &mut self.last_failure_at,
            &mut self.locked_at,
            &mut self.locked_until,
        ];
        for time in optional.into_iter().flatten() {
            *time = time.saturating_add(shift);
        }
        self.tags.shift(shift);
        guessed
    }

    /// Reservations older than 30 s become failures. Returns when they did.
    fn collect_left_behind(&mut self, now: i64) -> Option<i64> {
        let patience = micros(LEFT_BEHIND);
        let found = if now.saturating_sub(self.reserved_at) >= patience {
            let found = self.pending + self.pending_before;
            if found > 0 {
                (self.pending, self.pending_before) = (0, 0);
                // Neither of the two rounds may be settled any more.
                self.round += 2;
                self.round_at = now;
            }
            found
        } else if self.pending + self.pending_before > 0 && now.saturating_sub(self.round_at) >= patience {
            // Those of the round before are older than this round, and this round is old enough.
            let found = self.pending_before;
            (self.pending, self.pending_before) = (0, self.pending);
            self.round += 1;
            self.round_at = now;
            found
        } else {
            0
        };
        if found == 0 {
            return None;
        }
        self.failures += found;
        let tried_at = self.reserved_at.min(now);
        self.first_failure_at.get_or_insert(tried_at);
        self.last_failure_at = Some(self.last_failure_at.map_or(tried_at, |last| last.max(tried_at)));
        Some(tried_at.saturating_add(patience).min(now))
    }

    fn end_what_is_over(&mut self, now: i64, rules: &Rules) {
        if self.locked_until.is_some_and(|until| now >= until) {
            self.clear();
        }
        let window = micros(rules.ttl);
        let quiet = self.last_failure_at.is_some_and(|last| now.saturating_sub(last) >= window);
        if quiet && self.locked_until.is_none() {
            self.clear();
        }
        // After a time without locks as long as the longest one, the next is short again.
        let memory = rules.grows_to.unwrap_or_default().max(rules.ttl);
        let rested = self.locked_at.is_some_and(|at| {
            now.saturating_sub(at) >= micros(rules.length(self.lock_count).saturating_add(memory))
        });
        if rested && self.locked_until.is_none() {
            (self.locked_at, self.lock_count) = (None, 0);
        }
    }

    fn clear(&mut self) {
        self.failures = 0;
        self.first_failure_at = None;
        self.last_failure_at = None;
        self.locked_until = None;
        self.tags = Tags::default();
    }

    fn note_failure(&mut self, now: i64) {
        self.first_failure_at.get_or_insert(now);
        self.last_failure_at = Some(now);
    }

    fn lock_when_due(&mut self, now: i64, rules: &Rules) -> bool {
        let due = self.failures >= rules.threshold;
        if due {
            self.lock(now, rules);
        }
        due
    }

    fn lock(&mut self, at: i64, rules: &Rules) {
        self.lock_count = self.lock_count.saturating_add(1);
        self.locked_at = Some(at);
        self.locked_until = Some(at.saturating_add(micros(rules.length(self.lock_count))));
    }
}

#[cfg(test)]
mod tests;

//! Time as locks see it: the wall clock, and what is known of its steps.
//!
//! Rows hold wall times, since other processes and operators read them. Somebody who sets the clock forward would
//! end every lock, and back, prolong it. So each process compares its wall clock with its monotonic one, remembers
//! the steps it saw, and reads times from before a step as if it had not happened (R18). Times ahead of the clock
//! that no known step explains (a step while nobody ran) are taken to be now.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::{SharedClock, Timestamp};

/// What two clocks may differ by, and two nodes: less is no step.
const TOLERANCE: i64 = 10_000_000;
/// Steps that are remembered.
const STEPS: usize = 8;

/// The process's eye on its clock.
pub(crate) struct LockClock {
    clock: SharedClock,
    scales: Mutex<VecDeque<Scale>>,
}

/// Between two steps wall and monotonic time run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// Wall times of this scale, from and to; the last one's `to` is now.
    from: i64,
    to: i64,
    /// Wall less monotonic time.
    offset: i64,
}

/// A moment, and how to read earlier ones.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    now: i64,
    /// The newest last.
    scales: Vec<Scale>,
}

impl LockClock {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self { clock, scales: Mutex::default() }
    }

    pub(crate) fn moment(&self) -> Moment {
        let before = self.clock.monotonic();
        let now = self.clock.now().as_micros();
        let torn = micros(self.clock.monotonic().saturating_sub(before)) > TOLERANCE / 2;
        let offset = now.saturating_sub(micros(before));
        let mut scales = self.scales.lock().unwrap_or_else(PoisonError::into_inner);
        match scales.back_mut() {
            None => scales.push_back(Scale { from: i64::MIN, to: now, offset }),
            // A thread that slept between its two looks saw no step.
            Some(last) if torn || last.offset.abs_diff(offset) < TOLERANCE.unsigned_abs() => {
                last.to = last.to.max(now);
            }
            Some(_) => {
                scales.push_back(Scale { from: now, to: now, offset });
                if scales.len() > STEPS {
                    scales.pop_front();
                }
            }
        }
        Moment { now, scales: scales.iter().copied().collect() }
    }
}

impl fmt::Debug for LockClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockClock").finish_non_exhaustive()
    }
}

impl Moment {
    /// A moment of a clock of which no step is known.
    #[cfg(test)]
    pub(crate) fn plain(now: i64) -> Self {
        Self { now, scales: Vec::new() }
    }

    pub(crate) fn micros(&self) -> i64 {
        self.now
    }

    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// What to add to times written at `written`, so that they compare with now; and whether that is a guess that
    /// must be written down, or it would be made anew at each look.
    pub(crate) fn shift(&self, written: i64) -> (i64, bool) {
        let known = self.scales.iter().rev().find(|scale| (scale.from..=scale.to).contains(&written));
        if let (Some(then), Some(today)) = (known, self.scales.last()) {
            return (today.offset.saturating_sub(then.offset), false);
        }
        let ahead = written.saturating_sub(self.now);
        if ahead > TOLERANCE { (ahead.saturating_neg(), true) } else { (0, false) }
    }
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::ManualClock;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;

    fn clocks() -> (ManualClock, LockClock) {
        let clock = ManualClock::new();
        let lock = LockClock::new(Arc::new(clock.clone()));
        (clock, lock)
    }

    #[test]
    fn time_that_passes_is_no_step() {
        let (clock, lock) = clocks();
        let then = lock.moment().micros();
        clock.advance(Duration::from_hours(30));
        let moment = lock.moment();
        assert_eq!(moment.micros() - then, 30 * HOUR);
        assert_eq!(moment.shift(then), (0, false));
        assert_eq!(moment.shift(then - 100 * HOUR), (0, false), "from before the process");
    }

    #[test]
    fn times_from_before_a_step_keep_their_age() {
        for step in [3600, -3600] {
            let (clock, lock) = clocks();
            let then = lock.moment().micros();
            clock.advance(Duration::from_mins(1));
            lock.moment();
            clock.step_wall(step);
            let moment = lock.moment();
            assert_eq!(moment.shift(then), (step * SECOND, false));
            assert_eq!(moment.micros() - (then + moment.shift(then).0), 60 * SECOND);
            // What is written from now on is read as it stands.
            let after = moment.micros();
            clock.advance(Duration::from_mins(2));
            assert_eq!(lock.moment().shift(after), (0, false));
        }
    }

    #[test]
    fn a_step_there_and_back_leaves_all_as_it_was() {
        let (clock, lock) = clocks();
        let then = lock.moment().micros();
        clock.advance(Duration::from_mins(1));
        clock.step_wall(3600);
        let between = lock.moment().micros();
        clock.advance(Duration::from_mins(1));
        clock.step_wall(-3600);
        let moment = lock.moment();
        assert_eq!(moment.shift(then), (0, false));
        assert_eq!(moment.shift(between), (-HOUR, false));
    }

    #[test]
    fn what_no_step_explains_is_taken_to_be_now() {
        let (_, lock) = clocks();
        let moment = lock.moment();
        assert_eq!(moment.shift(moment.micros() + HOUR), (-HOUR, true));
        assert_eq!(moment.shift(moment.micros() + SECOND), (0, false), "another node's clock");
        assert_eq!(Moment::plain(5 * HOUR).shift(6 * HOUR), (-HOUR, true));
    }
}

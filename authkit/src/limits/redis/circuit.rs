//! Whether Redis is asked at all. While it does not answer, one request at a time tries it, now and then; all others
//! are spared the wait.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::SharedClock;

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Circuit {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Redis answers, as far as is known.
    Closed,
    /// It does not; the next try is due then, by the monotonic clock.
    Open { try_at: Duration },
    /// It does not, and one request is trying.
    Trying,
}

/// Leave to ask Redis. Dropped without a word, when its request was given up, it says nothing about Redis.
#[derive(Debug)]
pub(super) struct Leave<'c> {
    circuit: &'c Circuit,
    tries: bool,
    settled: bool,
}

impl Circuit {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, state: Mutex::new(State::Closed) }
    }

    /// Leave to ask; `None` while there is no point in it.
    pub(super) fn enter(&self) -> Option<Leave<'_>> {
        let mut state = self.lock();
        let tries = match *state {
            State::Closed => false,
            State::Open { try_at } if self.clock.monotonic() >= try_at => {
                *state = State::Trying;
                true
            }
            State::Open { .. } | State::Trying => return None,
        };
        Some(Leave { circuit: self, tries, settled: false })
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.lock() == State::Closed
    }

    fn open(&self) {
        *self.lock() = State::Open { try_at: self.clock.monotonic() + PAUSE };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Redis answered. Says whether it had not before.
    pub(super) fn succeeded(mut self) -> bool {
        self.settled = true;
        // Whoever set out before Redis failed proves nothing.
        if self.tries {
            *self.circuit.lock() = State::Closed;
        }
        self.tries
    }

    /// Redis did not answer, or not with sense. Says whether it had before.
    pub(super) fn failed(mut self) -> bool {
        self.settled = true;
        let was_closed = self.circuit.is_closed();
        if self.tries || was_closed {
            self.circuit.open();
        }
        was_closed
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.tries && !self.settled {
            self.circuit.open();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::ManualClock;

    fn circuit() -> (ManualClock, Circuit) {
        let clock = ManualClock::new();
        (clock.clone(), Circuit::new(Arc::new(clock)))
    }

    #[test]
    fn after_a_failure_one_at_a_time_tries_now_and_then() {
        let (clock, circuit) = circuit();
        assert!(circuit.enter().unwrap().failed());
        assert!(circuit.enter().is_none(), "no pause");
        clock.advance(PAUSE);
        let leave = circuit.enter().unwrap();
        assert!(circuit.enter().is_none(), "two try at once");
        assert!(!leave.failed());
        assert!(circuit.enter().is_none(), "no pause after the second failure");
        clock.advance(PAUSE);
        assert!(circuit.enter().unwrap().succeeded());
        assert!(circuit.is_closed() && circuit.enter().is_some());
    }

    #[test]
    fn a_try_that_was_given_up_is_made_again() {
        let (clock, circuit) = circuit();
        circuit.enter().unwrap().failed();
        clock.advance(PAUSE);
        drop(circuit.enter().unwrap());
        assert!(!circuit.is_closed());
        clock.advance(PAUSE);
        assert!(circuit.enter().unwrap().succeeded());
    }

    #[test]
    fn a_late_answer_does_not_close_it() {
        let (_, circuit) = circuit();
        let early = circuit.enter().unwrap();
        circuit.enter().unwrap().failed();
        assert!(!early.succeeded());
        assert!(!circuit.is_closed());
    }

    #[test]
    fn a_late_failure_does_not_put_the_try_off() {
        let (clock, circuit) = circuit();
        let early = circuit.enter().unwrap();
        circuit.enter().unwrap().failed();
        clock.advance(PAUSE);
        assert!(!early.failed());
        assert!(circuit.enter().is_some());
    }
}

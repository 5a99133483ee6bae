use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Clones move together.
#[derive(Debug, Clone)]
pub struct ManualClock {
    wall: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl ManualClock {
    /// Starts at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self {
            wall: Arc::new(AtomicI64::new(1_767_225_600_000_000)),
            monotonic: Arc::new(AtomicU64::new(1_000_000)),
        }
    }

    /// Time passes.
    pub fn advance(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.monotonic.fetch_add(micros, Ordering::SeqCst);
        self.wall.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Somebody sets the machine's clock, by so many seconds; no time passes (R18).
    pub fn step_wall(&self, seconds: i64) {
        self.wall.fetch_add(seconds.saturating_mul(1_000_000), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic.load(Ordering::SeqCst))
    }
}

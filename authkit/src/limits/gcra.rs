//! GCRA, the generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it will be full
//! again. No window has a seam, and nothing has to be counted back.

use std::time::Duration;

use crate::config::Rate;

/// A rate in whole microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gcra {
    /// What one request costs; rounded up, so that a period never holds more than its requests.
    pub(crate) interval: u64,
    /// What all requests of a full bucket cost.
    pub(crate) span: u64,
}

/// What a bucket says. The same on every limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the request may pass.
    pub(crate) allowed: bool,
    /// Microseconds until the bucket is full again.
    pub(crate) ahead: u64,
}

impl Gcra {
    pub(crate) fn new(rate: Rate) -> Self {
        let limit = u64::from(rate.limit.get());
        let interval = micros(rate.period).div_ceil(limit).max(1);
        Self { interval, span: interval.saturating_mul(limit) }
    }

    /// Takes one request from a bucket that will be full at `full_at`, if there is one. Also gives the time at which
    /// it will be full then.
    ///
    /// A time further away than a whole empty bucket cannot be: the clock was set back. It counts as an empty
    /// bucket, so that a step of the clock shuts nobody out for longer than a period (R18).
    pub(crate) fn take(self, full_at: u64, now: u64) -> (Verdict, u64) {
        let full_at = full_at.clamp(now, now.saturating_add(self.span));
        let ahead = full_at - now;
        if ahead.saturating_add(self.interval) > self.span {
            return (Verdict { allowed: false, ahead }, full_at);
        }
        let ahead = ahead + self.interval;
        (Verdict { allowed: true, ahead }, now.saturating_add(ahead))
    }

    /// From when on a request passes again, given when the bucket will be full.
    pub(crate) fn opens_at(self, full_at: u64) -> u64 {
        full_at.saturating_sub(self.span - self.interval)
    }

    /// Requests that are left.
    pub(crate) fn remaining(self, verdict: Verdict) -> u32 {
        let left = self.span.saturating_sub(verdict.ahead) / self.interval;
        if verdict.allowed { u32::try_from(left).unwrap_or(u32::MAX) } else { 0 }
    }

    /// Until there is one request more.
    pub(crate) fn next_in(self, verdict: Verdict) -> Duration {
        let wait = match self.span.checked_sub(verdict.ahead) {
            Some(room) => self.interval - room % self.interval,
            // A limiter that has no room for a new key says so by an impossible time.
            None => verdict.ahead - self.span + self.interval,
        };
        Duration::from_micros(wait)
    }
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn gcra(limit: u32, seconds: u64) -> Gcra {
        Gcra::new(Rate::new(limit, Duration::from_secs(seconds)))
    }

    #[test]
    fn so_many_pass_at_once_and_one_more_each_interval() {
        let gcra = gcra(20, 600);
        let (mut full_at, start) = (0, 1_000 * SECOND);
        for n in 0..20 {
            let (verdict, next) = gcra.take(full_at, start);
            assert!(verdict.allowed);
            assert_eq!(gcra.remaining(verdict), 19 - n);
            full_at = next;
        }
        let (verdict, next) = gcra.take(full_at, start);
        assert!(!verdict.allowed && next == full_at);
        assert_eq!((gcra.remaining(verdict), gcra.next_in(verdict)), (0, Duration::from_secs(30)));
        let early = start + 30 * SECOND - 1;
        assert!(!gcra.take(full_at, early).0.allowed, "a microsecond too early");
        let (verdict, full_at) = gcra.take(full_at, early + 1);
        assert!(verdict.allowed, "the attempt at the instant that was told");
        assert!(!gcra.take(full_at, early + 1).0.allowed, "one, not two");
    }

    #[test]
    fn the_seam_of_two_windows_gives_no_second_burst() {
        let gcra = gcra(20, 600);
        let mut full_at = 0;
        let mut passed = 0;
        // 20 in the last second of one window, 20 in the first of the next.
        for now in [599 * SECOND, 601 * SECOND] {
            for _ in 0..20 {
                let (verdict, next) = gcra.take(full_at, now);
                passed += u32::from(verdict.allowed);
                full_at = next;
            }
        }
        assert_eq!(passed, 20);
    }

    #[test]
    fn rounding_never_gives_more() {
        let gcra = Gcra::new(Rate::new(7, Duration::from_secs(1)));
        assert_eq!((gcra.interval, gcra.span), (142_858, 1_000_006));
        assert_eq!(Gcra::new(Rate::new(u32::MAX, Duration::from_micros(1))).interval, 1);
    }

    #[test]
    fn a_clock_set_back_empties_the_bucket_and_no_more() {
        let gcra = gcra(10, 600);
        let (_, full_at) = gcra.take(0, 10_000 * SECOND);
        let back = 6_400 * SECOND;
        let (verdict, full_at) = gcra.take(full_at, back);
        assert!(!verdict.allowed);
        assert_eq!(full_at, back + gcra.span, "what was impossible is forgotten");
        assert!(gcra.take(full_at, back + 60 * SECOND).0.allowed);
        assert_eq!(gcra.take(full_at, back + 601 * SECOND).0.ahead, gcra.interval);
    }
}

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::Rate;
use crate::testing::ManualClock;

fn gcra(limit: u32, seconds: u64) -> Gcra {
    Gcra::new(Rate::new(limit, Duration::from_secs(seconds)))
}

fn small(clock: &ManualClock, keys: usize) -> MemoryLimiter {
    MemoryLimiter::with_capacity(Arc::new(clock.clone()), 1, keys)
}

/// Spread over the table and the shards, as keyed hashes are.
fn key(n: usize) -> Key {
    let mixed = (n as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (mixed ^ (mixed >> 61)).to_le_bytes()
}

fn held(limiter: &MemoryLimiter, key: Key) -> bool {
    limiter.shards.iter().any(|shard| shard.lock().unwrap().buckets.contains_key(&key))
}

#[test]
fn s_040_of_200_parallel_requests_at_a_limit_of_20_at_most_20_pass() {
    let limiter = MemoryLimiter::new(Arc::new(ManualClock::new()));
    let passed: usize = std::thread::scope(|scope| {
        let ask = || (0..25).filter(|_| limiter.take(gcra(20, 600), key(1)).allowed).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 20);
}

#[test]
fn setting_the_machines_clock_neither_opens_nor_shuts() {
    for hour in [3600, -3600] {
        let clock = ManualClock::new();
        let limiter = small(&clock, 16);
        for _ in 0..20 {
            assert!(limiter.take(gcra(20, 600), key(1)).allowed);
        }
        clock.step_wall(hour);
        assert!(!limiter.take(gcra(20, 600), key(1)).allowed, "the step opened a bucket");
        assert!(limiter.take(gcra(20, 600), key(2)).allowed, "the step shut a bucket");
        clock.advance(Duration::from_secs(30));
        assert!(limiter.take(gcra(20, 600), key(1)).allowed, "the step shut a bucket for longer than it was");
    }
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let clock = ManualClock::new();
    let limiter = small(&clock, 16);
    let rate = gcra(2, 60);
    assert!(limiter.take(rate, key(1)).allowed && limiter.take(rate, key(1)).allowed);
    limiter.give_back(rate, key(1));
    assert!(limiter.take(rate, key(1)).allowed);
    assert!(!limiter.take(rate, key(1)).allowed);
    // Never more than a full bucket.
    clock.advance(Duration::from_mins(10));
    limiter.give_back(rate, key(1));
    assert!(limiter.take(rate, key(1)).allowed && limiter.take(rate, key(1)).allowed);
    assert!(!limiter.take(rate, key(1)).allowed);
}

#[test]
fn full_buckets_are_forgotten_first() {
    let clock = ManualClock::new();
    let limiter = small(&clock, 16);
    for n in 0..8 {
        limiter.take(gcra(1, 10), key(n));
    }
    clock.advance(Duration::from_secs(11));
    for n in 8..16 {
        limiter.take(gcra(100, 600), key(n));
    }
    limiter.take(gcra(100, 600), key(16));
    assert!((0..8).all(|n| !held(&limiter, key(n))), "full again, and still held");
    assert!((8..17).all(|n| held(&limiter, key(n))));
}

#[test]
fn s_046_a_bucket_that_refuses_is_never_forgotten() {
    let clock = ManualClock::new();
    let limiter = small(&clock, 64);
    let rate = gcra(2, 600);
    for n in 0..32 {
        while limiter.take(rate, key(n)).allowed {}
    }
    for n in 32..100_000 {
        limiter.take(rate, key(n));
        assert!(limiter.size().0 <= 64);
    }
    for n in 0..32 {
        assert!(!limiter.take(rate, key(n)).allowed, "bucket {n} was forgotten");
    }
}

#[test]
fn when_all_refuse_new_keys_are_refused_until_one_opens() {
    let clock = ManualClock::new();
    let limiter = small(&clock, 16);
    for n in 0..16 {
        limiter.take(gcra(1, 60), key(n));
        clock.advance(Duration::from_millis(1));
    }
    let verdict = limiter.take(gcra(5, 60), key(99));
    assert!(!verdict.allowed);
    let wait = gcra(5, 60).next_in(verdict);
    assert_eq!(wait, Duration::from_millis(60_000 - 16));
    clock.advance(wait.checked_sub(Duration::from_micros(1)).unwrap());
    assert!(!limiter.take(gcra(5, 60), key(99)).allowed);
    clock.advance(Duration::from_micros(1));
    assert!(limiter.take(gcra(5, 60), key(99)).allowed);
}

#[test]
fn those_with_most_room_go_before_those_with_little() {
    let clock = ManualClock::new();
    let limiter = small(&clock, 32);
    let rate = gcra(10, 600);
    for n in 0..32 {
        for _ in 0..=n % 8 {
            limiter.take(rate, key(n));
        }
    }
    limiter.take(rate, key(99));
    // A sixteenth went: two of those that had been asked once.
    let gone: Vec<usize> = (0..32).filter(|n| !held(&limiter, key(*n))).collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.iter().all(|n| n % 8 == 0), "{gone:?}");
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure is wanted")]
fn s_046_a_million_keys_take_bounded_memory() {
    let limiter = MemoryLimiter::new(Arc::new(ManualClock::new()));
    let rate = gcra(2, 600);
    while limiter.take(rate, key(0)).allowed {}
    for n in 1..1_000_000 {
        limiter.take(rate, key(n));
    }
    let (keys, bytes) = limiter.size();
    println!("1,000,000 distinct keys: {keys} held in {} KiB", bytes >> 10);
    assert!(keys <= SHARDS * PER_SHARD && keys > SHARDS * PER_SHARD * 9 / 10, "{keys}");
    assert!(bytes < 40 << 20, "{bytes}");
    assert!(!limiter.take(rate, key(0)).allowed, "the bucket that refuses was forgotten");
}

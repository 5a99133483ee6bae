//! The limiter of one process. Bounded: when it is full it forgets the buckets that are full again, then those with
//! most room, and never one that refuses at present; for want of those a new key is refused (R19, fail closed).

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Key;
use super::gcra::{Gcra, Verdict, micros};
use crate::time::SharedClock;

/// Locks of their own, so that cores do not wait for each other.
const SHARDS: usize = 64;
/// Keys of a shard: as many as a table of 16,384 places holds without growing.
const PER_SHARD: usize = 14_336;
/// Added to the clock, so that times before its start can be told apart.
const START: u64 = 1 << 50;
/// Which part of a shard is made free at a time, so that a full one is not searched for each new key.
const FREED: usize = 16;

/// Buckets in memory, by the clock's monotonic time: setting the machine's clock neither opens nor shuts anything.
pub(crate) struct MemoryLimiter {
    clock: SharedClock,
    shards: Box<[Mutex<Shard>]>,
    per_shard: usize,
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<Key, Bucket, BuildHasherDefault<KeyHasher>>,
    /// Full of buckets that refuse, until then.
    stuck_until: u64,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// When it is full again, in microseconds of the monotonic clock.
    full_at: u64,
    /// From when on it lets a request pass.
    opens_at: u64,
}

impl MemoryLimiter {
    /// Holds 917,504 keys at most, in about 36 MiB.
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self::with_capacity(clock, SHARDS, PER_SHARD)
    }

    fn with_capacity(clock: SharedClock, shards: usize, per_shard: usize) -> Self {
        Self { clock, shards: (0..shards).map(|_| Mutex::default()).collect(), per_shard }
    }

    /// Asks one bucket.
    pub(crate) fn take(&self, gcra: Gcra, key: Key) -> Verdict {
        let now = self.now();
        let Some(mut shard) = self.shard(key) else { return refusal(gcra, gcra.interval) };
        if let Some(bucket) = shard.buckets.get_mut(&key) {
            let (verdict, full_at) = gcra.take(bucket.full_at, now);
            *bucket = Bucket { full_at, opens_at: gcra.opens_at(full_at) };
            return verdict;
        }
        if shard.buckets.len() >= self.per_shard
            && let Err(wait) = shard.make_room(self.per_shard, now)
        {
            return refusal(gcra, wait);
        }
        let (verdict, full_at) = gcra.take(now, now);
        shard.buckets.insert(key, Bucket { full_at, opens_at: gcra.opens_at(full_at) });
        verdict
    }

    /// Gives one request back that [`Self::take`] let pass.
    pub(crate) fn give_back(&self, gcra: Gcra, key: Key) {
        let now = self.now();
        let Some(mut shard) = self.shard(key) else { return };
        if let Some(bucket) = shard.buckets.get_mut(&key) {
            let full_at = bucket.full_at.saturating_sub(gcra.interval).max(now);
            *bucket = Bucket { full_at, opens_at: gcra.opens_at(full_at) };
        }
    }

    /// How long until a bucket is full again, in microseconds.
    pub(crate) fn look(&self, key: Key) -> u64 {
        let now = self.now();
        let bucket = self.shard(key).and_then(|shard| shard.buckets.get(&key).copied());
        bucket.map_or(0, |bucket| bucket.full_at.saturating_sub(now))
    }

    /// Fills a bucket again.
    pub(crate) fn reset(&self, key: Key) {
        if let Some(mut shard) = self.shard(key) {
            shard.buckets.remove(&key);
            shard.stuck_until = 0;
        }
    }

    /// Keys that are held, and bytes that they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let place = size_of::<(Key, Bucket)>() + 1;
        let shards = self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        shards.fold((0, 0), |(keys, bytes), shard| {
            // Tables have a power of two of places and fill seven of eight.
            let places = shard.buckets.capacity().saturating_mul(8).div_ceil(7).next_power_of_two();
            (keys + shard.buckets.len(), bytes + places * place)
        })
    }

    fn now(&self) -> u64 {
        START.saturating_add(micros(self.clock.monotonic()))
    }

    fn shard(&self, key: Key) -> Option<MutexGuard<'_, Shard>> {
        // The table uses the other end of the key.
        let at = usize::from(u16::from_le_bytes([key[14], key[15]])) % self.shards.len();
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    /// Makes room for new keys, or tells for how long there will be none.
    fn make_room(&mut self, most: usize, now: u64) -> Result<(), u64> {
        if now < self.stuck_until {
            return Err(self.stuck_until - now);
        }
        let mut kept: Vec<(Key, Bucket)> =
            self.buckets.drain().filter(|(_, bucket)| bucket.full_at > now).collect();
        let wanted = kept.len().saturating_sub(most - (most / FREED).clamp(1, most));
        let open = kept.iter().filter(|(_, bucket)| bucket.opens_at <= now).count();
        let gone = wanted.min(open);
        if gone > 0 && gone < kept.len() {
            // Those that opened first have most room; those that refuse open last.
            kept.select_nth_unstable_by_key(gone, |(_, bucket)| bucket.opens_at);
        }
        if gone == 0 && kept.len() >= most {
            self.stuck_until = kept.iter().map(|(_, bucket)| bucket.opens_at).min().unwrap_or(now);
        }
        // A new table: places of what was removed would make the old one grow.
        self.buckets = HashMap::with_capacity_and_hasher(most, BuildHasherDefault::default());
        self.buckets.extend(kept.into_iter().skip(gone));
        if self.buckets.len() < most { Ok(()) } else { Err(self.stuck_until.saturating_sub(now).max(1)) }
    }
}

/// A bucket that cannot be kept is refused until there is room.
fn refusal(gcra: Gcra, wait: u64) -> Verdict {
    Verdict { allowed: false, ahead: gcra.span.saturating_add(wait).saturating_sub(gcra.interval) }
}

/// Keys are keyed hashes already: no client can choose where they fall.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.first_chunk().map_or(0, |start| u64::from_le_bytes(*start));
    }

    // The length that arrays are hashed with says nothing.
    fn write_usize(&mut self, _length: usize) {}
}

impl fmt::Debug for MemoryLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimiter").field("keys", &self.size().0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::ManualClock;
use crate::config::{Rate, RedisConfig};
use crate::error::{Error, Result};
use crate::limits::{Key, Twins};
use crate::time::Clock as _;

/// The two limiters side by side, outside of any kit: to see that they give the same numbers, and to time them.
#[derive(Debug)]
pub struct LimiterTwins {
    twins: Twins,
    clock: ManualClock,
}

/// What a limiter said: whether the request may pass, and when the bucket is full again.
pub type Said = (bool, Duration);

impl LimiterTwins {
    /// Memory, and the Redis at `url`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for what is no address.
    pub fn new(url: &str) -> Result<Self> {
        let clock = ManualClock::new();
        // What is compared here is not how fast Redis answers.
        let timeout = Duration::from_secs(5);
        let config = RedisConfig { urls: vec![url.to_owned()], timeout, ..RedisConfig::default() };
        Ok(Self { twins: Twins::new(&config, Arc::new(clock.clone()))?, clock })
    }

    /// Asks Redis, then memory at the very moment at which Redis decided. `None` when that moment cannot be told any
    /// more, because the bucket was full again at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when Redis does not answer.
    pub async fn both(&self, key: u64, rate: Rate) -> Result<Option<(Said, Said)>> {
        let (key, silent) = (bucket(key), || Error::unavailable("Redis does not answer"));
        let redis = self.twins.redis(&[(rate, key)]).await.ok_or_else(silent)?;
        let Some(first) = redis.first().copied() else { return Err(silent()) };
        let full_at = self.twins.full_at(key).await;
        let Some(moment) = full_at.map(|at| Duration::from_micros(at).saturating_sub(first.1)) else {
            return Ok(None);
        };
        let now = self.clock.monotonic();
        self.clock.advance(moment.checked_sub(now).ok_or_else(|| Error::internal("Redis' clock ran back"))?);
        Ok(Some((first, self.twins.memory(key, rate))))
    }

    /// Asks memory alone.
    pub fn memory(&self, key: u64, rate: Rate) -> Said {
        self.twins.memory(bucket(key), rate)
    }

    /// Asks Redis alone, for two buckets in one round trip. `None` when it does not answer.
    pub async fn redis(&self, keys: [u64; 2], rate: Rate) -> Option<Vec<Said>> {
        self.twins.redis(&keys.map(|key| (rate, bucket(key)))).await
    }

    /// Asks Redis alone, for one bucket. `None` when it does not answer.
    pub async fn redis_one(&self, key: u64, rate: Rate) -> Option<Said> {
        self.twins.redis(&[(rate, bucket(key))]).await?.first().copied()
    }
}

/// Spread as keyed hashes are.
fn bucket(key: u64) -> Key {
    let mixed = u128::from(key + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    (mixed ^ (mixed >> 61)).to_le_bytes()
}

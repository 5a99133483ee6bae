//! Both limiters outside of a [`super::Limiter`], for tests and benchmarks.

use std::time::Duration;

use super::Key;
use super::gcra::{Gcra, Verdict};
use super::memory::MemoryLimiter;
use super::redis::RedisLimiter;
use crate::config::{Rate, RedisConfig};
use crate::error::{Error, Result};
use crate::time::SharedClock;

#[derive(Debug)]
pub(crate) struct Twins {
    memory: MemoryLimiter,
    redis: RedisLimiter,
}

impl Twins {
    pub(crate) fn new(config: &RedisConfig, clock: SharedClock) -> Result<Self> {
        let redis = RedisLimiter::from_config(config, &clock)?;
        let redis = redis.ok_or_else(|| Error::config("there is no REDIS_URL"))?;
        Ok(Self { memory: MemoryLimiter::new(clock), redis })
    }

    pub(crate) fn memory(&self, key: Key, rate: Rate) -> (bool, Duration) {
        said(self.memory.take(Gcra::new(rate), key))
    }

    pub(crate) async fn redis(&self, asks: &[(Rate, Key)]) -> Option<Vec<(bool, Duration)>> {
        let asks: Vec<_> = asks.iter().map(|(rate, key)| (Gcra::new(*rate), *key)).collect();
        Some(self.redis.take(&asks).await?.into_iter().map(said).collect())
    }

    /// When Redis has a bucket full again, by its clock, in microseconds.
    pub(crate) async fn full_at(&self, key: Key) -> Option<u64> {
        self.redis.full_at(key).await
    }
}

fn said(verdict: Verdict) -> (bool, Duration) {
    (verdict.allowed, Duration::from_micros(verdict.ahead))
}

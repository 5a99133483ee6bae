//! How often something may be done: the limiter, in memory and in Redis.
//!
//! A request names its buckets, each a [`Policy`] and a keyed hash of whose requests are counted. All are asked; one
//! that refuses refuses the request, and what the others had let pass is given back, so that whoever hits one limit
//! cannot use up another's with refused requests.

mod gcra;
mod memory;
mod metrics;
#[cfg_attr(not(feature = "redis"), path = "no_redis.rs")]
mod redis;
#[cfg(all(feature = "redis", any(test, feature = "testing")))]
mod twins;

use std::borrow::Cow;

use self::gcra::{Gcra, Verdict};
use self::memory::MemoryLimiter;
use self::redis::RedisLimiter;
use crate::config::{Config, Rate};
use crate::error::{Error, LimitState, Result};
use crate::time::SharedClock;

#[cfg(all(feature = "redis", any(test, feature = "testing")))]
pub(crate) use self::twins::Twins;

/// Whose requests a bucket counts: a keyed hash, so that no limiter holds an address or an e-mail.
pub(crate) type Key = [u8; 16];

/// A limit by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Its name in answers and metrics. Letters, digits, `_` and `-` are best.
    pub name: Cow<'static, str>,
    /// How often.
    pub rate: Rate,
}

impl Policy {
    /// A limit of that name.
    pub fn new(name: impl Into<Cow<'static, str>>, rate: Rate) -> Self {
        Self { name: name.into(), rate }
    }
}

/// One of a request's buckets.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) policy: Policy,
    pub(crate) key: Key,
}

impl Bucket {
    fn state(&self, rate: Rate, verdict: Verdict) -> LimitState {
        let gcra = Gcra::new(rate);
        let counts = (rate.limit.get(), gcra.remaining(verdict));
        LimitState::new(self.policy.name.clone(), counts, (gcra.next_in(verdict), rate.period))
    }
}

impl Bucket {
    /// The state of a bucket that is full again after `ahead` microseconds.
    fn standing(&self, ahead: u64) -> LimitState {
        let gcra = Gcra::new(self.policy.rate);
        // Nobody asked, so nothing was refused; what is left says enough.
        let ahead = ahead.min(gcra.span);
        self.state(self.policy.rate, Verdict { allowed: true, ahead })
    }
}

/// The limiter of a process: Redis where it is set up, else, and while Redis does not answer, memory.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: MemoryLimiter,
    redis: Option<RedisLimiter>,
    required: bool,
    #[cfg(feature = "testing")]
    off: bool,
}

impl Limiter {
    /// # Errors
    /// [`crate::ErrorKind::Config`] when Redis is asked for and this build has none, or an address of it is none.
    pub(crate) fn new(config: &Config, clock: &SharedClock) -> Result<Self> {
        let memory = MemoryLimiter::new(SharedClock::clone(clock));
        let redis = RedisLimiter::from_config(&config.limits.redis, clock)?;
        Ok(Self {
            memory,
            redis,
            required: config.redis_required(),
            #[cfg(feature = "testing")]
            off: false,
        })
    }

    /// Lets everything through without counting.
    #[cfg(feature = "testing")]
    pub(crate) fn off(self) -> Self {
        Self { off: true, ..self }
    }

    /// Takes one request from each bucket, or none from any. Gives their states.
    ///
    /// # Errors
    /// [`crate::ErrorKind::RateLimited`]; [`crate::ErrorKind::Unavailable`] when Redis is required and does not
    /// answer.
    pub(crate) async fn take(&self, buckets: &[Bucket]) -> Result<Vec<LimitState>> {
        #[cfg(feature = "testing")]
        if self.off {
            return Ok(buckets.iter().map(|bucket| bucket.standing(0)).collect());
        }
        if let Some(redis) = &self.redis {
            let asks: Vec<_> = buckets.iter().map(|b| (Gcra::new(b.policy.rate), b.key)).collect();
            if let Some(verdicts) = redis.take(&asks).await {
                if verdicts.iter().any(|verdict| !verdict.allowed) {
                    let passed = asks.iter().zip(&verdicts).filter(|(_, verdict)| verdict.allowed);
                    redis.give_back(passed.map(|(ask, _)| *ask)).await;
                }
                return judge(buckets, |rate| rate, &verdicts);
            }
            for bucket in buckets {
                metrics::degraded(&bucket.policy);
            }
            if self.required {
                return Err(Error::unavailable("Redis does not answer, and REDIS_REQUIRED is set"));
            }
            return self.take_in_memory(buckets, Rate::halved);
        }
        self.take_in_memory(buckets, |rate| rate)
    }

    /// Whether Redis answers; `None` where none is set up.
    pub(crate) async fn redis_answers(&self) -> Option<bool> {
        match &self.redis {
            Some(redis) => Some(redis.is_ready().await),
            None => None,
        }
    }

    /// Whether requests are refused while Redis does not answer.
    pub(crate) fn is_redis_required(&self) -> bool {
        self.required
    }

    /// How buckets stand; nothing is taken.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when Redis is set up and does not answer.
    pub(crate) async fn look(&self, buckets: &[Bucket]) -> Result<Vec<LimitState>> {
        if let Some(redis) = &self.redis {
            let keys: Vec<Key> = buckets.iter().map(|bucket| bucket.key).collect();
            let ahead = redis.look(&keys).await.ok_or_else(silent)?;
            return Ok(buckets.iter().zip(ahead).map(|(bucket, ahead)| bucket.standing(ahead)).collect());
        }
        Ok(buckets.iter().map(|bucket| bucket.standing(self.memory.look(bucket.key))).collect())
    }

    /// Fills buckets again.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when Redis is set up and does not answer.
    pub(crate) async fn reset(&self, buckets: &[Bucket]) -> Result<()> {
        for bucket in buckets {
            self.memory.reset(bucket.key);
        }
        if let Some(redis) = &self.redis {
            let keys: Vec<Key> = buckets.iter().map(|bucket| bucket.key).collect();
            redis.reset(&keys).await.ok_or_else(silent)?;
        }
        Ok(())
    }

    fn take_in_memory(&self, buckets: &[Bucket], share: fn(Rate) -> Rate) -> Result<Vec<LimitState>> {
        let gcra = |bucket: &Bucket| Gcra::new(share(bucket.policy.rate));
        let verdicts: Vec<_> = buckets.iter().map(|b| self.memory.take(gcra(b), b.key)).collect();
        if verdicts.iter().any(|verdict| !verdict.allowed) {
            for (bucket, _) in buckets.iter().zip(&verdicts).filter(|(_, verdict)| verdict.allowed) {
                self.memory.give_back(gcra(bucket), bucket.key);
            }
        }
        judge(buckets, share, &verdicts)
    }
}

fn silent() -> Error {
    Error::unavailable("Redis does not answer")
}

/// The refusal with the longest wait, if any.
fn judge(buckets: &[Bucket], share: fn(Rate) -> Rate, verdicts: &[Verdict]) -> Result<Vec<LimitState>> {
    let mut states = Vec::with_capacity(buckets.len());
    let mut refusal: Option<LimitState> = None;
    for (bucket, verdict) in buckets.iter().zip(verdicts) {
        let state = bucket.state(share(bucket.policy.rate), *verdict);
        metrics::decided(&bucket.policy, verdict.allowed);
        if verdict.allowed {
            states.push(state);
        } else if refusal.as_ref().is_none_or(|longest| state.reset > longest.reset) {
            refusal = Some(state);
        }
    }
    refusal.map_or(Ok(states), |state| Err(Error::rate_limited(state)))
}

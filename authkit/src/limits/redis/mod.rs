//! The limiter that several processes share. Redis 6.2 or newer, alone or as a cluster.
//!
//! A bucket is one key and one atomic script by the server's clock, so that the clocks of our own machines do not
//! matter. Buckets of one request travel in one round trip, each with a `{tag}` of its own. Whatever is no good answer
//! within 100 ms (none, an error, read-only, out of memory, a key of another type) opens the circuit: then memory
//! decides, with half the quota.

mod circuit;
mod connection;
mod script;

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use self::circuit::Circuit;
use self::connection::Connector;
use self::script::{Call, Scripts, is_unknown};
use super::Key;
use super::gcra::{Gcra, Verdict};
use crate::config::{Rate, RedisConfig};
use crate::error::Result;
use crate::time::SharedClock;

/// A bucket of nobody: asked to see whether Redis can write.
const PROBE: Key = [0; 16];
const PROBE_RATE: Rate = Rate::new(1_000, Duration::from_secs(1));

/// Buckets in Redis.
#[derive(Debug)]
pub(crate) struct RedisLimiter {
    connector: Connector,
    circuit: Circuit,
    scripts: Scripts,
    timeout: Duration,
}

/// Why there is no answer; for the log.
type Failure = Arc<str>;

impl RedisLimiter {
    /// `None` when no Redis is set up. Connects to nothing, so that a dead Redis delays no start.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for what is no address.
    pub(crate) fn from_config(config: &RedisConfig, clock: &SharedClock) -> Result<Option<Self>> {
        if !config.is_enabled() {
            return Ok(None);
        }
        let connector = Connector::new(&config.urls, config.timeout)?;
        let circuit = Circuit::new(SharedClock::clone(clock));
        Ok(Some(Self { connector, circuit, scripts: Scripts::new(), timeout: config.timeout }))
    }

    /// Takes one request from each bucket. `None` when Redis does not answer.
    pub(crate) async fn take(&self, asks: &[(Gcra, Key)]) -> Option<Vec<Verdict>> {
        let calls = asks.iter().map(|(gcra, key)| self.scripts.take(*key, gcra.interval, gcra.span));
        let answers = self.ask(calls.collect()).await?;
        Some(answers.into_iter().map(verdict).collect())
    }

    /// Gives one request back to each bucket. When that fails, the bucket has one request less for a while.
    pub(crate) async fn give_back(&self, asks: impl Iterator<Item = (Gcra, Key)>) {
        let calls: Vec<_> = asks.map(|(gcra, key)| self.scripts.give_back(key, gcra.interval)).collect();
        if !calls.is_empty() {
            self.ask(calls).await;
        }
    }

    /// How long until each bucket is full again, in microseconds. Changes nothing. `None` when Redis does not answer.
    pub(crate) async fn look(&self, keys: &[Key]) -> Option<Vec<u64>> {
        let answers = self.ask(keys.iter().map(|key| self.scripts.look(*key)).collect()).await?;
        Some(answers.into_iter().map(|ahead| u64::try_from(ahead).unwrap_or(0)).collect())
    }

    /// Fills buckets again. `None` when Redis does not answer.
    pub(crate) async fn reset(&self, keys: &[Key]) -> Option<()> {
        self.ask(keys.iter().map(|key| Scripts::reset(*key)).collect()).await.map(|_| ())
    }

    /// When a bucket is full again, by the server's clock, in microseconds.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn full_at(&self, key: Key) -> Option<u64> {
        let answers = self.ask(vec![Scripts::read(key)]).await?;
        answers.first().and_then(|at| u64::try_from(*at).ok())
    }

    /// Whether Redis answers and can write.
    pub(crate) async fn is_ready(&self) -> bool {
        self.take(&[(Gcra::new(PROBE_RATE), PROBE)]).await;
        self.circuit.is_closed()
    }

    /// One round trip. `None` when there was none, or no sense in its answers.
    async fn ask(&self, calls: Vec<Call<'_>>) -> Option<Vec<i64>> {
        let leave = self.circuit.enter()?;
        let answered = match tokio::time::timeout(self.timeout, self.send(calls)).await {
            Ok(answered) => answered,
            Err(_) => Err("no answer in time".into()),
        };
        match answered {
            Ok(answers) => {
                if leave.succeeded() {
                    tracing::info!(event_type = "limiter", "Redis answers again");
                }
                Some(answers)
            }
            Err(why) => {
                self.connector.forget();
                if leave.failed() {
                    tracing::warn!(
                        event_type = "limiter",
                        "limits are degraded: Redis does not answer: {why}"
                    );
                }
                None
            }
        }
    }

    async fn send(&self, calls: Vec<Call<'_>>) -> std::result::Result<Vec<i64>, Failure> {
        let failure = |error: redis::RedisError| Failure::from(error.to_string());
        let mut connection = self.connector.get().await?;
        let short = calls.iter().map(Call::short).collect();
        let mut answers = connection.send(short).await.map_err(failure)?;
        // A server that was started anew, or a further node of a cluster, does not know the script yet.
        let unknown: Vec<usize> =
            answers.iter().enumerate().filter(|(_, a)| is_unknown(a)).map(|(n, _)| n).collect();
        if !unknown.is_empty() {
            let long = unknown.iter().filter_map(|n| calls.get(*n)).map(Call::long).collect();
            let again = connection.send(long).await.map_err(failure)?;
            for (n, answer) in unknown.into_iter().zip(again) {
                if let Some(place) = answers.get_mut(n) {
                    *place = answer;
                }
            }
        }
        if answers.len() != calls.len() {
            return Err("another number of answers than of questions".into());
        }
        answers.into_iter().map(|answer| number(&answer.map_err(failure)?)).collect()
    }
}

fn number(answer: &Value) -> std::result::Result<i64, Failure> {
    match answer {
        Value::Int(number) => Ok(*number),
        #[cfg(any(test, feature = "testing"))]
        Value::BulkString(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            number.ok_or_else(|| "a text that is no number".into())
        }
        #[cfg(any(test, feature = "testing"))]
        Value::Nil => Ok(-1),
        _ => Err("an answer that is no number".into()),
    }
}

fn verdict(answer: i64) -> Verdict {
    let allowed = answer >= 0;
    let ahead = if allowed { answer } else { -1 - answer };
    Verdict { allowed, ahead: u64::try_from(ahead).unwrap_or(0) }
}

//! In place of `redis` in a build without that feature: a limiter that there cannot be.

use std::future::Ready;

use super::Key;
use super::gcra::{Gcra, Verdict};
use crate::config::RedisConfig;
use crate::error::{Error, Result};
use crate::time::SharedClock;

#[derive(Debug)]
pub(crate) enum RedisLimiter {}

impl RedisLimiter {
    /// # Errors
    /// [`crate::ErrorKind::Config`] when Redis is asked for.
    pub(crate) fn from_config(config: &RedisConfig, _clock: &SharedClock) -> Result<Option<Self>> {
        if config.is_enabled() {
            return Err(Error::config("REDIS_URL is set, but this build is without the feature `redis`"));
        }
        Ok(None)
    }

    pub(crate) fn take(&self, _asks: &[(Gcra, Key)]) -> Ready<Option<Vec<Verdict>>> {
        match *self {}
    }

    pub(crate) fn give_back(&self, _asks: impl Iterator<Item = (Gcra, Key)>) -> Ready<()> {
        match *self {}
    }

    pub(crate) fn look(&self, _keys: &[Key]) -> Ready<Option<Vec<u64>>> {
        match *self {}
    }

    pub(crate) fn reset(&self, _keys: &[Key]) -> Ready<Option<()>> {
        match *self {}
    }

    pub(crate) fn is_ready(&self) -> Ready<bool> {
        match *self {}
    }
}

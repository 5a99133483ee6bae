//! Failed attempts and locks (contract 4.3): on e-mails, addresses, networks, devices and second factors.
//!
//! [`Row`] holds the rules, `store` the statements, [`LockClock`] the time. Who counts on what is decided by the
//! flows, which meet here by keys: a row is found by a keyed hash, so that the store tells nobody's e-mail or address,
//! and an unknown e-mail is counted exactly like a known one.

mod clock;
mod keys;
mod model;
mod row;
pub(crate) mod store;
mod tags;

use std::time::Duration;

pub(crate) use clock::{LockClock, Moment};
pub(crate) use keys::{KeyPair, RowKeys};
pub use model::{LockKind, Lockout, LockoutFilter};
pub(crate) use row::{Row, Rules};

use crate::config::LockoutConfig;
use crate::time::SharedClock;

/// Wrong passwords from one known device that lock it (contract 4.3).
const DEVICE_THRESHOLD: i64 = 5;
/// Wrong second factors of one account that lock its second factor, over all factors and tokens.
const SECOND_FACTOR_THRESHOLD: i64 = 10;
/// How long wrong second factors count, and how long they lock.
const SECOND_FACTOR_TTL: Duration = Duration::from_mins(15);

/// The rules in force and the clock that they are judged by.
#[derive(Debug)]
pub(crate) struct Lockouts {
    config: LockoutConfig,
    clock: LockClock,
}

impl Lockouts {
    pub(crate) fn new(config: LockoutConfig, clock: SharedClock) -> Self {
        Self { config, clock: LockClock::new(clock) }
    }

    pub(crate) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// Rows not touched for so long matter to nobody: window, longest lock and memory of growth are over, with an hour
    /// to spare for clocks.
    pub(crate) fn untouched_for(&self) -> Duration {
        let longest = self.config.ip_max_ttl.max(self.config.ip_ttl).max(self.config.email_ttl);
        longest.max(SECOND_FACTOR_TTL).saturating_mul(3).saturating_add(Duration::from_hours(1))
    }

    pub(crate) fn rules(&self, kind: LockKind) -> Rules {
        let config = &self.config;
        let grows_to = config.ip_escalation.then_some(config.ip_max_ttl);
        let fixed = |threshold, ttl| Rules { threshold, ttl, grows_to: None };
        match kind {
            LockKind::Email => fixed(config.email_threshold.into(), config.email_ttl),
            LockKind::Device => fixed(DEVICE_THRESHOLD, config.email_ttl),
            LockKind::SecondFactor => fixed(SECOND_FACTOR_THRESHOLD, SECOND_FACTOR_TTL),
            LockKind::Ip => Rules { threshold: config.ip_threshold.into(), ttl: config.ip_ttl, grows_to },
            LockKind::Network => {
                Rules { threshold: config.stuffing_threshold.into(), ttl: config.ip_ttl, grows_to }
            }
        }
    }
}

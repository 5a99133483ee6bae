//! Browsers and devices that signed in before (OWASP: device cookies). A device that shows its token is counted on
//! its own, so that strangers who guess cannot keep the owner out.
//!
//! A token skips nothing else: no limit of addresses, no gate, no second factor, and not the password. It belongs to one
//! account and e-mail and ends with the account's epoch, by `logout-all`, by 20 others used later, or unused for
//! 400 days.

pub(crate) mod store;
mod token;

use std::time::Duration;

pub(crate) use token::DeviceToken;

use crate::ids::DeviceId;
use crate::secret::SecretString;
use crate::time::Timestamp;

/// Devices that a user may have; the one least recently used goes.
pub(crate) const MAX_PER_USER: i64 = 20;
/// How long a device is remembered that is not used: as long as browsers keep a cookie (RFC 6265bis).
pub(crate) const REMEMBERED: Duration = Duration::from_hours(400 * 24);

/// The use of a device is written down once so often: what goes by it counts in days.
const NOTED_EACH: Duration = Duration::from_hours(1);

/// A device that shows itself: by its token, or by the session that it began.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    pub(crate) id: DeviceId,
    /// Keyed hash of the token, when it was shown.
    pub(crate) hash: Option<String>,
    /// The token as shown, to be given back: the store could not tell it.
    pub(crate) token: Option<SecretString>,
    /// When it was last used, once it was looked up; to the hour.
    pub(crate) last_used_at: Option<Timestamp>,
}

impl Presented {
    /// The device of a session.
    pub(crate) fn of_session(id: DeviceId) -> Self {
        Self { id, hash: None, token: None, last_used_at: None }
    }

    /// Whether its use is still to be written down.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|at| at + NOTED_EACH <= now)
    }
}

/// A device to be remembered.
#[derive(Debug, Clone)]
pub(crate) struct NewDevice {
    pub(crate) id: DeviceId,
    pub(crate) key_id: String,
    pub(crate) hash: String,
    pub(crate) token: SecretString,
}

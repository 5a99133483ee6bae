//! API keys: how scripts and service accounts show who they are.
//!
//! A key is 256 random bits and a row that holds a keyed hash of them, the scopes that its maker allowed it, and an end.
//! What it may do is judged at each use, from the scopes *and* from what its owner may do at that moment, in the one read
//! that finds it: nothing is kept in memory, so a revocation or a demotion acts at once everywhere. A key is no sign-in:
//! it holds no role, opens nothing that changes a credential, and makes no other key.

mod model;
pub(crate) mod store;
mod token;

use std::time::Duration;

pub use model::{ApiKey, ApiKeyFilter, ApiKeyStatus, NewApiKey};
pub(crate) use model::{Checked, Owned, Touches};
pub(crate) use token::{ApiKeyToken, PREFIX};

/// Keys of a user that live at the same time.
pub(crate) const MAX_PER_USER: i64 = 100;
/// A use is noted again after so long.
pub(crate) const NOTED_EVERY: Duration = Duration::from_mins(1);
/// How long a key that has ended can still be seen.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

use std::fmt;
use std::sync::Arc;

use crate::error::{LimitState, Result};
use crate::flows::Ctx;
use crate::limits::Policy;
use crate::meta::{RequestMeta, network_of};

/// The limiter that guards the library's own doors, for routes of the host. Made by [`crate::AuthKit::limits`].
///
/// ```
/// # #[cfg(all(feature = "sqlite", feature = "testing"))]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> authkit::Result<()> {
/// # let auth = authkit::testing::TestKit::in_memory().await?.kit;
/// use std::time::Duration;
///
/// use authkit::config::Rate;
/// use authkit::{ErrorKind, Policy};
///
/// let exports = Policy::new("exports", Rate::new(2, Duration::from_secs(60)));
/// auth.limits().take(&exports, "tenant 7").await?;
/// let state = auth.limits().take(&exports, "tenant 7").await?;
/// assert_eq!(state.remaining, 0);
///
/// let refused = auth.limits().take(&exports, "tenant 7").await.unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::RateLimited);
/// assert!(refused.retry_after() <= Some(Duration::from_secs(30)));
/// assert!(auth.limits().take(&exports, "tenant 8").await.is_ok());
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "sqlite", feature = "testing")))]
/// # fn main() {}
/// ```
///
/// With the feature `axum` a layer does the same for whole routes: `authkit::http::axum::RouteLimit`.
#[derive(Clone)]
pub struct Limits {
    ctx: Arc<Ctx>,
}

impl Limits {
    pub(super) fn new(ctx: Arc<Ctx>) -> Self {
        Self { ctx }
    }

    /// Takes one request of `policy` for `key`, such as a user's or a tenant's id. Limiters hold keyed hashes only.
    ///
    /// # Errors
    /// [`crate::ErrorKind::RateLimited`] with [`crate::Error::retry_after`] and [`crate::Error::limit`];
    /// [`crate::ErrorKind::Unavailable`] when Redis is required and does not answer.
    pub async fn take(&self, policy: &Policy, key: impl AsRef<[u8]>) -> Result<LimitState> {
        self.ctx.limit_by(policy, "key", key.as_ref()).await
    }

    /// The same for the client's address: IPv4 whole, IPv6 its /64. Requests without an address share one bucket.
    ///
    /// # Errors
    /// Those of [`Self::take`].
    pub async fn take_for_address(&self, policy: &Policy, meta: &RequestMeta) -> Result<LimitState> {
        self.ctx.limit_by(policy, "address", &meta.ip.map(network_of).unwrap_or_default()).await
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

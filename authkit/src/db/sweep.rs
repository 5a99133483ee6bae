//! What cleans up: the form of a job, here so that features and hosts can have some.

use futures_util::future::BoxFuture;

use super::Tx;
use crate::error::Result;
use crate::time::Timestamp;

/// What a job is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepBatch {
    /// The kit's clock.
    pub now: Timestamp,
    /// Rows at the most.
    pub limit: u32,
}

/// Something of a host's that grows and must not. Given to [`crate::AuthKitBuilder::cleanup_job`], it runs with the jobs of
/// the library: under the same lock, in batches, on the same schedule.
///
/// # Security
/// Remove only what is judged as over without its row: expiry is checked when a thing is used, never by cleanup.
pub trait CleanupJob: Send + Sync + 'static {
    /// Stable name, as it stands in reports and metrics: `[a-z0-9_]`, none of the library's.
    fn name(&self) -> &str;

    /// Removes up to [`SweepBatch::limit`] rows in the given transaction, and tells how many. It is asked again while
    /// it removes that many.
    ///
    /// # Errors
    /// Its own: the transaction is rolled back, the other jobs go on, and the report names it.
    fn sweep<'a>(&'a self, tx: &'a mut Tx<'_>, batch: SweepBatch) -> BoxFuture<'a, Result<u64>>;
}

use std::fmt;
use std::sync::Arc;

use super::AuthKit;
use crate::cleanup::{CleanupJobReport, CleanupOptions, CleanupReport, CleanupStatus};
use crate::error::Result;
use crate::flows::Ctx;

/// Removes rows that are of no more use. Made by [`AuthKit::cleanup`]; see [`crate::manual::cleanup`].
#[derive(Clone, Copy)]
pub struct Cleanup<'k> {
    ctx: &'k Arc<Ctx>,
}

impl AuthKit {
    /// Cleaning up.
    pub fn cleanup(&self) -> Cleanup<'_> {
        Cleanup { ctx: &self.ctx }
    }

    /// Cleans up each `CLEANUP_INTERVAL` (0: never), until `shutdown` is done. Several processes may run it: one cleans up
    /// at a time, and the interval counts from the latest run of any.
    pub async fn clean_up(&self, shutdown: impl Future<Output = ()> + Send) {
        self.ctx.clean_up_always(shutdown).await;
    }
}

impl Cleanup<'_> {
    /// Runs every job until nothing is left for it or time is up.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Conflict`] while another run is under way, in this process or another. A job that fails does not
    /// keep the others from running: it is in the report.
    pub async fn run(&self, options: &CleanupOptions) -> Result<CleanupReport> {
        self.ctx.clean_up(options, |_| {}).await
    }

    /// As [`Self::run`]; `told` hears how far a job is, after each of its batches.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_watched(
        &self,
        options: &CleanupOptions,
        told: impl FnMut(&CleanupJobReport) + Send,
    ) -> Result<CleanupReport> {
        self.ctx.clean_up(options, told).await
    }

    /// Whether somebody cleans up, what the latest run did, and what jobs there are.
    pub async fn status(&self) -> Result<CleanupStatus> {
        self.ctx.cleanup_status().await
    }
}

impl fmt::Debug for Cleanup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cleanup")
    }
}

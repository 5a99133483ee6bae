//! Cleaning up: rows that are of no more use go, in small batches, by one sweeper at a time.
//!
//! Nothing depends on it but the size of the store: what is over is refused whether its row is there or not (R6).

mod jobs;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::SweepBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::flows::Ctx;
use crate::flows::doors::Door;
use crate::meta::RequestMeta;
use crate::random;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;

use jobs::Sweeper;
pub(crate) use jobs::check_names;

/// Rows of a batch.
const BATCH: u32 = 1000;
/// Whoever holds the lock gives a sign of life with every batch; without one it is free after so long.
const LEASE: Duration = Duration::from_secs(30);
/// How long a run may take, unless said otherwise.
const LONGEST: Duration = Duration::from_mins(10);
/// The longest rest between two batches.
const LONGEST_REST: Duration = Duration::from_millis(250);

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupOptions {
    /// Look only: one batch of each job is tried and rolled back, without the lock.
    pub dry_run: bool,
    /// No batch begins after so long; what is left is for the next run.
    pub longest: Duration,
    /// Rows of a batch, at least one.
    pub batch: u32,
}

impl Default for CleanupOptions {
    fn default() -> Self {
        Self { dry_run: false, longest: LONGEST, batch: BATCH }
    }
}

impl CleanupOptions {
    /// Looks only.
    #[must_use]
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Takes no longer than about `span`.
    #[must_use]
    pub fn within(mut self, span: Duration) -> Self {
        self.longest = span;
        self
    }

    /// Removes so many rows at once.
    #[must_use]
    pub fn batches_of(mut self, rows: u32) -> Self {
        self.batch = rows.max(1);
        self
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupReport {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Whether it only looked.
    pub dry_run: bool,
    /// Whether nothing was left. Otherwise time ran out, a job failed, or, in a dry run, there is more than one batch.
    pub complete: bool,
    /// Rows that went, or would.
    pub removed: u64,
    /// By job.
    pub jobs: Vec<CleanupJobReport>,
}

/// What one job did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CleanupJobReport {
    /// Its name.
    pub name: String,
    /// Rows that went, or would.
    pub removed: u64,
    /// Transactions that it took.
    pub batches: u64,
    /// Whether nothing was left.
    pub complete: bool,
    /// Whether it failed; the log tells why.
    pub failed: bool,
}

/// How cleaning up stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CleanupStatus {
    /// Whether somebody cleans up now.
    pub running: bool,
    /// When the latest run began.
    pub started_at: Option<Timestamp>,
    /// When a run last came to its end.
    pub finished_at: Option<Timestamp>,
    /// What that did.
    pub last: Option<CleanupReport>,
    /// Every job there is.
    pub jobs: Vec<CleanupJobInfo>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CleanupJobInfo {
    /// Its name.
    pub name: String,
    /// The tables whose rows it removes; none for a job of the host.
    pub tables: Vec<String>,
}

impl Ctx {
    /// Removes what is of no more use. `told` hears of each job when a batch of it is done.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] while another run is under way; [`ErrorKind::Unavailable`]. A job that fails is in the report.
    pub(crate) async fn clean_up(
        self: &Arc<Self>,
        options: &CleanupOptions,
        mut told: impl FnMut(&CleanupJobReport) + Send,
    ) -> Result<CleanupReport> {
        let lease = uuid::Builder::from_random_bytes(random::bytes(&*self.random)?).into_uuid();
        let (began, started_at) = (self.clock.monotonic(), self.now());
        if !options.dry_run {
            self.take_broom(lease, started_at).await?;
        }
        let mut jobs = Vec::new();
        for sweeper in jobs::all(self) {
            let left = options.longest.saturating_sub(self.clock.monotonic().saturating_sub(began));
            let job = self.run_job(&sweeper, options, lease, left, &mut told).await;
            match job {
                Ok(job) => jobs.push(job),
                // The lock went to somebody else, or nobody can tell: this run is over.
                Err(error) => {
                    count_run("failed");
                    return Err(error);
                }
            }
        }
        let report = CleanupReport {
            started_at,
            finished_at: self.now(),
            dry_run: options.dry_run,
            complete: jobs.iter().all(|job| job.complete),
            removed: jobs.iter().map(|job| job.removed).sum(),
            jobs,
        };
        if !options.dry_run {
            self.lay_broom_down(lease, &report).await?;
            count_run(if report.complete { "complete" } else { "partial" });
        }
        Ok(report)
    }

    async fn run_job(
        self: &Arc<Self>,
        sweeper: &Sweeper,
        options: &CleanupOptions,
        lease: Uuid,
        left: Duration,
        told: &mut (impl FnMut(&CleanupJobReport) + Send),
    ) -> Result<CleanupJobReport> {
        let began = self.clock.monotonic();
        let name = sweeper.name().to_owned();
        let mut job = CleanupJobReport { name, removed: 0, batches: 0, complete: false, failed: false };
        while self.clock.monotonic().saturating_sub(began) < left || job.batches == 0 && !left.is_zero() {
            let at = self.clock.monotonic();
            match self.run_batch(sweeper, options, lease).await {
                Ok(removed) => {
                    job.removed += removed;
                    job.batches += 1;
                    count_removed(&job.name, if options.dry_run { 0 } else { removed });
                    job.complete = removed < u64::from(options.batch);
                    told(&job);
                    if job.complete || options.dry_run {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
                Err(error) => {
                    tracing::warn!(event_type = "cleanup", job = job.name, %error, "a cleanup job failed");
                    job.failed = true;
                    break;
                }
            }
            // As long as the batch took: others get at least half of the store.
            let took = self.clock.monotonic().saturating_sub(at);
            tokio::time::sleep(took.min(LONGEST_REST)).await;
        }
        Ok(job)
    }

    /// One transaction: the lock is still ours, and up to a batch of rows goes.
    async fn run_batch(
        self: &Arc<Self>,
        sweeper: &Sweeper,
        options: &CleanupOptions,
        lease: Uuid,
    ) -> Result<u64> {
        let (dry_run, now) = (options.dry_run, self.now());
        let batch = SweepBatch { now, limit: options.batch };
        let shared = Arc::new((Arc::clone(self), sweeper.clone()));
        if dry_run {
            return self
                .db
                .rehearse(move |tx| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.1.sweep(&shared.0, tx, batch).await })
                })
                .await;
        }
        self.db
            .write_alone(move |tx| {
                let shared = Arc::clone(&shared);
                Box::pin(async move {
                    if !store::hold(tx.conn(), lease, now + LEASE).await? {
                        return Err(running());
                    }
                    shared.1.sweep(&shared.0, tx, batch).await
                })
            })
            .await
    }

    async fn take_broom(&self, lease: Uuid, now: Timestamp) -> Result<()> {
        let taken = self
            .db
            .write_statement(move |tx| {
                Box::pin(async move { store::take(tx.conn(), lease, now, now + LEASE).await })
            })
            .await?;
        if taken { Ok(()) } else { Err(running()) }
    }

    async fn lay_broom_down(&self, lease: Uuid, report: &CleanupReport) -> Result<()> {
        let text = serde_json::to_string(report)
            .map_err(|e| Error::internal("a report cannot be written").with_source(e))?;
        let finished_at = report.finished_at;
        self.db
            .write_statement(move |tx| {
                let text = text.clone();
                Box::pin(async move { store::finish(tx.conn(), lease, finished_at, &text).await })
            })
            .await
    }

    pub(crate) async fn cleanup_status(self: &Arc<Self>) -> Result<CleanupStatus> {
        let row = self.db.read(|conn| Box::pin(async move { store::status(conn).await })).await?;
        let last = row.report.as_deref().map(serde_json::from_str).transpose();
        let last = last.map_err(|e| Error::internal("a report cannot be read").with_source(e))?;
        Ok(CleanupStatus {
            running: row.lease.is_some() && self.now() < Timestamp::from_micros(row.lease_until),
            started_at: row.started_at.map(Timestamp::from_micros),
            finished_at: row.finished_at.map(Timestamp::from_micros),
            last,
            jobs: jobs::all(self).iter().map(Sweeper::info).collect(),
        })
    }

    /// Cleans up each `CLEANUP_INTERVAL`, until `shutdown` is done. Of several processes one does it: the interval counts
    /// from the latest run, whoever's it was.
    pub(crate) async fn clean_up_always(self: &Arc<Self>, shutdown: impl Future<Output = ()> + Send) {
        let every = self.config.cleanup.interval;
        tokio::pin!(shutdown);
        if every.is_zero() {
            return shutdown.await;
        }
        // Often enough to be on time, without asking the store all day.
        let look = (every / 20).clamp(Duration::from_secs(1), Duration::from_mins(5));
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(look) => {}
            }
            let due = match self.cleanup_status().await {
                Ok(status) => {
                    !status.running && status.started_at.is_none_or(|began| self.now() >= began + every)
                }
                Err(error) => {
                    tracing::debug!(%error, "whether cleanup is due could not be read");
                    false
                }
            };
            if !due {
                continue;
            }
            match self.clean_up(&CleanupOptions::default(), |_| {}).await {
                Ok(report) => {
                    let (removed, complete) = (report.removed, report.complete);
                    tracing::info!(event_type = "cleanup", removed, complete, "cleaned up");
                }
                // Another process was first.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => tracing::warn!(event_type = "cleanup", %error, "cleanup failed"),
            }
        }
    }

    /// Whether a request may start a cleanup by `INTERNAL_CLEANUP_TOKEN`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such token, [`ErrorKind::Unauthenticated`] for another one;
    /// [`ErrorKind::RateLimited`].
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "asked for over HTTP"))]
    pub(crate) async fn require_cleanup_token(&self, shown: Option<&str>, meta: &RequestMeta) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let token = self.cleanup_token.as_ref().ok_or(ErrorKind::NotFound)?;
        let right = shown.is_some_and(|shown| same(token, shown));
        if right { Ok(()) } else { Err(ErrorKind::Unauthenticated.into()) }
    }
}

/// In a time that depends on neither text.
fn same(token: &SecretString, shown: &str) -> bool {
    let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let (a, b) = (digest(token.expose_secret()), digest(shown));
    crate::crypto::mac::constant_time_eq(a.as_ref(), b.as_ref())
}

fn running() -> Error {
    Error::new(ErrorKind::Conflict, "a cleanup is running").with_public("A cleanup is running already.")
}

#[cfg(feature = "metrics")]
fn count_run(outcome: &'static str) {
    metrics::counter!("authkit_cleanup_runs_total", "outcome" => outcome).increment(1);
}

#[cfg(not(feature = "metrics"))]
fn count_run(_outcome: &'static str) {}

#[cfg(feature = "metrics")]
fn count_removed(job: &str, removed: u64) {
    metrics::counter!("authkit_cleanup_removed_total", "job" => job.to_owned()).increment(removed);
}

#[cfg(not(feature = "metrics"))]
fn count_removed(_job: &str, _removed: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        let token = SecretString::from("a token of some length");
        assert!(same(&token, "a token of some length"));
        for other in ["", "a token of some lengtH", "a token of some length ", "a token"] {
            assert!(!same(&token, other));
        }
    }
}

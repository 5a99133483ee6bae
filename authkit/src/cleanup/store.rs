//! Statements on `authkit_cleanup`.

use uuid::Uuid;

use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::time::Timestamp;

/// One run at a time: the lock is free, or whoever had it gave no sign of life for a lease.
const TAKE: &str = "UPDATE authkit_cleanup SET lease = $1, lease_until = $3, started_at = $2
    WHERE name = 'cleanup' AND (lease IS NULL OR lease_until <= $2) RETURNING name";
const HOLD: &str =
    "UPDATE authkit_cleanup SET lease_until = $2 WHERE name = 'cleanup' AND lease = $1 RETURNING name";
const FINISH: &str = "UPDATE authkit_cleanup SET lease = NULL, lease_until = 0, finished_at = $2, report = $3
    WHERE name = 'cleanup' AND lease = $1";
const STATUS: &str =
    "SELECT lease, lease_until, started_at, finished_at, report FROM authkit_cleanup WHERE name = 'cleanup'";

row! {
    pub(super) struct StatusRow {
        pub(super) lease: Option<Uuid>, pub(super) lease_until: i64, pub(super) started_at: Option<i64>,
        pub(super) finished_at: Option<i64>, pub(super) report: Option<String>,
    }
}

/// `false` while another run holds the lock.
pub(super) async fn take(conn: &mut Conn<'_>, lease: Uuid, now: Timestamp, until: Timestamp) -> Result<bool> {
    let row: Option<String> = on_db!(conn, |c| sqlx::query_scalar(TAKE)
        .bind(lease)
        .bind(now.as_micros())
        .bind(until.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// A sign of life, which also holds the row until the transaction ends. `false` when the lock is another's.
pub(super) async fn hold(conn: &mut Conn<'_>, lease: Uuid, until: Timestamp) -> Result<bool> {
    let row: Option<String> = on_db!(conn, |c| sqlx::query_scalar(HOLD)
        .bind(lease)
        .bind(until.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(super) async fn finish(conn: &mut Conn<'_>, lease: Uuid, now: Timestamp, report: &str) -> Result<()> {
    Ok(on_db!(conn, |c| sqlx::query(FINISH)
        .bind(lease)
        .bind(now.as_micros())
        .bind(report)
        .execute(c)
        .await
        .map(|_| ()))?)
}

pub(super) async fn status(conn: &mut Conn<'_>) -> Result<StatusRow> {
    Ok(on_db!(conn, |c| sqlx::query_as(STATUS).fetch_one(c).await)?)
}

//! Statements on second factors and pending sign-ins.

use uuid::Uuid;

use super::model::{Held, PendingRecord, TRIES};
use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::{DeviceId, PendingId, UserId};
use crate::time::Timestamp;

const HELD: &str = "SELECT
    EXISTS (SELECT 1 FROM authkit_totp t WHERE t.user_id = $1 AND t.confirmed_at IS NOT NULL) AS totp,
    (SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_backup_codes b WHERE b.user_id = $1 AND b.used_at IS NULL)
        AS backup_codes";
/// Only for an account that may still sign in and did not change since its first factor was judged.
const BEGIN: &str =
    "INSERT INTO authkit_mfa_pending (id, user_id, epoch, amr, device_id, tries, created_at, expires_at)
    SELECT $1, u.id, u.epoch, $4, $5, 0, $6, $7 FROM authkit_users u
    WHERE u.id = $2 AND u.epoch = $3 AND u.status = 'active' AND (u.email_verified_at IS NOT NULL OR $8)
    RETURNING tries";
/// Counts a try before it is judged (R2), and holds the row until the transaction ends.
const COUNT_TRY: &str = "UPDATE authkit_mfa_pending SET tries = tries + 1
    WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $3 AND tries < $4
      AND epoch = (SELECT u.epoch FROM authkit_users u WHERE u.id = authkit_mfa_pending.user_id)
    RETURNING id, user_id, epoch, amr, device_id";
/// The one guarded statement of a use (R1).
const USE: &str = "UPDATE authkit_mfa_pending SET ended_at = $2, end_reason = 'used'
    WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 RETURNING tries";
const END_OF_USER: &str = "UPDATE authkit_mfa_pending SET ended_at = $2, end_reason = 'credential_change'
    WHERE user_id = $1 AND ended_at IS NULL";
const END_ALL: &str =
    "UPDATE authkit_mfa_pending SET ended_at = $1, end_reason = 'revoked' WHERE ended_at IS NULL";

row! {
    struct HeldRow { totp: bool, backup_codes: i64 }
}

row! {
    struct PendingRow { id: Uuid, user_id: Uuid, epoch: i64, amr: String, device_id: Option<Uuid> }
}

impl From<PendingRow> for PendingRecord {
    fn from(row: PendingRow) -> Self {
        Self {
            id: PendingId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            epoch: row.epoch,
            amr: row.amr,
            device: row.device_id.map(DeviceId::from_uuid),
        }
    }
}

/// What a user has.
pub(crate) async fn held(conn: &mut Conn<'_>, user: UserId) -> Result<Held> {
    let row: HeldRow = on_db!(conn, |c| sqlx::query_as(HELD).bind(user.as_uuid()).fetch_one(c).await)?;
    Ok(Held { totp: row.totp, backup_codes: row.backup_codes })
}

/// `false` when the account's state or epoch no longer allow a sign-in.
pub(crate) async fn begin(
    conn: &mut Conn<'_>,
    pending: &PendingRecord,
    unverified_may: bool,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<bool> {
    let row: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(BEGIN)
        .bind(pending.id.as_uuid())
        .bind(pending.user.as_uuid())
        .bind(pending.epoch)
        .bind(pending.amr.as_str())
        .bind(pending.device.map(DeviceId::as_uuid))
        .bind(now.as_micros())
        .bind(expires_at.as_micros())
        .bind(unverified_may)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// `None` when the sign-in is over: used, out of tries or time, or of another epoch.
pub(crate) async fn count_try(
    conn: &mut Conn<'_>,
    id: PendingId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<PendingRecord>> {
    let row: Option<PendingRow> = on_db!(conn, |c| sqlx::query_as(COUNT_TRY)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(TRIES)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(PendingRecord::from))
}

/// `false` when it was over already.
pub(crate) async fn use_up(conn: &mut Conn<'_>, id: PendingId, now: Timestamp) -> Result<bool> {
    let row: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(USE)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Ends a user's pending sign-ins. Returns how many.
pub(crate) async fn end_of_user(conn: &mut Conn<'_>, user: UserId, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_OF_USER)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Ends every pending sign-in there is.
pub(crate) async fn end_all(conn: &mut Conn<'_>, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_ALL)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// A pending sign-in counts its tries as long as it can be completed, and no longer.
const SWEEP: &str = "DELETE FROM authkit_mfa_pending WHERE id IN
        (SELECT p.id FROM authkit_mfa_pending p WHERE p.expires_at <= $1 ORDER BY p.expires_at LIMIT $2)
      AND expires_at <= $1";

/// Removes up to `limit` pending sign-ins whose time is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

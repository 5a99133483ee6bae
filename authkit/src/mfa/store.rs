//! Statements on second factors and pending sign-ins.

use uuid::Uuid;

use super::model::{Held, PendingRecord, TotpRecord};
use super::totp::{Algorithm, Parameters};
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{DeviceId, FactorId, PendingId, UserId};
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
/// Whether a try would be judged, without counting one.
const WAITING: &str = "SELECT p.epoch FROM authkit_mfa_pending p JOIN authkit_users u ON u.id = p.user_id
    WHERE p.id = $1 AND p.user_id = $2 AND p.ended_at IS NULL AND p.expires_at > $3 AND p.tries < $4
      AND u.epoch = p.epoch";
/// The one guarded statement of a use (R1).
const USE: &str = "UPDATE authkit_mfa_pending SET ended_at = $2, end_reason = 'used'
    WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 RETURNING tries";
const END_OF_USER: &str = "UPDATE authkit_mfa_pending SET ended_at = $2, end_reason = 'credential_change'
    WHERE user_id = $1 AND ended_at IS NULL";
const END_ALL: &str =
    "UPDATE authkit_mfa_pending SET ended_at = $1, end_reason = 'revoked' WHERE ended_at IS NULL";

const ADD_TOTP: &str =
    "INSERT INTO authkit_totp (id, user_id, name, algorithm, digits, period, sealed, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const TOTP_OF_USER: &str =
    "SELECT id, name, algorithm, digits, period, sealed, created_at, confirmed_at, last_used_at
    FROM authkit_totp WHERE user_id = $1 ORDER BY id";
/// Those that never came to anything: older than `$2`, and all but the `$3` newest.
const DROP_UNCONFIRMED: &str = "DELETE FROM authkit_totp WHERE user_id = $1 AND confirmed_at IS NULL
      AND (created_at <= $2 OR id NOT IN (SELECT t.id FROM authkit_totp t
        WHERE t.user_id = $1 AND t.confirmed_at IS NULL ORDER BY t.id DESC LIMIT $3))";
/// Its first code is used up with it.
const CONFIRM: &str = "UPDATE authkit_totp SET confirmed_at = $3, last_used_at = $3, last_step = $2
    WHERE id = $1 AND confirmed_at IS NULL RETURNING id";
/// The one guarded statement of a code (R1): each step is taken once, and none before one that was taken.
const CLAIM_STEP: &str = "UPDATE authkit_totp SET last_step = $2, last_used_at = $3
    WHERE id = $1 AND confirmed_at IS NOT NULL AND (last_step IS NULL OR last_step < $2) RETURNING id";
/// After a restore no step is taken that began before this moment (contract 4.13).
const ADVANCE_STEPS: &str = "UPDATE authkit_totp SET last_step = $1 / period
    WHERE last_step IS NULL OR last_step < $1 / period";
const REMOVE_TOTP: &str = "DELETE FROM authkit_totp WHERE user_id = $1";
const REMOVE_SET: &str = "DELETE FROM authkit_backup_sets WHERE user_id = $1";
const ADD_SET: &str = "INSERT INTO authkit_backup_sets (user_id, sealed, created_at) VALUES ($1, $2, $3)";
const ADD_CODE: &str = "INSERT INTO authkit_backup_codes (user_id, code_hash) VALUES ($1, $2)";
const SET_OF_USER: &str = "SELECT sealed FROM authkit_backup_sets WHERE user_id = $1";
/// The one guarded statement of a backup code (R1).
const USE_CODE: &str = "UPDATE authkit_backup_codes SET used_at = $3
    WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL RETURNING user_id";
const LEFT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_backup_codes
    WHERE user_id = $1 AND used_at IS NULL";
/// Removes pending sign-ins whose time is over: they defend nothing.
const SWEEP: &str = "DELETE FROM authkit_mfa_pending WHERE id IN
    (SELECT p.id FROM authkit_mfa_pending p WHERE p.expires_at <= $1 ORDER BY p.expires_at LIMIT $2)";
const SEALED_TOTP: &str =
    "SELECT id, sealed FROM authkit_totp WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2";
const SEALED_SETS: &str = "SELECT user_id AS id, sealed FROM authkit_backup_sets WHERE ($1 IS NULL OR user_id > $1) ORDER BY user_id LIMIT $2";
/// Only over the seal that was read: one that changed meanwhile is new anyway.
const RESEAL_TOTP: &str = "UPDATE authkit_totp SET sealed = $3 WHERE id = $1 AND sealed = $2";
const RESEAL_SET: &str = "UPDATE authkit_backup_sets SET sealed = $3 WHERE user_id = $1 AND sealed = $2";

row! {
    struct TotpRow {
        id: Uuid, name: String, algorithm: String, digits: i64, period: i64, sealed: String, created_at: i64,
        confirmed_at: Option<i64>, last_used_at: Option<i64>,
    }
}

row! {
    /// A seal and the row that it stands in.
    pub(crate) struct SealedRow { pub(crate) id: Uuid, pub(crate) sealed: String }
}

impl TotpRow {
    fn into_record(self) -> Result<TotpRecord> {
        let algorithm = Algorithm::from_name(&self.algorithm);
        let algorithm =
            algorithm.ok_or_else(|| Error::internal("an authenticator of an unknown algorithm"))?;
        let digits = u32::try_from(self.digits).map_err(|_| Error::internal("a garbled number of digits"))?;
        Ok(TotpRecord {
            id: FactorId::from_uuid(self.id),
            name: self.name,
            parameters: Parameters { algorithm, digits, period: self.period },
            sealed: self.sealed,
            created_at: Timestamp::from_micros(self.created_at),
            confirmed: self.confirmed_at.is_some(),
            last_used_at: self.last_used_at.map(Timestamp::from_micros),
        })
    }
}

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
        .bind(super::model::TRIES)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(PendingRecord::from))
}

/// The epoch of a sign-in that waits for its second factor. `None` when it is over.
pub(crate) async fn waiting(
    conn: &mut Conn<'_>,
    id: PendingId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<i64>> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(WAITING)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(super::model::TRIES)
        .fetch_optional(c)
        .await)?)
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

/// Removes up to `limit` pending sign-ins whose time is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Adds an authenticator app that is not confirmed yet. The user's row is held.
pub(crate) async fn add_totp(conn: &mut Conn<'_>, user: UserId, new: &TotpRecord) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(ADD_TOTP)
        .bind(new.id.as_uuid())
        .bind(user.as_uuid())
        .bind(new.name.as_str())
        .bind(new.parameters.algorithm.name())
        .bind(i64::from(new.parameters.digits))
        .bind(new.parameters.period)
        .bind(new.sealed.as_str())
        .bind(new.created_at.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// All authenticator apps of a user, oldest first; those that are being set up, too.
pub(crate) async fn totp_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<TotpRecord>> {
    let rows: Vec<TotpRow> =
        on_db!(conn, |c| sqlx::query_as(TOTP_OF_USER).bind(user.as_uuid()).fetch_all(c).await)?;
    rows.into_iter().map(TotpRow::into_record).collect()
}

/// Drops what was begun at `until` or before and never confirmed, and all such but the `keep` newest.
pub(crate) async fn drop_unconfirmed(
    conn: &mut Conn<'_>,
    user: UserId,
    until: Timestamp,
    keep: i64,
) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(DROP_UNCONFIRMED)
        .bind(user.as_uuid())
        .bind(until.as_micros())
        .bind(keep)
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// `false` when it was confirmed already or is gone.
pub(crate) async fn confirm(conn: &mut Conn<'_>, id: FactorId, step: i64, now: Timestamp) -> Result<bool> {
    step_by(conn, CONFIRM, id, step, now).await
}

/// `false` when the code of this step, or of a later one, was used before.
pub(crate) async fn claim_step(conn: &mut Conn<'_>, id: FactorId, step: i64, now: Timestamp) -> Result<bool> {
    step_by(conn, CLAIM_STEP, id, step, now).await
}

async fn step_by(
    conn: &mut Conn<'_>,
    statement: &'static str,
    id: FactorId,
    step: i64,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(statement)
        .bind(id.as_uuid())
        .bind(step)
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// No code of a step that began before `now` is taken any more.
pub(crate) async fn advance_steps(conn: &mut Conn<'_>, now: Timestamp) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(ADVANCE_STEPS)
        .bind(now.as_micros().div_euclid(1_000_000))
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Removes a user's authenticator apps. Returns how many.
pub(crate) async fn remove_totp(conn: &mut Conn<'_>, user: UserId) -> Result<u64> {
    remove(conn, REMOVE_TOTP, user).await
}

/// Removes a user's backup codes. Returns whether there was a set.
pub(crate) async fn remove_set(conn: &mut Conn<'_>, user: UserId) -> Result<bool> {
    remove(conn, REMOVE_SET, user).await.map(|count| count > 0)
}

async fn remove(conn: &mut Conn<'_>, statement: &'static str, user: UserId) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(statement)
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// A new set of backup codes; the one from before is gone. The user's row is held.
pub(crate) async fn replace_set(
    conn: &mut Conn<'_>,
    user: UserId,
    sealed: &str,
    hashes: &[[u8; 32]],
    now: Timestamp,
) -> Result<()> {
    remove_set(conn, user).await?;
    let () = on_db!(conn, |c| sqlx::query(ADD_SET)
        .bind(user.as_uuid())
        .bind(sealed)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    for hash in hashes {
        let () = on_db!(conn, |c| sqlx::query(ADD_CODE)
            .bind(user.as_uuid())
            .bind(hash.to_vec())
            .execute(c)
            .await
            .map(|_| ()))?;
    }
    Ok(())
}

/// The sealed key of a user's set.
pub(crate) async fn set_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Option<String>> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(SET_OF_USER).bind(user.as_uuid()).fetch_optional(c).await)?)
}

/// `false` when there is no such code, or it was used.
pub(crate) async fn use_code(
    conn: &mut Conn<'_>,
    user: UserId,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(USE_CODE)
        .bind(user.as_uuid())
        .bind(hash.to_vec())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Backup codes that were not used yet.
pub(crate) async fn left(conn: &mut Conn<'_>, user: UserId) -> Result<i64> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(LEFT).bind(user.as_uuid()).fetch_one(c).await)?)
}

/// What has seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    Totp,
    Sets,
}

/// Up to `limit` seals after `after`, in a fixed order.
pub(crate) async fn sealed_after(
    conn: &mut Conn<'_>,
    of: Sealed,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SealedRow>> {
    let sql = match of {
        Sealed::Totp => SEALED_TOTP,
        Sealed::Sets => SEALED_SETS,
    };
    Ok(on_db!(conn, |c| sqlx::query_as(sql).bind(after).bind(limit).fetch_all(c).await)?)
}

/// `false` when the seal changed since it was read.
pub(crate) async fn reseal(conn: &mut Conn<'_>, of: Sealed, id: Uuid, old: &str, new: &str) -> Result<bool> {
    let sql = match of {
        Sealed::Totp => RESEAL_TOTP,
        Sealed::Sets => RESEAL_SET,
    };
    Ok(on_db!(conn, |c| sqlx::query(sql)
        .bind(id)
        .bind(old)
        .bind(new)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

//! Statements on `authkit_devices`.

use uuid::Uuid;

use super::{NewDevice, Presented};
use crate::db::{Conn, on_db};
use crate::error::Result;
use crate::ids::{DeviceId, UserId};
use crate::time::Timestamp;

/// Whose device it is, if it is this e-mail's and its epoch is the account's. The e-mail's account is not looked up:
/// time tells nothing about it (R5).
const OWNER: &str = "SELECT d.user_id, d.last_used_at FROM authkit_devices d
    WHERE d.id = $1 AND ($2 IS NULL OR d.hash = $2)
      AND EXISTS (SELECT 1 FROM authkit_users u WHERE u.id = d.user_id AND u.epoch = d.epoch
        AND u.email_key = $3)";
const INSERT: &str =
    "INSERT INTO authkit_devices (id, user_id, epoch, key_id, hash, created_at, last_used_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6)
    RETURNING (SELECT COUNT(*) FROM authkit_devices d WHERE d.user_id = $2 AND d.id <> $1)";
/// All but the newest one, `$2`, and the `$3` others most recently used.
const FORGET_BEYOND: &str = "DELETE FROM authkit_devices WHERE user_id = $1 AND id <> $2 AND id NOT IN
      (SELECT d.id FROM authkit_devices d WHERE d.user_id = $1 AND d.id <> $2
       ORDER BY d.last_used_at DESC, d.id DESC LIMIT $3)";
const TOUCH: &str = "UPDATE authkit_devices SET last_used_at = $2 WHERE id = $1";
const FORGET_OF_USER: &str = "DELETE FROM authkit_devices WHERE user_id = $1";
/// Devices unused for long, and those whose account has moved to another epoch.
const SWEEP: &str = "DELETE FROM authkit_devices WHERE id IN
        (SELECT d.id FROM authkit_devices d WHERE d.last_used_at < $1
           OR d.epoch <> (SELECT u.epoch FROM authkit_users u WHERE u.id = d.user_id)
         ORDER BY d.last_used_at LIMIT $2)
      AND (last_used_at < $1 OR epoch <> (SELECT u.epoch FROM authkit_users u WHERE u.id = user_id))";

/// Whose device it is and when it was last used. `None` for one that is unknown, ended or another's.
pub(crate) async fn owner(
    conn: &mut Conn<'_>,
    device: &Presented,
    email_key: &str,
) -> Result<Option<(UserId, Timestamp)>> {
    let row: Option<(Uuid, i64)> = on_db!(conn, |c| sqlx::query_as(OWNER)
        .bind(device.id.as_uuid())
        .bind(device.hash.as_deref())
        .bind(email_key)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|(user, at)| (UserId::from_uuid(user), Timestamp::from_micros(at))))
}

/// Remembers a device; the user's row is held. The one least recently used goes when there are too many.
pub(crate) async fn insert(
    conn: &mut Conn<'_>,
    device: &NewDevice,
    user: UserId,
    epoch: i64,
    now: Timestamp,
) -> Result<()> {
    let others: i64 = on_db!(conn, |c| sqlx::query_scalar(INSERT)
        .bind(device.id.as_uuid())
        .bind(user.as_uuid())
        .bind(epoch)
        .bind(device.key_id.as_str())
        .bind(device.hash.as_str())
        .bind(now.as_micros())
        .fetch_one(c)
        .await)?;
    if others < super::MAX_PER_USER {
        return Ok(());
    }
    let () = on_db!(conn, |c| sqlx::query(FORGET_BEYOND)
        .bind(user.as_uuid())
        .bind(device.id.as_uuid())
        .bind(super::MAX_PER_USER - 1)
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(crate) async fn touch(conn: &mut Conn<'_>, device: DeviceId, now: Timestamp) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(TOUCH)
        .bind(device.as_uuid())
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Forgets all devices of a user. Returns how many.
pub(crate) async fn forget_of_user(conn: &mut Conn<'_>, user: UserId) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(FORGET_OF_USER)
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Removes up to `limit` devices that were not used since `unused_since` or have ended. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, unused_since: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(unused_since.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

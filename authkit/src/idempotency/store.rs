//! Statements on `authkit_idempotency`.

use uuid::Uuid;

use crate::crypto::key_id::KeyId;
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{IdempotencyId, UserId};
use crate::meta::Claim;
use crate::time::Timestamp;

/// Of requests with the same scope one makes the row, or takes over one whose day is over (R1).
const CLAIM: &str = "INSERT INTO authkit_idempotency (id, scope, user_id, key_id, body_tag, lease, lease_until, created_at,
        expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (scope) DO UPDATE SET id = excluded.id, user_id = excluded.user_id, key_id = excluded.key_id,
        body_tag = excluded.body_tag, lease = excluded.lease, lease_until = excluded.lease_until, effected_at = NULL,
        answer = NULL, created_at = excluded.created_at, expires_at = excluded.expires_at
    WHERE authkit_idempotency.expires_at <= excluded.created_at
    RETURNING lease";
const BY_SCOPE: &str =
    "SELECT id, key_id, body_tag, lease, lease_until, (effected_at IS NOT NULL) AS effected, answer,
        expires_at FROM authkit_idempotency WHERE scope = $1";
/// Whoever held the lease has died before there was an effect, or is too slow for one.
const TAKE_OVER: &str = "UPDATE authkit_idempotency SET lease = $2, lease_until = $5
    WHERE id = $1 AND lease = $3 AND lease_until <= $4 AND effected_at IS NULL AND answer IS NULL RETURNING lease";
const EFFECTED: &str =
    "UPDATE authkit_idempotency SET effected_at = $3 WHERE id = $1 AND lease = $2 RETURNING lease";
const KEEP: &str =
    "UPDATE authkit_idempotency SET answer = $3 WHERE id = $1 AND lease = $2 AND answer IS NULL";
const RELEASE: &str = "DELETE FROM authkit_idempotency WHERE id = $1 AND lease = $2 AND effected_at IS NULL
    AND answer IS NULL";
/// The sealed answers go with their rows.
const SWEEP: &str = "DELETE FROM authkit_idempotency WHERE id IN
        (SELECT i.id FROM authkit_idempotency i WHERE i.expires_at <= $1 ORDER BY i.expires_at LIMIT $2)
      AND expires_at <= $1";

row! {
    struct IdempotencyRow {
        id: Uuid, key_id: String, body_tag: Vec<u8>, lease: Uuid, lease_until: i64, effected: bool,
        answer: Option<Vec<u8>>, expires_at: i64,
    }
}

/// A row to be.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) claim: Claim,
    pub(super) scope: Vec<u8>,
    pub(super) user: Option<UserId>,
    pub(super) key_id: KeyId,
    pub(super) body_tag: Vec<u8>,
    pub(super) lease_until: Timestamp,
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A row as it stands.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: IdempotencyId,
    pub(super) key_id: KeyId,
    pub(super) body_tag: Vec<u8>,
    pub(super) lease: Uuid,
    pub(super) lease_until: Timestamp,
    pub(super) effected: bool,
    pub(super) answer: Option<Vec<u8>>,
    pub(super) expires_at: Timestamp,
}

/// `false` when somebody else was first.
pub(super) async fn claim(conn: &mut Conn<'_>, new: &NewRow) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(CLAIM)
        .bind(new.claim.id.as_uuid())
        .bind(new.scope.as_slice())
        .bind(new.user.map(UserId::as_uuid))
        .bind(new.key_id.to_string())
        .bind(new.body_tag.as_slice())
        .bind(new.claim.lease)
        .bind(new.lease_until.as_micros())
        .bind(new.now.as_micros())
        .bind(new.expires_at.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(super) async fn by_scope(conn: &mut Conn<'_>, scope: &[u8]) -> Result<Option<Row>> {
    let row: Option<IdempotencyRow> =
        on_db!(conn, |c| sqlx::query_as(BY_SCOPE).bind(scope.to_vec()).fetch_optional(c).await)?;
    let Some(row) = row else { return Ok(None) };
    let key_id = row.key_id.parse();
    Ok(Some(Row {
        id: IdempotencyId::from_uuid(row.id),
        key_id: key_id.map_err(|e| Error::internal("a key's name is garbled").with_source(e))?,
        body_tag: row.body_tag,
        lease: row.lease,
        lease_until: Timestamp::from_micros(row.lease_until),
        effected: row.effected,
        answer: row.answer,
        expires_at: Timestamp::from_micros(row.expires_at),
    }))
}

/// `false` when somebody else was first.
pub(super) async fn take_over(
    conn: &mut Conn<'_>,
    claim: Claim,
    former: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(TAKE_OVER)
        .bind(claim.id.as_uuid())
        .bind(claim.lease)
        .bind(former)
        .bind(now.as_micros())
        .bind(until.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// `false` when the lease went to somebody else.
pub(super) async fn effected(conn: &mut Conn<'_>, claim: Claim, now: Timestamp) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(EFFECTED)
        .bind(claim.id.as_uuid())
        .bind(claim.lease)
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(super) async fn keep(conn: &mut Conn<'_>, claim: Claim, sealed: &[u8]) -> Result<()> {
    Ok(on_db!(conn, |c| sqlx::query(KEEP)
        .bind(claim.id.as_uuid())
        .bind(claim.lease)
        .bind(sealed.to_vec())
        .execute(c)
        .await
        .map(|_| ()))?)
}

pub(super) async fn release(conn: &mut Conn<'_>, claim: Claim) -> Result<()> {
    Ok(on_db!(conn, |c| sqlx::query(RELEASE)
        .bind(claim.id.as_uuid())
        .bind(claim.lease)
        .execute(c)
        .await
        .map(|_| ()))?)
}

/// Removes up to `limit` rows whose day is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

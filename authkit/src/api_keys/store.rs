//! Statements on `authkit_api_keys`.

use uuid::Uuid;

use super::model::{ApiKeyFilter, ApiKeyRecord, Checked, Owned};
use crate::crypto::key_id::KeyId;
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{ApiKeyId, UserId};
use crate::time::Timestamp;

macro_rules! columns {
    () => {
        "k.id, k.user_id, k.name, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at"
    };
}

const INSERT: &str =
    "INSERT INTO authkit_api_keys (id, user_id, name, scopes, key_id, hash, created_at, expires_at, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
/// The one read of a use: the key, the state of its owner, and what the owner's roles permit, all of one moment. Lists of
/// permissions hold no line break.
const OWNED: &str = concat!(
    "SELECT ",
    columns!(),
    ", k.hash, u.status, (u.email_verified_at IS NOT NULL) AS verified,
      (SELECT string_agg(p.permissions, '\n') FROM authkit_user_roles r
         JOIN authkit_roles p ON p.name = r.role WHERE r.user_id = k.user_id) AS permissions
    FROM authkit_api_keys k JOIN authkit_users u ON u.id = k.user_id WHERE k.id = $1"
);
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_api_keys k WHERE k.id = $1");
const OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_api_keys k WHERE k.user_id = $1 AND ($2 IS NULL OR k.id < $2) AND ($3 OR k.ends_at > $4)
    ORDER BY k.id DESC LIMIT $5"
);
/// Newest first; ids sort by time.
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_api_keys k WHERE ($1 IS NULL OR k.id < $1) AND ($2 OR k.ends_at > $3)
    ORDER BY k.id DESC LIMIT $4"
);
/// The owner's row is held.
const LIVE: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_api_keys WHERE user_id = $1 AND ends_at > $2";
const REVOKE: &str = "UPDATE authkit_api_keys SET revoked_at = $2,
        ends_at = CASE WHEN ends_at < $2 THEN ends_at ELSE $2 END
    WHERE id = $1 AND revoked_at IS NULL RETURNING user_id";
const REVOKE_OF_USER: &str = "UPDATE authkit_api_keys SET revoked_at = $2, ends_at = $2
    WHERE user_id = $1 AND revoked_at IS NULL AND ends_at > $2";
const REVOKE_ALL: &str = "UPDATE authkit_api_keys SET revoked_at = $1, ends_at = $1
    WHERE revoked_at IS NULL AND ends_at > $1";
/// Of several processes that see the same use due, one writes.
const TOUCH: &str = "UPDATE authkit_api_keys SET last_used_at = $2
    WHERE id = $1 AND revoked_at IS NULL AND (last_used_at IS NULL OR last_used_at <= $3)";
const SWEEP: &str = "DELETE FROM authkit_api_keys WHERE id IN
    (SELECT k.id FROM authkit_api_keys k WHERE k.ends_at <= $1 ORDER BY k.ends_at LIMIT $2) AND ends_at <= $1";

row! {
    struct KeyRow {
        id: Uuid, user_id: Uuid, name: String, scopes: String, created_at: i64, expires_at: i64,
        last_used_at: Option<i64>, revoked_at: Option<i64>,
    }
}

row! {
    struct OwnedRow {
        id: Uuid, user_id: Uuid, name: String, scopes: String, created_at: i64, expires_at: i64,
        last_used_at: Option<i64>, revoked_at: Option<i64>, hash: Vec<u8>, status: String, verified: bool,
        permissions: Option<String>,
    }
}

fn list_of(text: &str) -> Result<Vec<String>> {
    serde_json::from_str(text)
        .map_err(|e| Error::internal("a list of permissions is not JSON").with_source(e))
}

impl KeyRow {
    fn into_record(self) -> Result<ApiKeyRecord> {
        Ok(ApiKeyRecord {
            id: ApiKeyId::from_uuid(self.id),
            user: UserId::from_uuid(self.user_id),
            name: self.name,
            scopes: list_of(&self.scopes)?,
            created_at: Timestamp::from_micros(self.created_at),
            expires_at: Timestamp::from_micros(self.expires_at),
            last_used_at: self.last_used_at.map(Timestamp::from_micros),
            revoked_at: self.revoked_at.map(Timestamp::from_micros),
        })
    }
}

impl OwnedRow {
    fn into_owned(self) -> Result<Owned> {
        let mut permissions = Vec::new();
        for list in self.permissions.as_deref().unwrap_or_default().lines() {
            permissions.extend(list_of(list)?);
        }
        let record = KeyRow {
            id: self.id,
            user_id: self.user_id,
            name: self.name,
            scopes: self.scopes,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            revoked_at: self.revoked_at,
        };
        let record = record.into_record()?;
        Ok(Owned { record, hash: self.hash, status: self.status, verified: self.verified, permissions })
    }
}

/// The owner's row is held.
pub(crate) async fn insert(
    conn: &mut Conn<'_>,
    id: ApiKeyId,
    user: UserId,
    new: &Checked,
    (key_id, hash): (KeyId, &[u8; 32]),
    now: Timestamp,
) -> Result<()> {
    let scopes = serde_json::Value::from(new.scopes.clone()).to_string();
    Ok(on_db!(conn, |c| sqlx::query(INSERT)
        .bind(id.as_uuid())
        .bind(user.as_uuid())
        .bind(new.name.as_str())
        .bind(scopes)
        .bind(key_id.to_string())
        .bind(hash.to_vec())
        .bind(now.as_micros())
        .bind((now + new.ttl).as_micros())
        .execute(c)
        .await
        .map(|_| ()))?)
}

pub(crate) async fn owned(conn: &mut Conn<'_>, id: ApiKeyId) -> Result<Option<Owned>> {
    let row: Option<OwnedRow> =
        on_db!(conn, |c| sqlx::query_as(OWNED).bind(id.as_uuid()).fetch_optional(c).await)?;
    row.map(OwnedRow::into_owned).transpose()
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: ApiKeyId) -> Result<Option<ApiKeyRecord>> {
    let row: Option<KeyRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    row.map(KeyRow::into_record).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn<'_>,
    filter: &ApiKeyFilter,
    before: Option<Uuid>,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ApiKeyRecord>> {
    let rows: Vec<KeyRow> = match filter.user_id {
        Some(user) => on_db!(conn, |c| sqlx::query_as(OF_USER)
            .bind(user.as_uuid())
            .bind(before)
            .bind(filter.ended)
            .bind(now.as_micros())
            .bind(limit)
            .fetch_all(c)
            .await)?,
        None => on_db!(conn, |c| sqlx::query_as(LIST)
            .bind(before)
            .bind(filter.ended)
            .bind(now.as_micros())
            .bind(limit)
            .fetch_all(c)
            .await)?,
    };
    rows.into_iter().map(KeyRow::into_record).collect()
}

pub(crate) async fn live(conn: &mut Conn<'_>, user: UserId, now: Timestamp) -> Result<i64> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(LIVE)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .fetch_one(c)
        .await)?)
}

/// `false` when it was revoked already or there is none.
pub(crate) async fn revoke(conn: &mut Conn<'_>, id: ApiKeyId, now: Timestamp) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(REVOKE)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Ends a user's live keys. Returns how many.
pub(crate) async fn revoke_of_user(conn: &mut Conn<'_>, user: UserId, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(REVOKE_OF_USER)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Ends every live key there is.
pub(crate) async fn revoke_all(conn: &mut Conn<'_>, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(REVOKE_ALL)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Notes a use, unless one was noted after `unless_since`.
pub(crate) async fn touch(
    conn: &mut Conn<'_>,
    id: ApiKeyId,
    now: Timestamp,
    unless_since: Timestamp,
) -> Result<()> {
    Ok(on_db!(conn, |c| sqlx::query(TOUCH)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .bind(unless_since.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?)
}

/// Removes up to `limit` keys that ended at `ended_by` or before. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, ended_by: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(ended_by.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

//! Statements on `authkit_keys` and `authkit_meta`.

use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::time::Timestamp;

const ALL: &str = "SELECT kid, purpose, alg, sealed, created_at, activates_at, retires_at, gone_at
    FROM authkit_keys ORDER BY activates_at, kid";
const INSERT: &str = "INSERT INTO authkit_keys (kid, purpose, alg, sealed, created_at, activates_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
/// A key that never became active is simply replaced: it ends when its successor begins.
const RETIRE: &str = "UPDATE authkit_keys SET retires_at = $2, gone_at = $3
    WHERE purpose = $1 AND retires_at IS NULL AND gone_at IS NULL";
const END_ALL: &str = "UPDATE authkit_keys SET gone_at = $2,
        retires_at = CASE WHEN retires_at IS NULL OR retires_at > $2 THEN $2 ELSE retires_at END
    WHERE purpose = $1 AND (gone_at IS NULL OR gone_at > $2)";
const SET_SEALED: &str = "UPDATE authkit_keys SET sealed = $2 WHERE kid = $1";
const META: &str = "SELECT value FROM authkit_meta WHERE name = $1";
const SET_META_ONCE: &str = "INSERT INTO authkit_meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const SET_META: &str = "UPDATE authkit_meta SET value = $2 WHERE name = $1";

row! {
    pub(crate) struct KeyRow {
        pub(crate) kid: String,
        pub(crate) purpose: String,
        pub(crate) alg: String,
        pub(crate) sealed: Vec<u8>,
        pub(crate) created_at: i64,
        pub(crate) activates_at: i64,
        pub(crate) retires_at: Option<i64>,
        pub(crate) gone_at: Option<i64>,
    }
}

pub(super) async fn all(conn: &mut Conn<'_>) -> Result<Vec<KeyRow>> {
    Ok(on_db!(conn, |c| sqlx::query_as(ALL).fetch_all(c).await)?)
}

pub(super) async fn insert(
    conn: &mut Conn<'_>,
    kid: &str,
    purpose: &str,
    alg: &str,
    sealed: &[u8],
    now: Timestamp,
    activates_at: Timestamp,
) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(INSERT)
        .bind(kid)
        .bind(purpose)
        .bind(alg)
        .bind(sealed)
        .bind(now.as_micros())
        .bind(activates_at.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn retire(
    conn: &mut Conn<'_>,
    purpose: &str,
    at: Timestamp,
    gone_at: Option<Timestamp>,
) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(RETIRE)
        .bind(purpose)
        .bind(at.as_micros())
        .bind(gone_at.map(Timestamp::as_micros))
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn end_all(conn: &mut Conn<'_>, purpose: &str, at: Timestamp) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(END_ALL)
        .bind(purpose)
        .bind(at.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn set_sealed(conn: &mut Conn<'_>, kid: &str, sealed: &[u8]) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(SET_SEALED).bind(kid).bind(sealed).execute(c).await.map(|_| ()))?;
    Ok(())
}

pub(super) async fn meta(conn: &mut Conn<'_>, name: &str) -> Result<Option<String>> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(META).bind(name).fetch_optional(c).await)?)
}

/// `false` when it was set already.
pub(super) async fn set_meta_once(conn: &mut Conn<'_>, name: &str, value: &str) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(SET_META_ONCE)
        .bind(name)
        .bind(value)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

pub(super) async fn set_meta(conn: &mut Conn<'_>, name: &str, value: &str) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(SET_META).bind(name).bind(value).execute(c).await.map(|_| ()))?;
    Ok(())
}

//! Statements on `authkit_passwords`.

use uuid::Uuid;

use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::UserId;
use crate::time::Timestamp;

const SET: &str = "INSERT INTO authkit_passwords (user_id, hash, changed_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at";
const REMOVE: &str = "DELETE FROM authkit_passwords WHERE user_id = $1";
/// Only when nobody changed the password since it was read: of many sign-ins one upgrades the hash.
const REHASH: &str = "UPDATE authkit_passwords SET hash = $3 WHERE user_id = $1 AND hash = $2";
const OF_USER: &str = "SELECT hash FROM authkit_passwords WHERE user_id = $1";
/// What a sign-in by password needs, in one read.
const FOR_SIGN_IN: &str = "SELECT u.id, u.status, u.epoch, u.email_verified_at, p.hash
    FROM authkit_users u LEFT JOIN authkit_passwords p ON p.user_id = u.id WHERE u.email_key = $1";

row! {
    pub(crate) struct SignInRow {
        pub(crate) id: Uuid,
        pub(crate) status: String,
        pub(crate) epoch: i64,
        pub(crate) email_verified_at: Option<i64>,
        pub(crate) hash: Option<String>,
    }
}

pub(crate) async fn set(conn: &mut Conn<'_>, user: UserId, hash: &str, now: Timestamp) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(SET)
        .bind(user.as_uuid())
        .bind(hash)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Leaves the account without a sign-in by password. `false` when it had none.
pub(crate) async fn remove(conn: &mut Conn<'_>, user: UserId) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(REMOVE)
        .bind(user.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

pub(crate) async fn rehash(conn: &mut Conn<'_>, user: UserId, old: &str, new: &str) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(REHASH)
        .bind(user.as_uuid())
        .bind(old)
        .bind(new)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

pub(crate) async fn of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Option<String>> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(OF_USER).bind(user.as_uuid()).fetch_optional(c).await)?)
}

pub(crate) async fn for_sign_in(conn: &mut Conn<'_>, email_key: &str) -> Result<Option<SignInRow>> {
    Ok(on_db!(conn, |c| sqlx::query_as(FOR_SIGN_IN).bind(email_key).fetch_optional(c).await)?)
}

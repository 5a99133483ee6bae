//! Statements on `authkit_users` and `authkit_user_roles`.

use serde_json::Value;
use uuid::Uuid;

use super::{Email, NewRecord, Record, User, UserFilter, UserStatus, Version};
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::time::Timestamp;

/// Whether a user has a second factor: an authenticator app that is confirmed, or a passkey. Each kind of factor adds its table here,
/// and so to the gate of every sign-in and to `mfa_enabled`.
macro_rules! has_factor {
    ($user:literal) => {
        concat!(
            "(EXISTS (SELECT 1 FROM authkit_totp f WHERE f.user_id = ",
            $user,
            " AND f.confirmed_at IS NOT NULL) OR EXISTS (SELECT 1 FROM authkit_passkeys k WHERE k.user_id = ",
            $user,
            "))"
        )
    };
}

macro_rules! columns {
    () => {
        concat!(
            "u.id, u.email, u.name, u.email_verified_at, u.status, u.profile, u.ver, u.epoch, u.created_at, \
             u.updated_at, (SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM authkit_user_roles r \
             WHERE r.user_id = u.id) AS roles, ",
            has_factor!("u.id"),
            " AS mfa_enabled"
        )
    };
}

const INSERT: &str =
    "INSERT INTO authkit_users (id, email, email_key, name, email_verified_at, status, profile,
        ver, epoch, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, 'active', $6, 1, 1, $7, $7)
    ON CONFLICT DO NOTHING RETURNING ver";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_users u WHERE u.id = $1");
const BY_KEY: &str = concat!("SELECT ", columns!(), " FROM authkit_users u WHERE u.email_key = $1");
/// Oldest first; ids sort by time.
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_users u
    WHERE ($1 IS NULL OR u.id > $1) AND (u.status = $2 OR ($2 IS NULL AND u.status <> 'deleted'))
      AND ($3 IS NULL OR EXISTS (SELECT 1 FROM authkit_user_roles f WHERE f.user_id = u.id AND f.role = $3))
      AND ($4 IS NULL OR (u.email_key >= $4 AND u.email_key < $5))
    ORDER BY u.id LIMIT $6"
);
/// Takes the row for a sign-in: nothing that was begun under an older epoch or state can finish, nor without the second
/// factor where there is one (R7, R8). `$5`: it was given.
const TAKE_FOR_SIGN_IN: &str = concat!(
    "UPDATE authkit_users SET last_sign_in_at = $3
    WHERE id = $1 AND epoch = $2 AND status = 'active' AND (email_verified_at IS NOT NULL OR $4)
      AND ($5 OR NOT ",
    has_factor!("authkit_users.id"),
    ") RETURNING ver, epoch"
);
/// Takes the row, so that guards on other rows of this user hold until the transaction ends.
const TAKE: &str = "UPDATE authkit_users SET updated_at = updated_at WHERE id = $1 RETURNING ver, epoch";
const BUMP_VER: &str =
    "UPDATE authkit_users SET ver = ver + 1, updated_at = $2 WHERE id = $1 RETURNING ver, epoch";
const BUMP_EPOCH: &str = "UPDATE authkit_users SET ver = ver + 1, epoch = epoch + 1, updated_at = $2
    WHERE id = $1 RETURNING ver, epoch";
const BUMP_EPOCH_FROM: &str = "UPDATE authkit_users SET ver = ver + 1, epoch = epoch + 1, updated_at = $2
    WHERE id = $1 AND epoch = $3 AND status = 'active' RETURNING ver, epoch";
const BUMP_ALL: &str = "UPDATE authkit_users SET ver = ver + 1, epoch = epoch + 1, updated_at = $1";
const SET_STATUS: &str = "UPDATE authkit_users SET status = $2, ver = ver + 1, updated_at = $4,
        disabled_at = CASE WHEN $2 = 'disabled' THEN $4 WHEN $2 = 'deleted' THEN disabled_at ELSE NULL END,
        deleted_at = CASE WHEN $2 = 'deleted' THEN $4 ELSE NULL END
    WHERE id = $1 AND status = $3 RETURNING ver, epoch";
/// An account that was disabled before it was deleted is so again.
const RESTORE: &str = "UPDATE authkit_users SET ver = ver + 1, updated_at = $2, deleted_at = NULL,
        status = CASE WHEN disabled_at IS NULL THEN 'active' ELSE 'disabled' END
    WHERE id = $1 AND status = 'deleted' RETURNING ver, epoch";
const SET_PROFILE: &str = "UPDATE authkit_users SET name = $2, profile = $3, updated_at = $4
    WHERE id = $1 AND status <> 'deleted' RETURNING ver, epoch";
const SET_EMAIL: &str =
    "UPDATE authkit_users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $5
    WHERE id = $1 RETURNING ver, epoch";
const VERIFY_EMAIL: &str = "UPDATE authkit_users SET email_verified_at = $2, ver = ver + 1, updated_at = $2
    WHERE id = $1 AND email_verified_at IS NULL RETURNING ver, epoch";
const DELETE: &str = "DELETE FROM authkit_users WHERE id = $1";
const GRANT: &str = "INSERT INTO authkit_user_roles (user_id, role, granted_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING";
const REVOKE: &str = "DELETE FROM authkit_user_roles WHERE user_id = $1 AND role = $2";
/// Holders of a role who may sign in.
const HOLDERS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_user_roles r
    JOIN authkit_users u ON u.id = r.user_id WHERE r.role = $1 AND u.status = 'active' AND u.id <> $2";

/// Accounts that may sign in: all, those with a second factor, and those without one that need it: `$1` lists the roles
/// that do between commas, an empty text means everybody, and NULL nobody. Replaced rather than searched for, which
/// both engines can.
const COUNT_FACTORS: &str = concat!(
    "SELECT CAST(COUNT(*) AS BIGINT) AS accounts,
      CAST(COALESCE(SUM(CASE WHEN ",
    has_factor!("u.id"),
    " THEN 1 ELSE 0 END), 0) AS BIGINT) AS with_factor,
      CAST(COALESCE(SUM(CASE WHEN NOT ",
    has_factor!("u.id"),
    " AND ($1 = '' OR EXISTS (SELECT 1 FROM authkit_user_roles r WHERE r.user_id = u.id
        AND replace(',' || $1 || ',', ',' || r.role || ',', '') <> ',' || $1 || ',')) THEN 1 ELSE 0 END), 0) AS BIGINT)
        AS lacking
    FROM authkit_users u WHERE u.status = 'active'"
);

row! {
    struct FactorCounts { accounts: i64, with_factor: i64, lacking: i64 }
}

row! {
    pub(crate) struct UserRow {
        pub(crate) id: Uuid, email: String, name: String, email_verified_at: Option<i64>, status: String,
        profile: String, ver: i64, epoch: i64, created_at: i64, updated_at: i64, roles: Option<String>,
        mfa_enabled: bool,
    }
}

impl UserRow {
    pub(crate) fn into_record(self) -> Result<Record> {
        let status =
            UserStatus::from_name(&self.status).ok_or_else(|| Error::internal("an unknown status"))?;
        let profile: Value = serde_json::from_str(&self.profile)
            .map_err(|e| Error::internal("a profile is not JSON").with_source(e))?;
        let user = User {
            id: UserId::from_uuid(self.id),
            email: self.email,
            name: self.name,
            email_verified: self.email_verified_at.is_some(),
            roles: split_roles(self.roles.as_deref()),
            status,
            mfa_enabled: self.mfa_enabled,
            profile,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        };
        Ok(Record { user, version: Version { ver: self.ver, epoch: self.epoch } })
    }
}

/// Role names as `string_agg` joined them.
pub(crate) fn split_roles(joined: Option<&str>) -> Vec<String> {
    joined.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn version((ver, epoch): (i64, i64)) -> Version {
    Version { ver, epoch }
}

/// `false` when the e-mail is taken.
pub(crate) async fn insert(conn: &mut Conn<'_>, new: &NewRecord, now: Timestamp) -> Result<bool> {
    let row: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(INSERT)
        .bind(new.id.as_uuid())
        .bind(new.email.address())
        .bind(new.email.key())
        .bind(new.name.as_str())
        .bind(new.email_verified.then_some(now.as_micros()))
        .bind(new.profile.to_string())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: UserId) -> Result<Option<Record>> {
    let row: Option<UserRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    row.map(UserRow::into_record).transpose()
}

pub(crate) async fn by_email(conn: &mut Conn<'_>, email: &Email) -> Result<Option<Record>> {
    let row: Option<UserRow> =
        on_db!(conn, |c| sqlx::query_as(BY_KEY).bind(email.key()).fetch_optional(c).await)?;
    row.map(UserRow::into_record).transpose()
}

pub(crate) async fn list(
    conn: &mut Conn<'_>,
    filter: &UserFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<User>> {
    // No row holds U+0000, and PostgreSQL does not take it.
    if [&filter.role, &filter.email_prefix].into_iter().flatten().any(|text| text.contains('\0')) {
        return Ok(Vec::new());
    }
    let prefix = filter.email_prefix.as_deref().map(caseless::default_case_fold_str);
    let rows: Vec<UserRow> = on_db!(conn, |c| sqlx::query_as(LIST)
        .bind(after)
        .bind(filter.status.map(UserStatus::name))
        .bind(filter.role.as_deref())
        .bind(prefix.as_deref())
        .bind(prefix.as_deref().map(|p| format!("{p}\u{10ffff}")))
        .bind(limit)
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(|row| row.into_record().map(|record| record.user)).collect()
}

pub(crate) async fn take_for_sign_in(
    conn: &mut Conn<'_>,
    id: UserId,
    epoch: i64,
    (unverified_may, second_factor): (bool, bool),
    now: Timestamp,
) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(TAKE_FOR_SIGN_IN)
        .bind(id.as_uuid())
        .bind(epoch)
        .bind(now.as_micros())
        .bind(unverified_may)
        .bind(second_factor)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(version))
}

pub(crate) async fn take(conn: &mut Conn<'_>, id: UserId) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> =
        on_db!(conn, |c| sqlx::query_as(TAKE).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(version))
}

pub(crate) async fn bump_ver(conn: &mut Conn<'_>, id: UserId, now: Timestamp) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(BUMP_VER)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(version))
}

/// Ends everything begun before. With `from`, only an active account still at that epoch is moved on.
pub(crate) async fn bump_epoch(
    conn: &mut Conn<'_>,
    id: UserId,
    from: Option<i64>,
    now: Timestamp,
) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = match from {
        Some(epoch) => on_db!(conn, |c| sqlx::query_as(BUMP_EPOCH_FROM)
            .bind(id.as_uuid())
            .bind(now.as_micros())
            .bind(epoch)
            .fetch_optional(c)
            .await)?,
        None => on_db!(conn, |c| sqlx::query_as(BUMP_EPOCH)
            .bind(id.as_uuid())
            .bind(now.as_micros())
            .fetch_optional(c)
            .await)?,
    };
    Ok(row.map(version))
}

/// Every account moves to a new epoch. Returns how many.
pub(crate) async fn bump_all(conn: &mut Conn<'_>, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(BUMP_ALL)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// `None` when the account is not in the state `from`.
pub(crate) async fn set_status(
    conn: &mut Conn<'_>,
    id: UserId,
    from: UserStatus,
    to: UserStatus,
    now: Timestamp,
) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(SET_STATUS)
        .bind(id.as_uuid())
        .bind(to.name())
        .bind(from.name())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(version))
}

/// `None` when the account is not deleted.
pub(crate) async fn restore(conn: &mut Conn<'_>, id: UserId, now: Timestamp) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(RESTORE)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(version))
}

pub(crate) async fn set_profile(
    conn: &mut Conn<'_>,
    id: UserId,
    name: &str,
    profile: &Value,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(SET_PROFILE)
        .bind(id.as_uuid())
        .bind(name)
        .bind(profile.to_string())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// The caller has seen that the address is free; a race is a constraint error.
pub(crate) async fn set_email(
    conn: &mut Conn<'_>,
    id: UserId,
    email: &Email,
    verified: bool,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(SET_EMAIL)
        .bind(id.as_uuid())
        .bind(email.address())
        .bind(email.key())
        .bind(verified.then_some(now.as_micros()))
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// `None` when it was verified already.
pub(crate) async fn verify_email(conn: &mut Conn<'_>, id: UserId, now: Timestamp) -> Result<Option<Version>> {
    let row: Option<(i64, i64)> = on_db!(conn, |c| sqlx::query_as(VERIFY_EMAIL)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(version))
}

/// Roles, password and sessions go with the row (ON DELETE CASCADE).
pub(crate) async fn delete(conn: &mut Conn<'_>, id: UserId) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(DELETE)
        .bind(id.as_uuid())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// `false` when the user had it already.
pub(crate) async fn grant(conn: &mut Conn<'_>, id: UserId, role: &str, now: Timestamp) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(GRANT)
        .bind(id.as_uuid())
        .bind(role)
        .bind(now.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// `false` when the user did not have it.
pub(crate) async fn revoke(conn: &mut Conn<'_>, id: UserId, role: &str) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(REVOKE)
        .bind(id.as_uuid())
        .bind(role)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// How many others, able to sign in, hold `role`.
pub(crate) async fn other_holders(conn: &mut Conn<'_>, role: &str, id: UserId) -> Result<i64> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(HOLDERS).bind(role).bind(id.as_uuid()).fetch_one(c).await)?)
}

/// How many accounts may sign in, have a second factor, and lack one that they need. See [`COUNT_FACTORS`].
pub(crate) async fn count_factors(conn: &mut Conn<'_>, roles: Option<&str>) -> Result<(i64, i64, i64)> {
    let row: FactorCounts = on_db!(conn, |c| sqlx::query_as(COUNT_FACTORS).bind(roles).fetch_one(c).await)?;
    Ok((row.accounts, row.with_factor, row.lacking))
}

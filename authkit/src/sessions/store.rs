//! Statements on `authkit_sessions`.

use uuid::Uuid;

use super::model::{EndReason, SessionRecord, Standing};
use crate::db::{Conn, Twin, on_db, row};
use crate::error::Result;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::time::Timestamp;

const INSERT: &str =
    "INSERT INTO authkit_sessions (id, user_id, epoch, key_id, counter, created_at, rotated_at,
        absolute_expires_at, ip, user_agent, cip, auth_time, amr, device_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    RETURNING (SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM authkit_user_roles r
        WHERE r.user_id = authkit_sessions.user_id) AS roles,
      (SELECT COUNT(*) FROM authkit_sessions s WHERE s.user_id = $2 AND s.ended_at IS NULL AND s.id <> $1) AS others,
      (EXISTS (SELECT 1 FROM authkit_sessions s WHERE s.user_id = $2 AND s.id <> $1)
        AND NOT EXISTS (SELECT 1 FROM authkit_sessions s WHERE s.user_id = $2 AND s.id <> $1
          AND COALESCE(s.ip, '') = COALESCE($9, '') AND COALESCE(s.user_agent, '') = COALESCE($10, ''))) AS elsewhere";

macro_rules! columns {
    () => {
        "id, user_id, epoch, key_id, counter, created_at, rotated_at, absolute_expires_at, ended_at, ip, \
         user_agent, cip, auth_time, amr, device_id"
    };
}

/// The one guarded statement of a rotation: whoever finds the counter where his token says moves it on. Account
/// state, epoch, verification and both lifetimes are judged in it (R6, R7); roles and version of the account
/// are read in the same snapshot, so that the access token's `ver` and `roles` belong together. `rotated_at` never
/// moves back, whatever the clock does.
///
/// A twin, since it is the hottest of all: PostgreSQL joins the account once, which saves a third of the statement's
/// time, but SQLite cannot return columns of a joined table.
const ROTATE: Twin = Twin {
    sqlite: "UPDATE authkit_sessions SET counter = counter + 1,
            rotated_at = CASE WHEN rotated_at > $3 THEN rotated_at ELSE $3 END
        WHERE id = $1 AND counter = $2 AND ended_at IS NULL AND absolute_expires_at > $3 AND rotated_at > $4
          AND (cip IS NULL OR cip = $5)
          AND epoch = (SELECT u.epoch FROM authkit_users u WHERE u.id = authkit_sessions.user_id
            AND u.status = 'active' AND (u.email_verified_at IS NOT NULL OR $6))
        RETURNING id, user_id, key_id, counter, rotated_at, absolute_expires_at, (cip IS NOT NULL) AS bound,
          auth_time, amr, (SELECT u.ver FROM authkit_users u WHERE u.id = authkit_sessions.user_id) AS ver,
        (SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM authkit_user_roles r
            WHERE r.user_id = authkit_sessions.user_id) AS roles",
    postgres: "UPDATE authkit_sessions s SET counter = s.counter + 1,
            rotated_at = CASE WHEN s.rotated_at > $3 THEN s.rotated_at ELSE $3 END
        FROM authkit_users u
        WHERE s.id = $1 AND s.counter = $2 AND s.ended_at IS NULL AND s.absolute_expires_at > $3
          AND s.rotated_at > $4 AND (s.cip IS NULL OR s.cip = $5)
          AND u.id = s.user_id AND u.epoch = s.epoch AND u.status = 'active'
          AND (u.email_verified_at IS NOT NULL OR $6)
        RETURNING s.id, s.user_id, s.key_id, s.counter, s.rotated_at, s.absolute_expires_at,
          (s.cip IS NOT NULL) AS bound, s.auth_time, s.amr, u.ver AS ver,
        array_to_string(ARRAY(SELECT r.role FROM authkit_user_roles r WHERE r.user_id = s.user_id
            ORDER BY r.role), ' ') AS roles",
};
/// A session with its account's present facts; `alive` is the gate without the counter.
const VIEW: &str = concat!(
    "SELECT ",
    columns!(),
    ", (SELECT u.ver FROM authkit_users u WHERE u.id = authkit_sessions.user_id) AS ver,
    (SELECT string_agg(r.role, ' ' ORDER BY r.role) FROM authkit_user_roles r
        WHERE r.user_id = authkit_sessions.user_id) AS roles,
    (ended_at IS NULL AND absolute_expires_at > $2 AND rotated_at > $3
      AND EXISTS (SELECT 1 FROM authkit_users u WHERE u.id = authkit_sessions.user_id
        AND u.epoch = authkit_sessions.epoch AND u.status = 'active'
        AND (u.email_verified_at IS NOT NULL OR $4))) AS alive
    FROM authkit_sessions WHERE id = $1"
);
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_sessions WHERE id = $1");
/// Theft: repeats its condition, so that of many replays one ends the session.
const END_IF_OLDER: &str = "UPDATE authkit_sessions SET ended_at = $3, end_reason = $4
    WHERE id = $1 AND ended_at IS NULL AND counter > $2 RETURNING id";
const END_IF_AHEAD: &str = "UPDATE authkit_sessions SET ended_at = $3, end_reason = $4
    WHERE id = $1 AND ended_at IS NULL AND counter < $2 RETURNING id";
const END: &str = "UPDATE authkit_sessions SET ended_at = $2, end_reason = $3
    WHERE id = $1 AND ended_at IS NULL RETURNING id";
const END_OF_USER: &str = "UPDATE authkit_sessions SET ended_at = $2, end_reason = $3
    WHERE user_id = $1 AND ended_at IS NULL AND ($4 IS NULL OR id <> $4) RETURNING id";
const END_ALL: &str = "UPDATE authkit_sessions SET ended_at = $1, end_reason = $2 WHERE ended_at IS NULL";
/// All but `$5` and the `$4` others of a user most recently used.
const END_BEYOND: &str = "UPDATE authkit_sessions SET ended_at = $2, end_reason = $3
    WHERE user_id = $1 AND ended_at IS NULL AND id <> $5 AND id NOT IN
      (SELECT s.id FROM authkit_sessions s WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.id <> $5
       ORDER BY s.rotated_at DESC, s.id DESC LIMIT $4)
    RETURNING id";
const MOVE_TO_EPOCH: &str =
    "UPDATE authkit_sessions SET epoch = $2 WHERE id = $1 AND ended_at IS NULL RETURNING id";
const LIVE_OF_USER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_sessions WHERE user_id = $1 AND ended_at IS NULL AND absolute_expires_at > $2
      AND rotated_at > $3 AND epoch = (SELECT u.epoch FROM authkit_users u WHERE u.id = $1)
    ORDER BY rotated_at DESC, id DESC"
);
/// Newest first; ids sort by time.
const LIVE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_sessions WHERE ended_at IS NULL AND absolute_expires_at > $1 AND rotated_at > $2
      AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"
);

row! {
    struct SessionRow {
        id: Uuid, user_id: Uuid, epoch: i64, key_id: String, counter: i64, created_at: i64, rotated_at: i64,
        absolute_expires_at: i64, ended_at: Option<i64>, ip: Option<String>, user_agent: Option<String>,
        cip: Option<String>, auth_time: i64, amr: String, device_id: Option<Uuid>,
    }
}

row! {
    struct InsertedRow { roles: Option<String>, others: i64, elsewhere: bool }
}

row! {
    struct RotatedRow {
        id: Uuid, user_id: Uuid, key_id: String, counter: i64, rotated_at: i64, absolute_expires_at: i64, bound: bool,
        auth_time: i64, amr: String, ver: i64, roles: Option<String>,
    }
}

row! {
    struct ViewRow {
        id: Uuid, user_id: Uuid, epoch: i64, key_id: String, counter: i64, created_at: i64, rotated_at: i64,
        absolute_expires_at: i64, ended_at: Option<i64>, ip: Option<String>, user_agent: Option<String>,
        cip: Option<String>, auth_time: i64, amr: String, device_id: Option<Uuid>, ver: Option<i64>, roles: Option<String>, alive: bool,
    }
}

macro_rules! record {
    ($row:ident) => {
        SessionRecord {
            id: SessionId::from_uuid($row.id),
            user_id: UserId::from_uuid($row.user_id),
            epoch: $row.epoch,
            key_id: $row.key_id,
            counter: $row.counter,
            created_at: Timestamp::from_micros($row.created_at),
            rotated_at: Timestamp::from_micros($row.rotated_at),
            absolute_expires_at: Timestamp::from_micros($row.absolute_expires_at),
            ended: $row.ended_at.is_some(),
            ip: $row.ip,
            user_agent: $row.user_agent,
            cip: $row.cip,
            auth_time: Timestamp::from_micros($row.auth_time),
            amr: $row.amr,
            device: $row.device_id.map(DeviceId::from_uuid),
        }
    };
}

/// What a new session finds.
#[derive(Debug)]
pub(crate) struct Inserted {
    /// The user's roles. The caller holds the user's row, so they belong to the version read with it.
    pub(crate) roles: Vec<String>,
    /// How many other live sessions he has.
    pub(crate) others: i64,
    /// He had sessions before, and none of them with this address and `User-Agent`.
    pub(crate) elsewhere: bool,
}

/// A session and what its account says at the same moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) session: SessionRecord,
    pub(crate) ver: i64,
    pub(crate) roles: Vec<String>,
    /// Whether session and account pass the gate, the counter aside.
    pub(crate) alive: bool,
}

/// A session that has rotated, and what its account says at the same moment.
#[derive(Debug)]
pub(crate) struct Rotated {
    pub(crate) session: Standing,
    pub(crate) ver: i64,
    pub(crate) roles: Vec<String>,
}

/// When a session counts as over, and what the account must have proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) now: Timestamp,
    /// Sessions last rotated at or before this moment are over.
    pub(crate) idle_since: Timestamp,
    /// Whether accounts without a proved address may go on.
    pub(crate) unverified_may: bool,
}

pub(crate) async fn insert(conn: &mut Conn<'_>, session: &SessionRecord) -> Result<Inserted> {
    let row: InsertedRow = on_db!(conn, |c| sqlx::query_as(INSERT)
        .bind(session.id.as_uuid())
        .bind(session.user_id.as_uuid())
        .bind(session.epoch)
        .bind(session.key_id.as_str())
        .bind(session.counter)
        .bind(session.created_at.as_micros())
        .bind(session.rotated_at.as_micros())
        .bind(session.absolute_expires_at.as_micros())
        .bind(session.ip.as_deref())
        .bind(session.user_agent.as_deref())
        .bind(session.cip.as_deref())
        .bind(session.auth_time.as_micros())
        .bind(session.amr.as_str())
        .bind(session.device.map(DeviceId::as_uuid))
        .fetch_one(c)
        .await)?;
    let roles = crate::users::store::split_roles(row.roles.as_deref());
    Ok(Inserted { roles, others: row.others, elsewhere: row.elsewhere })
}

/// `None` when the counter or the gate refused; the caller looks why.
pub(crate) async fn rotate(
    conn: &mut Conn<'_>,
    id: SessionId,
    counter: i64,
    cip: Option<&str>,
    limits: Limits,
) -> Result<Option<Rotated>> {
    let sql = ROTATE.on(conn);
    let row: Option<RotatedRow> = on_db!(conn, |c| sqlx::query_as(sql)
        .bind(id.as_uuid())
        .bind(counter)
        .bind(limits.now.as_micros())
        .bind(limits.idle_since.as_micros())
        .bind(cip)
        .bind(limits.unverified_may)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|row| Rotated {
        ver: row.ver,
        roles: crate::users::store::split_roles(row.roles.as_deref()),
        session: Standing {
            id: SessionId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            key_id: row.key_id,
            counter: row.counter,
            rotated_at: Timestamp::from_micros(row.rotated_at),
            absolute_expires_at: Timestamp::from_micros(row.absolute_expires_at),
            bound: row.bound,
            auth_time: Timestamp::from_micros(row.auth_time),
            amr: row.amr,
        },
    }))
}

pub(crate) async fn view(conn: &mut Conn<'_>, id: SessionId, limits: Limits) -> Result<Option<View>> {
    let row: Option<ViewRow> = on_db!(conn, |c| sqlx::query_as(VIEW)
        .bind(id.as_uuid())
        .bind(limits.now.as_micros())
        .bind(limits.idle_since.as_micros())
        .bind(limits.unverified_may)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|row| View {
        ver: row.ver.unwrap_or_default(),
        roles: crate::users::store::split_roles(row.roles.as_deref()),
        alive: row.alive,
        session: record!(row),
    }))
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: SessionId) -> Result<Option<SessionRecord>> {
    let row: Option<SessionRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(|row| record!(row)))
}

/// Ends the session if its counter has passed `counter`. `false` when another replay was first.
pub(crate) async fn end_if_older(
    conn: &mut Conn<'_>,
    id: SessionId,
    counter: i64,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END_IF_OLDER)
        .bind(id.as_uuid())
        .bind(counter)
        .bind(now.as_micros())
        .bind(EndReason::Reuse.name())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Ends the session if its counter has not reached `counter`.
pub(crate) async fn end_if_ahead(
    conn: &mut Conn<'_>,
    id: SessionId,
    counter: i64,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END_IF_AHEAD)
        .bind(id.as_uuid())
        .bind(counter)
        .bind(now.as_micros())
        .bind(EndReason::Ahead.name())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// `false` when it was over already.
pub(crate) async fn end(
    conn: &mut Conn<'_>,
    id: SessionId,
    reason: EndReason,
    now: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .bind(reason.name())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Ends all sessions of a user but `keep`. Returns which.
pub(crate) async fn end_of_user(
    conn: &mut Conn<'_>,
    user: UserId,
    keep: Option<SessionId>,
    reason: EndReason,
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    let rows: Vec<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END_OF_USER)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(reason.name())
        .bind(keep.map(SessionId::as_uuid))
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(SessionId::from_uuid).collect())
}

/// Ends every live session there is. Returns how many.
pub(crate) async fn end_all(conn: &mut Conn<'_>, reason: EndReason, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_ALL)
        .bind(now.as_micros())
        .bind(reason.name())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Ends all sessions of a user but `newest` and the `keep` others most recently used. The caller holds the user's row.
pub(crate) async fn end_beyond(
    conn: &mut Conn<'_>,
    user: UserId,
    newest: SessionId,
    keep: i64,
    now: Timestamp,
) -> Result<Vec<SessionId>> {
    let rows: Vec<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END_BEYOND)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(EndReason::Evicted.name())
        .bind(keep)
        .bind(newest.as_uuid())
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(SessionId::from_uuid).collect())
}

/// Carries a session over to its account's new epoch. `false` when it is over.
pub(crate) async fn move_to_epoch(conn: &mut Conn<'_>, id: SessionId, epoch: i64) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(MOVE_TO_EPOCH)
        .bind(id.as_uuid())
        .bind(epoch)
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(crate) async fn live_of_user(
    conn: &mut Conn<'_>,
    user: UserId,
    limits: Limits,
) -> Result<Vec<SessionRecord>> {
    let rows: Vec<SessionRow> = on_db!(conn, |c| sqlx::query_as(LIVE_OF_USER)
        .bind(user.as_uuid())
        .bind(limits.now.as_micros())
        .bind(limits.idle_since.as_micros())
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(|row| record!(row)).collect())
}

pub(crate) async fn live(
    conn: &mut Conn<'_>,
    limits: Limits,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SessionRecord>> {
    let rows: Vec<SessionRow> = on_db!(conn, |c| sqlx::query_as(LIVE)
        .bind(limits.now.as_micros())
        .bind(limits.idle_since.as_micros())
        .bind(before)
        .bind(limit)
        .fetch_all(c)
        .await)?;
    Ok(rows.into_iter().map(|row| record!(row)).collect())
}

/// A session is of no more use once even its absolute life is over: until then an ended one tells a replayed token from an
/// unknown one.
const SWEEP: &str = "DELETE FROM authkit_sessions WHERE id IN
        (SELECT s.id FROM authkit_sessions s WHERE s.absolute_expires_at <= $1 ORDER BY s.absolute_expires_at LIMIT $2)
      AND absolute_expires_at <= $1";

/// Removes up to `limit` sessions whose absolute life is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

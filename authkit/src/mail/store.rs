//! Statements on `authkit_outbox` and `authkit_notices`.

use uuid::Uuid;

use crate::config::Notice;
use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::{MailId, UserId};
use crate::time::Timestamp;

const INSERT: &str = "INSERT INTO authkit_outbox
    (id, template, state, user_id, key_id, payload, attempts, created_at, due_at, expires_at)
    VALUES ($1, $2, 'waiting', $3, $4, $5, 0, $6, $6, $7)";

/// One notice of a kind in a window. A clock that was set back must not silence it.
const TELL: &str = "INSERT INTO authkit_notices (user_id, kind, told_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id, kind) DO UPDATE SET told_at = $3
        WHERE authkit_notices.told_at <= $4 OR authkit_notices.told_at > $3
    RETURNING told_at";
const RECIPIENT: &str = "SELECT email, profile FROM authkit_users WHERE id = $1 AND status <> 'deleted'";

const IS_DUE: &str = "SELECT id FROM authkit_outbox WHERE finished_at IS NULL AND due_at <= $1 LIMIT 1";
/// A lease: whoever sees the row due takes it until $3, and nobody else sees it due before. The predicate stands
/// outside, too: of two workers that chose the same row the second finds it leased.
const CLAIM: &str = "UPDATE authkit_outbox SET lease = $2, due_at = $3, attempts = attempts + 1
    WHERE finished_at IS NULL AND due_at <= $1 AND id IN (SELECT id FROM authkit_outbox
        WHERE finished_at IS NULL AND due_at <= $1 ORDER BY due_at, id LIMIT $4)
    RETURNING id, template, key_id, payload, attempts, created_at, expires_at";
/// The payload holds live secrets: it goes with the last use.
const FINISH: &str =
    "UPDATE authkit_outbox SET state = $3, finished_at = $4, last_error = $5, payload = NULL, lease = NULL
    WHERE id = $1 AND lease = $2 AND finished_at IS NULL";
const PUT_BACK: &str =
    "UPDATE authkit_outbox SET lease = NULL, due_at = $3, last_error = $4, attempts = attempts - $5
    WHERE id = $1 AND lease = $2 AND finished_at IS NULL";
const SWEEP: &str = "DELETE FROM authkit_outbox WHERE id IN
    (SELECT id FROM authkit_outbox WHERE finished_at IS NOT NULL AND finished_at < $1 LIMIT $2)";
const BACKLOG: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) AS waiting, MIN(due_at) AS oldest_due FROM authkit_outbox
    WHERE finished_at IS NULL";
const FORGET: &str = "DELETE FROM authkit_outbox WHERE user_id = $1";

macro_rules! listed {
    () => {
        "SELECT id, template, state, user_id, attempts, lease, last_error, created_at, due_at, expires_at, finished_at
         FROM authkit_outbox "
    };
}
/// Newest first; ids sort by time.
const LIST: &str = concat!(
    listed!(),
    "WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR state = $2) AND ($3 IS NULL OR template = $3)
       AND ($4 IS NULL OR user_id = $4) ORDER BY id DESC LIMIT $5"
);
const BY_ID: &str = concat!(listed!(), "WHERE id = $1");
/// Not while it is being sent.
const DUE_NOW: &str = "UPDATE authkit_outbox SET due_at = $2, lease = NULL
    WHERE id = $1 AND finished_at IS NULL AND (lease IS NULL OR due_at <= $2) RETURNING id";
const DROP: &str =
    "UPDATE authkit_outbox SET state = 'dropped', finished_at = $2, payload = NULL, lease = NULL
    WHERE id = $1 AND finished_at IS NULL AND (lease IS NULL OR due_at <= $2) RETURNING id";

row! {
    pub(super) struct ClaimedRow {
        pub(super) id: Uuid, pub(super) template: String, pub(super) key_id: String,
        pub(super) payload: Option<Vec<u8>>, pub(super) attempts: i64, pub(super) created_at: i64,
        pub(super) expires_at: i64,
    }
}

row! {
    pub(super) struct ListedRow {
        pub(super) id: Uuid, pub(super) template: String, pub(super) state: String,
        pub(super) user_id: Option<Uuid>, pub(super) attempts: i64, pub(super) lease: Option<Uuid>,
        pub(super) last_error: Option<String>, pub(super) created_at: i64, pub(super) due_at: i64,
        pub(super) expires_at: i64, pub(super) finished_at: Option<i64>,
    }
}

row! {
    pub(super) struct BacklogRow { pub(super) waiting: i64, pub(super) oldest_due: Option<i64> }
}

/// A mail to be, sealed.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    pub(super) id: MailId,
    pub(super) template: &'a str,
    pub(super) user: Option<UserId>,
    pub(super) key_id: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
}

pub(super) async fn insert(conn: &mut Conn<'_>, row: &NewRow<'_>) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(INSERT)
        .bind(row.id.as_uuid())
        .bind(row.template)
        .bind(row.user.map(UserId::as_uuid))
        .bind(row.key_id)
        .bind(row.payload)
        .bind(row.now.as_micros())
        .bind(row.expires_at.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Whether the user may be told now, which counts as told.
pub(super) async fn tell(
    conn: &mut Conn<'_>,
    user: UserId,
    notice: Notice,
    now: Timestamp,
    window_start: Timestamp,
) -> Result<bool> {
    let told: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(TELL)
        .bind(user.as_uuid())
        .bind(notice.name())
        .bind(now.as_micros())
        .bind(window_start.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(told.is_some())
}

/// Stored address and profile of an account that is not deleted.
pub(super) async fn recipient(conn: &mut Conn<'_>, user: UserId) -> Result<Option<(String, String)>> {
    Ok(on_db!(conn, |c| sqlx::query_as(RECIPIENT).bind(user.as_uuid()).fetch_optional(c).await)?)
}

pub(super) async fn is_due(conn: &mut Conn<'_>, now: Timestamp) -> Result<bool> {
    let found: Option<Uuid> =
        on_db!(conn, |c| sqlx::query_scalar(IS_DUE).bind(now.as_micros()).fetch_optional(c).await)?;
    Ok(found.is_some())
}

pub(super) async fn claim(
    conn: &mut Conn<'_>,
    lease: Uuid,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<ClaimedRow>> {
    Ok(on_db!(conn, |c| sqlx::query_as(CLAIM)
        .bind(now.as_micros())
        .bind(lease)
        .bind(until.as_micros())
        .bind(limit)
        .fetch_all(c)
        .await)?)
}

/// `false` when the lease was lost: the row is another worker's, or gone.
pub(super) async fn finish(
    conn: &mut Conn<'_>,
    id: Uuid,
    lease: Uuid,
    state: &str,
    now: Timestamp,
    error: Option<&str>,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(FINISH)
        .bind(id)
        .bind(lease)
        .bind(state)
        .bind(now.as_micros())
        .bind(error)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// Gives a row back until `due`; with `uncounted` the try does not count.
pub(super) async fn put_back(
    conn: &mut Conn<'_>,
    id: Uuid,
    lease: Uuid,
    due: Timestamp,
    error: &str,
    uncounted: bool,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query(PUT_BACK)
        .bind(id)
        .bind(lease)
        .bind(due.as_micros())
        .bind(error)
        .bind(i64::from(uncounted))
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))?)
}

/// Removes rows that were finished before `before`, so many at the most. Returns how many.
pub(super) async fn sweep(conn: &mut Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(before.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn backlog(conn: &mut Conn<'_>) -> Result<BacklogRow> {
    Ok(on_db!(conn, |c| sqlx::query_as(BACKLOG).fetch_one(c).await)?)
}

pub(super) async fn forget(conn: &mut Conn<'_>, user: UserId) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(FORGET).bind(user.as_uuid()).execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Which mails are wanted; `None` means all.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) before: Option<Uuid>,
    pub(super) state: Option<&'a str>,
    pub(super) template: Option<&'a str>,
    pub(super) user: Option<UserId>,
    pub(super) limit: i64,
}

pub(super) async fn list(conn: &mut Conn<'_>, wanted: &Wanted<'_>) -> Result<Vec<ListedRow>> {
    Ok(on_db!(conn, |c| sqlx::query_as(LIST)
        .bind(wanted.before)
        .bind(wanted.state)
        .bind(wanted.template)
        .bind(wanted.user.map(UserId::as_uuid))
        .bind(wanted.limit)
        .fetch_all(c)
        .await)?)
}

pub(super) async fn by_id(conn: &mut Conn<'_>, id: MailId) -> Result<Option<ListedRow>> {
    Ok(on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?)
}

pub(super) async fn due_now(conn: &mut Conn<'_>, id: MailId, now: Timestamp) -> Result<bool> {
    let found: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(DUE_NOW)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(found.is_some())
}

pub(super) async fn drop_mail(conn: &mut Conn<'_>, id: MailId, now: Timestamp) -> Result<bool> {
    let found: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(DROP)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(found.is_some())
}

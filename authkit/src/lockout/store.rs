//! Statements on `authkit_lockouts`. No time is judged here: what is over is found by [`super::row`], and written
//! back only over the version that was read.

use uuid::Uuid;

use super::model::{LockKind, LockoutFilter};
use super::row::Row;
use super::tags::Tags;
use crate::db::{Conn, Twin, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{LockoutId, UserId};

macro_rules! columns {
    () => {
        "row_key, id, kind, user_id, failures, pending, pending_before, round, round_at, reserved_at, \
         first_failure_at, last_failure_at, locked_at, locked_until, lock_count, tags, touched_at, version"
    };
}

const BY_KEYS: &str =
    concat!("SELECT ", columns!(), " FROM authkit_lockouts WHERE row_key IN ($1, $2, $3, $4, $5, $6)");
/// What a reservation does to a row that is there, and what it tells.
macro_rules! reservation {
    () => {
        " ON CONFLICT (row_key) DO UPDATE SET pending = authkit_lockouts.pending + 1,
        round_at = CASE WHEN authkit_lockouts.pending + authkit_lockouts.pending_before = 0 THEN $5
            ELSE authkit_lockouts.round_at END,
        reserved_at = $5, touched_at = $5, user_id = COALESCE(excluded.user_id, authkit_lockouts.user_id),
        version = authkit_lockouts.version + 1
    WHERE authkit_lockouts.locked_until IS NULL
      AND authkit_lockouts.failures + authkit_lockouts.pending + authkit_lockouts.pending_before < $6
      AND (authkit_lockouts.last_failure_at IS NULL OR authkit_lockouts.last_failure_at > $7)
    RETURNING round, EXISTS (SELECT 1 FROM authkit_lockouts o
        WHERE o.row_key IN ($8, $9, $10, $11) AND o.locked_until > $5) AS blocked"
    };
}

/// The reservation: ONE guarded upsert. It refuses a row that is locked, full, or due to be looked at; whether an
/// address got locked since it was read is told with it.
///
/// A twin, since PostgreSQL must be asked in the statement not to wait for the disk: the settlement does, and no
/// client learns anything before it.
const RESERVE: Twin = Twin {
    sqlite: concat!(
        "INSERT INTO authkit_lockouts (row_key, id, kind, user_id, failures, pending, pending_before, round,
        round_at, reserved_at, lock_count, tags, touched_at, version)
    VALUES ($1, $2, $3, $4, 0, 1, 0, 0, $5, $5, 0, '', $5, 1)",
        reservation!()
    ),
    postgres: concat!(
        "INSERT INTO authkit_lockouts (row_key, id, kind, user_id, failures, pending, pending_before, round,
        round_at, reserved_at, lock_count, tags, touched_at, version)
    SELECT $1, $2, $3, $4, 0, 1, 0, 0, $5, $5, 0, '', $5, 1
    FROM (SELECT set_config('synchronous_commit', 'off', TRUE) AS sync) AS relaxed WHERE relaxed.sync = 'off'",
        reservation!()
    ),
};
/// Writes back a row that was looked at, unless another was first.
const REPLACE: &str =
    "UPDATE authkit_lockouts SET user_id = $3, failures = $4, pending = $5, pending_before = $6, round = $7,
        round_at = $8, reserved_at = $9, first_failure_at = $10, last_failure_at = $11, locked_at = $12,
        locked_until = $13, lock_count = $14, tags = $15, touched_at = $16, version = version + 1
    WHERE row_key = $1 AND version = $2 RETURNING version";
/// Takes a row, new or old, until the transaction ends.
const TAKE: &str = concat!(
    "INSERT INTO authkit_lockouts (row_key, id, kind, failures, pending, pending_before, round, round_at,
        reserved_at, lock_count, tags, touched_at, version)
    VALUES ($1, $2, $3, 0, 0, 0, 0, $4, $4, 0, '', $4, 1)
    ON CONFLICT (row_key) DO UPDATE SET version = authkit_lockouts.version + 1
    RETURNING ",
    columns!()
);
/// A reservation becomes a failure; the one that reaches the threshold locks. A reservation whose round is over was
/// counted before.
const SETTLE_FAILURE: &str = concat!(
    "UPDATE authkit_lockouts SET failures = failures + 1,
        pending = CASE WHEN round = $2 THEN pending - 1 ELSE pending END,
        pending_before = CASE WHEN round = $2 THEN pending_before ELSE pending_before - 1 END,
        first_failure_at = COALESCE(first_failure_at, $3), last_failure_at = $3,
        locked_at = CASE WHEN failures + 1 >= $4 AND locked_until IS NULL THEN $3 ELSE locked_at END,
        lock_count = CASE WHEN failures + 1 >= $4 AND locked_until IS NULL THEN lock_count + 1
            ELSE lock_count END,
        locked_until = CASE WHEN failures + 1 >= $4 AND locked_until IS NULL THEN $5 ELSE locked_until END,
        touched_at = $3, version = version + 1
    WHERE row_key = $1
      AND ((round = $2 AND pending > 0) OR (round = $2 + 1 AND pending_before > 0)) RETURNING ",
    columns!()
);
const SETTLE_BACK: &str = "UPDATE authkit_lockouts SET
        pending = CASE WHEN round = $2 THEN pending - 1 ELSE pending END,
        pending_before = CASE WHEN round = $2 THEN pending_before ELSE pending_before - 1 END,
        touched_at = $3, version = version + 1
    WHERE row_key = $1
      AND ((round = $2 AND pending > 0) OR (round = $2 + 1 AND pending_before > 0)) RETURNING round";
/// Failures are forgotten; what others are trying at this moment stays reserved.
const SETTLE_SUCCESS: &str = "UPDATE authkit_lockouts SET failures = 0, first_failure_at = NULL,
        last_failure_at = NULL, locked_at = NULL, locked_until = NULL, lock_count = 0,
        pending = CASE WHEN round = $2 THEN pending - 1 ELSE pending END,
        pending_before = CASE WHEN round = $2 THEN pending_before ELSE pending_before - 1 END,
        touched_at = $3, version = version + 1
    WHERE row_key = $1
      AND ((round = $2 AND pending > 0) OR (round = $2 + 1 AND pending_before > 0)) RETURNING round";
/// Failures of a row that is not locked are forgotten.
const FORGIVE: &str =
    "UPDATE authkit_lockouts SET failures = 0, first_failure_at = NULL, last_failure_at = NULL,
        touched_at = $2, version = version + 1
    WHERE row_key = $1 AND locked_until IS NULL AND failures > 0";
/// Newest first; ids sort by time. Only what counts something.
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_lockouts
    WHERE (failures > 0 OR locked_until IS NOT NULL OR pending + pending_before > 0)
      AND ($1 IS NULL OR id < $1) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR user_id = $3)
      AND (NOT $4 OR locked_until > $5)
      AND (NOT $6 OR row_key IN ($7, $8, $9, $10, $11, $12))
    ORDER BY id DESC LIMIT $13"
);
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_lockouts WHERE id = $1");
const OF_USER: &str =
    concat!("SELECT ", columns!(), " FROM authkit_lockouts WHERE user_id = $1 ORDER BY row_key");
const DELETE_OF_USER: &str = "DELETE FROM authkit_lockouts WHERE user_id = $1 OR row_key IN ($2, $3)";
/// Whatever was not touched for so long that neither window, lock nor growth can still need it.
const SWEEP: &str = "DELETE FROM authkit_lockouts WHERE row_key IN
        (SELECT row_key FROM authkit_lockouts WHERE touched_at < $1 AND (locked_until IS NULL OR locked_until < $2)
         ORDER BY touched_at LIMIT $3)
      AND touched_at < $1 AND (locked_until IS NULL OR locked_until < $2)";

row! {
    struct StoredRow {
        row_key: String, id: Uuid, kind: String, user_id: Option<Uuid>, failures: i64, pending: i64,
        pending_before: i64, round: i64, round_at: i64, reserved_at: i64, first_failure_at: Option<i64>,
        last_failure_at: Option<i64>, locked_at: Option<i64>, locked_until: Option<i64>, lock_count: i64,
        tags: String, touched_at: i64, version: i64,
    }
}

row! {
    struct ReservedRow { round: i64, blocked: bool }
}

impl StoredRow {
    fn into_row(self) -> Result<Row> {
        let kind =
            LockKind::from_name(&self.kind).ok_or_else(|| Error::internal("a lockout of an unknown kind"))?;
        Ok(Row {
            key: self.row_key,
            id: LockoutId::from_uuid(self.id),
            kind,
            user: self.user_id.map(UserId::from_uuid),
            failures: self.failures,
            pending: self.pending,
            pending_before: self.pending_before,
            round: self.round,
            round_at: self.round_at,
            reserved_at: self.reserved_at,
            first_failure_at: self.first_failure_at,
            last_failure_at: self.last_failure_at,
            locked_at: self.locked_at,
            locked_until: self.locked_until,
            lock_count: self.lock_count,
            tags: Tags::parse(&self.tags),
            touched_at: self.touched_at,
            version: self.version,
        })
    }
}

/// A place among the attempts that may be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) round: i64,
    /// An address got locked since it was looked at: the place must be given back.
    pub(crate) blocked: bool,
}

/// What a reservation asks for.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) key: &'a str,
    /// Of a row that is not there yet.
    pub(crate) id: LockoutId,
    pub(crate) kind: LockKind,
    pub(crate) user: Option<UserId>,
    pub(crate) now: i64,
    pub(crate) threshold: i64,
    /// A row whose last failure is not younger is due to be looked at.
    pub(crate) window_from: i64,
    /// Rows whose lock blocks this attempt, too.
    pub(crate) others: [&'a str; 4],
}

/// Rows of up to six keys, in no order. Empty texts are keys of nothing.
pub(crate) async fn by_keys(conn: &mut Conn<'_>, keys: [&str; 6]) -> Result<Vec<Row>> {
    let rows: Vec<StoredRow> = on_db!(conn, |c| keys
        .into_iter()
        .fold(sqlx::query_as(BY_KEYS), sqlx::query::QueryAs::bind)
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(StoredRow::into_row).collect()
}

/// `None` when the row is locked, full, or due to be looked at.
pub(crate) async fn reserve(conn: &mut Conn<'_>, ask: &Ask<'_>) -> Result<Option<Reserved>> {
    let [ip, old_ip, network, old_network] = ask.others;
    let sql = RESERVE.on(conn);
    let row: Option<ReservedRow> = on_db!(conn, |c| sqlx::query_as(sql)
        .bind(ask.key)
        .bind(ask.id.as_uuid())
        .bind(ask.kind.name())
        .bind(ask.user.map(UserId::as_uuid))
        .bind(ask.now)
        .bind(ask.threshold)
        .bind(ask.window_from)
        .bind(ip)
        .bind(old_ip)
        .bind(network)
        .bind(old_network)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(|row| Reserved { round: row.round, blocked: row.blocked }))
}

/// `false` when the row changed since `row.version` was read.
pub(crate) async fn replace(conn: &mut Conn<'_>, row: &Row) -> Result<bool> {
    let done: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(REPLACE)
        .bind(row.key.as_str())
        .bind(row.version)
        .bind(row.user.map(UserId::as_uuid))
        .bind(row.failures)
        .bind(row.pending)
        .bind(row.pending_before)
        .bind(row.round)
        .bind(row.round_at)
        .bind(row.reserved_at)
        .bind(row.first_failure_at)
        .bind(row.last_failure_at)
        .bind(row.locked_at)
        .bind(row.locked_until)
        .bind(row.lock_count)
        .bind(row.tags.to_text())
        .bind(row.touched_at)
        .fetch_optional(c)
        .await)?;
    Ok(done.is_some())
}

/// The row of that key, made when it is not there, and held until the transaction ends.
pub(crate) async fn take(
    conn: &mut Conn<'_>,
    key: &str,
    id: LockoutId,
    kind: LockKind,
    now: i64,
) -> Result<Row> {
    let row: StoredRow = on_db!(conn, |c| sqlx::query_as(TAKE)
        .bind(key)
        .bind(id.as_uuid())
        .bind(kind.name())
        .bind(now)
        .fetch_one(c)
        .await)?;
    row.into_row()
}

/// The row after a reservation became a failure; `None` when it was counted before, or the row is gone.
pub(crate) async fn settle_failure(
    conn: &mut Conn<'_>,
    key: &str,
    round: i64,
    now: i64,
    threshold: i64,
    lock_until: i64,
) -> Result<Option<Row>> {
    let row: Option<StoredRow> = on_db!(conn, |c| sqlx::query_as(SETTLE_FAILURE)
        .bind(key)
        .bind(round)
        .bind(now)
        .bind(threshold)
        .bind(lock_until)
        .fetch_optional(c)
        .await)?;
    row.map(StoredRow::into_row).transpose()
}

/// `false` when the reservation was taken for left behind, or the row is gone.
pub(crate) async fn settle_back(conn: &mut Conn<'_>, key: &str, round: i64, now: i64) -> Result<bool> {
    settle(conn, SETTLE_BACK, key, round, now).await
}

/// `false` when the reservation was taken for left behind, or the row is gone.
pub(crate) async fn settle_success(conn: &mut Conn<'_>, key: &str, round: i64, now: i64) -> Result<bool> {
    settle(conn, SETTLE_SUCCESS, key, round, now).await
}

/// Forgets the failures of a row unless it is locked.
pub(crate) async fn forgive(conn: &mut Conn<'_>, key: &str, now: i64) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(FORGIVE).bind(key).bind(now).execute(c).await.map(|_| ()))?;
    Ok(())
}

async fn settle(
    conn: &mut Conn<'_>,
    statement: &'static str,
    key: &str,
    round: i64,
    now: i64,
) -> Result<bool> {
    let done: Option<i64> = on_db!(conn, |c| sqlx::query_scalar(statement)
        .bind(key)
        .bind(round)
        .bind(now)
        .fetch_optional(c)
        .await)?;
    Ok(done.is_some())
}

/// Newest first. `keys` stands for the e-mail and the address of the filter, whose text the store does not have.
pub(crate) async fn list(
    conn: &mut Conn<'_>,
    filter: &LockoutFilter,
    keys: Option<[&str; 6]>,
    now: i64,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Row>> {
    let rows: Vec<StoredRow> = on_db!(conn, |c| {
        let query = sqlx::query_as(LIST)
            .bind(before)
            .bind(filter.kind.map(LockKind::name))
            .bind(filter.user_id.map(UserId::as_uuid))
            .bind(filter.locked)
            .bind(now)
            .bind(keys.is_some());
        let query = keys.unwrap_or_default().into_iter().fold(query, sqlx::query::QueryAs::bind);
        query.bind(limit).fetch_all(c).await
    })?;
    rows.into_iter().map(StoredRow::into_row).collect()
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: LockoutId) -> Result<Option<Row>> {
    let row: Option<StoredRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    row.map(StoredRow::into_row).transpose()
}

pub(crate) async fn of_user(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<Row>> {
    let rows: Vec<StoredRow> =
        on_db!(conn, |c| sqlx::query_as(OF_USER).bind(user.as_uuid()).fetch_all(c).await)?;
    rows.into_iter().map(StoredRow::into_row).collect()
}

/// For the purge of an account: its rows, and those of its e-mail.
pub(crate) async fn delete_of_user(conn: &mut Conn<'_>, user: UserId, email: [&str; 2]) -> Result<u64> {
    let [key, old_key] = email;
    Ok(on_db!(conn, |c| sqlx::query(DELETE_OF_USER)
        .bind(user.as_uuid())
        .bind(key)
        .bind(old_key)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Removes up to `limit` rows last touched before `untouched_since` whose lock, if any, ended before `now`. Returns
/// how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, untouched_since: i64, now: i64, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(untouched_since)
        .bind(now)
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

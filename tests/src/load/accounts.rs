//! Accounts put into the server's tables directly: signing up 200,000 of them would take an hour of hashing.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{PASSWORD, email, hashing};
use crate::backends::{Backend, Store};

const USERS: &str = "INSERT INTO authkit_users \
    (id, email, email_key, name, email_verified_at, status, profile, ver, epoch, created_at, updated_at) ";
const ROLES: &str = "INSERT INTO authkit_user_roles (user_id, role, granted_at) ";
const PASSWORDS: &str = "INSERT INTO authkit_passwords (user_id, hash, changed_at) ";
const SESSIONS: &str = "INSERT INTO authkit_sessions \
    (id, user_id, epoch, key_id, counter, created_at, rotated_at, absolute_expires_at, auth_time, amr) ";
/// A session a user, when the server has made a key for it.
const KEY: &str = "SELECT MIN(kid) FROM authkit_keys WHERE purpose = 'token'";
const CHUNK: usize = 10_000;
const LIFE: i64 = 90 * 86_400 * 1_000_000;

/// Makes accounts 0 to `n` with the role `user`, the password of all load accounts and one session each.
pub(crate) async fn insert(store: &Store, n: usize) {
    let hash = hashing::phc(PASSWORD);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let now = i64::try_from(since.as_micros()).expect("a time of this era");
    match store.backend() {
        Backend::Sqlite => sqlite(store.url(), n, &hash, now).await,
        Backend::Postgres => postgres(store.url(), n, &hash, now).await,
    }
    .expect("insert accounts");
}

async fn sqlite(url: &str, n: usize, hash: &str, now: i64) -> sqlx::Result<()> {
    let mut connection = SqliteConnection::connect(url).await?;
    let key: Option<String> = sqlx::query_scalar(KEY).fetch_one(&mut connection).await?;
    let users = format!("{USERS} VALUES ($1, $2, $2, 'Load', $3, 'active', '{{}}', 1, 1, $3, $3)");
    let roles = format!("{ROLES} VALUES ($1, 'user', $2)");
    let passwords = format!("{PASSWORDS} VALUES ($1, $2, $3)");
    let sessions = format!("{SESSIONS} VALUES ($1, $2, 1, $3, 0, $4, $4, $5, $4, 'pwd')");
    let sql = |text: &String| sqlx::AssertSqlSafe(text.clone());
    let mut start = 0;
    while start < n {
        let end = (start + CHUNK).min(n);
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
        for i in start..end {
            let id = Uuid::now_v7();
            sqlx::query(sql(&users)).bind(id).bind(email(i)).bind(now).execute(&mut *tx).await?;
            sqlx::query(sql(&roles)).bind(id).bind(now).execute(&mut *tx).await?;
            sqlx::query(sql(&passwords)).bind(id).bind(hash.to_owned()).bind(now).execute(&mut *tx).await?;
            if let Some(key) = &key {
                let session = sqlx::query(sql(&sessions)).bind(Uuid::now_v7()).bind(id).bind(key.clone());
                session.bind(now).bind(now + LIFE).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        start = end;
    }
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
    connection.close().await
}

async fn postgres(url: &str, n: usize, hash: &str, now: i64) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let key: Option<String> = sqlx::query_scalar(KEY).fetch_one(&mut connection).await?;
    let sql = |head: &str, tail: &str| sqlx::AssertSqlSafe(format!("{head} {tail}"));
    let mut start = 0;
    while start < n {
        let end = (start + CHUNK).min(n);
        let ids: Vec<Uuid> = (start..end).map(|_| Uuid::now_v7()).collect();
        let emails: Vec<String> = (start..end).map(email).collect();
        let mut tx = connection.begin().await?;
        let tail = "SELECT i, e, e, 'Load', $3, 'active', '{}', 1, 1, $3, $3 FROM UNNEST($1::uuid[], $2::text[]) AS t (i, e)";
        sqlx::query(sql(USERS, tail)).bind(ids.clone()).bind(emails).bind(now).execute(&mut *tx).await?;
        let tail = "SELECT i, 'user', $2 FROM UNNEST($1::uuid[]) AS t (i)";
        sqlx::query(sql(ROLES, tail)).bind(ids.clone()).bind(now).execute(&mut *tx).await?;
        let tail = "SELECT i, $2, $3 FROM UNNEST($1::uuid[]) AS t (i)";
        let passwords = sqlx::query(sql(PASSWORDS, tail)).bind(ids.clone()).bind(hash.to_owned());
        passwords.bind(now).execute(&mut *tx).await?;
        if let Some(key) = &key {
            let tail = "SELECT s, i, 1, $3, 0, $4, $4, $5, $4, 'pwd' FROM UNNEST($1::uuid[], $2::uuid[]) AS t (s, i)";
            let sessions: Vec<Uuid> = ids.iter().map(|_| Uuid::now_v7()).collect();
            let query = sqlx::query(sql(SESSIONS, tail)).bind(sessions).bind(ids).bind(key.clone());
            query.bind(now).bind(now + LIFE).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        start = end;
    }
    connection.execute("VACUUM ANALYZE").await?;
    connection.close().await
}

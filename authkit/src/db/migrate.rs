//! Migrations in a table of our own, beside whatever the host migrates.
//!
//! All that is missing is applied in one transaction, under a lock (`BEGIN IMMEDIATE`; an advisory lock on
//! PostgreSQL), so that a crash in the middle leaves the schema as it was and two processes that start together
//! do not meet. sqlx's own runner has no lock on SQLite and one transaction a migration.

use super::{Conn, Db, on_db};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Clock;

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        }
    };
}

/// In order; never edited once released.
const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_foundation"),
    migration!(2, "0002_lockout"),
    migration!(3, "0003_outbox"),
    migration!(4, "0004_links"),
    migration!(5, "0005_mfa"),
    migration!(6, "0006_passkeys"),
    migration!(7, "0007_authorization"),
    migration!(8, "0008_api_keys"),
];

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS _authkit_migrations (
    version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
const LIST: &str = "SELECT version, checksum FROM _authkit_migrations ORDER BY version";
const RECORD: &str =
    "INSERT INTO _authkit_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)";

/// How the store's schema compares with what this build expects. Numbers are migration versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaStatus {
    /// `authctl migrate up` is needed.
    Behind {
        /// Version of the store, 0 when empty.
        applied: i64,
        /// Version of this build.
        expected: i64,
    },
    /// Nothing to do.
    Current {
        /// Version of both.
        applied: i64,
    },
    /// A newer authkit has been here: this build must not touch the store.
    Ahead {
        /// Version of the store.
        applied: i64,
        /// Version of this build.
        expected: i64,
    },
}

impl SchemaStatus {
    /// Refuses unless the schema is exactly what this build expects.
    pub fn require_current(self) -> Result<()> {
        match self {
            Self::Current { .. } => Ok(()),
            Self::Behind { applied, expected } => Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "the store's schema is at {applied}, this build needs {expected}: run `authctl migrate up`"
                ),
            )),
            Self::Ahead { applied, expected } => Err(Error::new(
                ErrorKind::Schema,
                format!(
                    "the store's schema is at {applied}, newer than this build's {expected}: use a newer authkit"
                ),
            )),
        }
    }
}

impl Db {
    /// How the store's schema compares with what this build expects. Changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] when an applied migration differs from ours.
    pub async fn schema_status(&self) -> Result<SchemaStatus> {
        let applied = self.read(|conn| Box::pin(async move { applied(conn).await })).await?;
        status(&applied)
    }

    /// Applies all missing migrations, or none. Returns how many.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] when the store is ahead of this build or an applied migration differs.
    pub async fn migrate(&self, clock: &dyn Clock) -> Result<usize> {
        let now = clock.now().as_micros();
        match &self.inner {
            #[cfg(feature = "sqlite")]
            super::Inner::Sqlite { writer, .. } => {
                let mut pooled = writer.connection().await?;
                let mut conn = Conn::sqlite(&mut pooled);
                conn.batch("BEGIN IMMEDIATE").await?;
                let out = apply_missing(&mut conn, now).await;
                let end = if out.is_ok() { "COMMIT" } else { "ROLLBACK" };
                conn.batch(end).await?;
                out
            }
            #[cfg(feature = "postgres")]
            super::Inner::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let mut conn = Conn::postgres(&mut tx);
                conn.batch(
                    "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(4702111234474983745)",
                )
                .await?;
                let count = apply_missing(&mut conn, now).await?;
                tx.commit().await?;
                Ok(count)
            }
            super::Inner::None(never) => match *never {},
        }
    }
}

async fn applied(conn: &mut Conn<'_>) -> Result<Vec<(i64, String)>> {
    let exists: bool = on_db!(conn, |c| table_exists(c).await)?;
    if !exists {
        return Ok(Vec::new());
    }
    Ok(on_db!(conn, |c| sqlx::query_as(LIST).fetch_all(c).await)?)
}

/// The two engines name their tables in different catalogues.
trait Catalogue {
    async fn exists(&mut self) -> std::result::Result<bool, sqlx::Error>;
}

#[cfg(feature = "sqlite")]
impl Catalogue for sqlx::SqliteConnection {
    async fn exists(&mut self) -> std::result::Result<bool, sqlx::Error> {
        const SQL: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_authkit_migrations')";
        sqlx::query_scalar(SQL).fetch_one(self).await
    }
}

#[cfg(feature = "postgres")]
impl Catalogue for sqlx::PgConnection {
    async fn exists(&mut self) -> std::result::Result<bool, sqlx::Error> {
        const SQL: &str = "SELECT to_regclass('_authkit_migrations') IS NOT NULL";
        sqlx::query_scalar(SQL).fetch_one(self).await
    }
}

async fn table_exists(conn: &mut impl Catalogue) -> std::result::Result<bool, sqlx::Error> {
    conn.exists().await
}

fn status(applied: &[(i64, String)]) -> Result<SchemaStatus> {
    let expected = MIGRATIONS.last().map_or(0, |m| m.version);
    let newest = applied.last().map_or(0, |(version, _)| *version);
    if newest > expected {
        return Ok(SchemaStatus::Ahead { applied: newest, expected });
    }
    for (migration, (version, sum)) in MIGRATIONS.iter().zip(applied) {
        if migration.version != *version || checksum(migration) != *sum {
            let text = format!("migration {version} in the store is not the one of this build");
            return Err(Error::new(ErrorKind::Schema, text));
        }
    }
    if newest < expected {
        return Ok(SchemaStatus::Behind { applied: newest, expected });
    }
    Ok(SchemaStatus::Current { applied: newest })
}

async fn apply_missing(conn: &mut Conn<'_>, now: i64) -> Result<usize> {
    conn.batch(CREATE_TABLE).await?;
    let applied = applied(conn).await?;
    let first = match status(&applied)? {
        SchemaStatus::Current { .. } => return Ok(0),
        ahead @ SchemaStatus::Ahead { .. } => {
            ahead.require_current()?;
            return Ok(0);
        }
        SchemaStatus::Behind { applied, .. } => applied,
    };
    let mut count = 0;
    for migration in MIGRATIONS.iter().filter(|m| m.version > first) {
        let sql = match conn.0 {
            #[cfg(feature = "sqlite")]
            super::ConnInner::Sqlite(_) => migration.sqlite,
            #[cfg(feature = "postgres")]
            super::ConnInner::Postgres(_) => migration.postgres,
            super::ConnInner::None(never, _) => match never {},
        };
        conn.batch(sql).await?;
        let () = on_db!(conn, |c| sqlx::query(RECORD)
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum(migration))
            .bind(now)
            .execute(c)
            .await
            .map(|_| ()))?;
        count += 1;
    }
    Ok(count)
}

/// Over both engines' texts, so that the same number means the same on either.
fn checksum(migration: &Migration) -> String {
    use std::fmt::Write as _;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(migration.sqlite.as_bytes());
    context.update(&[0]);
    context.update(migration.postgres.as_bytes());
    context.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

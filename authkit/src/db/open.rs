//! Opening a store by URL, or on the pool of a host.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::str::FromStr as _;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::sync::Arc;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::time::Duration;

use super::Db;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use super::{Inner, Running};
use crate::error::{Error, Result};

/// How long a request waits for a connection.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
#[cfg(feature = "sqlite")]
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
#[cfg(feature = "sqlite")]
const SQLITE_READERS: u32 = 4;
#[cfg(feature = "postgres")]
const POSTGRES_CONNECTIONS: u32 = 16;

impl Db {
    /// Opens `sqlite://PATH` (made when missing), `sqlite::memory:` or `postgres://USER@HOST/NAME`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for a URL that cannot be read or an engine that this build has not;
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), expect(clippy::unused_async))]
    pub async fn connect(url: &str) -> Result<Self> {
        match url.split(':').next().unwrap_or_default() {
            #[cfg(feature = "sqlite")]
            "sqlite" => Self::connect_sqlite(url).await,
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Self::connect_postgres(url).await,
            #[cfg(not(feature = "sqlite"))]
            "sqlite" => Err(Error::config("DATABASE_URL names SQLite, which this build does not have")),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => {
                Err(Error::config("DATABASE_URL names PostgreSQL, which this build does not have"))
            }
            _ => Err(Error::config("DATABASE_URL must start with sqlite: or postgres:")),
        }
    }

    #[cfg(feature = "sqlite")]
    async fn connect_sqlite(url: &str) -> Result<Self> {
        use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
        let memory = url.contains(":memory:") || url.contains("mode=memory");
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|e| Error::config("DATABASE_URL is not a SQLite URL").with_source(e))?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an acknowledged commit survives a power cut, not only a crash of the process (R11).
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        if memory {
            // Each connection would have a database of its own.
            return Ok(Self::from(pool(1).connect_with(options).await?));
        }
        make_private(options.get_filename())?;
        // The writer first: it makes the file and switches it to WAL before a reader comes.
        let writer = connect_when_free(|| pool(1).connect_with(options.clone())).await?;
        let options = options.create_if_missing(false);
        let readers = connect_when_free(|| pool(SQLITE_READERS).connect_with(options.clone())).await?;
        Ok(Self::new(Inner::Sqlite { readers, writer: super::writer::Writer::of_own(writer) }))
    }

    #[cfg(feature = "postgres")]
    async fn connect_postgres(url: &str) -> Result<Self> {
        use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::config("DATABASE_URL is not a PostgreSQL URL"))?
            .options([("statement_timeout", "2000"), ("idle_in_transaction_session_timeout", "10000")])
            .application_name("authkit");
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A ping before each use would double the round trips; a broken connection is thrown away on use.
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self::from(pool))
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    fn new(inner: Inner) -> Self {
        Self { inner, running: Arc::new(Running::default()) }
    }
}

/// Switching a new file to WAL needs it for oneself, and SQLite does not wait for that: of processes that start
/// together all but one are told "locked" at first.
#[cfg(feature = "sqlite")]
async fn connect_when_free<F>(mut connect: impl FnMut() -> F) -> Result<sqlx::SqlitePool>
where
    F: Future<Output = std::result::Result<sqlx::SqlitePool, sqlx::Error>>,
{
    const PAUSE: Duration = Duration::from_millis(50);
    let mut tries = BUSY_TIMEOUT.as_millis() / PAUSE.as_millis();
    loop {
        match connect().await {
            Err(sqlx::Error::Database(error))
                if tries > 0 && error.code().is_some_and(|code| code == "5") =>
            {
                tries -= 1;
                tokio::time::sleep(PAUSE).await;
            }
            out => return Ok(out?),
        }
    }
}

/// A database that is made anew is for its owner only: it holds password hashes. SQLite gives its side files the
/// same mode.
#[cfg(feature = "sqlite")]
fn make_private(path: &std::path::Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let text = format!("DATABASE_URL: the file {} cannot be made: {error}", path.display());
            Err(Error::unavailable(text).with_source(error))
        }
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::SqlitePool> for Db {
    /// Uses the host's own pool. Foreign keys must be on (sqlx's default), and WAL is advised.
    fn from(pool: sqlx::SqlitePool) -> Self {
        let writer = super::writer::Writer::new(pool.clone());
        Self::new(Inner::Sqlite { readers: pool, writer })
    }
}

#[cfg(feature = "postgres")]
impl From<sqlx::PgPool> for Db {
    /// Uses the host's own pool.
    fn from(pool: sqlx::PgPool) -> Self {
        Self::new(Inner::Postgres(pool))
    }
}

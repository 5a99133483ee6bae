//! The store: one SQL text on SQLite and on PostgreSQL.
//!
//! [`Db`], [`Tx`] and [`Conn`] hide which engine is behind them. A statement is one `const` with `$1`
//! parameters that both engines take; `on_db!` gives each engine its own concrete types, so that no
//! function carries trait bounds.
//!
//! Two engines, one meaning. On SQLite one writer at a time runs whole closures and commits them in
//! batches (see `writer.rs`); on PostgreSQL each closure is a transaction at READ COMMITTED, so a guard that
//! looks at other rows first takes the parent row by a guarded UPDATE.

mod conn;
mod error;
pub(crate) mod feed;
mod migrate;
mod open;
pub(crate) mod page;
mod sweep;
#[cfg(feature = "sqlite")]
mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

pub use conn::{Conn, Tx};
pub(crate) use conn::{ConnInner, Twin, on_db, row, without_engine};
pub(crate) use error::{ends_transaction, is_constraint};
pub use migrate::SchemaStatus;
pub use page::{Listing, Page};
pub use sweep::{CleanupJob, SweepBatch};

use crate::error::{Error, Result};

/// How long a request waits for the store before it is answered 503.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1_700);
/// Deadlocks and serialisation failures are tried again so often (PostgreSQL 40P01, 40001).
#[cfg(feature = "postgres")]
const RETRIES: u32 = 3;

/// The engine behind a [`Db`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// SQLite, in process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Engine {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A store. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub struct Db {
    inner: Inner,
    running: Arc<Running>,
}

#[derive(Clone)]
enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite { readers: sqlx::SqlitePool, writer: Arc<writer::Writer> },
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg_attr(
        any(feature = "sqlite", feature = "postgres"),
        expect(dead_code, reason = "keeps the enum inhabited in its shape without an engine")
    )]
    None(std::convert::Infallible),
}

/// Connections of a [`Db`], for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Open connections.
    pub size: u32,
    /// Of these, not in use.
    pub idle: u32,
}

/// What a closure given to the store returns.
pub type Job<'a, T> = BoxFuture<'a, Result<T>>;

impl Db {
    /// The engine behind this store.
    pub fn engine(&self) -> Engine {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Engine::Postgres,
            Inner::None(never) => match *never {},
        }
    }

    /// Connections, for metrics.
    pub fn pool_stats(&self) -> PoolStats {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { readers, .. } => {
                PoolStats { size: readers.size(), idle: idle(readers.num_idle()) }
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => PoolStats { size: pool.size(), idle: idle(pool.num_idle()) },
            Inner::None(never) => match *never {},
        }
    }

    /// Runs `job` on a connection of its own, outside of any transaction. For reads.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the store does not answer within two seconds.
    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(unused_variables, clippy::unused_async)
    )]
    pub async fn read<T, F>(&self, job: F) -> Result<T>
    where
        T: Send,
        F: for<'a, 'c> FnOnce(&'a mut Conn<'c>) -> Job<'a, T> + Send,
    {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { readers, .. } => {
                bounded(async {
                    let mut pooled = readers.acquire().await?;
                    job(&mut Conn::sqlite(&mut pooled)).await
                })
                .await
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => {
                bounded(async {
                    let mut pooled = pool.acquire().await?;
                    let out = job(&mut Conn::postgres(&mut pooled)).await;
                    discard_if_broken(pooled, &out);
                    out
                })
                .await
            }
            Inner::None(never) => match *never {},
        }
    }

    /// Runs `job` in a write transaction and commits it when it returns `Ok`.
    ///
    /// A refusal that must leave a trace (a counter, a dead session, an audit row) is an `Ok` of the job; an
    /// `Err` rolls back. The job may run again after a deadlock. It goes on when the caller goes away.
    ///
    /// # Errors
    /// The job's own, and [`crate::ErrorKind::Unavailable`]. When the store was too slow the outcome is
    /// unknown to the caller: wholly there or wholly absent.
    pub async fn write<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        self.submit(job, Shape::Transaction).await
    }

    /// As [`Self::write`], in a transaction that no other job shares: for jobs that run a host's code.
    pub(crate) async fn write_alone<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        self.submit(job, Shape::Alone).await
    }

    /// Runs `job` in a transaction of its own that is always rolled back, and gives its answer: what a write
    /// would do.
    pub(crate) async fn rehearse<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let shared = Arc::new((job, Arc::clone(&answer)));
        let end: Result<()> = self
            .submit(
                move |tx| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move {
                        let value = (shared.0)(tx).await?;
                        *shared.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                        Err(Error::internal("a rehearsal is always rolled back"))
                    })
                },
                Shape::Alone,
            )
            .await;
        let value = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (value, end) {
            (Some(value), Err(_)) => Ok(value),
            (None, Err(error)) => Err(error),
            (_, Ok(())) => Err(Error::internal("a rehearsal was committed")),
        }
    }

    /// Runs a job that consists of ONE writing statement, which is its own transaction: on PostgreSQL one
    /// round trip, on SQLite without a savepoint.
    pub(crate) async fn write_statement<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        self.submit(job, Shape::Statement).await
    }

    /// As [`Self::write_statement`], for what may be lost together with the power: nobody is told of it before
    /// something later is durable, which makes it durable, too. On SQLite it waits for no disk when nobody writes beside
    /// it; on PostgreSQL the statement itself must ask for that.
    pub(crate) async fn write_ahead<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        self.submit(job, Shape::Ahead).await
    }

    #[cfg_attr(
        not(any(feature = "sqlite", feature = "postgres")),
        expect(unused_variables, clippy::unused_async)
    )]
    async fn submit<T, F>(&self, job: F, shape: Shape) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { writer, .. } => bounded(writer.submit(job, shape, self.running.enter())).await,
            // No task of its own: whoever goes away leaves one statement that is done whole or not at all.
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) if shape.is_statement() => {
                let _guard = self.running.enter();
                bounded(postgres_write(pool, &job, shape)).await
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => {
                let pool = pool.clone();
                let guard = self.running.enter();
                let task = tokio::spawn(async move {
                    let _guard = guard;
                    postgres_write(&pool, &job, shape).await
                });
                bounded(async {
                    task.await.map_err(|e| Error::internal("a write job panicked").with_source(e))?
                })
                .await
            }
            Inner::None(never) => match *never {},
        }
    }

    /// Marks something as under way that ends in writes, so that [`Self::drain`] waits for it.
    pub(crate) fn under_way(&self) -> RunningGuard {
        self.running.enter()
    }

    /// Waits until no write is under way. Call it at shutdown, after the last request was answered.
    pub async fn drain(&self) {
        self.running.idle().await;
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { readers, writer } => {
                writer.close().await;
                readers.close().await;
            }
            #[cfg(feature = "postgres")]
            Inner::Postgres(pool) => pool.close().await,
            Inner::None(never) => match *never {},
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

/// How a write job wants to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// One statement, atomic by itself.
    Statement,
    /// A statement that need not be durable before something later is.
    Ahead,
    /// Several statements that stand or fall together.
    Transaction,
    /// A transaction that no other job may share.
    Alone,
}

impl Shape {
    fn is_statement(self) -> bool {
        matches!(self, Self::Statement | Self::Ahead)
    }
}

fn idle(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

async fn bounded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
        Ok(out) => out,
        Err(_) => Err(Error::unavailable("the store did not answer in time")),
    }
}

/// A connection that broke must not go back to the pool: the next request would break on it, too.
#[cfg(feature = "postgres")]
fn discard_if_broken<T>(pooled: sqlx::pool::PoolConnection<sqlx::Postgres>, out: &Result<T>) {
    if out.as_ref().is_err_and(error::connection_is_broken) {
        // An orderly goodbye would wait for a server that is gone.
        drop(pooled.detach());
    }
}

/// A connection that is in use. When its user goes away in mid-statement it is closed: nobody else is to wait for an
/// answer that was not his.
#[cfg(feature = "postgres")]
struct Lease(Option<sqlx::pool::PoolConnection<sqlx::Postgres>>);

#[cfg(feature = "postgres")]
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(pooled) = self.0.take() {
            drop(pooled.detach());
        }
    }
}

#[cfg(feature = "postgres")]
async fn postgres_write<T, F>(pool: &sqlx::PgPool, job: &F, shape: Shape) -> Result<T>
where
    T: Send,
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync,
{
    let mut tries = 0;
    loop {
        tries += 1;
        let mut lease = Lease(Some(pool.acquire().await?));
        let Some(pooled) = lease.0.as_mut() else {
            return Err(Error::internal("a lease without connection"));
        };
        let out = if shape.is_statement() {
            postgres_statement(pooled, job).await
        } else {
            postgres_transaction(pooled, job).await
        };
        let pooled = lease.0.take();
        if out.as_ref().is_err_and(error::is_retryable) && tries <= RETRIES {
            continue;
        }
        if let Some(pooled) = pooled {
            discard_if_broken(pooled, &out);
        }
        return out;
    }
}

#[cfg(feature = "postgres")]
async fn postgres_statement<T, F>(conn: &mut sqlx::PgConnection, job: &F) -> Result<T>
where
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync,
{
    let mut tx = Tx::new(Conn::postgres(conn));
    let value = job(&mut tx).await?;
    tx.committed();
    Ok(value)
}

#[cfg(feature = "postgres")]
async fn postgres_transaction<T, F>(conn: &mut sqlx::PgConnection, job: &F) -> Result<T>
where
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync,
{
    use sqlx::Connection as _;
    let mut transaction = conn.begin().await?;
    let mut tx = Tx::new(Conn::postgres(&mut transaction));
    let out = job(&mut tx).await;
    let after = tx.into_after_commit();
    match out {
        Ok(value) => {
            transaction.commit().await?;
            after.run();
            Ok(value)
        }
        Err(error) => {
            // The job's error matters more than a failed rollback, which the server does by itself.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// Counts the writes under way, for an orderly shutdown.
#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    changed: Notify,
}

/// One write under way.
#[derive(Debug)]
pub(crate) struct RunningGuard(Arc<Running>);

impl Running {
    fn enter(self: &Arc<Self>) -> RunningGuard {
        self.count.fetch_add(1, Ordering::SeqCst);
        RunningGuard(Arc::clone(self))
    }

    async fn idle(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

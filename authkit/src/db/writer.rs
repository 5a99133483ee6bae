//! One writer at a time on SQLite, and group commit.
//!
//! Jobs queue up; a task that lives only while there is work takes them in turn, runs each whole in a
//! savepoint of one `BEGIN IMMEDIATE` transaction, and commits the batch with one disk sync. Jobs that arrive
//! during the sync form the next batch, so throughput grows with concurrency and a lone job waits for nobody.
//!
//! Every answer of a batch, refusals included, waits for the batch's commit, since it may rest on a neighbour's
//! uncommitted row. A constraint error undoes its own savepoint only. Any other database error, and a panic,
//! rolls back the whole batch: each member is answered `UNAVAILABLE`, and the connection is thrown away,
//! because sqlx cannot see a rollback that SQLite did by itself.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};
use tokio::sync::oneshot;

use super::conn::AfterCommit;
use super::{Conn, Job, RunningGuard, Shape, Tx, error};
use crate::error::{Error, Result};

/// Jobs that share one commit at most.
const BATCH: usize = 64;
/// Jobs that may wait; one more is refused at once (R19).
const QUEUE: usize = 4096;

/// The queue and the task that works it off.
#[derive(Debug)]
pub(super) struct Writer {
    pool: SqlitePool,
    /// Nobody else uses the pool, and its connections wait for the disk at each commit.
    own: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Box<dyn Queued>>,
    running: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} queued, running: {}", self.queue.len(), self.running)
    }
}

impl Writer {
    /// On the pool of a host.
    pub(super) fn new(pool: SqlitePool) -> Arc<Self> {
        Arc::new(Self { pool, own: false, state: Mutex::default() })
    }

    /// On a pool of one connection that nobody else uses and that is `synchronous = FULL`.
    pub(super) fn of_own(pool: SqlitePool) -> Arc<Self> {
        Arc::new(Self { pool, own: true, state: Mutex::default() })
    }

    pub(super) async fn submit<T, F>(self: &Arc<Self>, job: F, shape: Shape, guard: RunningGuard) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queued = TypedJob { job, shape, out: None, after: AfterCommit::default(), reply, _guard: guard };
        self.enqueue(Box::new(queued))?;
        answer.await.unwrap_or_else(|_| Err(Error::unavailable("the writer stopped before the commit")))
    }

    /// A connection outside of the queue, for migrations.
    pub(super) async fn connection(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.pool.acquire().await?)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    fn enqueue(self: &Arc<Self>, job: Box<dyn Queued>) -> Result<()> {
        let begins = {
            let mut state = self.state();
            if state.queue.len() >= QUEUE {
                return Err(Error::unavailable("too many writes are waiting"));
            }
            state.queue.push_back(job);
            !std::mem::replace(&mut state.running, true)
        };
        // Not under the lock: a runtime that is going down drops the task at once, and its drop takes the lock.
        if begins {
            tokio::spawn(Shift { writer: Arc::clone(self), over: false }.work());
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job that may join a batch of `size`.
    fn next(&self, size: usize) -> Option<Box<dyn Queued>> {
        let mut state = self.state();
        let first = state.queue.front()?;
        let joins = size == 0 || (size < BATCH && first.shape() != Shape::Alone);
        if joins { state.queue.pop_front() } else { None }
    }

    /// A lone statement is its own transaction: one round trip to the engine instead of three.
    async fn statement(&self) {
        let Some(mut job) = self.next(0) else { return };
        let mut conn = match self.pool.acquire().await {
            Ok(conn) => conn,
            Err(error) => return job.refused(&error.into()),
        };
        // Only alone: whoever shares the commit may need it to be durable.
        let relaxed = self.own
            && job.shape() == Shape::Ahead
            && Conn::sqlite(&mut conn).batch("PRAGMA synchronous = NORMAL").await.is_ok();
        match run_one(&mut conn, job.as_mut(), true).await {
            Ok(()) => job.committed(),
            Err(error) => {
                let _ = conn.close().await;
                return job.refused(&error);
            }
        }
        if relaxed && Conn::sqlite(&mut conn).batch("PRAGMA synchronous = FULL").await.is_err() {
            let _ = conn.close().await;
        }
    }

    async fn batch(&self) {
        let mut conn = match self.begin().await {
            Ok(conn) => conn,
            Err(error) => return self.refuse_one(&error),
        };
        let mut batch: Vec<Box<dyn Queued>> = Vec::new();
        let mut spoilt = None;
        while spoilt.is_none()
            && let Some(mut job) = self.next(batch.len())
        {
            let alone = job.shape() == Shape::Alone;
            spoilt = run_one(&mut conn, job.as_mut(), batch.is_empty()).await.err();
            batch.push(job);
            if alone {
                break;
            }
        }
        let committed = match spoilt {
            None => Conn::sqlite(&mut conn).batch("COMMIT").await.map_err(Error::from),
            Some(error) => Err(error),
        };
        match committed {
            Ok(()) => {
                for job in batch {
                    job.committed();
                }
            }
            Err(error) => {
                tracing::error!(%error, jobs = batch.len(), "a batch of writes was rolled back");
                // Closing the file handle rolls back whatever is still open.
                let _ = conn.close().await;
                for job in batch {
                    job.refused(&error);
                }
            }
        }
    }

    async fn begin(&self) -> Result<PoolConnection<Sqlite>> {
        let mut conn = self.pool.acquire().await?;
        match Conn::sqlite(&mut conn).batch("BEGIN IMMEDIATE").await {
            Ok(()) => Ok(conn),
            Err(error) => {
                let _ = conn.close().await;
                Err(error.into())
            }
        }
    }

    /// Without a transaction the job in front cannot be run; those behind it get a try of their own.
    fn refuse_one(&self, error: &Error) {
        if let Some(job) = self.next(0) {
            job.refused(error);
        }
    }
}

/// The task's hold on the writer: gives `running` back however the task ends, even with its runtime.
struct Shift {
    writer: Arc<Writer>,
    /// It ended by itself; `running` may be another's by now.
    over: bool,
}

impl Shift {
    async fn work(mut self) {
        let writer = Arc::clone(&self.writer);
        loop {
            let lone_statement = {
                let mut state = writer.state();
                let Some(first) = state.queue.front() else {
                    state.running = false;
                    self.over = true;
                    return;
                };
                first.shape().is_statement() && state.queue.len() == 1
            };
            if lone_statement {
                writer.statement().await;
            } else {
                writer.batch().await;
            }
        }
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // The runtime goes down: nothing of what waits was begun, all of it is refused.
        let abandoned = {
            let mut state = self.writer.state();
            state.running = false;
            std::mem::take(&mut state.queue)
        };
        drop(abandoned);
    }
}

/// `Err` when the whole transaction is spoilt. The first of a batch needs no savepoint: nothing stands before it
/// that its undoing could take along.
async fn run_one(conn: &mut PoolConnection<Sqlite>, job: &mut dyn Queued, first: bool) -> Result<()> {
    let savepoint = job.shape() == Shape::Transaction && !first;
    if savepoint {
        Conn::sqlite(conn).batch("SAVEPOINT authkit_job").await?;
    }
    let run = AssertUnwindSafe(job.run(Conn::sqlite(conn))).catch_unwind().await;
    let outcome = run.unwrap_or(Outcome::Panicked);
    match outcome {
        Outcome::Done if savepoint => Ok(Conn::sqlite(conn).batch("RELEASE SAVEPOINT authkit_job").await?),
        Outcome::Done => Ok(()),
        Outcome::Refused if savepoint => {
            Conn::sqlite(conn).batch("ROLLBACK TO SAVEPOINT authkit_job").await?;
            Ok(Conn::sqlite(conn).batch("RELEASE SAVEPOINT authkit_job").await?)
        }
        // A single statement that failed left nothing behind. The first of a batch starts it anew.
        Outcome::Refused if job.shape().is_statement() => Ok(()),
        Outcome::Refused => {
            Conn::sqlite(conn).batch("ROLLBACK").await?;
            Ok(Conn::sqlite(conn).batch("BEGIN IMMEDIATE").await?)
        }
        Outcome::Spoilt => Err(Error::unavailable("a neighbour's statement failed; nothing was changed")),
        Outcome::Panicked => Err(Error::unavailable("a write job panicked; nothing was changed")),
    }
}

enum Outcome {
    /// Commit it.
    Done,
    /// Undo it; neighbours stay.
    Refused,
    /// Undo the whole batch.
    Spoilt,
    /// As `Spoilt`.
    Panicked,
}

trait Queued: Send {
    fn shape(&self) -> Shape;
    fn run<'a>(&'a mut self, conn: Conn<'a>) -> BoxFuture<'a, Outcome>;
    fn committed(self: Box<Self>);
    fn refused(self: Box<Self>, error: &Error);
}

struct TypedJob<T, F> {
    job: F,
    shape: Shape,
    out: Option<Result<T>>,
    after: AfterCommit,
    reply: oneshot::Sender<Result<T>>,
    _guard: RunningGuard,
}

impl<T, F> Queued for TypedJob<T, F>
where
    T: Send + 'static,
    F: for<'a, 'c> Fn(&'a mut Tx<'c>) -> Job<'a, T> + Send + Sync + 'static,
{
    fn shape(&self) -> Shape {
        self.shape
    }

    fn run<'a>(&'a mut self, conn: Conn<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mut tx = Tx::new(conn);
            let out = (self.job)(&mut tx).await;
            let outcome = match &out {
                Ok(_) => {
                    self.after = tx.into_after_commit();
                    Outcome::Done
                }
                Err(error) if error::spoils_transaction(error) => Outcome::Spoilt,
                Err(_) => Outcome::Refused,
            };
            self.out = Some(out);
            outcome
        })
    }

    fn committed(self: Box<Self>) {
        self.after.run();
        let out = self.out.unwrap_or_else(|| Err(Error::internal("a write job left no answer")));
        // The caller may be gone: the effect stays.
        let _ = self.reply.send(out);
    }

    fn refused(self: Box<Self>, error: &Error) {
        let own = self.out.and_then(Result::err);
        let out = own.unwrap_or_else(|| Error::unavailable(error.to_string()));
        let _ = self.reply.send(Err(out));
    }
}

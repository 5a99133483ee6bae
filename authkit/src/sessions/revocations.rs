//! Which unexpired access tokens are void (contract 4.4).
//!
//! A revocation names a session, or a user and the lowest version that his tokens may carry. No clock is
//! compared: a token carries the version that was read together with its roles. Every node holds the few
//! revocations younger than an access token's life in memory and asks the store for new ones every
//! [`Timing::poll`]; the node that revoked knows at once. A view older than [`TOO_OLD`] is never trusted (R10).
//!
//! The wall clock decides only which old rows the first load leaves out. What was learned is kept for its span
//! of monotonic time, so that a clock set forth and back revives nothing (R18).

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::db::{Conn, Db, Tx, feed, on_db, row};
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId, uuid_v7};
use crate::random::SharedRandom;
use crate::time::{SharedClock, Timestamp};

/// Beyond this age the view is not trusted.
const TOO_OLD: Duration = Duration::from_secs(10);
/// So long a request waits for news while the view may still be trusted: the store's own time-out comes on top.
const PATIENCE: Duration = Duration::from_millis(250);
/// Beyond so many entries the store is asked instead.
pub(crate) const CAPACITY: usize = 1_000_000;
/// Added to an access token's life: leeway of clocks, and slack for a node that was away.
const SLACK: Duration = Duration::from_secs(30 + 300);
/// The feed of revocations.
pub(crate) const FEED: &str = "revocations";

const INSERT: &str = "INSERT INTO authkit_revocations (id, user_id, session_id, min_ver, created_at)
    VALUES ($1, $2, $3, $4, $5)";
const NEW: &str = "SELECT user_id, session_id, min_ver, batch FROM authkit_revocations
    WHERE (batch > $1 OR batch IS NULL) AND created_at > $2";
const NUMBER: &str = "UPDATE authkit_revocations SET batch = $1 WHERE batch IS NULL";
/// Nodes that hold too many entries ask for one token at a time.
const ASK: &str = "SELECT EXISTS (SELECT 1 FROM authkit_revocations WHERE session_id = $1)
    OR EXISTS (SELECT 1 FROM authkit_revocations WHERE user_id = $2 AND min_ver > $3)";

row! {
    struct RevocationRow {
        user_id: Option<Uuid>, session_id: Option<Uuid>, min_ver: Option<i64>, batch: Option<i64>,
    }
}

/// What makes tokens void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// All tokens of a session.
    Session(SessionId),
    /// Tokens of a user below a version.
    User(UserId, i64),
}

/// Spans of the view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How often new revocations are asked for.
    pub(crate) poll: Duration,
    /// Life of an access token.
    pub(crate) access_ttl: Duration,
}

/// All times are monotonic.
#[derive(Debug, Default)]
struct Entries {
    /// With the moment at which this node learned of it.
    sessions: HashMap<SessionId, Duration>,
    users: HashMap<UserId, (i64, Duration)>,
    /// Head of the feed up to which everything is known; `None` before the first load.
    known: Option<i64>,
    refreshed_at: Option<Duration>,
    pruned_at: Duration,
}

impl Entries {
    fn apply(&mut self, revocation: Revocation, at: Duration) {
        match revocation {
            Revocation::Session(id) => {
                self.sessions.insert(id, at);
            }
            Revocation::User(id, min_ver) => {
                let entry = self.users.entry(id).or_insert((min_ver, at));
                *entry = (entry.0.max(min_ver), entry.1.max(at));
            }
        }
    }

    fn len(&self) -> usize {
        self.sessions.len() + self.users.len()
    }
}

/// The node's view of what was revoked.
pub(crate) struct Revocations {
    clock: SharedClock,
    random: SharedRandom,
    timing: Timing,
    capacity: usize,
    entries: RwLock<Entries>,
    flight: tokio::sync::Mutex<()>,
    /// Refreshes of the request path that came to an end, whichever.
    attempts: AtomicU64,
}

impl Revocations {
    pub(crate) fn new(
        clock: SharedClock,
        random: SharedRandom,
        timing: Timing,
        capacity: usize,
    ) -> Arc<Self> {
        let entries = RwLock::default();
        let (flight, attempts) = (tokio::sync::Mutex::new(()), AtomicU64::new(0));
        Arc::new(Self { clock, random, timing, capacity, entries, flight, attempts })
    }

    /// Records a revocation in the transaction of its cause. It acts on this node at once after the commit.
    pub(crate) async fn revoke(self: &Arc<Self>, tx: &mut Tx<'_>, revocation: Revocation) -> Result<()> {
        let now = self.clock.now();
        let id = uuid_v7(now, &*self.random)?;
        let (session, user, min_ver) = match revocation {
            Revocation::Session(session) => (Some(session.as_uuid()), None, None),
            Revocation::User(user, min_ver) => (None, Some(user.as_uuid()), Some(min_ver)),
        };
        let conn = tx.conn();
        let () = on_db!(conn, |c| sqlx::query(INSERT)
            .bind(id)
            .bind(user)
            .bind(session)
            .bind(min_ver)
            .bind(now.as_micros())
            .execute(c)
            .await
            .map(|_| ()))?;
        let view = Arc::clone(self);
        tx.on_commit(move || view.write(|entries| entries.apply(revocation, view.clock.monotonic())));
        Ok(())
    }

    /// Whether a token of this session and version is void, as far as the view knows. See [`Self::follow`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the view is crowded and the store cannot be asked.
    pub(crate) async fn is_void(&self, db: &Db, session: SessionId, user: UserId, ver: i64) -> Result<bool> {
        let (void, crowded) = self.read(|entries| {
            let void = entries.sessions.contains_key(&session)
                || entries.users.get(&user).is_some_and(|(min_ver, _)| ver < *min_ver);
            (void, entries.len() > self.capacity)
        });
        if void || !crowded { Ok(void) } else { self.ask(db, session, user, ver).await }
    }

    async fn ask(&self, db: &Db, session: SessionId, user: UserId, ver: i64) -> Result<bool> {
        db.read(move |conn| {
            Box::pin(async move {
                Ok(on_db!(conn, |c| sqlx::query_scalar(ASK)
                    .bind(session.as_uuid())
                    .bind(user.as_uuid())
                    .bind(ver)
                    .fetch_one(c)
                    .await)?)
            })
        })
        .await
    }

    /// Brings the view up to date by `refresh` when that is due. One caller does it, the others go on with the
    /// view as it is, or share his outcome when it is too old to be trusted: a try each would queue up behind a
    /// store that is gone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when the view is too old and the store cannot be asked.
    pub(crate) async fn follow<'a>(
        &self,
        refresh: impl FnOnce() -> BoxFuture<'a, Result<()>> + Send,
    ) -> Result<()> {
        let due = || self.age().is_none_or(|age| age >= self.timing.poll);
        if !due() {
            return Ok(());
        }
        let before = self.attempts.load(Ordering::SeqCst);
        let _flight = match self.flight.try_lock() {
            Ok(flight) => flight,
            Err(_) if self.is_trusted() => return Ok(()),
            Err(_) => self.flight.lock().await,
        };
        if !due() {
            return Ok(());
        }
        if self.attempts.load(Ordering::SeqCst) != before {
            let known = self.is_trusted();
            return if known { Ok(()) } else { Err(Error::unavailable("revocations could not be read")) };
        }
        let out = if self.is_trusted() {
            let late = || Error::unavailable("revocations could not be read in time");
            tokio::time::timeout(PATIENCE, refresh()).await.unwrap_or_else(|_| Err(late()))
        } else {
            refresh().await
        };
        self.attempts.fetch_add(1, Ordering::SeqCst);
        match out {
            Err(error) if self.is_trusted() => {
                tracing::warn!(%error, "revocations could not be refreshed; the view is still young enough");
                Ok(())
            }
            out => out,
        }
    }

    /// Asks the store for what was revoked since the last time. Returns the heads of all feeds.
    pub(crate) async fn refresh(&self, db: &Db) -> Result<Vec<(String, i64)>> {
        let asked_at = self.clock.monotonic();
        let span = self.timing.access_ttl + SLACK;
        let oldest = (self.clock.now() - span).as_micros();
        let known = self.read(|entries| entries.known);
        let from = known.map_or((0, oldest), |known| (known, i64::MIN));
        let (mut heads, mut rows) = db.read(move |conn| Box::pin(read_new(conn, from))).await?;
        let restored = known.is_some_and(|known| head(&heads) < known);
        if restored {
            // The store went back in time: what was known may not be in it, and numbers start over.
            (heads, rows) = db.read(move |conn| Box::pin(read_new(conn, (0, oldest)))).await?;
        }
        let unnumbered = rows.iter().any(|row| row.batch.is_none());
        self.write(|entries| {
            let before = entries.known.filter(|_| !restored).unwrap_or(0);
            // The head was read before the rows: all that is numbered up to it was seen.
            entries.known = Some(before.max(head(&heads)));
            for row in &rows {
                match (row.session_id, row.user_id, row.min_ver) {
                    (Some(id), ..) => entries.apply(Revocation::Session(SessionId::from_uuid(id)), asked_at),
                    (_, Some(id), Some(min_ver)) => {
                        entries.apply(Revocation::User(UserId::from_uuid(id), min_ver), asked_at);
                    }
                    _ => {}
                }
            }
            if asked_at.saturating_sub(entries.pruned_at) > Duration::from_mins(1) {
                let lives = |at: &Duration| asked_at.saturating_sub(*at) < span;
                entries.sessions.retain(|_, at| lives(at));
                entries.users.retain(|_, (_, at)| lives(at));
                entries.pruned_at = asked_at;
            }
            entries.refreshed_at = Some(asked_at);
        });
        if unnumbered {
            self.number(db).await?;
        }
        Ok(heads)
    }

    /// Gives the rows seen a place in the feed, so that they are not read again and again.
    async fn number(&self, db: &Db) -> Result<()> {
        db.write(|tx| {
            Box::pin(async move {
                let head = feed::advance(tx.conn(), FEED).await?;
                let conn = tx.conn();
                let () = on_db!(conn, |c| sqlx::query(NUMBER).bind(head).execute(c).await.map(|_| ()))?;
                Ok(())
            })
        })
        .await
    }

    /// Whether the view is young enough to be trusted.
    pub(crate) fn is_trusted(&self) -> bool {
        self.age().is_some_and(|age| age < TOO_OLD)
    }

    /// Age of the view; `None` before the first load.
    fn age(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        self.read(|entries| entries.refreshed_at).map(|at| now.saturating_sub(at))
    }

    fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        look(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocations({} entries)", self.read(Entries::len))
    }
}

/// What came after a number of the feed and a moment, with the heads before it.
async fn read_new(
    conn: &mut Conn<'_>,
    (known, since): (i64, i64),
) -> Result<(Vec<(String, i64)>, Vec<RevocationRow>)> {
    let heads = feed::heads(conn).await?;
    let rows = on_db!(conn, |c| sqlx::query_as(NEW).bind(known).bind(since).fetch_all(c).await)?;
    Ok((heads, rows))
}

fn head(heads: &[(String, i64)]) -> i64 {
    heads.iter().find(|(name, _)| name == FEED).map_or(0, |(_, head)| *head)
}

/// Of numbered ones: a row without a number is still to be read by other nodes.
const SWEEP: &str = "DELETE FROM authkit_revocations WHERE id IN
        (SELECT r.id FROM authkit_revocations r WHERE r.created_at < $1 AND r.batch IS NOT NULL
         ORDER BY r.created_at LIMIT $2)
      AND created_at < $1";

/// Removes up to `limit` revocations made before `before`: of tokens that are all over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(before.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

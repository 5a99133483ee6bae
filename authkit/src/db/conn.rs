//! Connections and transactions without their engine's name in the type.

use std::fmt;

/// A connection to either engine, borrowed.
pub struct Conn<'c>(pub(crate) ConnInner<'c>);

pub(crate) enum ConnInner<'c> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(&'c mut sqlx::PgConnection),
    #[cfg_attr(
        any(feature = "sqlite", feature = "postgres"),
        expect(dead_code, reason = "only keeps the enum's shape in a build without an engine")
    )]
    None(std::convert::Infallible, std::marker::PhantomData<&'c mut ()>),
}

impl<'c> Conn<'c> {
    /// A connection of the host's own SQLite pool or transaction.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(conn: &'c mut sqlx::SqliteConnection) -> Self {
        Self(ConnInner::Sqlite(conn))
    }

    /// A connection of the host's own PostgreSQL pool or transaction.
    #[cfg(feature = "postgres")]
    pub fn postgres(conn: &'c mut sqlx::PgConnection) -> Self {
        Self(ConnInner::Postgres(conn))
    }

    /// The SQLite connection, when that is the engine: for a host's statements in a hook.
    #[cfg(feature = "sqlite")]
    pub fn as_sqlite(&mut self) -> Option<&mut sqlx::SqliteConnection> {
        match &mut self.0 {
            ConnInner::Sqlite(conn) => Some(conn),
            _ => None,
        }
    }

    /// The PostgreSQL connection, when that is the engine: for a host's statements in a hook.
    #[cfg(feature = "postgres")]
    pub fn as_postgres(&mut self) -> Option<&mut sqlx::PgConnection> {
        match &mut self.0 {
            ConnInner::Postgres(conn) => Some(conn),
            _ => None,
        }
    }

    /// Runs SQL text without parameters, several statements if need be.
    pub(crate) async fn batch(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        match &mut self.0 {
            #[cfg(feature = "sqlite")]
            ConnInner::Sqlite(conn) => sqlx::raw_sql(sql).execute(&mut **conn).await.map(|_| ()),
            #[cfg(feature = "postgres")]
            ConnInner::Postgres(conn) => sqlx::raw_sql(sql).execute(&mut **conn).await.map(|_| ()),
            ConnInner::None(never, _) => match *never {},
        }
    }
}

/// A statement that must differ between the engines. Rare: one text for both is the rule, and a test counts the
/// exceptions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Twin {
    #[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "the other engine's text"))]
    pub(crate) sqlite: &'static str,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "the other engine's text"))]
    pub(crate) postgres: &'static str,
}

impl Twin {
    /// The text for the engine of `conn`.
    pub(crate) fn on(self, conn: &Conn<'_>) -> &'static str {
        match &conn.0 {
            #[cfg(feature = "sqlite")]
            ConnInner::Sqlite(_) => self.sqlite,
            #[cfg(feature = "postgres")]
            ConnInner::Postgres(_) => self.postgres,
            ConnInner::None(never, _) => match *never {},
        }
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            #[cfg(feature = "sqlite")]
            ConnInner::Sqlite(_) => "Conn(sqlite)",
            #[cfg(feature = "postgres")]
            ConnInner::Postgres(_) => "Conn(postgres)",
            ConnInner::None(never, _) => match *never {},
        })
    }
}

type Callback = Box<dyn FnOnce() + Send>;

/// What to do once a transaction is durable.
#[derive(Default)]
pub(crate) struct AfterCommit(Vec<Callback>);

impl AfterCommit {
    pub(crate) fn run(self) {
        for callback in self.0 {
            callback();
        }
    }
}

/// A write transaction: a connection, and what to do once its effects are durable.
pub struct Tx<'c> {
    conn: Conn<'c>,
    after: AfterCommit,
    refused_by_hook: bool,
}

impl<'c> Tx<'c> {
    pub(crate) fn new(conn: Conn<'c>) -> Self {
        Self { conn, after: AfterCommit::default(), refused_by_hook: false }
    }

    /// Wraps the host's own transaction, so that our records change together with the host's rows.
    ///
    /// Call [`Self::committed`] after the host's commit succeeded: events go out and revocations act on this
    /// node at once. Without it other nodes and this one learn of revocations by polling.
    pub fn of_host(conn: Conn<'c>) -> Self {
        Self::new(conn)
    }

    /// The connection, for statements of one's own.
    pub fn conn(&mut self) -> &mut Conn<'c> {
        &mut self.conn
    }

    /// Runs what waited for the commit. Only for [`Self::of_host`], after the host's commit.
    pub fn committed(self) {
        self.after.run();
    }

    /// Splits off what waits for the commit, so that the connection can be given back first.
    pub fn into_pending(self) -> Pending {
        Pending(self.after)
    }

    pub(crate) fn into_after_commit(self) -> AfterCommit {
        self.after
    }

    pub(crate) fn on_commit(&mut self, callback: impl FnOnce() + Send + 'static) {
        self.after.0.push(Box::new(callback));
    }

    /// Tells whoever opened the transaction that its error is a host's hook's.
    pub(crate) fn set_refused_by_hook(&mut self) {
        self.refused_by_hook = true;
    }

    pub(crate) fn refused_by_hook(&self) -> bool {
        self.refused_by_hook
    }

    /// Marks a point to which [`Self::rollback_to`] can return; also what waits for the commit is marked.
    pub(crate) async fn savepoint(&mut self) -> Result<Savepoint, sqlx::Error> {
        self.conn.batch("SAVEPOINT authkit_step").await?;
        Ok(Savepoint { callbacks: self.after.0.len() })
    }

    pub(crate) async fn rollback_to(&mut self, point: Savepoint) -> Result<(), sqlx::Error> {
        self.after.0.truncate(point.callbacks);
        self.conn.batch("ROLLBACK TO SAVEPOINT authkit_step").await?;
        self.conn.batch("RELEASE SAVEPOINT authkit_step").await
    }

    pub(crate) async fn release(&mut self, _point: Savepoint) -> Result<(), sqlx::Error> {
        self.conn.batch("RELEASE SAVEPOINT authkit_step").await
    }
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("conn", &self.conn).finish_non_exhaustive()
    }
}

/// Effects that wait for a host's commit; see [`Tx::into_pending`].
#[must_use = "run it after the commit, or events are lost"]
pub struct Pending(AfterCommit);

impl Pending {
    /// Runs what waited. Call it after the host's commit succeeded.
    pub fn committed(self) {
        self.0.run();
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.0.0.len())
    }
}

/// A point inside a transaction.
#[derive(Debug)]
pub(crate) struct Savepoint {
    callbacks: usize,
}

/// Runs the same expression on the connection of either engine: `on_db!(conn, |c| query.fetch_one(c))`.
macro_rules! on_db {
    ($conn:expr, |$c:ident| $body:expr) => {
        match &mut $conn.0 {
            #[cfg(feature = "sqlite")]
            $crate::db::ConnInner::Sqlite(conn) => {
                let $c = &mut **conn;
                $body
            }
            #[cfg(feature = "postgres")]
            $crate::db::ConnInner::Postgres(conn) => {
                let $c = &mut **conn;
                $body
            }
            $crate::db::ConnInner::None(never, _) => $crate::db::without_engine(*never),
        }
    };
}
pub(crate) use on_db;

/// What a statement gives where there is no engine to run it: nothing, ever, but of the right type.
pub(crate) fn without_engine<T>(never: std::convert::Infallible) -> Result<T, sqlx::Error> {
    match never {}
}

/// Declares a struct that is read from a row of either engine, column by name.
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $type),* }

        #[cfg(feature = "sqlite")]
        impl<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> for $name {
            fn from_row(row: &'r sqlx::sqlite::SqliteRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }

        #[cfg(feature = "postgres")]
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}
pub(crate) use row;

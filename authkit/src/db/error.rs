//! From the driver's errors to ours.

use std::error::Error as _;

use crate::error::{Error, ErrorKind};

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let kind = if unavailable(&error) { ErrorKind::Unavailable } else { ErrorKind::Internal };
        let message = match kind {
            ErrorKind::Unavailable => "the store is not available",
            _ => "a statement failed",
        };
        Self::new(kind, format!("{message}: {error}")).with_source(error)
    }
}

/// Whether the error says that the store cannot be reached or is overloaded.
fn unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(db) => db.code().is_some_and(|code| unavailable_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: connection, resource, shutdown, time-out, read-only (after a failover), deadlock. SQLite
/// (primary result codes, RFC none, sqlite.org/rescode.html): busy, locked, read-only, I/O, full, cannot open.
fn unavailable_code(code: &str) -> bool {
    if let Ok(number) = code.parse::<u32>()
        && code.len() < 5
    {
        return matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14);
    }
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57")
        || code.starts_with("58")
        || matches!(code, "25006" | "40001" | "40P01" | "55P03")
}

fn driver_error(error: &Error) -> Option<&sqlx::Error> {
    error.source().and_then(|source| source.downcast_ref())
}

/// Whether a constraint (unique, foreign key, check, not null) refused a statement.
pub(crate) fn is_constraint(error: &Error) -> bool {
    driver_error(error)
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(|db| !matches!(db.kind(), sqlx::error::ErrorKind::Other))
}

/// Whether the same transaction, run again, may succeed.
#[cfg(feature = "postgres")]
pub(super) fn is_retryable(error: &Error) -> bool {
    driver_error(error)
        .and_then(sqlx::Error::as_database_error)
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}

/// Whether the connection itself is of no more use.
#[cfg(feature = "postgres")]
pub(super) fn connection_is_broken(error: &Error) -> bool {
    driver_error(error).is_some_and(|e| match e {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        sqlx::Error::Database(db) => db.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    })
}

/// Whether SQLite may have rolled the whole transaction back by itself: everything but a constraint.
#[cfg(feature = "sqlite")]
pub(super) fn spoils_transaction(error: &Error) -> bool {
    driver_error(error).is_some_and(|e| match e {
        sqlx::Error::Database(_) => !is_constraint(error),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        _ => false,
    })
}

/// Whether the transaction in which the error came about is lost, savepoints and all: run it again, or give up.
pub(crate) fn ends_transaction(error: &Error) -> bool {
    driver_error(error).is_some_and(|e| match e {
        sqlx::Error::Database(db) => {
            db.code().is_some_and(|code| matches!(&*code, "40001" | "40P01") || code.starts_with("57P"))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            true
        }
        _ => false,
    })
}

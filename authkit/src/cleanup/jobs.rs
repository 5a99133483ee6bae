//! Every job there is. The statement of each stands with the feature that owns the table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::CleanupJobInfo;
use crate::audit::Audit;
use crate::crypto::jwt::LEEWAY;
use crate::db::{CleanupJob, SweepBatch, Tx};
use crate::error::{Error, Result};
use crate::flows::Ctx;
use crate::mail::Outbox;
use crate::{api_keys, devices, idempotency, invitations, links, lockout, mfa, passkeys, sessions};

/// Revocations are kept longer than any token that they speak of, be it of a time when tokens lived longer.
const REVOCATIONS_BEYOND: Duration = Duration::from_hours(24);

type Run = for<'a, 'c> fn(&'a Arc<Ctx>, &'a mut Tx<'c>, SweepBatch) -> BoxFuture<'a, Result<u64>>;

/// A job of the library.
pub(super) struct Own {
    name: &'static str,
    tables: &'static [&'static str],
    run: Run,
}

/// The library's jobs. A feature that brings a table that grows adds a line; a test compares them with the schema.
static OWN: &[Own] = &[
    Own {
        name: "sessions",
        tables: &["authkit_sessions"],
        // Inside of its absolute life an ended session still tells a replayed token from an unknown one.
        run: |_, tx, batch| {
            Box::pin(async move { sessions::store::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "revocations",
        tables: &["authkit_revocations"],
        run: |ctx, tx, batch| {
            let before = batch.now - ctx.config.tokens.access_ttl - LEEWAY - REVOCATIONS_BEYOND;
            Box::pin(async move { sessions::revocations::sweep(tx.conn(), before, batch.limit.into()).await })
        },
    },
    Own {
        name: "links",
        tables: &["authkit_links"],
        run: |_, tx, batch| {
            Box::pin(async move { links::store::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "lockouts",
        tables: &["authkit_lockouts"],
        run: |ctx, tx, batch| {
            let now = ctx.lockouts.moment().timestamp();
            let untouched = (now - ctx.lockouts.untouched_for()).as_micros();
            Box::pin(async move {
                lockout::store::sweep(tx.conn(), untouched, now.as_micros(), batch.limit.into()).await
            })
        },
    },
    Own {
        name: "devices",
        tables: &["authkit_devices"],
        run: |_, tx, batch| {
            let unused = batch.now - devices::REMEMBERED;
            Box::pin(async move { devices::store::sweep(tx.conn(), unused, batch.limit.into()).await })
        },
    },
    Own {
        name: "second_factors",
        tables: &["authkit_mfa_pending"],
        run: |_, tx, batch| {
            Box::pin(async move { mfa::store::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "passkey_challenges",
        tables: &["authkit_passkey_challenges"],
        run: |_, tx, batch| {
            Box::pin(async move { passkeys::store::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "api_keys",
        tables: &["authkit_api_keys"],
        run: |_, tx, batch| {
            let ended = batch.now - api_keys::KEPT;
            Box::pin(async move { api_keys::store::sweep(tx.conn(), ended, batch.limit.into()).await })
        },
    },
    Own {
        name: "invitations",
        tables: &["authkit_invitations"],
        run: |_, tx, batch| {
            let before = batch.now - invitations::KEPT;
            Box::pin(async move { invitations::store::sweep(tx.conn(), before, batch.limit.into()).await })
        },
    },
    Own {
        name: "idempotency",
        tables: &["authkit_idempotency"],
        run: |_, tx, batch| {
            Box::pin(async move { idempotency::store::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "mails",
        tables: &["authkit_outbox"],
        run: |_, tx, batch| {
            Box::pin(async move { Outbox::sweep(tx.conn(), batch.now, batch.limit.into()).await })
        },
    },
    Own {
        name: "audit",
        tables: &["authkit_audit"],
        run: |ctx, tx, batch| {
            let before = batch.now - ctx.config.cleanup.audit_retention;
            Box::pin(async move { Audit::sweep(tx.conn(), before, batch.limit.into()).await })
        },
    },
];

/// Names of a host's jobs must be names, and nobody's yet.
///
/// # Errors
/// [`crate::ErrorKind::Config`].
pub(crate) fn check_names(hosts: &[Arc<dyn CleanupJob>]) -> Result<()> {
    let mut taken: Vec<&str> = OWN.iter().map(|own| own.name).collect();
    for host in hosts {
        let name = host.name();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(Error::config("the name of a cleanup job is not 1 to 64 characters of a-z 0-9 _"));
        }
        if taken.contains(&name) {
            return Err(Error::config(format!("there are two cleanup jobs of the name {name}")));
        }
        taken.push(name);
    }
    Ok(())
}

/// A job, the library's or a host's.
#[derive(Clone)]
pub(super) enum Sweeper {
    Own(&'static Own),
    Host(Arc<dyn CleanupJob>),
}

/// All of them, the host's last.
pub(super) fn all(ctx: &Ctx) -> Vec<Sweeper> {
    let hosts = ctx.cleanup_jobs.iter().map(|job| Sweeper::Host(Arc::clone(job)));
    OWN.iter().map(Sweeper::Own).chain(hosts).collect()
}

impl Sweeper {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Own(own) => own.name,
            Self::Host(host) => host.name(),
        }
    }

    pub(super) fn info(&self) -> CleanupJobInfo {
        let tables = match self {
            Self::Own(own) => own.tables.iter().map(|table| (*table).to_owned()).collect(),
            Self::Host(_) => Vec::new(),
        };
        CleanupJobInfo { name: self.name().to_owned(), tables }
    }

    pub(super) async fn sweep(&self, ctx: &Arc<Ctx>, tx: &mut Tx<'_>, batch: SweepBatch) -> Result<u64> {
        match self {
            Self::Own(own) => (own.run)(ctx, tx, batch).await,
            Self::Host(host) => host.sweep(tx, batch).await,
        }
    }
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sweeper({})", self.name())
    }
}

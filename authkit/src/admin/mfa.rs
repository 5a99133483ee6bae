//! Second factors, for operators.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::accounts::not_found;
use super::{Admin, Changed};
use crate::audit::Entry;
use crate::config::MfaPolicy;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::mfa::store::{self, Sealed};
use crate::mfa::{BackupCodes, MfaStatus};
use crate::users::{User, store as users};

/// Pending sign-ins that are removed at a time.
const SWEPT: i64 = 1000;

/// What the policy asks for, and how many accounts have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MfaReport {
    /// `MFA_POLICY`.
    pub policy: &'static str,
    /// `MFA_REQUIRED_ROLES`.
    pub required_roles: Vec<String>,
    /// Accounts that may sign in.
    pub accounts: u64,
    /// Of these, accounts with a second factor.
    pub with_factor: u64,
    /// Of these, accounts that need one and have none: they can do nothing but set one up.
    pub lacking: u64,
}

/// How far sealing anew has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reencrypted {
    /// Seals that were looked at.
    pub looked_at: u64,
    /// Of these, sealed anew under the newest key.
    pub resealed: u64,
    /// Of these, not to be opened by any key: they are left as they are.
    pub unreadable: u64,
    /// Where to go on; `None`: that was all.
    #[serde(skip)]
    pub next: Option<ReencryptFrom>,
}

/// A place in the order in which seals are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReencryptFrom {
    of: Sealed,
    after: Option<Uuid>,
}

impl Admin {
    /// The second factors of an account.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account.
    pub async fn mfa_status(&self, user: UserId) -> Result<MfaStatus> {
        self.ctx.require_account(user).await?;
        self.ctx.mfa_status(user).await
    }

    /// Removes every second factor of an account, passkeys too, forgets the lock of its second factor and ends all of
    /// its sessions. For who lost all factors: be sure who asks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account.
    pub async fn reset_mfa(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::MfaReset, Some(user), move |ctx, tx, meta| {
            Box::pin(async move {
                if ctx.take(tx, user).await?.is_none() {
                    return Ok(Err(not_found()));
                }
                let changed = ctx.reset_mfa_in(tx, user, meta).await?;
                Ok(Ok(Changed::new(changed, ctx.user_in(tx, user).await?)))
            })
        })
        .await
    }

    /// Makes a new set of backup codes for an account that has a second factor, and ends all of its sessions. Whoever
    /// reads the codes can stand in for that factor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account; [`ErrorKind::Conflict`] for one without a second factor.
    pub async fn make_backup_codes(&self, user: UserId) -> Result<BackupCodes> {
        self.run(Action::MfaBackupCodes, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.make_backup_codes_in(tx, user, meta).await })
        })
        .await
    }

    /// What the policy asks for, and how many accounts have it.
    pub async fn mfa_report(&self) -> Result<MfaReport> {
        let config = self.ctx.config.mfa.clone();
        let roles = match config.policy {
            MfaPolicy::Off => None,
            MfaPolicy::Optional if config.required_roles.is_empty() => None,
            _ => Some(config.required_roles.join(",")),
        };
        let counts = self
            .ctx
            .db
            .read(move |conn| Box::pin(async move { users::count_factors(conn, roles.as_deref()).await }));
        let (accounts, with_factor, lacking) = counts.await?;
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Ok(MfaReport {
            policy: config.policy.name(),
            required_roles: config.required_roles,
            accounts: count(accounts),
            with_factor: count(with_factor),
            lacking: count(lacking),
        })
    }

    /// Seals up to `batch` seals of second factors anew under the newest `MFA_ENCRYPTION_KEY`, in a transaction of its
    /// own. Go on from [`Reencrypted::next`] until there is none; whoever starts again skips what is done.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] without a key.
    pub async fn reencrypt(&self, from: Option<ReencryptFrom>, batch: u32) -> Result<Reencrypted> {
        let from = from.unwrap_or(ReencryptFrom { of: Sealed::Totp, after: None });
        if !self.ctx.seals.has_key() {
            return Err(Error::unavailable("MFA_ENCRYPTION_KEY is not set"));
        }
        self.run(Action::KeyReencrypt, None, move |ctx, tx, meta| {
            Box::pin(async move { ctx.reencrypt_in(tx, meta, from, batch.max(1)).await.map(Ok) })
        })
        .await
    }

    /// Removes pending sign-ins whose time is over, at most 1000 at a time. Nothing depends on it (R6). Returns how many
    /// went.
    pub async fn sweep_pending(&self) -> Result<u64> {
        let now = self.ctx.now();
        if self.dry_run {
            return self.ctx.db.rehearse(move |tx| Box::pin(store::sweep(tx.conn(), now, SWEPT))).await;
        }
        self.ctx.db.write(move |tx| Box::pin(store::sweep(tx.conn(), now, SWEPT))).await
    }
}

impl Ctx {
    async fn make_backup_codes_in(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<BackupCodes>> {
        if self.take(tx, user).await?.is_none() {
            return Ok(Err(not_found()));
        }
        if !self.factors(tx.conn(), user).await?.any() {
            let none = Error::new(ErrorKind::Conflict, "the account has no second factor");
            return Ok(Err(none.with_public("The account has no second factor.")));
        }
        let codes = self.replace_set_in(tx, user).await?;
        let changed = self.change_credentials(tx, user, None, None).await?;
        let ended = changed.map_or(0, |(_, ended)| ended);
        let entry = Entry::success(Action::MfaBackupCodes, user)
            .detail("count", codes.codes.len())
            .detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(codes))
    }

    async fn reencrypt_in(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        from: ReencryptFrom,
        batch: u32,
    ) -> Result<Reencrypted> {
        let rows = store::sealed_after(tx.conn(), from.of, from.after, i64::from(batch)).await?;
        let mut out = Reencrypted { looked_at: 0, resealed: 0, unreadable: 0, next: None };
        for row in &rows {
            out.looked_at += 1;
            if self.seals.is_newest(&row.sealed) {
                continue;
            }
            match self.seals.reseal(&row.sealed, self.now(), &*self.random)? {
                None => out.unreadable += 1,
                Some(new) => {
                    out.resealed +=
                        u64::from(store::reseal(tx.conn(), from.of, row.id, &row.sealed, &new).await?);
                }
            }
        }
        out.next = match (rows.last(), from.of) {
            (Some(last), of) => Some(ReencryptFrom { of, after: Some(last.id) }),
            (None, Sealed::Totp) => Some(ReencryptFrom { of: Sealed::Sets, after: None }),
            (None, Sealed::Sets) => None,
        };
        if out.resealed > 0 {
            let entry = Entry::system(Action::KeyReencrypt).detail("resealed", out.resealed);
            self.audit.grant(tx, meta, entry).await?;
        }
        Ok(out)
    }
}

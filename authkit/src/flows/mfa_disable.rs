//! Removing second factors: by their owner, by an operator.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::mailed::stored;
use crate::flows::second_factor::{FactorTry, SecondFactor};
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{SessionId, UserId};
use crate::lockout::{LockKind, store as lockouts};
use crate::meta::RequestMeta;
use crate::mfa::store;
use crate::passwords::policy::normalise;
use crate::secret::SecretString;
use crate::users::store as users;

/// What lets a user remove his second factors.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DisableProof {
    /// The password; beside it a second factor must have been given in this session within 5 minutes.
    Password(SecretString),
    /// A code of an authenticator app or a backup code: its own step-up.
    Code(SecretString),
}

impl Ctx {
    /// Removes the caller's authenticator apps and backup codes. Passkeys stay. All other sessions end.
    pub(crate) async fn disable_mfa(
        self: &Arc<Self>,
        caller: &Authenticated,
        proof: DisableProof,
        meta: &RequestMeta,
    ) -> Result<()> {
        match proof {
            DisableProof::Code(code) => self.disable_by_code(caller, code, meta).await,
            DisableProof::Password(password) => self.disable_by_password(caller, password, meta).await,
        }
    }

    async fn disable_by_code(
        self: &Arc<Self>,
        caller: &Authenticated,
        code: SecretString,
        meta: &RequestMeta,
    ) -> Result<()> {
        let user = caller.user_id();
        self.limit(Door::SecondFactor { user }, meta).await?;
        let (current, session) = self.require_current_session(caller).await?;
        let at = (user, current.version.epoch, session.id);
        let tried = FactorTry {
            action: Action::MfaDisable,
            user,
            email: stored(&current.user.email)?,
            session: Some(session.id),
            pending: None,
            factor: SecondFactor::Code(code),
        };
        self.try_factor(tried, meta, move |ctx, tx, meta, _| {
            Box::pin(async move { ctx.remove_own_factors(tx, meta, at).await })
        })
        .await
    }

    async fn disable_by_password(
        self: &Arc<Self>,
        caller: &Authenticated,
        password: SecretString,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let (current, session) = self.require_current_session(caller).await?;
        let factors = self.factors_of(caller.user_id()).await?;
        if factors.any() {
            self.require_fresh_with(caller, factors)?;
        }
        let at = (caller.user_id(), current.version.epoch, session.id);
        let (target, stored) = self.own_password(&current.user.email, &session, meta).await?;
        let admission = self.hasher.admit().await?;
        let (ctx, meta) = (Arc::clone(self), meta.clone());
        self.detached(async move {
            let (password, of) = (normalise(&password), (Action::MfaDisable, session.id));
            let proved = ctx.prove_own(&admission, target, &password, stored, of, &meta).await?;
            let job = Arc::new((proved.clone(), meta.clone()));
            let out = ctx
                .decide(&meta, Action::MfaDisable, Some(at.0), move |ctx, tx| {
                    let job = Arc::clone(&job);
                    Box::pin(async move {
                        let (proved, meta) = &*job;
                        let out = ctx.remove_own_factors(tx, meta, at).await?;
                        ctx.give_back_in(tx, proved).await?;
                        Ok(Ok(out))
                    })
                })
                .await;
            ctx.unsettled(&proved, out, &meta).await?
        })
        .await
    }

    async fn remove_own_factors(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        (user, epoch, session): (UserId, i64, SessionId),
    ) -> Result<Ruling<()>> {
        users::take(tx.conn(), user).await?;
        let record = users::by_id(tx.conn(), user).await?.filter(|record| record.version.epoch == epoch);
        let Some(record) = record else { return Ok(Err(ErrorKind::Unauthenticated.into())) };
        let factors = self.factors(tx.conn(), user).await?;
        if self.config.mfa.is_required_for(&record.user.roles) && factors.totp && !factors.passkeys {
            let entry = Entry::failure(Action::MfaDisable, Some(user), "required").own().session(session);
            self.audit.record(tx, meta, entry).await?;
            let refusal = Error::new(ErrorKind::Conflict, "the policy asks for a second factor");
            return Ok(Err(refusal.with_public("This account needs a second factor.")));
        }
        let apps = store::remove_totp(tx.conn(), user).await?;
        if !store::remove_set(tx.conn(), user).await? && apps == 0 {
            return Ok(Ok(()));
        }
        let Some((_, ended)) = self.change_credentials(tx, user, Some(epoch), Some(session)).await? else {
            return Err(ErrorKind::Unauthenticated.into());
        };
        let entry = Entry::success(Action::MfaDisable, user)
            .session(session)
            .detail("apps", apps)
            .detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }

    /// Removes every second factor of an account, passkeys too. The account's row is held. Returns how many there were.
    pub(crate) async fn remove_factors(&self, tx: &mut Tx<'_>, user: UserId) -> Result<u64> {
        let apps = store::remove_totp(tx.conn(), user).await?;
        let sets = u64::from(store::remove_set(tx.conn(), user).await?);
        Ok(apps + sets + self.remove_passkeys(tx, user).await?)
    }

    /// What an operator does for who lost all factors: they are removed, the second factor's lock is forgotten, all
    /// sessions end. `false` when there was nothing to remove.
    pub(crate) async fn reset_mfa_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<bool> {
        let removed = self.remove_factors(tx, user).await?;
        for row in lockouts::of_user(tx.conn(), user).await? {
            if row.kind == LockKind::SecondFactor {
                self.forget_in(tx, row, meta).await?;
            }
        }
        if removed == 0 {
            return Ok(false);
        }
        let changed = self.change_credentials(tx, user, None, None).await?;
        let ended = changed.map_or(0, |(_, ended)| ended);
        let entry = Entry::success(Action::MfaReset, user).detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(true)
    }
}

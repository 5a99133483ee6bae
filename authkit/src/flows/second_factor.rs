//! Second factors, at whatever door they are given: tried, judged, counted. A wrong one counts on the account, over all
//! doors and tokens (contract 4.3); a right one is used up in the transaction of its effect (R1).

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::{Job, Tx};
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::attempt::{Factor, Reservation};
use crate::flows::passkeys::Asked;
use crate::flows::{Amr, Ctx, Ruling};
use crate::ids::{PendingId, SessionId, UserId};
use crate::meta::RequestMeta;
use crate::mfa::totp::{self, Typed};
use crate::mfa::{FEW_LEFT, FactorKind, PendingRecord, store};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::users::{Email, store as users};

/// What proves the second factor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SecondFactor {
    /// A code of an authenticator app or a backup code, as typed.
    Code(SecretString),
    /// A passkey.
    Passkey(PasskeyProof),
}

/// A browser's answer to a passkey challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasskeyProof {
    /// As it came with the challenge.
    pub challenge_id: String,
    /// What `navigator.credentials.get()` gave, as its `toJSON()` writes it.
    pub credential: serde_json::Value,
}

impl PasskeyProof {
    /// The answer to a challenge.
    pub fn new(challenge_id: impl Into<String>, credential: serde_json::Value) -> Self {
        Self { challenge_id: challenge_id.into(), credential }
    }
}

/// A second factor that somebody gives.
#[derive(Debug, Clone)]
pub(crate) struct FactorTry {
    /// What it is given for.
    pub(crate) action: Action,
    pub(crate) user: UserId,
    pub(crate) email: Email,
    /// The session in which it is given, if there is one.
    pub(crate) session: Option<SessionId>,
    /// The sign-in that it completes, if it does.
    pub(crate) pending: Option<PendingId>,
    pub(crate) factor: SecondFactor,
}

impl FactorTry {
    /// Whether what failed before is forgotten when this succeeds.
    fn is_full_proof(&self) -> bool {
        matches!(self.action, Action::Login | Action::StepUp)
    }

    /// For what a passkey's challenge must have been made. `epoch` is the account's.
    fn asks_passkey(&self, epoch: i64) -> Option<Asked> {
        match (self.pending, self.session) {
            (Some(pending), _) => Some(Asked::second_factor(pending, self.user, epoch)),
            (None, Some(session)) => Some(Asked::step_up(session, self.user, epoch)),
            (None, None) => None,
        }
    }
}

/// A second factor that was right and is used up.
#[derive(Debug)]
pub(crate) struct ProvedFactor {
    /// What it proves.
    pub(crate) amr: Amr,
    pub(crate) kind: FactorKind,
    /// The sign-in that it completes.
    pub(crate) pending: Option<PendingRecord>,
}

impl Ctx {
    /// Judges a second factor and runs `effect` in the same transaction when it is right. The account's row is held.
    ///
    /// # Errors
    /// [`ErrorKind::MfaInvalid`]; [`ErrorKind::Locked`], [`ErrorKind::RateLimited`] as for passwords.
    pub(crate) async fn try_factor<T, F>(
        self: &Arc<Self>,
        tried: FactorTry,
        meta: &RequestMeta,
        effect: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(
                &'a Arc<Self>,
                &'a mut Tx<'c>,
                &'a RequestMeta,
                &'a ProvedFactor,
            ) -> Job<'a, Ruling<T>>
            + Send
            + Sync
            + 'static,
    {
        let target = self.target(Factor::SecondFactor(tried.user), &tried.email, None, meta)?;
        let (target, ()) = self.unless_locked(target, meta, |_| Box::pin(async { Ok(()) })).await?;
        let (ctx, meta) = (Arc::clone(self), meta.clone());
        self.detached(async move {
            let (action, user) = (tried.action, tried.user);
            let reservation = ctx.reserve(target, &meta).await?;
            let job = Arc::new((tried, reservation.clone(), meta.clone(), effect));
            let out = ctx
                .decide(&meta, action, Some(user), move |ctx, tx| {
                    let job = Arc::clone(&job);
                    Box::pin(async move {
                        let (tried, reservation, meta, effect) = &*job;
                        ctx.try_factor_in(tx, meta, tried, reservation, effect).await.map(Ok)
                    })
                })
                .await;
            // A refusal inside is settled already.
            ctx.unsettled(&reservation, out, &meta).await?
        })
        .await
    }

    async fn try_factor_in<T, F>(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        tried: &FactorTry,
        reservation: &Reservation,
        effect: &F,
    ) -> Result<Ruling<T>>
    where
        F: for<'a, 'c> Fn(
            &'a Arc<Self>,
            &'a mut Tx<'c>,
            &'a RequestMeta,
            &'a ProvedFactor,
        ) -> Job<'a, Ruling<T>>,
    {
        let epoch = users::take(tx.conn(), tried.user).await?.map(|version| version.epoch);
        let mut pending = None;
        if let Some(id) = tried.pending {
            pending = store::count_try(tx.conn(), id, tried.user, self.now()).await?;
            if pending.is_none() {
                // No credential was judged.
                self.give_back_in(tx, reservation).await?;
                self.audit.record(tx, meta, refusal(tried, "sign_in_over")).await?;
                return Ok(Err(ErrorKind::MfaInvalid.into()));
            }
        }
        match self.judge_factor(tx, meta, tried, epoch).await? {
            Err(why) => {
                self.fail_in(tx, reservation, meta).await?;
                self.audit.record(tx, meta, refusal(tried, why)).await?;
                Ok(Err(ErrorKind::MfaInvalid.into()))
            }
            Ok((amr, kind)) => {
                let proved = ProvedFactor { amr, kind, pending };
                let out = effect(self, tx, meta, &proved).await?;
                if out.is_ok() && tried.is_full_proof() {
                    self.succeed_in(tx, reservation).await?;
                } else {
                    self.give_back_in(tx, reservation).await?;
                }
                Ok(out)
            }
        }
    }

    /// What a factor proves, or why it proves nothing.
    async fn judge_factor(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        tried: &FactorTry,
        epoch: Option<i64>,
    ) -> Result<Result<(Amr, FactorKind), &'static str>> {
        let user = tried.user;
        let typed = match &tried.factor {
            SecondFactor::Code(typed) => typed,
            SecondFactor::Passkey(proof) => {
                let Some(asked) = epoch.and_then(|epoch| tried.asks_passkey(epoch)) else {
                    return Ok(Err("no_passkey_here"));
                };
                let judged = self.judge_passkey(tx, meta, asked, proof).await?;
                return Ok(judged.map(|amr| (amr, FactorKind::Passkey)));
            }
        };
        let Some(code) = totp::canonical(typed) else { return Ok(Err("no_code")) };
        Ok(match totp::read(code.expose_secret()) {
            Some(Typed::Digits(digits)) => {
                self.judge_totp(tx, user, digits).await?.map(|()| (Amr::code(), FactorKind::Totp))
            }
            Some(Typed::Backup(code)) => {
                self.judge_backup(tx, meta, user, code).await?.map(|()| (Amr::code(), FactorKind::BackupCode))
            }
            None => Err("no_code"),
        })
    }

    async fn judge_totp(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        digits: &str,
    ) -> Result<Result<(), &'static str>> {
        let (now, mut why) = (self.now(), "wrong_code");
        let apps = store::totp_of_user(tx.conn(), user).await?;
        for app in apps.iter().filter(|app| app.confirmed) {
            let secret = match self.seals.open_totp(user, &app.sealed) {
                Ok(secret) => secret,
                Err(fault) => {
                    tracing::error!(%user, factor = %app.id, why = fault.name(), "the seal of a second factor does not open");
                    why = fault.name();
                    continue;
                }
            };
            if let Some(step) = app.parameters.matching_step(&secret, digits, now) {
                if store::claim_step(tx.conn(), app.id, step, now).await? {
                    return Ok(Ok(()));
                }
                why = "used_before";
            }
        }
        Ok(Err(why))
    }

    async fn judge_backup(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        user: UserId,
        code: &str,
    ) -> Result<Result<(), &'static str>> {
        let Some(sealed) = store::set_of_user(tx.conn(), user).await? else { return Ok(Err("wrong_code")) };
        let key = match self.seals.open_set(user, &sealed) {
            Ok(key) => key,
            Err(fault) => {
                tracing::error!(%user, why = fault.name(), "the seal of a set of backup codes does not open");
                return Ok(Err(fault.name()));
            }
        };
        // They stand in for another factor and are none themselves.
        if !self.factors(tx.conn(), user).await?.any()
            || !store::use_code(tx.conn(), user, &key.hash(user, code), self.now()).await?
        {
            return Ok(Err("wrong_code"));
        }
        let left = store::left(tx.conn(), user).await?;
        let entry = Entry::success(Action::MfaBackupCode, user)
            .detail("remaining", left)
            .detail("few_left", left <= FEW_LEFT);
        self.audit.record(tx, meta, entry).await?;
        Ok(Ok(()))
    }
}

fn refusal(tried: &FactorTry, why: &str) -> Entry {
    let entry = Entry::failure(Action::MfaRefuse, Some(tried.user), why).detail("for", tried.action.name());
    match tried.session {
        Some(session) => entry.own().session(session),
        None => entry,
    }
}

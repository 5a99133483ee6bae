//! Step-up: proving oneself again within a session. The session is replaced by one with a new id and a new
//! `auth_time`, so that a token planted or stolen before does not rise with it (ASVS 7.2.4).
//!
//! Once the account has a second factor the password alone proves nothing anew: it counts beside a second factor given
//! in this session within 5 minutes, and does not make that one younger (contract 4.14).

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::devices::Presented;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::device::Device;
use crate::flows::doors::Door;
use crate::flows::gate::{Start, Started};
use crate::flows::mailed::stored;
use crate::flows::second_factor::{FactorTry, PasskeyProof, SecondFactor};
use crate::flows::{Amr, Authenticated, Ctx, Ruling, Tokens};
use crate::ids::{SessionId, UserId};
use crate::meta::RequestMeta;
use crate::passwords::policy::normalise;
use crate::secret::SecretString;
use crate::sessions::{SessionRecord, store};
use crate::time::Timestamp;
use crate::users::{Record, store as users};

/// What proves the user again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StepUp {
    /// The password.
    Password(SecretString),
    /// A code of an authenticator app or a backup code, as typed.
    Code(SecretString),
    /// A passkey.
    Passkey(PasskeyProof),
}

/// A session to be replaced, and by what.
#[derive(Debug, Clone)]
struct Rise {
    user: UserId,
    epoch: i64,
    session: SessionId,
    /// What is proved besides what the session proves already; `None`: that counts for nothing any more.
    adds: Option<Amr>,
    amr: Amr,
    /// When the older proof was given, where the new one makes it no younger.
    proved_at: Option<Timestamp>,
    device: Device,
}

impl Ctx {
    pub(crate) async fn step_up(
        self: &Arc<Self>,
        caller: &Authenticated,
        proof: StepUp,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let factor = match proof {
            StepUp::Password(password) => return self.step_up_by_password(caller, password, meta).await,
            StepUp::Code(code) => SecondFactor::Code(code),
            StepUp::Passkey(proof) => SecondFactor::Passkey(proof),
        };
        let user = caller.user_id();
        self.limit(Door::SecondFactor { user }, meta).await?;
        let (current, session) = self.require_current_session(caller).await?;
        self.step_up_by_factor(current, session, factor, meta).await
    }

    async fn step_up_by_password(
        self: &Arc<Self>,
        caller: &Authenticated,
        password: SecretString,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        self.limit(Door::Other, meta).await?;
        let (current, session) = self.require_current_session(caller).await?;
        let factors = self.factors_of(caller.user_id()).await?;
        if factors.any() {
            self.require_fresh_with(caller, factors)?;
        }
        let beside = factors.any().then(|| (Amr::read(&session.amr), session.auth_time));
        let (target, stored) = self.own_password(&current.user.email, &session, meta).await?;
        let admission = self.hasher.admit().await?;
        let (ctx, epoch, meta) = (Arc::clone(self), current.version.epoch, meta.clone());
        self.detached(async move {
            let (password, of) = (normalise(&password), (Action::StepUp, session.id));
            let proved = ctx.prove_own(&admission, target, &password, stored, of, &meta).await?;
            let device = ctx.device_of(proved.target().device(), proved.target().email());
            let device = ctx.unsettled(&proved, device, &meta).await?;
            let rise = Rise {
                user: session.user_id,
                epoch,
                session: session.id,
                adds: None,
                amr: beside.as_ref().map_or_else(Amr::password, |(amr, _)| amr.and_also(&Amr::password())),
                proved_at: beside.map(|(_, at)| at),
                device,
            };
            let job = Arc::new((rise.clone(), proved.clone(), meta.clone()));
            let started = ctx
                .decide(&meta, Action::StepUp, Some(rise.user), move |ctx, tx| {
                    let job = Arc::clone(&job);
                    Box::pin(async move {
                        let (rise, proved, meta) = &*job;
                        let ruling = ctx.rise(tx, meta, rise).await?;
                        if ruling.is_ok() {
                            ctx.succeed_in(tx, proved).await?;
                        }
                        Ok(ruling)
                    })
                })
                .await;
            let started = ctx.unsettled(&proved, started, &meta).await?;
            ctx.hand_over(&meta, started, Some(&rise.device)).await
        })
        .await
    }

    async fn step_up_by_factor(
        self: &Arc<Self>,
        current: Record,
        session: SessionRecord,
        factor: SecondFactor,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let email = stored(&current.user.email)?;
        let known = session.device.map(Presented::of_session);
        let device = self.device_of(known.as_ref(), &email)?;
        let rise = Rise {
            user: session.user_id,
            epoch: current.version.epoch,
            session: session.id,
            adds: None,
            amr: Amr::read(&session.amr),
            proved_at: None,
            device: device.clone(),
        };
        let tried = FactorTry {
            action: Action::StepUp,
            user: rise.user,
            email,
            session: Some(session.id),
            pending: None,
            factor,
        };
        let rise = Arc::new(rise);
        let started = self
            .try_factor(tried, meta, move |ctx, tx, meta, proved| {
                let rise = Rise { adds: Some(proved.amr.clone()), ..(*rise).clone() };
                Box::pin(async move { ctx.rise(tx, meta, &rise).await })
            })
            .await?;
        self.hand_over(meta, started, Some(&device)).await
    }

    async fn rise(&self, tx: &mut Tx<'_>, meta: &RequestMeta, rise: &Rise) -> Result<Ruling<Started>> {
        // The user's row first, as everywhere: then no logout can slip in between.
        users::take(tx.conn(), rise.user).await?;
        let old = store::view(tx.conn(), rise.session, self.limits()).await?.filter(|view| view.alive);
        let Some(old) = old else { return Ok(Err(ErrorKind::Unauthenticated.into())) };
        let start = Start {
            user: rise.user,
            epoch: rise.epoch,
            amr: rise.adds.as_ref().map_or_else(|| rise.amr.clone(), |adds| rise.amr.and_also(adds)),
            replaces: Some(old.session),
            device: Some(rise.device.id()),
            proved_at: rise.proved_at,
        };
        let Some(started) = self.start_session(tx, meta, &start).await? else {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        };
        // No news: the session was there before.
        let _ = self.remember_device(tx, &rise.device, &started).await?;
        let entry = Entry::success(Action::StepUp, rise.user)
            .session(started.session.id)
            .detail("replaces", rise.session.to_string());
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(started))
    }
}

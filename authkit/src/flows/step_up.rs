//! Step-up: proving oneself again within a session. The session is replaced by one with a new id and a new
//! `auth_time`, so that a token planted or stolen before does not rise with it (ASVS 7.2.4).

use std::sync::Arc;

use crate::audit::Entry;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::attempt::Reservation;
use crate::flows::doors::Door;
use crate::flows::gate::Start;
use crate::flows::tokens::Facts;
use crate::flows::{Amr, Authenticated, Ctx, Tokens};
use crate::meta::RequestMeta;
use crate::passwords::policy::normalise;
use crate::secret::SecretString;
use crate::sessions::{SessionRecord, Standing, store};

/// What proves the user again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StepUp {
    /// The password.
    Password(SecretString),
}

impl Ctx {
    pub(crate) async fn step_up(
        self: &Arc<Self>,
        auth: &Authenticated,
        proof: StepUp,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        self.limit(Door::Other, meta).await?;
        let (current, session) = self.require_current_session(auth).await?;
        let StepUp::Password(password) = proof;
        let (target, stored) = self.own_password(&current.user.email, &session, meta).await?;
        let admission = self.hasher.admit().await?;
        let (ctx, epoch, meta) = (Arc::clone(self), current.version.epoch, meta.clone());
        self.detached(async move {
            let (password, of) = (normalise(&password), (Action::StepUp, session.id));
            let proved = ctx.prove_own(&admission, target, &password, stored, of, &meta).await?;
            ctx.complete_step_up(session, epoch, &proved, &meta).await
        })
        .await
    }

    async fn complete_step_up(
        self: &Arc<Self>,
        session: SessionRecord,
        epoch: i64,
        proved: &Reservation,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let (user, session) = (session.user_id, session.id);
        let device = self.device_of(proved.target().device(), proved.target().email());
        let device = self.unsettled(proved, device, meta).await?;
        let token = device.token();
        let job = Arc::new((device, proved.clone(), meta.clone()));
        let started = self
            .decide(meta, Action::StepUp, Some(user), move |ctx, tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (device, proved, meta) = &*job;
                    // The user's row first, as everywhere: then no logout can slip in between.
                    crate::users::store::take(tx.conn(), user).await?;
                    let old = store::view(tx.conn(), session, ctx.limits()).await?.filter(|view| view.alive);
                    let Some(old) = old else { return Ok(Err(ErrorKind::Unauthenticated.into())) };
                    let (replaces, device_id) = (Some(old.session), Some(device.id()));
                    let start = Start { user, epoch, amr: Amr::password(), replaces, device: device_id };
                    let Some(started) = ctx.start_session(tx, meta, &start).await? else {
                        return Ok(Err(ErrorKind::Unauthenticated.into()));
                    };
                    ctx.remember_device(tx, device, &started).await?;
                    ctx.succeed_in(tx, proved).await?;
                    let entry = Entry::success(Action::StepUp, user)
                        .session(started.session.id)
                        .detail("replaces", session.to_string());
                    ctx.audit.grant(tx, meta, entry).await?;
                    Ok(Ok(started))
                })
            })
            .await;
        let started = self.unsettled(proved, started, meta).await?;
        let facts =
            Facts { session: Standing::from(&started.session), ver: started.ver, roles: started.roles };
        Ok(Tokens { device_token: token, ..self.issue(meta, facts).await? })
    }
}

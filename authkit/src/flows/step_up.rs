//! Step-up: proving oneself again within a session. The session is replaced by one with a new id and a new
//! `auth_time`, so that a token planted or stolen before does not rise with it (ASVS 7.2.4).

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::password::Verification;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::gate::Start;
use crate::flows::login::AMR_PASSWORD;
use crate::flows::tokens::Facts;
use crate::flows::{Authenticated, Ctx, Tokens};
use crate::meta::RequestMeta;
use crate::passwords::policy::normalise;
use crate::passwords::store as passwords;
use crate::secret::SecretString;
use crate::sessions::store;

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
        let current = self.require_current(auth).await?;
        let (user, session) = (auth.user_id(), auth.session_id());
        let StepUp::Password(password) = proof;
        let stored =
            self.db.read(move |conn| Box::pin(async move { passwords::of_user(conn, user).await })).await?;
        if self.hasher.verify(&normalise(&password), stored).await? == Verification::Mismatch {
            let entry = Entry::failure(Action::StepUp, Some(user), "wrong_password").own().session(session);
            return self.refuse(meta, entry, ErrorKind::InvalidCredentials.into()).await;
        }
        let (meta_in, epoch) = (meta.clone(), current.version.epoch);
        let started = self
            .decide(meta, Action::StepUp, Some(user), move |ctx, tx| {
                let meta = meta_in.clone();
                Box::pin(async move {
                    // The user's row first, as everywhere: then no logout can slip in between.
                    crate::users::store::take(tx.conn(), user).await?;
                    let old = store::view(tx.conn(), session, ctx.limits()).await?.filter(|view| view.alive);
                    let Some(old) = old else { return Ok(Err(ErrorKind::Unauthenticated.into())) };
                    let start = Start { user, epoch, amr: AMR_PASSWORD, replaces: Some(old.session) };
                    let Some(started) = ctx.start_session(tx, &meta, &start).await? else {
                        return Ok(Err(ErrorKind::Unauthenticated.into()));
                    };
                    let entry = Entry::success(Action::StepUp, user)
                        .session(started.session.id)
                        .detail("replaces", session.to_string());
                    ctx.audit.grant(tx, &meta, entry).await?;
                    Ok(Ok(started))
                })
            })
            .await?;
        let facts = Facts { session: &started.session, ver: started.ver, roles: started.roles };
        self.issue(meta, facts).await
    }
}

//! Refresh: one guarded statement in the good case; every other case is judged afterwards.
//!
//! Why a grace: the answer of a refresh can get lost, and two tabs can race. Within the grace the token before
//! the present one gets the same successor again, without anything moving; anything older is theft (RFC 9700
//! section 4.14.2).

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::jwt::LEEWAY;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::gate::bound_network;
use crate::flows::tokens::Facts;
use crate::flows::{Ctx, Tokens};
use crate::ids::SessionId;
use crate::meta::RequestMeta;
use crate::sessions::revocations::Revocation;
use crate::sessions::store::{self, Limits, Rotated, View};
use crate::sessions::token::RefreshToken;
use crate::sessions::{EndReason, Standing};

/// The account may change between rotation and judgement; then the rotation is tried again.
const TRIES: usize = 3;

/// A refresh token whose MAC is right.
#[derive(Debug, Clone)]
pub(crate) struct Genuine {
    pub(crate) session: SessionId,
    pub(crate) counter: i64,
    /// What the session's bound network must be, seen from this request.
    cip: Option<String>,
}

/// What a genuine token that did not rotate amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    /// The same successor again.
    Repeat,
    /// The reason is gone meanwhile.
    TryAgain,
    Theft,
    Ahead,
    /// Past its idle or absolute end.
    Expired,
    Refused(&'static str),
}

impl Ctx {
    pub(crate) async fn refresh(self: &Arc<Self>, token: &str, meta: &RequestMeta) -> Result<Tokens> {
        let genuine = self.genuine(token, meta).await?.ok_or(ErrorKind::RefreshInvalid)?;
        self.limit_refresh(genuine.session, meta).await?;
        for _ in 0..TRIES {
            if let Some(rotated) = self.rotate(&genuine).await? {
                let Rotated { session, ver, roles } = rotated;
                return self.issue(meta, Facts { session, ver, roles }).await;
            }
            let limits = self.limits();
            let id = genuine.session;
            let view = self
                .db
                .read(move |conn| Box::pin(async move { store::view(conn, id, limits).await }))
                .await?;
            let Some(view) = view else {
                let entry = Entry::failure(Action::RefreshRefused, None, "no_session").session(id);
                return self.refuse(meta, entry, ErrorKind::RefreshInvalid.into()).await;
            };
            match self.judge(&view, &genuine) {
                Judgement::Repeat => {
                    let facts =
                        Facts { session: Standing::from(&view.session), ver: view.ver, roles: view.roles };
                    return self.issue(meta, facts).await;
                }
                Judgement::TryAgain => {}
                verdict => return self.refuse_refresh(&view, &genuine, verdict, meta).await,
            }
        }
        Err(Error::unavailable("the session kept changing under a refresh"))
    }

    /// Checks form and MAC; neither costs a statement, writes or counts.
    pub(crate) async fn genuine(&self, token: &str, meta: &RequestMeta) -> Result<Option<Genuine>> {
        let Some(unverified) = RefreshToken::parse(token) else { return Ok(None) };
        let Some(key) = self.keys.by_kid(&self.db, unverified.key_id).await? else { return Ok(None) };
        let Ok(key) = key.bytes32() else { return Ok(None) };
        let Some(claims) = unverified.verify(&key) else { return Ok(None) };
        let Ok(counter) = i64::try_from(claims.counter) else { return Ok(None) };
        let cip = bound_network(&key, claims.session_id, meta);
        Ok(Some(Genuine { session: claims.session_id, counter, cip }))
    }

    async fn rotate(&self, genuine: &Genuine) -> Result<Option<Rotated>> {
        let (genuine, limits) = (genuine.clone(), self.limits());
        self.db
            .write_statement(move |tx| {
                let genuine = genuine.clone();
                Box::pin(async move {
                    let cip = genuine.cip.as_deref();
                    store::rotate(tx.conn(), genuine.session, genuine.counter, cip, limits).await
                })
            })
            .await
    }

    /// When a session counts as over, at this moment.
    pub(crate) fn limits(&self) -> Limits {
        let now = self.now();
        Limits { now, idle_since: now - self.config.sessions.idle_ttl, unverified_may: self.unverified_may() }
    }

    fn judge(&self, view: &View, genuine: &Genuine) -> Judgement {
        let (session, limits) = (&view.session, self.limits());
        let in_grace = limits.now < session.rotated_at + self.config.sessions.reuse_grace;
        // The clock was set back since: whether the grace is over cannot be known, so it is not granted (R18).
        let clock_behind = limits.now + LEEWAY < session.rotated_at;
        if session.ended {
            Judgement::Refused("ended")
        } else if session.cip.is_some() && session.cip != genuine.cip {
            // Before anything that ends the session: a thief elsewhere cannot even do that (contract 4.11).
            Judgement::Refused("other_network")
        } else if genuine.counter > session.counter {
            Judgement::Ahead
        } else if genuine.counter < session.counter && !(genuine.counter + 1 == session.counter && in_grace) {
            Judgement::Theft
        } else if session.absolute_expires_at <= limits.now || session.rotated_at <= limits.idle_since {
            Judgement::Expired
        } else if !view.alive {
            Judgement::Refused("account_state")
        } else if genuine.counter == session.counter {
            Judgement::TryAgain
        } else if clock_behind {
            Judgement::Refused("clock_behind")
        } else {
            Judgement::Repeat
        }
    }

    async fn refuse_refresh(
        self: &Arc<Self>,
        view: &View,
        genuine: &Genuine,
        verdict: Judgement,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let (ctx, genuine, meta) = (Arc::clone(self), genuine.clone(), meta.clone());
        let user = view.session.user_id;
        self.db
            .write(move |tx| {
                let (ctx, genuine, meta) = (Arc::clone(&ctx), genuine.clone(), meta.clone());
                Box::pin(async move {
                    let (id, now) = (genuine.session, ctx.now());
                    let ended = match verdict {
                        Judgement::Theft => store::end_if_older(tx.conn(), id, genuine.counter, now).await?,
                        Judgement::Ahead => store::end_if_ahead(tx.conn(), id, genuine.counter, now).await?,
                        Judgement::Expired => store::end(tx.conn(), id, EndReason::Expired, now).await?,
                        _ => false,
                    };
                    let entry = match verdict {
                        Judgement::Theft if ended => {
                            Entry::failure(Action::RefreshReuse, Some(user), "reuse")
                        }
                        Judgement::Ahead if ended => {
                            Entry::failure(Action::RefreshAhead, Some(user), "ahead")
                        }
                        Judgement::Expired => Entry::failure(Action::RefreshRefused, Some(user), "expired"),
                        Judgement::Refused(why) => Entry::failure(Action::RefreshRefused, Some(user), why),
                        // Another replay was first.
                        _ => Entry::failure(Action::RefreshRefused, Some(user), "ended"),
                    };
                    if ended {
                        ctx.revocations.revoke(tx, Revocation::Session(id)).await?;
                    }
                    ctx.audit.record(tx, &meta, entry.session(id)).await?;
                    Ok(())
                })
            })
            .await?;
        Err(ErrorKind::RefreshInvalid.into())
    }
}

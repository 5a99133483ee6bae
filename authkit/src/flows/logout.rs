//! Ending sessions: by their token, all at once, or one from another.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::devices;
use crate::error::Result;
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{SessionId, UserId};
use crate::meta::RequestMeta;
use crate::sessions::revocations::Revocation;
use crate::sessions::{EndReason, store};
use crate::users::store as users;

impl Ctx {
    /// Any genuine token of the session ends it, older ones too; anything else does nothing.
    pub(crate) async fn logout(self: &Arc<Self>, token: &str, meta: &RequestMeta) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let Some(genuine) = self.genuine(token, meta).await? else { return Ok(()) };
        let id = genuine.session;
        let session = self.db.read(move |conn| Box::pin(async move { store::by_id(conn, id).await })).await?;
        match session {
            Some(session) if !session.ended => self
                .end_session(session.user_id, id, EndReason::Logout, Action::Logout, meta)
                .await
                .map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Ends all sessions of the caller and forgets his devices. Returns how many sessions there were.
    pub(crate) async fn logout_all(
        self: &Arc<Self>,
        auth: &Authenticated,
        meta: &RequestMeta,
    ) -> Result<u64> {
        let user = auth.signed_in()?.sub;
        self.limit(Door::Other, meta).await?;
        self.end_sessions_of(user, EndReason::LogoutAll, Action::LogoutAll, meta).await
    }

    /// Ends one session of `user`; `false` when it is not his or over already.
    pub(crate) async fn end_session(
        self: &Arc<Self>,
        user: UserId,
        id: SessionId,
        reason: EndReason,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<bool> {
        let meta_in = meta.clone();
        self.decide(meta, action, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move { ctx.end_session_in(tx, user, id, reason, action, &meta).await })
        })
        .await
    }

    pub(crate) async fn end_session_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        id: SessionId,
        reason: EndReason,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<Ruling<bool>> {
        let session = store::by_id(tx.conn(), id).await?;
        let his = session.is_some_and(|session| session.user_id == user);
        if !his || !store::end(tx.conn(), id, reason, self.now()).await? {
            return Ok(Ok(false));
        }
        self.revocations.revoke(tx, Revocation::Session(id)).await?;
        self.audit.grant(tx, meta, Entry::success(action, user).session(id)).await?;
        Ok(Ok(true))
    }

    /// Ends all sessions of `user`, those too that begin while it runs. Returns how many there were.
    pub(crate) async fn end_sessions_of(
        self: &Arc<Self>,
        user: UserId,
        reason: EndReason,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<u64> {
        let meta_in = meta.clone();
        self.decide(meta, action, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move { ctx.end_sessions_of_in(tx, user, reason, action, &meta).await })
        })
        .await
    }

    pub(crate) async fn end_sessions_of_in(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        reason: EndReason,
        action: Action,
        meta: &RequestMeta,
    ) -> Result<Ruling<u64>> {
        let now = self.now();
        let Some(version) = users::bump_ver(tx.conn(), user, now).await? else { return Ok(Ok(0)) };
        let ended = store::end_of_user(tx.conn(), user, None, reason, now).await?;
        devices::store::forget_of_user(tx.conn(), user).await?;
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        let count = u64::try_from(ended.len()).unwrap_or(u64::MAX);
        let entry = Entry::success(action, user).detail("sessions_ended", count);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(count))
    }
}

//! Passkeys, as operators see and remove them: for somebody who lost his device.

use std::sync::Arc;

use super::accounts::not_found;
use super::{Admin, Changed};
use crate::audit::Entry;
use crate::db::Tx;
use crate::error::Result;
use crate::events::Action;
use crate::flows::passkeys_own::no_such_passkey;
use crate::flows::{Ctx, Ruling};
use crate::ids::{PasskeyId, UserId};
use crate::meta::RequestMeta;
use crate::passkeys::{Passkey, store as passkeys};

/// Rows in one go, so that nobody waits long for the writer.
const SWEPT: i64 = 1000;

impl Admin {
    /// A passkey, and whose it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none of that id.
    pub async fn passkey(&self, id: PasskeyId) -> Result<(UserId, Passkey)> {
        let found =
            self.ctx.db.read(move |conn| Box::pin(async move { passkeys::by_id(conn, id).await })).await?;
        found.ok_or_else(no_such_passkey)
    }

    /// Removes a passkey, also an account's only way to sign in or only second factor, and ends all sessions of its
    /// account. The owner is told by mail.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is none of that id.
    pub async fn remove_passkey(&self, id: PasskeyId) -> Result<Changed<Passkey>> {
        let (user, passkey) = self.passkey(id).await?;
        let removed = self.remove_passkeys_where(user, Some(id)).await?;
        if removed.resource.is_empty() {
            return Err(no_such_passkey());
        }
        Ok(Changed::new(true, passkey))
    }

    /// Removes all passkeys of a user, as [`Self::remove_passkey`]. Those that went come back.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown account.
    pub async fn remove_passkeys_of(&self, user: UserId) -> Result<Changed<Vec<Passkey>>> {
        self.remove_passkeys_where(user, None).await
    }

    /// Removes challenges whose time is over, at most 1000 at a time. Nothing depends on it: an expired one is refused
    /// whether it is there or not (R6). Returns how many went.
    pub async fn sweep_passkey_challenges(&self) -> Result<u64> {
        let now = self.ctx.now();
        if self.dry_run {
            let sweep = self.ctx.db.rehearse(move |tx| Box::pin(passkeys::sweep(tx.conn(), now, SWEPT)));
            return sweep.await;
        }
        self.ctx.db.write(move |tx| Box::pin(passkeys::sweep(tx.conn(), now, SWEPT))).await
    }

    async fn remove_passkeys_where(
        &self,
        user: UserId,
        only: Option<PasskeyId>,
    ) -> Result<Changed<Vec<Passkey>>> {
        self.run(Action::PasskeyRemove, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.remove_passkeys_in(tx, user, only, meta).await })
        })
        .await
    }
}

impl Ctx {
    pub(super) async fn remove_passkeys_in(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        user: UserId,
        only: Option<PasskeyId>,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<Vec<Passkey>>>> {
        if self.take(tx, user).await?.is_none() {
            return Ok(Err(not_found()));
        }
        let mut removed = passkeys::of_user(tx.conn(), user).await?;
        removed.retain(|passkey| only.is_none_or(|only| only == passkey.id));
        for passkey in &removed {
            passkeys::remove(tx.conn(), passkey.id, user).await?;
            let entry = Entry::success(Action::PasskeyRemove, user).detail("passkey", passkey.id.to_string());
            self.audit.grant(tx, meta, entry).await?;
        }
        if !removed.is_empty() {
            self.change_credentials(tx, user, None, None).await?;
        }
        Ok(Ok(Changed::new(!removed.is_empty(), removed)))
    }
}

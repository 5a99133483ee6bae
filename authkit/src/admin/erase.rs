//! Everything held on one account: read out, handed over, removed.

use serde_json::Value;

use super::Admin;
use crate::audit::Entry;
use crate::db::Tx;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::users::UserStatus;

impl Admin {
    /// Everything that is held on an account, as JSON: a member for each table. No secret and no hash is in it. Audited.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account.
    pub async fn export_user(&self, user: UserId) -> Result<Value> {
        self.ctx.export_user(user, &self.meta).await
    }

    /// Removes an account and all that hangs on it for good, in one transaction. What stays are events of the audit
    /// without personal data, the last of which says that it was erased.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for the last `super_admin` and for the last owner of an
    /// organisation: see [`Self::hand_over`].
    pub async fn erase_user(&self, user: UserId) -> Result<()> {
        self.run(Action::UserErase, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.erase_in(tx, user, meta).await })
        })
        .await
    }

    /// [`Self::hand_over`] and [`Self::erase_user`] in one transaction.
    ///
    /// # Errors
    /// As there.
    pub async fn erase_user_handing_over(&self, user: UserId, to: UserId) -> Result<()> {
        self.run(Action::UserErase, Some(user), move |ctx, tx, meta| {
            Box::pin(async move {
                match ctx.hand_over_in(tx, user, to, meta).await? {
                    // A refusal of the one undoes the other.
                    Ok(_) => ctx.erase_in(tx, user, meta).await?.map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                }
            })
        })
        .await
    }

    /// Makes `to` an owner of every organisation and resource of which `from` is the last one, so that `from` can be
    /// deleted or erased. Returns how many those were.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] for an heir that cannot sign in, and where no seat is free.
    pub async fn hand_over(&self, from: UserId, to: UserId) -> Result<u64> {
        self.run(Action::MembershipGrant, Some(to), move |ctx, tx, meta| {
            Box::pin(async move { ctx.hand_over_in(tx, from, to, meta).await })
        })
        .await
    }
}

impl Ctx {
    async fn erase_in(&self, tx: &mut Tx<'_>, user: UserId, meta: &RequestMeta) -> Result<Ruling<()>> {
        let Some(record) = self.take(tx, user).await? else { return Ok(Err(super::accounts::not_found())) };
        if record.user.status != UserStatus::Deleted {
            match self.delete_in(tx, user, meta).await {
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(Err(error)),
                out => out?,
            };
        }
        if let Err(refusal) = self.purge_in(tx, user, meta).await? {
            return Ok(Err(refusal));
        }
        self.audit.grant(tx, meta, Entry::success(Action::UserErase, user)).await?;
        Ok(Ok(()))
    }
}

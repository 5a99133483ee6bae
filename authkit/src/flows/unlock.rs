//! Ending a lock by mail: whoever reads the mails of an account need not wait until strangers stop guessing.

use std::sync::Arc;

use crate::audit::Entry;
use crate::db::Tx;
use crate::error::Result;
use crate::events::Action;
use crate::flows::Ctx;
use crate::flows::doors::Door;
use crate::flows::mailed::{For, stored};
use crate::ids::UserId;
use crate::links::{LinkProof, LinkPurpose};
use crate::lockout::{Row, store as lockouts};
use crate::meta::RequestMeta;
use crate::users::{Email, UserStatus, store as users};

impl Ctx {
    /// Ends the lock of an account's e-mail by its mailed link. Locks of addresses, devices and second factors stay.
    pub(crate) async fn unlock(self: &Arc<Self>, proof: LinkProof, meta: &RequestMeta) -> Result<()> {
        self.limit(Door::Link, meta).await?;
        let link = self.open_link(LinkPurpose::Unlock, &proof, meta).await?;
        let (user, meta_in) = (link.user, meta.clone());
        self.decide(meta, Action::LockoutUnlock, Some(user), move |ctx, tx| {
            let (meta, link) = (meta_in.clone(), link.clone());
            Box::pin(async move {
                let record = match ctx.redeem(tx, &meta, &link).await? {
                    Ok(record) => record,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                ctx.clear_email_lock(tx, user, &record.user.email, &meta).await?;
                Ok(Ok(()))
            })
        })
        .await
    }

    /// Forgets failures and lock of the e-mail alone. Audited when there was something to forget.
    pub(crate) async fn clear_email_lock(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        email: &str,
        meta: &RequestMeta,
    ) -> Result<()> {
        let key = self.row_keys()?.email(stored(email)?.key());
        for row in lockouts::by_keys(tx.conn(), [&key.current, &key.former, "", "", "", ""]).await? {
            self.forget_in(tx, Row { user: Some(user), ..row }, meta).await?;
        }
        Ok(())
    }

    /// Adds to the news of a lock the link that ends it. An e-mail without an account costs the same row (R5).
    pub(crate) async fn with_unlock_link(
        &self,
        tx: &mut Tx<'_>,
        entry: Entry,
        user: Option<UserId>,
        email: &Email,
    ) -> Result<Entry> {
        if !self.outbox.is_on() {
            return Ok(entry);
        }
        let found = match user {
            Some(user) => users::by_id(tx.conn(), user).await?,
            None => None,
        };
        let Some(record) = found.filter(|record| record.user.status == UserStatus::Active) else {
            self.issue_decoy(tx, LinkPurpose::Unlock, email).await?;
            return Ok(entry);
        };
        let address = stored(&record.user.email)?;
        let (user, epoch) = (record.user.id, record.version.epoch);
        let whose = For { user, epoch, address: &address, session: None };
        let link = self.issue_link(tx, LinkPurpose::Unlock, whose).await?;
        Ok(entry.told_link(link.news(self.now())))
    }
}

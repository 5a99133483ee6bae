//! The end of a sign-in whose first factor was right: its second factor.

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::Tx;
use crate::devices::Presented;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::device::Device;
use crate::flows::doors::Door;
use crate::flows::gate::{Start, Started};
use crate::flows::mailed::stored;
use crate::flows::second_factor::{FactorTry, ProvedFactor, SecondFactor};
use crate::flows::{Amr, Ctx, Ruling, Tokens};
use crate::meta::RequestMeta;
use crate::mfa::{PendingToken, store};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::users::{Email, store as users};

impl Ctx {
    pub(crate) async fn complete_mfa(
        self: &Arc<Self>,
        token: &SecretString,
        factor: SecondFactor,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        // What is not one of ours costs no statement, names nobody and leaves no trace.
        let Some(token) = self.genuine_pending(token).await? else {
            self.limit(Door::Other, meta).await?;
            return Err(ErrorKind::MfaInvalid.into());
        };
        let user = token.user;
        self.limit(Door::SecondFactor { user }, meta).await?;
        let found = self.db.read(move |conn| Box::pin(async move { users::by_id(conn, user).await })).await?;
        let Some(record) = found else { return Err(ErrorKind::MfaInvalid.into()) };
        let email = stored(&record.user.email)?;
        let tried = FactorTry {
            action: Action::Login,
            user,
            email: email.clone(),
            session: None,
            pending: Some(token.id),
            factor,
        };
        let email = Arc::new(email);
        let (started, device) = self
            .try_factor(tried, meta, move |ctx, tx, meta, proved| {
                let email = Arc::clone(&email);
                Box::pin(async move { ctx.finish_second_factor(tx, meta, &email, proved).await })
            })
            .await?;
        self.hand_over(meta, started, Some(&device)).await
    }

    /// A pending token whose MAC is right. Costs no statement, except once a second for a key that is not known yet.
    pub(crate) async fn genuine_pending(&self, token: &SecretString) -> Result<Option<PendingToken>> {
        let Some(token) = PendingToken::parse(token.expose_secret()) else { return Ok(None) };
        let Some(key) = self.keys.by_kid(&self.db, token.key_id).await? else { return Ok(None) };
        if !key.is_for(KeyPurpose::Token) {
            return Ok(None);
        }
        Ok(token.verify(&key.bytes32()?).then_some(token))
    }

    async fn finish_second_factor(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        email: &Email,
        proved: &ProvedFactor,
    ) -> Result<Ruling<(Started, Device)>> {
        let pending =
            proved.pending.as_ref().ok_or_else(|| Error::internal("a sign-in without its pending row"))?;
        let user = pending.user;
        let device = match pending.device {
            Some(id) => Device::Known(Presented::of_session(id)),
            None => self.device_of(None, email)?,
        };
        let start = Start {
            user,
            epoch: pending.epoch,
            amr: Amr::read(&pending.amr).and_also(&proved.amr),
            replaces: None,
            device: Some(device.id()),
            proved_at: None,
        };
        let used = store::use_up(tx.conn(), pending.id, self.now()).await?;
        let started = if used { self.start_session(tx, meta, &start).await? } else { None };
        let Some(started) = started else {
            let entry = Entry::failure(Action::Login, Some(user), "changed_meanwhile");
            self.audit.record(tx, meta, entry).await?;
            return Ok(Err(ErrorKind::MfaInvalid.into()));
        };
        let news = self.remember_device(tx, &device, &started).await?;
        // Signed in fully now: wrong passwords from before are forgotten.
        self.forgive_password(tx, email, pending.device).await?;
        let entry = Entry::success(Action::Login, user)
            .session(started.session.id)
            .detail("amr", start.amr.names().to_vec())
            .detail("second_factor", proved.kind.name());
        self.audit.grant(tx, meta, news.on(entry)).await?;
        Ok(Ok((started, device)))
    }
}

//! Using a link: looked at first, so that nothing costly is done for a bad one, then used up in the transaction of its
//! effect. One answer for whatever is wrong; the audit tells.

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::links::store::Tried;
use crate::links::{LinkProof, LinkPurpose, LinkRecord, LinkToken, code_hash, read_code, store as links};
use crate::meta::RequestMeta;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::users::{Email, Record, UserStatus};

/// A link whose secret or code was right, and that was alive when it was looked at.
#[derive(Debug, Clone)]
pub(crate) struct OpenLink {
    pub(crate) purpose: LinkPurpose,
    pub(crate) record: LinkRecord,
    pub(crate) user: UserId,
    by_code: bool,
}

impl Ctx {
    /// Looks a link up. Uses nothing up but a try, where a code is typed.
    ///
    /// # Errors
    /// [`ErrorKind::LinkInvalid`] for whatever is wrong with it; [`ErrorKind::Validation`] for what is no e-mail.
    pub(crate) async fn open_link(
        self: &Arc<Self>,
        purpose: LinkPurpose,
        proof: &LinkProof,
        meta: &RequestMeta,
    ) -> Result<OpenLink> {
        match proof {
            LinkProof::Token(token) => self.open_by_token(purpose, token, meta).await,
            LinkProof::Code { email, code } => {
                let email = Email::parse(email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
                self.open_by_code(purpose, email, code, meta).await
            }
        }
    }

    /// What is not one of ours costs no statement and leaves no trace.
    async fn open_by_token(
        &self,
        purpose: LinkPurpose,
        token: &SecretString,
        meta: &RequestMeta,
    ) -> Result<OpenLink> {
        let invalid = || Error::from(ErrorKind::LinkInvalid);
        let token = LinkToken::parse(token.expose_secret()).ok_or_else(invalid)?;
        let key = self.keys.by_kid(&self.db, token.key_id).await?.ok_or_else(invalid)?;
        if !key.is_for(KeyPurpose::Link) {
            return Err(invalid());
        }
        let hash = token.hash(&key.bytes32()?, purpose);
        let found = self
            .db
            .read(move |conn| Box::pin(async move { links::by_secret(conn, purpose, &hash).await }))
            .await?;
        let Some((record, user)) = found.and_then(|record| record.user.map(|user| (record, user))) else {
            return Err(invalid());
        };
        if let Some(why) = record.dead(self.now()) {
            return self.refuse(meta, refusal(purpose, Some(user), why), invalid()).await;
        }
        Ok(OpenLink { purpose, record, user, by_code: false })
    }

    /// The try is counted before it is judged, and committed with the refusal. An address without a link costs the
    /// same row (R5).
    async fn open_by_code(
        self: &Arc<Self>,
        purpose: LinkPurpose,
        email: Email,
        code: &SecretString,
        meta: &RequestMeta,
    ) -> Result<OpenLink> {
        let Some(code) = read_code(code).filter(|_| purpose.has_code()) else {
            return Err(ErrorKind::LinkInvalid.into());
        };
        let fingerprint = self.email_fingerprint(&email)?;
        let (ctx, meta, code) = (Arc::clone(self), meta.clone(), Arc::new(code));
        self.db
            .write(move |tx| {
                let (ctx, meta) = (Arc::clone(&ctx), meta.clone());
                let (email, code, fingerprint) = (email.clone(), Arc::clone(&code), fingerprint.clone());
                Box::pin(async move {
                    let now = ctx.now();
                    let mut tried = Vec::new();
                    for hash in ctx.address_hashes(&email)? {
                        tried.extend(links::count_try(tx.conn(), purpose, &hash, now).await?);
                    }
                    if tried.is_empty() {
                        ctx.issue_decoy(tx, purpose, &email).await?;
                    }
                    for link in &tried {
                        let Some(user) = link.user.filter(|_| ctx.fits(link, &code)) else { continue };
                        let Some(record) = links::by_id(tx.conn(), link.id).await? else { continue };
                        return Ok(Ok(OpenLink { purpose, record, user, by_code: true }));
                    }
                    let owner = tried.iter().find_map(|link| link.user);
                    let why = if owner.is_some() { "wrong_code" } else { "unknown" };
                    let mut entry = refusal(purpose, owner, why);
                    if owner.is_none() {
                        entry = entry.detail("email_hash", fingerprint);
                    }
                    ctx.audit.record(tx, &meta, entry).await?;
                    Ok(Err(ErrorKind::LinkInvalid.into()))
                })
            })
            .await?
    }

    fn fits(&self, link: &Tried, code: &SecretString) -> bool {
        // Made by another node a moment ago under a key that this one has not read: the link itself still works.
        let key = link.key_id.and_then(|kid| self.keys.known(kid));
        let expected = key.and_then(|key| key.bytes32().ok()).map(|key| code_hash(&key, link.id, code));
        expected.is_some_and(|expected| mac::constant_time_eq(&expected, &link.code_hash))
    }

    /// Takes the account's row for a link and judges its state. A refusal uses nothing up.
    pub(crate) async fn hold_account(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        link: &OpenLink,
    ) -> Result<Ruling<Record>> {
        let why = match self.take(tx, link.user).await? {
            Some(record) if record.user.status == UserStatus::Active => return Ok(Ok(record)),
            Some(record) => record.user.status.name(),
            None => "purged",
        };
        self.refuse_link(tx, meta, link, why).await
    }

    /// Uses the link up: of many that try at once one succeeds (R1). The account's row is held.
    pub(crate) async fn use_link(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        link: &OpenLink,
        record: &Record,
    ) -> Result<Ruling<()>> {
        let (now, epoch) = (self.now(), record.version.epoch);
        if links::claim(tx.conn(), link.record.id, epoch, link.by_code, now).await?.is_some() {
            return Ok(Ok(()));
        }
        let at = links::by_id(tx.conn(), link.record.id).await?;
        let why = match &at {
            Some(at) => at.dead(now).unwrap_or("changed_meanwhile"),
            None => "replaced",
        };
        self.refuse_link(tx, meta, link, why).await
    }

    /// [`Self::hold_account`] and [`Self::use_link`].
    pub(crate) async fn redeem(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        link: &OpenLink,
    ) -> Result<Ruling<Record>> {
        let record = match self.hold_account(tx, meta, link).await? {
            Ok(record) => record,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(self.use_link(tx, meta, link, &record).await?.map(|()| record))
    }

    pub(crate) async fn refuse_link<T>(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        link: &OpenLink,
        why: &str,
    ) -> Result<Ruling<T>> {
        self.audit.record(tx, meta, refusal(link.purpose, Some(link.user), why)).await?;
        Ok(Err(ErrorKind::LinkInvalid.into()))
    }
}

fn refusal(purpose: LinkPurpose, user: Option<UserId>, why: &str) -> Entry {
    Entry::failure(Action::LinkRefuse, user, why).detail("purpose", purpose.name())
}

//! Setting up second factors: authenticator apps and backup codes.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::audit::Entry;
use crate::config::MfaPolicy;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::mailed::stored;
use crate::flows::second_factor::{FactorTry, SecondFactor};
use crate::flows::{Authenticated, Ctx, Ruling};
use crate::ids::{FactorId, SessionId, UserId};
use crate::meta::RequestMeta;
use crate::mfa::backup::{self, SetKey};
use crate::mfa::enrolment::{self, TotpEnrolment};
use crate::mfa::totp::{self, Algorithm, Parameters, Typed};
use crate::mfa::{BackupCodes, FactorInfo, FactorKind, MfaStatus, TotpRecord, base32, check_name, store};
use crate::random;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;
use crate::users::store as users;

/// 160 bits (RFC 4226 section 4, R6).
const SECRET_LEN: usize = 20;
/// Authenticator apps that a user may have.
const MOST: usize = 10;
/// Authenticator apps that may be in the middle of being set up.
const MOST_UNCONFIRMED: i64 = 5;
/// How long setting one up may take.
const UNCONFIRMED_LIFE: Duration = Duration::from_hours(1);

/// A set of backup codes to be.
#[derive(Debug)]
struct NewSet {
    codes: Vec<SecretString>,
    sealed: String,
    hashes: Vec<[u8; 32]>,
}

impl Ctx {
    /// What the caller has.
    pub(crate) async fn mfa_status(self: &Arc<Self>, user: UserId) -> Result<MfaStatus> {
        let ctx = Arc::clone(self);
        self.db
            .read(move |conn| {
                Box::pin(async move {
                    let factors = ctx.factors(conn, user).await?;
                    let infos = store::totp_of_user(conn, user).await?.into_iter().map(|app| FactorInfo {
                        id: app.id,
                        kind: FactorKind::Totp,
                        name: app.name,
                        confirmed: app.confirmed,
                        last_used_at: app.last_used_at,
                    });
                    let mut infos: Vec<FactorInfo> = infos.collect();
                    infos.extend(ctx.passkey_infos(conn, user).await?);
                    infos.sort_by_key(|info| info.id);
                    Ok(MfaStatus {
                        enabled: factors.any(),
                        factors: infos,
                        backup_codes_remaining: u64::try_from(factors.backup_codes).unwrap_or_default(),
                    })
                })
            })
            .await
    }

    /// Begins to set up an authenticator app. It counts for nothing before [`Self::confirm_totp`].
    pub(crate) async fn enrol_totp(
        self: &Arc<Self>,
        caller: &Authenticated,
        name: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<TotpEnrolment> {
        let name = check_name(name)?;
        self.limit(Door::Other, meta).await?;
        self.allow_enrolment()?;
        let (current, session) = self.require_current_session(caller).await?;
        self.require_fresh(caller).await?;
        let (user, now) = (caller.user_id(), self.now());
        let secret = Zeroizing::new(random::bytes::<SECRET_LEN>(&*self.random)?);
        let config = &self.config.mfa;
        let period = i64::try_from(config.totp_period.as_secs().max(1)).unwrap_or(30);
        let parameters = Parameters { algorithm: Algorithm::Sha1, digits: config.totp_digits, period };
        let new = TotpRecord {
            id: FactorId::generate(now, &*self.random)?,
            name,
            parameters,
            sealed: self.seals.seal_totp(user, secret.as_slice(), now, &*self.random)?,
            created_at: now,
            confirmed: false,
            last_used_at: None,
        };
        let (id, session, epoch) = (new.id, session.id, current.version.epoch);
        let job = Arc::new((new, meta.clone()));
        self.decide(meta, Action::MfaEnrol, Some(user), move |ctx, tx| {
            let job = Arc::clone(&job);
            Box::pin(async move { ctx.enrol_in(tx, &job.1, (user, epoch, session), &job.0).await })
        })
        .await?;
        let issuer = &self.config.passwords.product_name;
        let otpauth_uri = enrolment::otpauth_uri(secret.as_slice(), parameters, issuer, &current.user.email);
        let drawn = otpauth_uri.clone();
        let qr_svg = tokio::task::spawn_blocking(move || enrolment::qr_svg(&drawn)).await;
        let qr_svg = qr_svg.map_err(|e| Error::internal("a QR code was not drawn").with_source(e))??;
        Ok(TotpEnrolment { id, secret: base32::encode_secret(secret.as_slice()), otpauth_uri, qr_svg })
    }

    async fn enrol_in(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        (user, epoch, session): (UserId, i64, SessionId),
        new: &TotpRecord,
    ) -> Result<Ruling<()>> {
        if !self.hold_at(tx, user, epoch).await? {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        }
        let apps = store::totp_of_user(tx.conn(), user).await?;
        if apps.iter().filter(|app| app.confirmed).count() >= MOST {
            let full =
                Error::new(ErrorKind::Conflict, "the account has as many authenticator apps as it may");
            return Ok(Err(full.with_public("There are as many authenticator apps as an account may have.")));
        }
        let until = self.now() - UNCONFIRMED_LIFE;
        store::drop_unconfirmed(tx.conn(), user, until, MOST_UNCONFIRMED - 1).await?;
        store::add_totp(tx.conn(), user, new).await?;
        let entry =
            Entry::success(Action::MfaEnrol, user).session(session).detail("factor", new.id.to_string());
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(()))
    }

    /// Makes an authenticator app a second factor by one of its codes, which is used up with it. All other sessions
    /// end. The first one comes with backup codes.
    pub(crate) async fn confirm_totp(
        self: &Arc<Self>,
        caller: &Authenticated,
        code: &SecretString,
        id: Option<FactorId>,
        meta: &RequestMeta,
    ) -> Result<BackupCodes> {
        let user = caller.user_id();
        self.limit(Door::SecondFactor { user }, meta).await?;
        self.allow_enrolment()?;
        let (current, session) = self.require_current_session(caller).await?;
        self.require_fresh(caller).await?;
        let set = self.new_set(user)?;
        let job = Arc::new((totp::canonical(code), set, meta.clone()));
        let (epoch, session) = (current.version.epoch, session.id);
        self.decide(meta, Action::MfaConfirm, Some(user), move |ctx, tx| {
            let job = Arc::clone(&job);
            Box::pin(async move {
                let (code, set, meta) = &*job;
                ctx.confirm_in(tx, meta, (user, epoch, session), code.as_ref(), id, set).await
            })
        })
        .await
    }

    async fn confirm_in(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        (user, epoch, session): (UserId, i64, SessionId),
        code: Option<&SecretString>,
        id: Option<FactorId>,
        set: &NewSet,
    ) -> Result<Ruling<BackupCodes>> {
        if !self.hold_at(tx, user, epoch).await? {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        }
        let now = self.now();
        let mut waiting = store::totp_of_user(tx.conn(), user).await?;
        waiting.retain(|app| {
            !app.confirmed && app.created_at + UNCONFIRMED_LIFE > now && id.is_none_or(|id| id == app.id)
        });
        if waiting.is_empty() {
            let none = Error::new(ErrorKind::NotFound, "no such authenticator app is being set up");
            return Ok(Err(none.with_public("No such authenticator app is being set up.")));
        }
        let app = match code.map(|code| totp::read(code.expose_secret())) {
            Some(Some(Typed::Digits(digits))) => self.confirm_by(tx, user, &waiting, digits, now).await?,
            _ => None,
        };
        let Some(app) = app else {
            let entry = Entry::failure(Action::MfaConfirm, Some(user), "wrong_code").own().session(session);
            self.audit.record(tx, meta, entry).await?;
            return Ok(Err(ErrorKind::MfaInvalid.into()));
        };
        let mut codes = Vec::new();
        if store::left(tx.conn(), user).await? == 0 {
            store::replace_set(tx.conn(), user, &set.sealed, &set.hashes, now).await?;
            codes.clone_from(&set.codes);
        }
        let Some((_, ended)) = self.change_credentials(tx, user, Some(epoch), Some(session)).await? else {
            return Err(ErrorKind::Unauthenticated.into());
        };
        let entry = Entry::success(Action::MfaConfirm, user)
            .session(session)
            .detail("factor", app.to_string())
            .detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(BackupCodes { codes }))
    }

    async fn confirm_by(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        waiting: &[TotpRecord],
        digits: &str,
        now: Timestamp,
    ) -> Result<Option<FactorId>> {
        for app in waiting {
            let Ok(secret) = self.seals.open_totp(user, &app.sealed) else { continue };
            if let Some(step) = app.parameters.matching_step(&secret, digits, now)
                && store::confirm(tx.conn(), app.id, step, now).await?
            {
                return Ok(Some(app.id));
            }
        }
        Ok(None)
    }

    /// A new set of backup codes, for a code of the present factors; the old set is gone. All other sessions end.
    pub(crate) async fn regenerate_backup_codes(
        self: &Arc<Self>,
        caller: &Authenticated,
        code: SecretString,
        meta: &RequestMeta,
    ) -> Result<BackupCodes> {
        let user = caller.user_id();
        self.limit(Door::SecondFactor { user }, meta).await?;
        let (current, session) = self.require_current_session(caller).await?;
        let (epoch, session) = (current.version.epoch, session.id);
        let tried = FactorTry {
            action: Action::MfaBackupCodes,
            user,
            email: stored(&current.user.email)?,
            session: Some(session),
            pending: None,
            factor: SecondFactor::Code(code),
        };
        let set = Arc::new(self.new_set(user)?);
        self.try_factor(tried, meta, move |ctx, tx, meta, _| {
            let set = Arc::clone(&set);
            Box::pin(async move {
                store::replace_set(tx.conn(), user, &set.sealed, &set.hashes, ctx.now()).await?;
                let changed = ctx.change_credentials(tx, user, Some(epoch), Some(session)).await?;
                let Some((_, ended)) = changed else { return Err(ErrorKind::Unauthenticated.into()) };
                let entry = Entry::success(Action::MfaBackupCodes, user)
                    .session(session)
                    .detail("count", set.codes.len())
                    .detail("sessions_ended", ended);
                ctx.audit.grant(tx, meta, entry).await?;
                Ok(Ok(BackupCodes { codes: set.codes.clone() }))
            })
        })
        .await
    }

    fn new_set(&self, user: UserId) -> Result<NewSet> {
        let key = SetKey::generate(&*self.random)?;
        let count = self.config.mfa.backup_codes;
        let made =
            (0..count).map(|_| backup::generate(&key, user, &*self.random)).collect::<Result<Vec<_>>>()?;
        let (codes, hashes) = made.into_iter().unzip();
        let sealed = self.seals.seal_set(user, &key, self.now(), &*self.random)?;
        Ok(NewSet { codes, sealed, hashes })
    }

    /// A new set for an account whose row is held.
    pub(crate) async fn replace_set_in(&self, tx: &mut Tx<'_>, user: UserId) -> Result<BackupCodes> {
        let set = self.new_set(user)?;
        store::replace_set(tx.conn(), user, &set.sealed, &set.hashes, self.now()).await?;
        Ok(BackupCodes { codes: set.codes })
    }

    /// Takes the account's row. `false` when the account has moved on.
    async fn hold_at(&self, tx: &mut Tx<'_>, user: UserId, epoch: i64) -> Result<bool> {
        Ok(users::take(tx.conn(), user).await?.is_some_and(|version| version.epoch == epoch))
    }

    fn allow_enrolment(&self) -> Result<()> {
        if self.config.mfa.policy == MfaPolicy::Off {
            let off = Error::new(ErrorKind::Forbidden, "MFA_POLICY is off");
            return Err(off.with_public("Second factors cannot be set up here."));
        }
        if !self.seals.has_key() {
            return Err(Error::unavailable("MFA_ENCRYPTION_KEY is not set"));
        }
        Ok(())
    }
}

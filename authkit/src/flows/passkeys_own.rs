//! One's own passkeys: register them, look at them, remove them.

use std::sync::Arc;

use crate::audit::Entry;
use crate::config::MfaPolicy;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::passkeys::{Answer, PasskeyOptions};
use crate::flows::{Authenticated, Ctx, Enrolling, PasskeyProof, Ruling};
use crate::ids::{PasskeyId, UserId};
use crate::meta::RequestMeta;
use crate::passkeys::{Bound, Holder, MAX_PER_USER, Passkey, Purpose, check_name, store as passkeys};
use crate::passwords::store as passwords;
use crate::users::store as users;

impl Ctx {
    /// The options by which the caller's browser makes a passkey.
    pub(crate) async fn begin_passkey(
        self: &Arc<Self>,
        caller: &Enrolling,
        name: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<PasskeyOptions> {
        let name = check_name(name).map_err(|fault| Error::validation(vec![fault]))?;
        self.limit(Door::Other, meta).await?;
        if self.config.mfa.policy == MfaPolicy::Off {
            let off = Error::new(ErrorKind::Forbidden, "MFA_POLICY is off");
            return Err(off.with_public("Passkeys cannot be set up here."));
        }
        let auth = caller.caller();
        let (record, session) = self.require_current_session(auth).await?;
        self.require_fresh(auth).await?;
        let user = record.user.id;
        let known =
            self.db.read(move |conn| Box::pin(async move { passkeys::known(conn, user).await })).await?;
        if known.len() >= usize::try_from(MAX_PER_USER).unwrap_or(usize::MAX) {
            return Err(too_many());
        }
        let holder = Holder { handle: user.as_uuid(), email: &record.user.email, name: &record.user.name };
        let begun = self.ceremonies.begin_registration(holder, &known)?;
        let bound = Bound { user, epoch: record.version.epoch, subject: session.id.as_uuid() };
        self.open_challenge(Purpose::Register, Some(bound), Some(name), begun).await
    }

    /// Judges what the browser made and keeps it. A new factor: all other sessions end (R8).
    pub(crate) async fn add_passkey(
        self: &Arc<Self>,
        caller: &Enrolling,
        proof: PasskeyProof,
        meta: &RequestMeta,
    ) -> Result<Passkey> {
        self.limit(Door::Other, meta).await?;
        let auth = caller.caller();
        let (record, session) = self.require_current_session(auth).await?;
        self.require_fresh(auth).await?;
        let (user, epoch) = (record.user.id, record.version.epoch);
        let bound = Bound { user, epoch, subject: session.id.as_uuid() };
        let (ctx, job, meta) = (Arc::clone(self), Arc::new((proof, meta.clone())), meta.clone());
        self.detached(async move {
            ctx.decide(&meta, Action::PasskeyAdd, Some(user), move |ctx, tx| {
                let job = Arc::clone(&job);
                Box::pin(async move { ctx.keep_passkey(tx, &job.1, bound, &job.0).await })
            })
            .await
        })
        .await
    }

    async fn keep_passkey(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        bound: Bound,
        proof: &PasskeyProof,
    ) -> Result<Ruling<Passkey>> {
        let Bound { user, epoch, subject } = bound;
        let (now, session) = (self.now(), crate::ids::SessionId::from_uuid(subject));
        let refusal = |why: &str| Entry::failure(Action::PasskeyAdd, Some(user), why).own().session(session);
        users::take(tx.conn(), user).await?;
        let Some(answer) = Answer::read(proof) else {
            self.audit.record(tx, meta, refusal("malformed")).await?;
            return Ok(Err(not_accepted("malformed")));
        };
        let for_whom = (Purpose::Register, Some(bound));
        let claimed =
            passkeys::claim(tx.conn(), answer.challenge, for_whom, &answer.credential_id, now).await?;
        let Some(claimed) = claimed else {
            let looked = passkeys::look(tx.conn(), answer.challenge, &answer.credential_id).await?;
            let why = looked.challenge.and_then(|c| c.dead(Purpose::Register, Some(bound), now));
            let why = why.unwrap_or("challenge_unknown");
            self.audit.record(tx, meta, refusal(why)).await?;
            return Ok(Err(not_accepted(why)));
        };
        let key = match self.ceremonies.finish_registration(&claimed.state, answer.credential)? {
            Ok(key) => key,
            Err(flaw) => {
                self.audit.record(tx, meta, refusal(flaw.0)).await?;
                return Ok(Err(not_accepted(flaw.0)));
            }
        };
        if passkeys::count(tx.conn(), user).await? >= MAX_PER_USER {
            self.audit.record(tx, meta, refusal("too_many")).await?;
            return Ok(Err(too_many()));
        }
        let name = claimed.name.unwrap_or_default();
        let Some(passkey) = passkeys::add(tx.conn(), user, &name, &key, &*self.random, now).await? else {
            self.audit.record(tx, meta, refusal("registered_already")).await?;
            return Ok(Err(not_accepted("registered_already")));
        };
        let Some((_, ended)) = self.change_credentials(tx, user, Some(epoch), Some(session)).await? else {
            // Undoes the new passkey: the account is not what the caller proved himself to.
            return Err(ErrorKind::Unauthenticated.into());
        };
        let entry = Entry::success(Action::PasskeyAdd, user)
            .session(session)
            .detail("passkey", passkey.id.to_string())
            .detail("backup_eligible", passkey.backup_eligible)
            .detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        Ok(Ok(passkey))
    }

    /// The passkeys of an account, oldest first.
    pub(crate) async fn passkeys_of(&self, user: UserId) -> Result<Vec<Passkey>> {
        self.db.read(move |conn| Box::pin(async move { passkeys::of_user(conn, user).await })).await
    }

    /// Removes a passkey of the caller. All other sessions end (R8).
    pub(crate) async fn remove_passkey(
        self: &Arc<Self>,
        auth: &Authenticated,
        id: PasskeyId,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        let (record, session) = self.require_current_session(auth).await?;
        self.require_fresh(auth).await?;
        let (user, epoch, session) = (record.user.id, record.version.epoch, session.id);
        let needed = self.config.mfa.is_required_for(&record.user.roles);
        let meta_in = meta.clone();
        self.decide(meta, Action::PasskeyRemove, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move {
                users::take(tx.conn(), user).await?;
                match passkeys::by_id(tx.conn(), id).await? {
                    Some((owner, _)) if owner == user => {}
                    _ => return Ok(Err(no_such_passkey())),
                }
                if let Err(refusal) = ctx.may_lose_passkey(tx, user, needed).await? {
                    let entry = Entry::failure(Action::PasskeyRemove, Some(user), "last_method");
                    ctx.audit.record(tx, &meta, entry.own().session(session)).await?;
                    return Ok(Err(refusal));
                }
                passkeys::remove(tx.conn(), id, user).await?;
                let changed = ctx.change_credentials(tx, user, Some(epoch), Some(session)).await?;
                let Some((_, ended)) = changed else { return Err(ErrorKind::Unauthenticated.into()) };
                let entry = Entry::success(Action::PasskeyRemove, user)
                    .session(session)
                    .detail("passkey", id.to_string())
                    .detail("sessions_ended", ended);
                ctx.audit.grant(tx, &meta, entry).await?;
                Ok(Ok(()))
            })
        })
        .await
    }

    /// Whether an account keeps a way to sign in, and the second factor that it `needs`, when one of its passkeys goes.
    /// The account's row is held.
    async fn may_lose_passkey(&self, tx: &mut Tx<'_>, user: UserId, needs: bool) -> Result<Ruling<()>> {
        if passkeys::count(tx.conn(), user).await? > 1 {
            return Ok(Ok(()));
        }
        if passwords::of_user(tx.conn(), user).await?.is_none() {
            let text = "This is the only way to sign in to the account. Set a password first.";
            return Ok(Err(Error::new(ErrorKind::Conflict, "the last sign-in method").with_public(text)));
        }
        if needs && !self.factors(tx.conn(), user).await?.totp {
            let text = "This is the account's only second factor, and it needs one. Add another first.";
            return Ok(Err(Error::new(ErrorKind::Conflict, "the last required factor").with_public(text)));
        }
        Ok(Ok(()))
    }
}

/// One answer for whatever is wrong with a new passkey; audit and log tell.
fn not_accepted(why: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, format!("a new passkey was not accepted: {why}"))
        .with_public("The passkey was not accepted. Start again.")
}

fn too_many() -> Error {
    Error::new(ErrorKind::Conflict, "too many passkeys")
        .with_public("The account has as many passkeys as it may have. Remove one first.")
}

/// Also for another's: one answer (ASVS 8.2.2).
pub(crate) fn no_such_passkey() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such passkey").with_public("There is no such passkey.")
}

//! Sign-in by a passkey alone. The passkey says who it is; nothing is asked or told of an account before that (R5). It
//! verifies its user itself, so it is two factors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::device::Device;
use crate::flows::doors::Door;
use crate::flows::first_factor::First;
use crate::flows::gate::{Gate, gate};
use crate::flows::mailed::stored;
use crate::flows::passkeys::{Answer, Asked, PasskeyOptions, belongs, copied};
use crate::flows::{Amr, Ctx, Enrolling, Login, PasskeyProof};
use crate::ids::{PasskeyChallengeId, UserId};
use crate::meta::RequestMeta;
use crate::mfa::store as mfa;
use crate::passkeys::{Asserted, Flaw, Looked, Owner, Purpose, store as passkeys};
use crate::secret::SecretString;
use crate::users::UserStatus;

/// What a passkey is asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum PasskeyFor<'a> {
    /// A sign-in without a password, by whichever passkey the browser finds.
    SignIn,
    /// The second factor of a sign-in: the `mfa_token` of its first one.
    SecondFactor(&'a SecretString),
    /// A step-up of a signed-in caller.
    StepUp(&'a Enrolling),
}

/// Why a passkey signs nobody in.
struct Refusal {
    why: &'static str,
    /// Whose passkey it is, as far as that was proved.
    user: Option<UserId>,
    kind: ErrorKind,
    /// The challenge was for this, and its one answer was this one.
    spend: bool,
}

impl Refusal {
    fn new(why: &'static str, user: Option<UserId>, spend: bool) -> Self {
        Self { why, user, kind: ErrorKind::InvalidCredentials, spend }
    }
}

impl Ctx {
    /// The options by which a browser uses a passkey.
    pub(crate) async fn passkey_options(
        self: &Arc<Self>,
        purpose: PasskeyFor<'_>,
        meta: &RequestMeta,
    ) -> Result<PasskeyOptions> {
        self.limit(Door::Other, meta).await?;
        match purpose {
            PasskeyFor::SignIn => {
                let begun = self.ceremonies.begin_assertion(&[])?;
                self.open_challenge(Purpose::Login, None, None, begun).await
            }
            PasskeyFor::SecondFactor(token) => {
                let asked = self.asked_by_pending(token).await?;
                self.ask_for_passkey(asked).await
            }
            PasskeyFor::StepUp(caller) => {
                let (record, session) = self.require_current_session(caller.caller()).await?;
                let asked = Asked::step_up(session.id, record.user.id, record.version.epoch);
                self.ask_for_passkey(asked).await
            }
        }
    }

    /// Whose second factor is outstanding. Counts no try: nothing is judged here.
    async fn asked_by_pending(&self, token: &SecretString) -> Result<Asked> {
        let invalid = || Error::from(ErrorKind::MfaInvalid);
        let token = self.genuine_pending(token).await?.ok_or_else(invalid)?;
        let (id, user, now) = (token.id, token.user, self.now());
        let alive = self
            .db
            .read(move |conn| Box::pin(async move { mfa::waiting(conn, id, user, now).await }))
            .await?;
        alive.map(|epoch| Asked::second_factor(id, user, epoch)).ok_or_else(invalid)
    }

    /// Signs in by a passkey. `device` is a device token that the client may have.
    pub(crate) async fn passkey_login(
        self: &Arc<Self>,
        proof: PasskeyProof,
        device: Option<SecretString>,
        meta: &RequestMeta,
    ) -> Result<Login> {
        self.limit(Door::Passkey, meta).await?;
        let Some(answer) = Answer::read(&proof) else {
            return self.refuse_passkey(meta, None, Refusal::new("malformed", None, false)).await;
        };
        let (challenge, id) = (answer.challenge, answer.credential_id.clone());
        let looked = self
            .db
            .read(move |conn| Box::pin(async move { passkeys::look(conn, challenge, &id).await }))
            .await?;
        let (owner, asserted) = match self.judge_passkey_login(looked, &answer)? {
            Ok(judged) => judged,
            Err(refusal) => return self.refuse_passkey(meta, Some(challenge), refusal).await,
        };
        let device = self.device_at_passkey(device.as_ref(), &owner).await?;
        let sign_in = SignIn { challenge, credential_id: answer.credential_id, owner, asserted, device };
        let (ctx, meta) = (Arc::clone(self), meta.clone());
        self.detached(async move { ctx.complete_passkey_login(sign_in, &meta).await }).await
    }

    /// Judges an answer against what the store has. Writes nothing.
    fn judge_passkey_login(
        &self,
        looked: Looked,
        answer: &Answer<'_>,
    ) -> Result<std::result::Result<(Owner, Asserted), Refusal>> {
        let Some(challenge) = looked.challenge else {
            return Ok(Err(Refusal::new("challenge_unknown", None, false)));
        };
        if let Some(why) = challenge.dead(Purpose::Login, None, self.now()) {
            return Ok(Err(Refusal::new(why, None, false)));
        }
        let Some(credential) = looked.credential else {
            return Ok(Err(Refusal::new("passkey_unknown", None, true)));
        };
        let (owner, key) = (credential.owner, credential.state);
        let user = Some(owner.user);
        let judged = self.ceremonies.finish_assertion(&challenge.state, &key, answer.credential)?;
        let asserted = match judged.and_then(|asserted| belongs(asserted, owner.user, true)) {
            Ok(asserted) => asserted,
            Err(flaw) => return Ok(Err(Refusal::new(flaw.0, user, true))),
        };
        let status =
            UserStatus::from_name(&owner.status).ok_or_else(|| Error::internal("an unknown status"))?;
        Ok(match gate(status, owner.verified, self.unverified_may()) {
            Gate::Open => Ok((owner, asserted)),
            Gate::Closed(why) => Err(Refusal::new(why, user, true)),
            Gate::Unverified => {
                let refusal = Refusal::new("email_unverified", user, true);
                Err(Refusal { kind: ErrorKind::EmailUnverified, ..refusal })
            }
        })
    }

    /// One answer for whatever is wrong; the audit tells.
    async fn refuse_passkey<T>(
        self: &Arc<Self>,
        meta: &RequestMeta,
        challenge: Option<PasskeyChallengeId>,
        refusal: Refusal,
    ) -> Result<T> {
        let challenge = challenge.filter(|_| refusal.spend);
        let entry = match refusal.user {
            Some(user) if refusal.why == Flaw::COUNTER.0 => copied(user),
            user => Entry::failure(Action::Login, user, refusal.why).detail("method", "passkey"),
        };
        let job = Arc::new((Arc::clone(self), meta.clone(), entry));
        self.db
            .write(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (ctx, meta, entry) = &*job;
                    if let Some(challenge) = challenge {
                        passkeys::spend(tx.conn(), challenge).await?;
                    }
                    ctx.audit.record(tx, meta, entry.clone()).await.map(|_| ())
                })
            })
            .await?;
        Err(Error::new(refusal.kind, format!("a passkey signed nobody in: {}", refusal.why)))
    }

    /// The device that shows itself, if it is the owner's; else a new one.
    async fn device_at_passkey(
        self: &Arc<Self>,
        token: Option<&SecretString>,
        owner: &Owner,
    ) -> Result<Device> {
        let email = stored(&owner.email)?;
        let known = match self.shown_device(token, &email).await? {
            Some(shown) => self.own_device(shown, owner.user, &email).await?,
            None => None,
        };
        self.device_of(known.as_ref(), &email)
    }

    async fn complete_passkey_login(self: &Arc<Self>, sign_in: SignIn, meta: &RequestMeta) -> Result<Login> {
        let (challenge, user) = (sign_in.challenge, sign_in.owner.user);
        let raced = Arc::new(AtomicBool::new(false));
        let job = Arc::new((sign_in, meta.clone(), Arc::clone(&raced)));
        let copy = Arc::clone(&job);
        let outcome = self
            .decide(meta, Action::Login, Some(user), move |ctx, tx| {
                let job = Arc::clone(&copy);
                Box::pin(async move {
                    let (sign_in, meta, raced) = &*job;
                    let (id, now) = (&sign_in.credential_id, ctx.now());
                    // No user's row is held: the challenge is nobody's, so that nobody waits for it but its rivals.
                    let claimed =
                        passkeys::claim(tx.conn(), challenge, (Purpose::Login, None), id, now).await?;
                    if claimed.is_none() {
                        let entry = Entry::failure(Action::Login, Some(user), "challenge_used");
                        ctx.audit.record(tx, meta, entry.detail("method", "passkey")).await?;
                        return Ok(Err(ErrorKind::InvalidCredentials.into()));
                    }
                    let first = First {
                        action: Action::Login,
                        user,
                        epoch: sign_in.owner.epoch,
                        amr: Amr::passkey(true, sign_in.asserted.backup_eligible),
                        device: Some(&sign_in.device),
                        reservation: None,
                    };
                    let ruling = ctx.finish_first_factor(tx, meta, &first).await?;
                    if ruling.is_ok()
                        && !passkeys::note_use(tx.conn(), id, user, &sign_in.asserted, now).await?
                    {
                        // Undoes the session. The account's row comes before the passkey's, as everywhere.
                        raced.store(true, Ordering::Relaxed);
                        return Err(ErrorKind::InvalidCredentials.into());
                    }
                    Ok(ruling)
                })
            })
            .await;
        if outcome.is_err() && raced.load(Ordering::Relaxed) {
            // Another answer of the same key came first and moved its counter as far, or the key is gone.
            return self
                .refuse_passkey(meta, Some(challenge), Refusal::new(Flaw::COUNTER.0, Some(user), true))
                .await;
        }
        self.conclude(meta, outcome?, Some(&job.0.device)).await
    }
}

/// A sign-in whose passkey was right.
struct SignIn {
    challenge: PasskeyChallengeId,
    credential_id: Vec<u8>,
    owner: Owner,
    asserted: Asserted,
    device: Device,
}

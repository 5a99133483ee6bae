//! Passkeys: challenges, and the judgement of their answers.

use std::sync::Arc;

use serde_json::Value;

use crate::audit::Entry;
use crate::db::{Conn, Tx};
use crate::error::Result;
use crate::events::Action;
use crate::flows::{Amr, Ctx, PasskeyProof};
use crate::ids::{FactorId, PasskeyChallengeId, PendingId, SessionId, UserId};
use crate::meta::RequestMeta;
use crate::mfa::{FactorInfo, FactorKind};
use crate::passkeys::{
    Asserted, Begun, Bound, Draft, Flaw, Passkey, Purpose, credential_id, store as passkeys,
};

/// What a page asks a browser for a passkey with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PasskeyOptions {
    /// To be sent back with the answer, once and within 5 minutes.
    pub challenge_id: PasskeyChallengeId,
    /// As `PublicKeyCredential.parseCreationOptionsFromJSON` or `PublicKeyCredential.parseRequestOptionsFromJSON` take it
    /// (WebAuthn level 3, sections 5.1.8 and 5.1.9).
    pub options: Value,
}

/// At which door a passkey is given as a second factor, and by whom. Its challenge must have been made for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    purpose: Purpose,
    bound: Bound,
}

impl Asked {
    /// For a sign-in whose second factor is outstanding. `epoch` is the account's.
    pub(crate) fn second_factor(pending: PendingId, user: UserId, epoch: i64) -> Self {
        let bound = Bound { user, epoch, subject: pending.as_uuid() };
        Self { purpose: Purpose::SecondFactor, bound }
    }

    /// For a step-up of a session, and for what takes a second factor in its place. `epoch` is the account's.
    pub(crate) fn step_up(session: SessionId, user: UserId, epoch: i64) -> Self {
        let bound = Bound { user, epoch, subject: session.as_uuid() };
        Self { purpose: Purpose::StepUp, bound }
    }
}

/// An answer whose parts can be read.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) challenge: PasskeyChallengeId,
    pub(super) credential_id: Vec<u8>,
    pub(super) credential: &'a Value,
}

impl<'a> Answer<'a> {
    /// `None` for what no browser gives.
    pub(super) fn read(proof: &'a PasskeyProof) -> Option<Self> {
        let challenge = proof.challenge_id.parse().ok()?;
        let credential_id = credential_id(&proof.credential)?;
        Some(Self { challenge, credential_id, credential: &proof.credential })
    }
}

impl Ctx {
    /// Whether an account has a passkey.
    pub(crate) async fn has_passkeys(&self, conn: &mut Conn<'_>, user: UserId) -> Result<bool> {
        Ok(passkeys::count(conn, user).await? > 0)
    }

    /// The options for a second factor by one of the account's passkeys, in a sign-in that waits for it or in a step-up.
    pub(super) async fn ask_for_passkey(self: &Arc<Self>, asked: Asked) -> Result<PasskeyOptions> {
        let user = asked.bound.user;
        let known =
            self.db.read(move |conn| Box::pin(async move { passkeys::known(conn, user).await })).await?;
        let begun = self.ceremonies.begin_assertion(&known)?;
        self.open_challenge(asked.purpose, Some(asked.bound), None, begun).await
    }

    /// Keeps a challenge, and tells it.
    pub(super) async fn open_challenge(
        self: &Arc<Self>,
        purpose: Purpose,
        bound: Option<Bound>,
        name: Option<String>,
        begun: Begun,
    ) -> Result<PasskeyOptions> {
        let draft = Arc::new(Draft { purpose, bound, name, state: begun.state });
        let ctx = Arc::clone(self);
        let challenge_id = self
            .db
            .write(move |tx| {
                let (ctx, draft) = (Arc::clone(&ctx), Arc::clone(&draft));
                Box::pin(async move { passkeys::open(tx.conn(), &draft, &*ctx.random, ctx.now()).await })
            })
            .await?;
        Ok(PasskeyOptions { challenge_id, options: begun.options })
    }

    /// Judges a passkey that is given as a second factor, and uses its challenge up, whatever comes of it. The account's
    /// row is held. What it proves comes back, or why it proves nothing: a word for the audit, which the caller writes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] in a build or with settings that cannot check passkeys: refuses, and undoes everything.
    pub(crate) async fn judge_passkey(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        asked: Asked,
        proof: &PasskeyProof,
    ) -> Result<std::result::Result<Amr, &'static str>> {
        let refused = |why: &'static str| Ok(Err(why));
        let Some(answer) = Answer::read(proof) else { return refused("malformed") };
        let (Asked { purpose, bound }, now) = (asked, self.now());
        let for_whom = (purpose, Some(bound));
        let claimed =
            passkeys::claim(tx.conn(), answer.challenge, for_whom, &answer.credential_id, now).await?;
        let Some(claimed) = claimed else {
            let looked = passkeys::look(tx.conn(), answer.challenge, &answer.credential_id).await?;
            let why = looked.challenge.and_then(|c| c.dead(purpose, Some(bound), now));
            return refused(why.unwrap_or("challenge_unknown"));
        };
        let Some(key) = claimed.credential else { return refused("passkey_unknown") };
        let judged = self.ceremonies.finish_assertion(&claimed.state, &key, answer.credential)?;
        let judged = judged.and_then(|asserted| belongs(asserted, bound.user, false));
        let flaw = match judged {
            Ok(asserted)
                if passkeys::note_use(tx.conn(), &answer.credential_id, bound.user, &asserted, now)
                    .await? =>
            {
                return Ok(Ok(Amr::passkey(true, asserted.backup_eligible)));
            }
            Ok(_) => Flaw::COUNTER,
            Err(flaw) => flaw,
        };
        if flaw == Flaw::COUNTER {
            self.audit.record(tx, meta, copied(bound.user)).await?;
        }
        refused(flaw.0)
    }

    /// The passkeys of an account, as factors.
    pub(crate) async fn passkey_infos(&self, conn: &mut Conn<'_>, user: UserId) -> Result<Vec<FactorInfo>> {
        let passkeys = passkeys::of_user(conn, user).await?;
        let info = |passkey: Passkey| FactorInfo {
            id: FactorId::from_uuid(passkey.id.as_uuid()),
            kind: FactorKind::Passkey,
            name: passkey.name,
            confirmed: true,
            last_used_at: passkey.last_used_at,
        };
        Ok(passkeys.into_iter().map(info).collect())
    }

    /// Removes all passkeys of an account, whose row is held. Returns how many there were.
    pub(crate) async fn remove_passkeys(&self, tx: &mut Tx<'_>, user: UserId) -> Result<u64> {
        passkeys::remove_of_user(tx.conn(), user).await
    }
}

/// The handle that a key remembers must be its user's (WebAuthn section 7.2, step 6). A key that was found without its
/// user being known must tell it.
pub(super) fn belongs(
    asserted: Asserted,
    user: UserId,
    must_tell: bool,
) -> std::result::Result<Asserted, Flaw> {
    let fits = match &asserted.user_handle {
        Some(handle) => handle.as_slice() == user.as_uuid().as_bytes(),
        None => !must_tell,
    };
    if fits { Ok(asserted) } else { Err(Flaw("user_handle")) }
}

/// Tells that there may be a copy of a key.
pub(super) fn copied(user: UserId) -> Entry {
    Entry::failure(Action::PasskeyClone, Some(user), Flaw::COUNTER.0)
}

//! Accepting an invitation: with an account that is signed in, or with one that is made on the way. Whoever has the link
//! has shown that the address is his (contract 4.6); everything else is judged anew, under the target's row.

use std::sync::Arc;

use crate::audit::Entry;
use crate::authz::Resource;
use crate::authz::members::store as members;
use crate::authz::orgs::store as orgs;
use crate::crypto::keys::KeyPurpose;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::authority::By;
use crate::flows::credential_change::ProvedBy;
use crate::flows::doors::Door;
use crate::flows::first_factor::{First, Outcome};
use crate::flows::mailed::stored;
use crate::flows::signup::taken;
use crate::flows::tokens::Facts;
use crate::flows::{Amr, Authenticated, Ctx, Login, Ruling};
use crate::ids::{InvitationId, LinkId, SessionId, UserId};
use crate::invitations::{Ended, Invitation, InvitationState, store as invitations};
use crate::links::{LinkPurpose, LinkToken, store as links};
use crate::meta::RequestMeta;
use crate::passwords::policy;
use crate::passwords::store as passwords;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::sessions::{Standing, store as sessions};
use crate::users::{Email, NewRecord, Record, UserStatus, check_name, empty_profile, store as users};

/// The secret of an invitation, and the account to be made where there is none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptInvitation {
    /// The text after `token=` in the link.
    pub token: SecretString,
    /// What to call the person, and his password. Without them the caller must be signed in.
    pub account: Option<(String, SecretString)>,
}

impl AcceptInvitation {
    /// With the account that is signed in.
    pub fn signed_in(token: impl Into<SecretString>) -> Self {
        Self { token: token.into(), account: None }
    }

    /// With a new account.
    pub fn new_account(
        token: impl Into<SecretString>,
        name: impl Into<String>,
        password: impl Into<SecretString>,
    ) -> Self {
        Self { token: token.into(), account: Some((name.into(), password.into())) }
    }
}

/// An invitation whose link was right, and that could be accepted when it was looked at.
#[derive(Debug, Clone)]
struct OpenInvitation {
    link: LinkId,
    id: InvitationId,
    email: Email,
}

/// How somebody who accepted goes on.
#[derive(Debug)]
enum Entered {
    /// In the session that he has.
    GoesOn(Facts),
    /// By a sign-in, which may want a second factor.
    Signed(Outcome),
}

/// What an invitation gives.
#[derive(Debug)]
struct Judged {
    invitation: Invitation,
    target: Resource,
}

impl Ctx {
    /// Accepts an invitation. One answer for whatever is wrong with it.
    pub(crate) async fn accept_invitation(
        self: &Arc<Self>,
        auth: Option<&Authenticated>,
        input: AcceptInvitation,
        meta: &RequestMeta,
    ) -> Result<Login> {
        self.limit(Door::Link, meta).await?;
        match (auth, input.account) {
            (Some(auth), None) => self.accept_signed_in(auth, &input.token, meta).await,
            (None, Some((name, password))) => self.accept_anew(&input.token, &name, &password, meta).await,
            (Some(_), Some(_)) => {
                let text = "an account was named although the caller has one";
                Err(Error::new(ErrorKind::InvalidRequest, text))
            }
            (None, None) => Err(ErrorKind::Unauthenticated.into()),
        }
    }

    async fn let_in(&self, entered: Entered, meta: &RequestMeta) -> Result<Login> {
        match entered {
            Entered::GoesOn(facts) => self.issue(meta, facts).await.map(Login::Complete),
            Entered::Signed(outcome) => self.conclude(meta, outcome, None).await,
        }
    }

    /// What is not one of ours costs no statement and leaves no trace.
    async fn open_invitation(&self, token: &SecretString, meta: &RequestMeta) -> Result<OpenInvitation> {
        let invalid = || Error::from(ErrorKind::LinkInvalid);
        let purpose = LinkPurpose::Invitation;
        let token = LinkToken::parse(token.expose_secret()).ok_or_else(invalid)?;
        let key = self.keys.by_kid(&self.db, token.key_id).await?.ok_or_else(invalid)?;
        if !key.is_for(KeyPurpose::Link) {
            return Err(invalid());
        }
        let (hash, now) = (token.hash(&key.bytes32()?, purpose), self.now());
        let found = self
            .db
            .read(move |conn| {
                Box::pin(async move {
                    let Some(link) = links::by_secret(conn, purpose, &hash).await? else { return Ok(None) };
                    let Some(id) = link.invitation else { return Ok(None) };
                    let invitation = invitations::by_id(conn, id, now).await?;
                    Ok(invitation.map(|invitation| (link, invitation)))
                })
            })
            .await?;
        let Some((link, invitation)) = found else { return Err(invalid()) };
        let pending = invitation.state == InvitationState::Pending;
        if let Some(why) = link.dead(now).or((!pending).then(|| invitation.state.name())) {
            return self.refuse(meta, failure(None, why), invalid()).await;
        }
        Ok(OpenInvitation { link: link.id, id: invitation.id, email: stored(&invitation.email)? })
    }

    async fn accept_signed_in(
        self: &Arc<Self>,
        auth: &Authenticated,
        token: &SecretString,
        meta: &RequestMeta,
    ) -> Result<Login> {
        let (_, session) = self.require_current_session(auth).await?;
        let open = self.open_invitation(token, meta).await?;
        let (user, session) = (auth.user_id(), session.id);
        let meta_in = meta.clone();
        let entered = self
            .decide(meta, Action::InvitationAccept, Some(user), move |ctx, tx| {
                let (meta, open) = (meta_in.clone(), open.clone());
                Box::pin(async move { ctx.accept_signed_in_in(tx, (user, session), &open, &meta).await })
            })
            .await?;
        self.let_in(entered, meta).await
    }

    /// The session goes on: whoever accepts has not proved himself anew. Only where the address was not proved before is
    /// everything else about the account over, and a new session begins.
    async fn accept_signed_in_in(
        &self,
        tx: &mut Tx<'_>,
        (user, session): (UserId, SessionId),
        open: &OpenInvitation,
        meta: &RequestMeta,
    ) -> Result<Ruling<Entered>> {
        let Some(record) = self.take(tx, user).await? else {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        };
        let view = sessions::view(tx.conn(), session, self.limits()).await?.filter(|view| view.alive);
        let Some(view) = view.filter(|_| record.user.status == UserStatus::Active) else {
            return Ok(Err(ErrorKind::Unauthenticated.into()));
        };
        if stored(&record.user.email)?.key() != open.email.key() {
            return self.refuse_invitation(tx, Some(user), "other_address", meta).await;
        }
        let judged = match self.judge_invitation(tx, open, Some(user), meta).await? {
            Ok(judged) => judged,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !self.use_invitation(tx, open).await? {
            return self.refuse_invitation(tx, Some(user), "changed_meanwhile", meta).await;
        }
        let proved = self.prove_address(tx, meta, &record, ProvedBy::Invitation).await?;
        let session = if proved.is_some() { None } else { Some(view.session) };
        self.enter(tx, &judged, user, (session, false), meta).await
    }

    async fn accept_anew(
        self: &Arc<Self>,
        token: &SecretString,
        name: &str,
        password: &SecretString,
        meta: &RequestMeta,
    ) -> Result<Login> {
        let open = self.open_invitation(token, meta).await?;
        let mut faults = Vec::new();
        let name = check_name(name, &mut faults);
        let org = self.invited_org(open.id).await?;
        let words: Vec<&str> = org.iter().map(String::as_str).collect();
        let context = policy::Context { email_local: Some(open.email.local_part()), words: &words };
        let password = policy::check(&self.config.passwords, password, &context, "/password")
            .map_err(|more| faults.extend(more))
            .ok();
        let Some(password) = password.filter(|_| faults.is_empty()) else {
            return Err(Error::validation(faults));
        };
        let password = self.check_breach(password, "/password", None, meta).await?;
        let hash = self.hasher.hash(&password).await?;
        let id = UserId::generate(self.now(), &*self.random)?;
        let new =
            NewRecord { id, email: open.email.clone(), name, email_verified: true, profile: empty_profile() };
        let meta_in = meta.clone();
        let entered = self
            .decide(meta, Action::InvitationAccept, None, move |ctx, tx| {
                let (meta, open) = (meta_in.clone(), open.clone());
                let (new, hash) = (new.clone(), hash.clone());
                Box::pin(async move { ctx.accept_anew_in(tx, &open, &new, &hash, &meta).await })
            })
            .await?;
        self.let_in(entered, meta).await
    }

    /// The name of the organisation, which must not be part of the password (contract 4.2).
    async fn invited_org(&self, id: InvitationId) -> Result<Option<String>> {
        let Some(invitation) = self.invitation_now(id).await? else { return Ok(None) };
        let Some(org) = invitation.resource.as_ref().and_then(Resource::as_org) else { return Ok(None) };
        let found = self.db.read(move |conn| Box::pin(async move { orgs::by_id(conn, org).await })).await?;
        Ok(found.map(|org| org.name))
    }

    async fn accept_anew_in(
        &self,
        tx: &mut Tx<'_>,
        open: &OpenInvitation,
        new: &NewRecord,
        hash: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<Entered>> {
        let known = users::by_email(tx.conn(), &open.email).await?.map(|record| record.user.id);
        let record = match known {
            Some(id) => self.take(tx, id).await?,
            None => None,
        };
        let judged = match self.judge_invitation(tx, open, known, meta).await? {
            Ok(judged) => judged,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let user = match &record {
            Some(record) if record.user.status != UserStatus::Active => {
                return self
                    .refuse_invitation(tx, Some(record.user.id), record.user.status.name(), meta)
                    .await;
            }
            Some(record) if record.user.email_verified => return Ok(Err(sign_in_first())),
            // Whoever made that account had never shown that the address is his. Who has the link just did.
            Some(record) => {
                let user = record.user.id;
                if !self.use_invitation(tx, open).await? {
                    return self.refuse_invitation(tx, Some(user), "changed_meanwhile", meta).await;
                }
                self.prove_address(tx, meta, record, ProvedBy::Invitation).await?;
                users::set_profile(tx.conn(), user, &new.name, &record.user.profile, self.now()).await?;
                passwords::set(tx.conn(), user, hash, self.now()).await?;
                self.clear_email_lock(tx, user, &record.user.email, meta).await?;
                user
            }
            None => {
                let point = tx.savepoint().await?;
                let made = users::insert(tx.conn(), new, self.now()).await?;
                let free = made && !self.is_reserved(tx, &new.email, None).await?;
                if !free || !self.use_invitation(tx, open).await? {
                    tx.rollback_to(point).await?;
                    // Another request with the same link was faster, or somebody signed up.
                    let used = links::by_id(tx.conn(), open.link).await?;
                    if used.is_some_and(|link| link.dead(self.now()).is_none()) {
                        return Ok(Err(taken()));
                    }
                    return self.refuse_invitation(tx, None, "changed_meanwhile", meta).await;
                }
                tx.release(point).await?;
                self.furnish(tx, new, hash).await?;
                let entry = Entry::success(Action::UserSignUp, new.id).detail("by", "invitation");
                self.audit.grant(tx, meta, entry).await?;
                new.id
            }
        };
        self.enter(tx, &judged, user, (None, record.is_none()), meta).await
    }

    /// Whether the invitation may be accepted now: itself, its target, its role, its seat, and whoever made it. Takes the
    /// target's row. A refusal changes nothing, but ends an invitation that nobody may have made.
    async fn judge_invitation(
        &self,
        tx: &mut Tx<'_>,
        open: &OpenInvitation,
        user: Option<UserId>,
        meta: &RequestMeta,
    ) -> Result<Ruling<Judged>> {
        let now = self.now();
        let first = invitations::by_id(tx.conn(), open.id, now).await?;
        let Some(target) = first.map(|invitation| invitation.target()) else {
            return self.refuse_invitation(tx, user, "target_gone", meta).await;
        };
        if !target.is_platform() && members::take(tx.conn(), &target).await?.is_none() {
            return self.refuse_invitation(tx, user, "target_gone", meta).await;
        }
        let Some(invitation) = invitations::by_id(tx.conn(), open.id, now).await? else {
            return self.refuse_invitation(tx, user, "target_gone", meta).await;
        };
        if invitation.state != InvitationState::Pending {
            return self.refuse_invitation(tx, user, invitation.state.name(), meta).await;
        }
        // An operator has no account; what he did, he did with everything permitted.
        if let Some(inviter) = invitation.inviter_id {
            let authority = self.authority(tx.conn(), By::User(inviter), &target).await?;
            let may = self.may_invite_as(tx, &authority, &target, &invitation.role).await?;
            if may.is_err() || user == Some(inviter) {
                invitations::end(tx.conn(), invitation.id, Ended::Void, now).await?;
                return self.refuse_invitation(tx, user, "inviter_may_not", meta).await;
            }
        } else if !target.is_platform() && self.declared(&target, &invitation.role).is_err() {
            return self.refuse_invitation(tx, user, "role_gone", meta).await;
        }
        let there = match user {
            Some(user) => members::of(tx.conn(), user, &target).await?.is_some(),
            None => false,
        };
        if !there && let Err(refusal) = self.seat(tx, &target).await? {
            self.audit.record(tx, meta, failure(user, "no_seat")).await?;
            return Ok(Err(refusal));
        }
        Ok(Ok(Judged { invitation, target }))
    }

    /// Uses link and invitation up: of many that try at once one succeeds (R1).
    async fn use_invitation(&self, tx: &mut Tx<'_>, open: &OpenInvitation) -> Result<bool> {
        let now = self.now();
        // The link belongs to no account: no epoch is asked for.
        Ok(links::claim(tx.conn(), open.link, 0, false, now).await?.is_some()
            && invitations::end(tx.conn(), open.id, Ended::Accepted, now).await?)
    }

    /// Gives what the invitation gives, and a session: the one there is, or a new one through the one gate (R7).
    async fn enter(
        &self,
        tx: &mut Tx<'_>,
        judged: &Judged,
        user: UserId,
        (session, is_new): (Option<crate::sessions::SessionRecord>, bool),
        meta: &RequestMeta,
    ) -> Result<Ruling<Entered>> {
        let Judged { invitation, target } = judged;
        if target.is_platform() {
            if users::grant(tx.conn(), user, &invitation.role, self.now()).await? {
                self.void_tokens(tx, user).await?;
                let entry = Entry::success(Action::RoleGrant, user).detail("role", invitation.role.clone());
                self.audit.grant(tx, meta, entry).await?;
            }
        } else {
            // Who came to have a role there in the meantime keeps that one.
            self.add_member(tx, user, target, &invitation.role, is_new, meta).await?;
        }
        let record = users::by_id(tx.conn(), user).await?;
        let record: Record = record.ok_or_else(|| Error::internal("a held account is gone"))?;
        let mut entry = Entry::success(Action::InvitationAccept, user)
            .detail("invitation", invitation.id.to_string())
            .detail("resource", target.to_string())
            .detail("role", invitation.role.clone())
            .detail("new_account", is_new);
        if let Some(session) = &session {
            entry = entry.session(session.id);
        }
        self.audit.grant(tx, meta, entry).await?;
        let version = record.version;
        if let Some(session) = session {
            let (session, roles) = (Standing::from(&session), record.user.roles);
            return Ok(Ok(Entered::GoesOn(Facts { session, ver: version.ver, roles })));
        }
        let first = First {
            action: Action::Login,
            user,
            epoch: version.epoch,
            amr: Amr::password(),
            device: None,
            reservation: None,
        };
        Ok(self.finish_first_factor(tx, meta, &first).await?.map(Entered::Signed))
    }

    async fn refuse_invitation<T>(
        &self,
        tx: &mut Tx<'_>,
        user: Option<UserId>,
        why: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<T>> {
        self.audit.record(tx, meta, failure(user, why)).await?;
        Ok(Err(ErrorKind::LinkInvalid.into()))
    }
}

fn failure(user: Option<UserId>, why: &str) -> Entry {
    Entry::failure(Action::LinkRefuse, user, why).detail("purpose", LinkPurpose::Invitation.name())
}

/// Said only to who has the link, hence the mailbox.
fn sign_in_first() -> Error {
    let text = "there is an account with this e-mail";
    let public = "There is an account with this e-mail. Sign in with it to accept.";
    Error::new(ErrorKind::Conflict, text).with_public(public)
}

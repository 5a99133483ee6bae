//! What every change of a credential does, in one place (R8): a new epoch, and everything that was made under the old
//! one dead. Whatever began before cannot finish: the statements that begin a session or use a link ask for the
//! epoch.

use crate::api_keys::store as api_keys;
use crate::audit::Entry;
use crate::db::Tx;
use crate::devices::store as devices;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::ids::{SessionId, UserId};
use crate::links::{EndReason as LinkEnd, store as links};
use crate::meta::RequestMeta;
use crate::mfa::store as mfa;
use crate::passkeys::store as passkeys;
use crate::passwords::store as passwords;
use crate::sessions::revocations::Revocation;
use crate::sessions::{EndReason, store as sessions};
use crate::time::Timestamp;
use crate::users::{Record, Version, store as users};

/// What a change of credentials did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CredentialsChanged {
    /// The account's version from now on.
    pub(crate) version: Version,
    /// Sessions that ended.
    pub(crate) sessions: u64,
    /// Whether the session to be spared was alive and goes on.
    pub(crate) spared: bool,
}

/// By what somebody proved to hold the address of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProvedBy {
    /// A link that sets a new password.
    Reset,
    /// An invitation.
    Invitation,
}

impl ProvedBy {
    const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Invitation => "invitation",
        }
    }
}

impl Ctx {
    /// A new epoch, all devices forgotten, all sessions but `keep` dead, `keep` carried over; all links dead but those
    /// that give a former address back; all access tokens void, the kept session's too. API keys end where no session is
    /// kept. Returns the version and how many sessions ended; `None` when the account changed since `from`.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] when the session to be kept is over: undoes everything.
    pub(crate) async fn change_credentials(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        from: Option<i64>,
        keep: Option<SessionId>,
    ) -> Result<Option<(Version, u64)>> {
        match self.change_credentials_sparing(tx, user, from, keep).await? {
            Some(done) if keep.is_some() && !done.spared => Err(ErrorKind::Unauthenticated.into()),
            done => Ok(done.map(|done| (done.version, done.sessions))),
        }
    }

    /// As [`Self::change_credentials`], whether or not the session to be spared is still alive.
    pub(crate) async fn change_credentials_sparing(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        from: Option<i64>,
        spare: Option<SessionId>,
    ) -> Result<Option<CredentialsChanged>> {
        let now = self.now();
        let Some(version) = users::bump_epoch(tx.conn(), user, from, now).await? else { return Ok(None) };
        let reason = EndReason::CredentialChange;
        let ended = sessions::end_of_user(tx.conn(), user, spare, reason, now).await?;
        let spared = match spare {
            Some(session) => sessions::move_to_epoch(tx.conn(), session, version.epoch).await?,
            None => false,
        };
        devices::forget_of_user(tx.conn(), user).await?;
        links::end_of_user(tx.conn(), user, LinkEnd::CredentialChange, now).await?;
        mfa::end_of_user(tx.conn(), user, now).await?;
        passkeys::end_challenges_of(tx.conn(), user).await?;
        self.revocations.revoke(tx, Revocation::User(user, version.ver)).await?;
        if spare.is_none() {
            // Nobody who was signed in asked for it: the account may have been in other hands, which made keys.
            api_keys::revoke_of_user(tx.conn(), user, now).await?;
        }
        let sessions = u64::try_from(ended.len()).unwrap_or(u64::MAX);
        Ok(Some(CredentialsChanged { version, sessions, spared }))
    }

    /// The pre-hijack rule (contract 4.6): somebody proved to hold the address of an account that nobody had proved
    /// before. Whoever made that account may be somebody else, so its password, factors, sessions and links, undo links
    /// included, die before the account is handed over. Changes nothing for a proved address. The account's row is
    /// held. Returns how many sessions ended; `None` when there was nothing to prove.
    pub(crate) async fn prove_address(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        record: &Record,
        by: ProvedBy,
    ) -> Result<Option<u64>> {
        let user = record.user.id;
        if record.user.email_verified {
            return Ok(None);
        }
        let now = self.now();
        passwords::remove(tx.conn(), user).await?;
        self.remove_factors(tx, user).await?;
        let Some((_, sessions)) = self.change_credentials(tx, user, None, None).await? else {
            return Ok(None);
        };
        let beginning = Timestamp::from_micros(i64::MIN);
        links::end_undo_since(tx.conn(), user, beginning, LinkEnd::CredentialChange, now).await?;
        users::verify_email(tx.conn(), user, now).await?;
        let entry = Entry::success(Action::AddressProve, user)
            .detail("by", by.name())
            .detail("sessions_ended", sessions);
        self.audit.grant(tx, meta, entry).await?;
        self.mail_proved(tx, &record.user).await?;
        Ok(Some(sessions))
    }
}

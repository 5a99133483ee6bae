//! The one gate (R7): no session comes into being, by whatever door, but through [`Ctx::start_session`].

use crate::audit::Entry;
use crate::config::SessionPolicy;
use crate::crypto::keys::KeyPurpose;
use crate::crypto::mac;
use crate::db::Tx;
use crate::error::Result;
use crate::events::Action;
use crate::flows::{Amr, Ctx};
use crate::ids::{DeviceId, SessionId, UserId};
use crate::meta::{RequestMeta, network_of};
use crate::sessions::revocations::Revocation;
use crate::sessions::store::Inserted;
use crate::sessions::{EndReason, SessionRecord, clean_user_agent, store};
use crate::time::Timestamp;
use crate::users::{UserStatus, store as users};

/// What the state of an account says to a sign-in whose credential was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Answered like a wrong password; the word is for the audit.
    Closed(&'static str),
    /// Told, since the password was right.
    Unverified,
}

/// Judges the state of an account. [`Ctx::start_session`] judges again, in the statement that takes the row.
pub(crate) fn gate(status: UserStatus, verified: bool, unverified_may: bool) -> Gate {
    match status {
        UserStatus::Active if verified || unverified_may => Gate::Open,
        UserStatus::Active => Gate::Unverified,
        UserStatus::Disabled => Gate::Closed("disabled"),
        UserStatus::Deleted => Gate::Closed("deleted"),
    }
}

/// A session to be.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) user: UserId,
    /// The epoch under which the credential was checked.
    pub(crate) epoch: i64,
    /// What was proved. An account with a second factor takes nothing less.
    pub(crate) amr: Amr,
    /// The session whose place it takes, if any: device, place under the cap and absolute end carry over.
    pub(crate) replaces: Option<SessionRecord>,
    /// The device from which it begins.
    pub(crate) device: Option<DeviceId>,
    /// When it was proved; `None`: now.
    pub(crate) proved_at: Option<Timestamp>,
}

/// A session that has begun, and what its access token will say.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) session: SessionRecord,
    pub(crate) ver: i64,
    pub(crate) roles: Vec<String>,
    /// The user signed in before, but never with this address and `User-Agent`.
    pub(crate) elsewhere: bool,
}

impl Ctx {
    /// Begins a session. `None` when the account's state or epoch no longer allow it, or its second factor is outstanding.
    pub(crate) async fn start_session(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        start: &Start,
    ) -> Result<Option<Started>> {
        let now = self.now();
        let given = (self.unverified_may(), start.amr.is_mfa());
        let taken = users::take_for_sign_in(tx.conn(), start.user, start.epoch, given, now).await?;
        let Some(version) = taken else { return Ok(None) };
        if let Some(old) = &start.replaces {
            store::end(tx.conn(), old.id, EndReason::SteppedUp, now).await?;
            self.revocations.revoke(tx, Revocation::Session(old.id)).await?;
        }
        let session = self.new_record(meta, start, version.epoch, now)?;
        let Inserted { roles, others, elsewhere } = store::insert(tx.conn(), &session).await?;
        if start.replaces.is_none() {
            self.make_room(tx, meta, &session, others, now).await?;
        }
        Ok(Some(Started { session, ver: version.ver, roles, elsewhere }))
    }

    /// Ends what the policy does not allow beside a new session. The user's row is held.
    async fn make_room(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        new: &SessionRecord,
        others: i64,
        now: Timestamp,
    ) -> Result<()> {
        let keep = match self.config.sessions.policy {
            SessionPolicy::Single => 0,
            SessionPolicy::Multi => i64::from(self.config.sessions.max_per_user).saturating_sub(1).max(0),
        };
        if others <= keep {
            return Ok(());
        }
        let ended = store::end_beyond(tx.conn(), new.user_id, new.id, keep, now).await?;
        self.revoke_sessions(tx, &ended).await?;
        for session in ended {
            let entry = Entry::success(Action::SessionEvict, new.user_id).session(session);
            self.audit.record(tx, meta, entry).await?;
        }
        Ok(())
    }

    fn new_record(
        &self,
        meta: &RequestMeta,
        start: &Start,
        epoch: i64,
        now: Timestamp,
    ) -> Result<SessionRecord> {
        let id = SessionId::generate(now, &*self.random)?;
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Token)?;
        let old = start.replaces.as_ref();
        let cip = match old {
            Some(old) => old.cip.as_ref().and_then(|_| bound_network(&key, id, meta)),
            None => self.config.sessions.bind_ip.then(|| bound_network(&key, id, meta)).flatten(),
        };
        let absolute = old.map_or(now + self.config.sessions.absolute_ttl, |old| old.absolute_expires_at);
        Ok(SessionRecord {
            id,
            user_id: start.user,
            epoch,
            key_id: kid.to_string(),
            counter: 1,
            created_at: now,
            rotated_at: now,
            absolute_expires_at: absolute,
            ended: false,
            ip: meta.ip.map(|ip| ip.to_string()),
            user_agent: meta.user_agent.as_deref().map(clean_user_agent),
            cip,
            auth_time: start.proved_at.unwrap_or(now),
            amr: start.amr.text(),
            device: start.device,
        })
    }
}

/// Keyed hash of the network that a session is bound to, under the session's own token key. Without an address
/// there is nothing that could match: the empty hash.
pub(crate) fn bound_network(token_key: &[u8; 32], session: SessionId, meta: &RequestMeta) -> Option<String> {
    let network = meta.ip.map(network_of).unwrap_or_default();
    let tag = mac::mac(token_key, &[b"cip", session.as_uuid().as_bytes(), &network]);
    Some(crate::crypto::strict::to_base64url(tag.first_chunk::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_accounts_pass_and_unverified_ones_by_setting() {
        use UserStatus::{Active, Deleted, Disabled};
        assert_eq!(gate(Active, true, false), Gate::Open);
        assert_eq!(gate(Active, false, true), Gate::Open);
        assert_eq!(gate(Active, false, false), Gate::Unverified);
        for verified in [true, false] {
            for may in [true, false] {
                assert_eq!(gate(Disabled, verified, may), Gate::Closed("disabled"));
                assert_eq!(gate(Deleted, verified, may), Gate::Closed("deleted"));
            }
        }
    }
}

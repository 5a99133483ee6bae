//! Sessions seen from outside: end one, a user's, or all there are.

use serde::Serialize;

use crate::api_keys::store as api_keys;
use crate::audit::Entry;
use crate::config::JwtAlgorithm;
use crate::crypto::keys::KeyPurpose;
use crate::db::page::Cursors;
use crate::db::{Listing, Page, Tx};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::ids::{SessionId, UserId};
use crate::links::{EndReason as LinkEnd, store as links};
use crate::meta::RequestMeta;
use crate::mfa::store as pending;
use crate::passkeys::store as passkeys;
use crate::sessions::{EndReason, Session, SessionRecord, store as sessions};
use crate::users::store as users;

/// What ending everything did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AllEnded {
    /// Live sessions that ended.
    pub sessions: u64,
    /// Accounts that moved to a new epoch.
    pub accounts: u64,
    /// With HS256 the signing secret stands in the settings: change `JWT_SECRET`, or old access tokens live on
    /// until they expire.
    pub jwt_secret_must_change: bool,
}

impl Ctx {
    /// What a session's user sees of it. `current` is the asking session.
    pub(crate) fn describe(&self, record: &SessionRecord, current: Option<SessionId>) -> Session {
        let idle_end = record.rotated_at + self.config.sessions.idle_ttl;
        Session {
            id: record.id,
            created_at: record.created_at,
            last_used_at: record.rotated_at,
            expires_at: idle_end.min(record.absolute_expires_at),
            ip: record.ip.as_deref().and_then(|ip| ip.parse().ok()),
            user_agent: record.user_agent.clone(),
            amr: record.amr(),
            current: current == Some(record.id),
            user_id: record.user_id,
        }
    }

    /// Live sessions of a user, newest first.
    pub(crate) async fn sessions_of(
        &self,
        user: UserId,
        current: Option<SessionId>,
        page: &Page,
    ) -> Result<Listing<Session>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("sessions-of:{user}"));
        let (before, limits) = (cursors.start(page)?, self.limits());
        let rows = self
            .db
            .read(move |conn| Box::pin(async move { sessions::live_of_user(conn, user, limits).await }))
            .await?;
        // A user has few, and never so many that paging in the store would pay.
        let mut rows: Vec<Session> = rows.iter().map(|row| self.describe(row, current)).collect();
        rows.sort_unstable_by_key(|session| std::cmp::Reverse(session.id));
        rows.retain(|session| before.is_none_or(|before| session.id.as_uuid() < before));
        Ok(cursors.page(rows, page, |session| session.id.as_uuid()))
    }

    pub(super) async fn any_session(&self, id: SessionId) -> Result<SessionRecord> {
        let record =
            self.db.read(move |conn| Box::pin(async move { sessions::by_id(conn, id).await })).await?;
        record.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such session")
                .with_public("There is no such session.")
        })
    }

    pub(super) async fn require_account(&self, user: UserId) -> Result<()> {
        let known = self.db.read(move |conn| Box::pin(async move { users::by_id(conn, user).await })).await?;
        if known.is_none() {
            let error = Error::new(ErrorKind::NotFound, "there is no such account");
            return Err(error.with_public("There is no such account."));
        }
        Ok(())
    }

    pub(super) async fn end_everything_in(&self, tx: &mut Tx<'_>, meta: &RequestMeta) -> Result<AllEnded> {
        let now = self.now();
        let accounts = users::bump_all(tx.conn(), now).await?;
        let ended = sessions::end_all(tx.conn(), EndReason::Revoked, now).await?;
        links::end_all(tx.conn(), LinkEnd::Revoked, now).await?;
        pending::end_all(tx.conn(), now).await?;
        pending::advance_steps(tx.conn(), now).await?;
        passkeys::end_all_challenges(tx.conn()).await?;
        // A copy of the store may hold keys that were revoked since.
        api_keys::revoke_all(tx.conn(), now).await?;
        for purpose in [KeyPurpose::Token, KeyPurpose::Link, KeyPurpose::ApiKey, KeyPurpose::Jwt] {
            self.keys.replace(tx, purpose).await?;
        }
        let entry = Entry::system(Action::SessionEnd).detail("all", true).detail("sessions_ended", ended);
        self.audit.grant(tx, meta, entry).await?;
        let jwt_secret_must_change = self.config.tokens.algorithm == JwtAlgorithm::Hs256;
        Ok(AllEnded { sessions: ended, accounts, jwt_secret_must_change })
    }
}

//! The outbox as operators see it: what waits and what became of it, never an address, a word or a secret.

use serde::Serialize;

use super::store::{self, ListedRow, Wanted};
use crate::db::{Conn, Tx};
use crate::error::{Error, Result};
use crate::ids::{MailId, UserId};
use crate::time::Timestamp;

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MailState {
    /// To be sent, now or later.
    Waiting,
    /// Taken by the mailer.
    Sent,
    /// Given up: refused for good, or tried too often.
    Dead,
    /// Too old to be worth sending.
    Expired,
    /// Dropped by an operator; or none at all, which is what unknown addresses cost.
    Dropped,
}

impl MailState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Sent, Self::Dead, Self::Expired, Self::Dropped];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Dropped => "dropped",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A mail in the outbox, without address, words and secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueuedMail {
    /// As in its `Message-ID`.
    pub id: MailId,
    /// What kind of mail it is; `none` for what an unknown address costs.
    pub template: String,
    /// What became of it.
    pub state: MailState,
    /// The account it is about.
    pub user_id: Option<UserId>,
    /// Tries that counted.
    pub attempts: i64,
    /// Whether a worker has it in hand until `due_at`.
    pub in_hand: bool,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When it was put in.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub due_at: Timestamp,
    /// From when on it is not worth sending.
    pub expires_at: Timestamp,
    /// When it was done with.
    pub finished_at: Option<Timestamp>,
}

/// Which mails are wanted. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailFilter {
    /// In this state.
    pub state: Option<MailState>,
    /// Of this kind.
    pub template: Option<String>,
    /// About this account.
    pub user_id: Option<UserId>,
}

impl ListedRow {
    fn described(self) -> Result<QueuedMail> {
        let state = MailState::from_name(&self.state);
        Ok(QueuedMail {
            id: MailId::from_uuid(self.id),
            template: self.template,
            state: state.ok_or_else(|| Error::internal("a mail in an unknown state"))?,
            user_id: self.user_id.map(UserId::from_uuid),
            attempts: self.attempts,
            in_hand: self.lease.is_some(),
            last_error: self.last_error,
            created_at: Timestamp::from_micros(self.created_at),
            due_at: Timestamp::from_micros(self.due_at),
            expires_at: Timestamp::from_micros(self.expires_at),
            finished_at: self.finished_at.map(Timestamp::from_micros),
        })
    }
}

/// Newest first.
pub(crate) async fn list(
    conn: &mut Conn<'_>,
    filter: &MailFilter,
    before: Option<uuid::Uuid>,
    limit: i64,
) -> Result<Vec<QueuedMail>> {
    // No row holds U+0000, and PostgreSQL does not take it.
    if filter.template.as_ref().is_some_and(|name| name.contains('\0')) {
        return Ok(Vec::new());
    }
    let wanted = Wanted {
        before,
        state: filter.state.map(MailState::name),
        template: filter.template.as_deref(),
        user: filter.user_id,
        limit,
    };
    store::list(conn, &wanted).await?.into_iter().map(ListedRow::described).collect()
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: MailId) -> Result<Option<QueuedMail>> {
    store::by_id(conn, id).await?.map(ListedRow::described).transpose()
}

/// Makes a waiting mail due now. `false` when it does not wait, or is in hand.
pub(crate) async fn due_now(tx: &mut Tx<'_>, id: MailId, now: Timestamp) -> Result<bool> {
    store::due_now(tx.conn(), id, now).await
}

/// Takes a waiting mail out and wipes it. `false` when it does not wait, or is in hand.
pub(crate) async fn drop_mail(tx: &mut Tx<'_>, id: MailId, now: Timestamp) -> Result<bool> {
    store::drop_mail(tx.conn(), id, now).await
}

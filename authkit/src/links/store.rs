//! Statements on `authkit_links`.

use uuid::Uuid;

use super::model::{Draft, EndReason, LinkPurpose, LinkRecord, Subject};
use super::token::{CODE_LIFE, LinkSecret, LinkToken, new_code};
use crate::crypto::key_id::KeyId;
use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::{InvitationId, LinkId, SessionId, UserId};
use crate::random::SecureRandom;
use crate::time::Timestamp;

macro_rules! columns {
    () => {
        "id, purpose, subject, user_id, address, session_id, created_at, expires_at, end_reason"
    };
}

/// Takes over the row of that purpose and subject: whatever link there was is gone.
const ISSUE: &str = "INSERT INTO authkit_links (id, purpose, subject, user_id, epoch, key_id, secret_hash, address,
        address_hash, session_id, code_hash, code_expires_at, code_tries, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14)
    ON CONFLICT (purpose, subject) DO UPDATE SET id = excluded.id, user_id = excluded.user_id,
        epoch = excluded.epoch, key_id = excluded.key_id, secret_hash = excluded.secret_hash,
        address = excluded.address, address_hash = excluded.address_hash, session_id = excluded.session_id,
        code_hash = excluded.code_hash, code_expires_at = excluded.code_expires_at, code_tries = 0,
        created_at = excluded.created_at, expires_at = excluded.expires_at, ended_at = NULL, end_reason = NULL";
const BY_SECRET: &str =
    concat!("SELECT ", columns!(), " FROM authkit_links WHERE secret_hash = $1 AND purpose = $2");
/// The one guarded statement of a use (R1). The account's row is held; `$3` is its epoch. `$4`: by its code.
const CLAIM: &str = concat!(
    "UPDATE authkit_links SET ended_at = $2, end_reason = 'used'
    WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 AND (epoch IS NULL OR epoch = $3)
      AND (NOT $4 OR code_expires_at > $2)
    RETURNING ",
    columns!()
);
/// Counts a try before it is judged (R2), on every link that the code may belong to.
const COUNT_TRY: &str = "UPDATE authkit_links SET code_tries = code_tries + 1
    WHERE purpose = $1 AND address_hash = $2 AND ended_at IS NULL AND expires_at > $3 AND code_hash IS NOT NULL
      AND code_expires_at > $3 AND code_tries < $4
    RETURNING id, user_id, key_id, code_hash";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_links WHERE id = $1");
/// An undo outlives changes of credentials: else whoever took an account over could end it by changing something
/// again.
const END_OF_USER: &str = "UPDATE authkit_links SET ended_at = $2, end_reason = $3
    WHERE user_id = $1 AND ended_at IS NULL AND purpose <> 'undo_email'";
/// Undo links made at `$4` or later.
const END_UNDO: &str = "UPDATE authkit_links SET ended_at = $2, end_reason = $3
    WHERE user_id = $1 AND ended_at IS NULL AND purpose = 'undo_email' AND created_at >= $4";
/// Of one subject, of one purpose.
const END_ONE: &str = "UPDATE authkit_links SET ended_at = $3, end_reason = $4
    WHERE purpose = $1 AND subject = $2 AND ended_at IS NULL";
const END_ALL: &str = "UPDATE authkit_links SET ended_at = $1, end_reason = $2 WHERE ended_at IS NULL";
/// Whether an account other than `$3` may still get this address back.
const RESERVED: &str = "SELECT EXISTS (SELECT 1 FROM authkit_links WHERE purpose = 'undo_email'
    AND address_hash = $1 AND ended_at IS NULL AND expires_at > $2 AND ($3 IS NULL OR user_id <> $3))";
/// A row defends nothing once its time is over: what it was made for is refused by then.
const SWEEP: &str = "DELETE FROM authkit_links WHERE id IN
    (SELECT l.id FROM authkit_links l WHERE l.expires_at <= $1 ORDER BY l.expires_at LIMIT $2)";

row! {
    struct LinkRow {
        id: Uuid, purpose: String, subject: Vec<u8>, user_id: Option<Uuid>, address: Option<String>,
        session_id: Option<Uuid>, created_at: i64, expires_at: i64, end_reason: Option<String>,
    }
}

row! {
    struct TriedRow { id: Uuid, user_id: Option<Uuid>, key_id: String, code_hash: Vec<u8> }
}

impl From<LinkRow> for LinkRecord {
    fn from(row: LinkRow) -> Self {
        let invites = row.purpose == LinkPurpose::Invitation.name();
        let invitation = Uuid::from_slice(&row.subject).ok().filter(|_| invites);
        Self {
            id: LinkId::from_uuid(row.id),
            user: row.user_id.map(UserId::from_uuid),
            invitation: invitation.map(InvitationId::from_uuid),
            address: row.address,
            session: row.session_id.map(SessionId::from_uuid),
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            end_reason: row.end_reason,
        }
    }
}

/// A link against which a code may be held: its try is counted.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) id: LinkId,
    pub(crate) user: Option<UserId>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) code_hash: Vec<u8>,
}

/// Makes a link. What comes back stands nowhere else. For a decoy nothing comes back that opens anything.
pub(crate) async fn issue(
    conn: &mut Conn<'_>,
    draft: &Draft<'_>,
    (key_id, ring_key): (KeyId, &[u8; 32]),
    random: &dyn SecureRandom,
    now: Timestamp,
) -> Result<LinkSecret> {
    let id = LinkId::generate(now, random)?;
    let token = LinkToken::generate(key_id, random)?;
    let code = new_code(random)?;
    let with_code = draft.purpose.has_code();
    let code_expires_at = (now + CODE_LIFE).min(draft.expires_at);
    let (user, subject) = match draft.subject {
        Subject::User(user) => (Some(user), user.as_uuid().as_bytes().to_vec()),
        Subject::Itself(user) => (Some(user), id.as_uuid().as_bytes().to_vec()),
        Subject::Invitation(id) => (None, id.as_uuid().as_bytes().to_vec()),
        Subject::Decoy => (None, draft.address_hash.to_vec()),
    };
    let () = on_db!(conn, |c| sqlx::query(ISSUE)
        .bind(id.as_uuid())
        .bind(draft.purpose.name())
        .bind(subject)
        .bind(user.map(UserId::as_uuid))
        .bind(draft.epoch)
        .bind(key_id.to_string())
        .bind(token.hash(ring_key, draft.purpose).to_vec())
        .bind(draft.address)
        .bind(draft.address_hash.to_vec())
        .bind(draft.session.map(SessionId::as_uuid))
        .bind(with_code.then(|| super::token::code_hash(ring_key, id, &code).to_vec()))
        .bind(with_code.then_some(code_expires_at.as_micros()))
        .bind(now.as_micros())
        .bind(draft.expires_at.as_micros())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(LinkSecret { token: token.text(), code: with_code.then_some(code) })
}

pub(crate) async fn by_secret(
    conn: &mut Conn<'_>,
    purpose: LinkPurpose,
    hash: &[u8; 32],
) -> Result<Option<LinkRecord>> {
    let row: Option<LinkRow> = on_db!(conn, |c| sqlx::query_as(BY_SECRET)
        .bind(hash.to_vec())
        .bind(purpose.name())
        .fetch_optional(c)
        .await)?;
    Ok(row.map(LinkRecord::from))
}

pub(crate) async fn by_id(conn: &mut Conn<'_>, id: LinkId) -> Result<Option<LinkRecord>> {
    let row: Option<LinkRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(LinkRecord::from))
}

/// Uses a link up. `None` when it is used, ended or expired, or its account is at another epoch.
pub(crate) async fn claim(
    conn: &mut Conn<'_>,
    id: LinkId,
    epoch: i64,
    by_code: bool,
    now: Timestamp,
) -> Result<Option<LinkRecord>> {
    let row: Option<LinkRow> = on_db!(conn, |c| sqlx::query_as(CLAIM)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .bind(epoch)
        .bind(by_code)
        .fetch_optional(c)
        .await)?;
    Ok(row.map(LinkRecord::from))
}

/// Counts a try of a code and gives the links that it may belong to.
pub(crate) async fn count_try(
    conn: &mut Conn<'_>,
    purpose: LinkPurpose,
    address_hash: &[u8; 32],
    now: Timestamp,
) -> Result<Vec<Tried>> {
    let rows: Vec<TriedRow> = on_db!(conn, |c| sqlx::query_as(COUNT_TRY)
        .bind(purpose.name())
        .bind(address_hash.to_vec())
        .bind(now.as_micros())
        .bind(super::token::CODE_TRIES)
        .fetch_all(c)
        .await)?;
    Ok(rows
        .into_iter()
        .map(|row| Tried {
            id: LinkId::from_uuid(row.id),
            user: row.user_id.map(UserId::from_uuid),
            key_id: row.key_id.parse().ok(),
            code_hash: row.code_hash,
        })
        .collect())
}

/// Ends a user's links, but those that give a former address back. Returns how many.
pub(crate) async fn end_of_user(
    conn: &mut Conn<'_>,
    user: UserId,
    reason: EndReason,
    now: Timestamp,
) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_OF_USER)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(reason.name())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Ends a user's links that give a former address back, as far as they were made at `since` or later.
pub(crate) async fn end_undo_since(
    conn: &mut Conn<'_>,
    user: UserId,
    since: Timestamp,
    reason: EndReason,
    now: Timestamp,
) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_UNDO)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(reason.name())
        .bind(since.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Ends the link of an invitation. Nothing depends on it: a link whose invitation is over is refused.
pub(crate) async fn end_of_invitation(
    conn: &mut Conn<'_>,
    invitation: InvitationId,
    reason: EndReason,
    now: Timestamp,
) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(END_ONE)
        .bind(LinkPurpose::Invitation.name())
        .bind(invitation.as_uuid().as_bytes().to_vec())
        .bind(now.as_micros())
        .bind(reason.name())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

/// Ends every link there is.
pub(crate) async fn end_all(conn: &mut Conn<'_>, reason: EndReason, now: Timestamp) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_ALL)
        .bind(now.as_micros())
        .bind(reason.name())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Whether the address waits for an account other than `but`, which may get it back.
pub(crate) async fn is_reserved(
    conn: &mut Conn<'_>,
    address_hash: &[u8; 32],
    but: Option<UserId>,
    now: Timestamp,
) -> Result<bool> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(RESERVED)
        .bind(address_hash.to_vec())
        .bind(now.as_micros())
        .bind(but.map(UserId::as_uuid))
        .fetch_one(c)
        .await)?)
}

/// Removes up to `limit` rows whose time is over. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(now.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

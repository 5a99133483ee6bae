//! Statements on `authkit_invitations`.

use uuid::Uuid;

use super::{Ended, Invitation, InvitationState};
use crate::authz::Resource;
use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::{InvitationId, OrgId, UserId};
use crate::time::Timestamp;
use crate::users::Email;

macro_rules! columns {
    () => {
        "id, email, resource_type, resource_id, role, user_id, created_at, sent_at, expires_at, end_reason"
    };
}

const INSERT: &str = "INSERT INTO authkit_invitations
        (id, email, email_key, resource_type, resource_id, role, user_id, created_at, sent_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) ON CONFLICT DO NOTHING RETURNING id";
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM authkit_invitations WHERE id = $1");
/// Takes the row: of several at once one acts.
const END: &str = "UPDATE authkit_invitations SET ended_at = $2, end_reason = $3
    WHERE id = $1 AND ended_at IS NULL RETURNING id";
/// Makes room for another one to the same place.
const END_EXPIRED: &str = "UPDATE authkit_invitations SET ended_at = $4, end_reason = 'expired'
    WHERE resource_type = $1 AND resource_id = $2 AND email_key = $3 AND ended_at IS NULL AND expires_at <= $4";
const SENT: &str = "UPDATE authkit_invitations SET sent_at = $2, expires_at = $3
    WHERE id = $1 AND ended_at IS NULL RETURNING id";
const END_OF_INVITER: &str = "UPDATE authkit_invitations SET ended_at = $2, end_reason = 'void'
    WHERE user_id = $1 AND ended_at IS NULL";
const END_OF_INVITER_TO: &str = "UPDATE authkit_invitations SET ended_at = $2, end_reason = 'void'
    WHERE user_id = $1 AND ended_at IS NULL AND resource_type = $3 AND resource_id = $4";
const END_OF_INVITER_IN: &str = "UPDATE authkit_invitations SET ended_at = $2, end_reason = 'void'
    WHERE user_id = $1 AND ended_at IS NULL
      AND EXISTS (SELECT 1 FROM authkit_resources r WHERE r.resource_type = authkit_invitations.resource_type
        AND r.resource_id = authkit_invitations.resource_id AND r.org = $3)";
/// What can be accepted no more, and ended or expired before.
const SWEEP: &str = "DELETE FROM authkit_invitations WHERE id IN
        (SELECT i.id FROM authkit_invitations i WHERE i.expires_at < $1 AND (i.ended_at IS NULL OR i.ended_at < $1)
         ORDER BY i.expires_at LIMIT $2)
      AND expires_at < $1 AND (ended_at IS NULL OR ended_at < $1)";
const DELETE_OF_EMAIL: &str = "DELETE FROM authkit_invitations WHERE email_key = $1";
const OF_TARGET: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_invitations WHERE resource_type = $1 AND resource_id = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
);
const OF_INVITER: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_invitations WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);
const ALL: &str =
    concat!("SELECT ", columns!(), " FROM authkit_invitations WHERE id < $1 ORDER BY id DESC LIMIT $2");
const OF_EMAIL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM authkit_invitations WHERE email_key = $1 ORDER BY id DESC LIMIT 1000"
);

row! {
    struct InvitationRow {
        id: Uuid, email: String, resource_type: String, resource_id: String, role: String, user_id: Option<Uuid>,
        created_at: i64, sent_at: i64, expires_at: i64, end_reason: Option<String>,
    }
}

impl InvitationRow {
    fn at(self, now: Timestamp) -> Invitation {
        let resource = Resource::stored(self.resource_type, self.resource_id);
        let expires_at = Timestamp::from_micros(self.expires_at);
        let state = match &self.end_reason {
            Some(reason) => InvitationState::from_reason(reason),
            // Judged at use, never by cleanup (R6).
            None if now >= expires_at => InvitationState::Expired,
            None => InvitationState::Pending,
        };
        Invitation {
            id: InvitationId::from_uuid(self.id),
            email: self.email,
            resource: (!resource.is_platform()).then_some(resource),
            role: self.role,
            inviter_id: self.user_id.map(UserId::from_uuid),
            created_at: Timestamp::from_micros(self.created_at),
            sent_at: Timestamp::from_micros(self.sent_at),
            expires_at,
            state,
        }
    }
}

/// Which invitations.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    To(Resource),
    By(UserId),
    All,
}

/// `false` when there is one to that place for that address already.
pub(crate) async fn insert(conn: &mut Conn<'_>, new: &Invitation, email: &Email) -> Result<bool> {
    let target = new.target();
    let _: u64 = on_db!(conn, |c| sqlx::query(END_EXPIRED)
        .bind(target.kind())
        .bind(target.id())
        .bind(email.key())
        .bind(new.created_at.as_micros())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(INSERT)
        .bind(new.id.as_uuid())
        .bind(email.address())
        .bind(email.key())
        .bind(target.kind())
        .bind(target.id())
        .bind(new.role.as_str())
        .bind(new.inviter_id.map(UserId::as_uuid))
        .bind(new.created_at.as_micros())
        .bind(new.expires_at.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

pub(crate) async fn by_id(
    conn: &mut Conn<'_>,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<Invitation>> {
    let row: Option<InvitationRow> =
        on_db!(conn, |c| sqlx::query_as(BY_ID).bind(id.as_uuid()).fetch_optional(c).await)?;
    Ok(row.map(|row| row.at(now)))
}

/// `false` when it ended before.
pub(crate) async fn end(conn: &mut Conn<'_>, id: InvitationId, why: Ended, now: Timestamp) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(END)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .bind(why.name())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// It was mailed once more and lasts until `end`. `false` when it ended before.
pub(crate) async fn sent(
    conn: &mut Conn<'_>,
    id: InvitationId,
    now: Timestamp,
    end: Timestamp,
) -> Result<bool> {
    let row: Option<Uuid> = on_db!(conn, |c| sqlx::query_scalar(SENT)
        .bind(id.as_uuid())
        .bind(now.as_micros())
        .bind(end.as_micros())
        .fetch_optional(c)
        .await)?;
    Ok(row.is_some())
}

/// Those that a user made, to `target` or anywhere. Returns how many.
pub(crate) async fn end_of_inviter(
    conn: &mut Conn<'_>,
    user: UserId,
    target: Option<&Resource>,
    now: Timestamp,
) -> Result<u64> {
    let done = match target {
        Some(target) => on_db!(conn, |c| sqlx::query(END_OF_INVITER_TO)
            .bind(user.as_uuid())
            .bind(now.as_micros())
            .bind(target.kind())
            .bind(target.id())
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?,
        None => on_db!(conn, |c| sqlx::query(END_OF_INVITER)
            .bind(user.as_uuid())
            .bind(now.as_micros())
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?,
    };
    Ok(done)
}

/// Those that a user made to things of one organisation. Returns how many.
pub(crate) async fn end_of_inviter_in(
    conn: &mut Conn<'_>,
    user: UserId,
    org: OrgId,
    now: Timestamp,
) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(END_OF_INVITER_IN)
        .bind(user.as_uuid())
        .bind(now.as_micros())
        .bind(org.to_string())
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Removes up to `limit` that were over before `before`. Returns how many.
pub(crate) async fn sweep(conn: &mut Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(before.as_micros())
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

/// For a purge: invitations to an address hold it.
pub(crate) async fn delete_of_email(conn: &mut Conn<'_>, email: &Email) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(DELETE_OF_EMAIL).bind(email.key()).execute(c).await.map(|_| ()))?;
    Ok(())
}

/// Newest first.
pub(crate) async fn list(
    conn: &mut Conn<'_>,
    which: &Which,
    before: Option<Uuid>,
    limit: i64,
    now: Timestamp,
) -> Result<Vec<Invitation>> {
    let before = before.unwrap_or(Uuid::max());
    let rows: Vec<InvitationRow> = match which {
        Which::To(target) => on_db!(conn, |c| sqlx::query_as(OF_TARGET)
            .bind(target.kind())
            .bind(target.id())
            .bind(before)
            .bind(limit)
            .fetch_all(c)
            .await)?,
        Which::By(user) => on_db!(conn, |c| sqlx::query_as(OF_INVITER)
            .bind(user.as_uuid())
            .bind(before)
            .bind(limit)
            .fetch_all(c)
            .await)?,
        Which::All => on_db!(conn, |c| sqlx::query_as(ALL).bind(before).bind(limit).fetch_all(c).await)?,
    };
    Ok(rows.into_iter().map(|row| row.at(now)).collect())
}

/// Those to an address, for the export of its account.
pub(crate) async fn of_email(conn: &mut Conn<'_>, email: &Email, now: Timestamp) -> Result<Vec<Invitation>> {
    let rows: Vec<InvitationRow> =
        on_db!(conn, |c| sqlx::query_as(OF_EMAIL).bind(email.key()).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|row| row.at(now)).collect())
}

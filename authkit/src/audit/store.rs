//! Statements on `authkit_audit`.

use uuid::Uuid;

use super::AuditFilter;
use crate::db::{Conn, on_db, row};
use crate::error::{Error, Result};
use crate::events::{Action, Event, Outcome};
use crate::ids::{EventId, SessionId, UserId};
use crate::time::Timestamp;

const INSERT: &str = "INSERT INTO authkit_audit
    (id, at, action, outcome, actor, user_id, session_id, ip, request_id, reason, details)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

/// Newest first; ids sort by time.
const LIST: &str =
    "SELECT id, at, action, outcome, actor, user_id, session_id, ip, request_id, reason, details
    FROM authkit_audit
    WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR user_id = $2) AND ($3 IS NULL OR action = $3)
      AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5)
    ORDER BY id DESC LIMIT $6";

const FORGET: &str = "UPDATE authkit_audit SET ip = NULL, details = '{}' WHERE user_id = $1";

/// What somebody did to others, as the partial index on actors has it.
const FORGET_ACTS: &str = "UPDATE authkit_audit SET ip = NULL WHERE actor = $1 AND action IN
    ('org.create', 'org.update', 'org.delete', 'membership.grant', 'membership.change', 'membership.revoke',
     'invitation.create', 'invitation.resend', 'invitation.revoke')";

row! {
    struct AuditRow {
        id: Uuid, at: i64, action: String, outcome: String, actor: String, user_id: Option<Uuid>,
        session_id: Option<Uuid>, ip: Option<String>, request_id: Option<String>, reason: Option<String>,
        details: String,
    }
}

pub(super) async fn insert(conn: &mut Conn<'_>, event: &Event) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(INSERT)
        .bind(event.id.as_uuid())
        .bind(event.at.as_micros())
        .bind(event.action.name())
        .bind(event.outcome.name())
        .bind(event.actor.as_str())
        .bind(event.user_id.map(UserId::as_uuid))
        .bind(event.session_id.map(SessionId::as_uuid))
        .bind(event.ip.map(|ip| ip.to_string()))
        .bind(event.request_id.as_deref())
        .bind(event.reason.as_deref())
        .bind(serde_json::Value::Object(event.details.clone()).to_string())
        .execute(c)
        .await
        .map(|_| ()))?;
    Ok(())
}

pub(super) async fn list(
    conn: &mut Conn<'_>,
    filter: &AuditFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Event>> {
    let rows: Vec<AuditRow> = on_db!(conn, |c| sqlx::query_as(LIST)
        .bind(before)
        .bind(filter.user_id.map(UserId::as_uuid))
        .bind(filter.action.map(Action::name))
        .bind(filter.from.map(Timestamp::as_micros))
        .bind(filter.to.map(Timestamp::as_micros))
        .bind(limit)
        .fetch_all(c)
        .await)?;
    rows.into_iter().map(event).collect()
}

/// Ids sort by time.
const SWEEP: &str = "DELETE FROM authkit_audit WHERE id IN
        (SELECT a.id FROM authkit_audit a WHERE a.id < $1 ORDER BY a.id LIMIT $2)
      AND id < $1";

pub(super) async fn sweep(conn: &mut Conn<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    Ok(on_db!(conn, |c| sqlx::query(SWEEP)
        .bind(crate::ids::first_id_of(before))
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn forget(conn: &mut Conn<'_>, user: UserId) -> Result<()> {
    let () = on_db!(conn, |c| sqlx::query(FORGET).bind(user.as_uuid()).execute(c).await.map(|_| ()))?;
    let actor = format!("user:{user}");
    let () = on_db!(conn, |c| sqlx::query(FORGET_ACTS).bind(actor).execute(c).await.map(|_| ()))?;
    Ok(())
}

fn event(row: AuditRow) -> Result<Event> {
    let action = Action::from_name(&row.action).ok_or_else(|| Error::internal("an unknown audit action"))?;
    let outcome = if row.outcome == Outcome::Success.name() { Outcome::Success } else { Outcome::Failure };
    let details = serde_json::from_str(&row.details)
        .map_err(|e| Error::internal("audit details are not JSON").with_source(e))?;
    Ok(Event {
        id: EventId::from_uuid(row.id),
        at: Timestamp::from_micros(row.at),
        action,
        outcome,
        actor: row.actor,
        user_id: row.user_id.map(UserId::from_uuid),
        session_id: row.session_id.map(SessionId::from_uuid),
        ip: row.ip.and_then(|ip| ip.parse().ok()),
        request_id: row.request_id,
        reason: row.reason,
        details,
    })
}

//! Everything that is held on one account, for its owner (GDPR article 15). No secret and no hash is in it.

mod store;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::audit::{AuditFilter, Entry};
use crate::authz::members::store as members;
use crate::crypto::keys::KeyPurpose;
use crate::db::{Conn, Page};
use crate::error::{Error, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::flows::memberships::no_account;
use crate::ids::UserId;
use crate::invitations::store::{self as invitations, Which};
use crate::meta::RequestMeta;
use crate::time::Timestamp;
use crate::users::{Email, store as users};

/// Rows of a list at the most: nobody has so many.
const MOST: i64 = 100_000;

impl Ctx {
    /// Reads it all, a table a member. Audited.
    pub(crate) async fn export_user(self: &Arc<Self>, user: UserId, meta: &RequestMeta) -> Result<Value> {
        let now = self.now();
        let out = self.db.read(move |conn| Box::pin(async move { collect(conn, user, now).await })).await?;
        let mut out = out.ok_or_else(no_account)?;
        out.insert("audit".to_owned(), self.events_of(user).await?);
        let meta_in = meta.clone();
        self.decide(meta, Action::UserExport, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move {
                ctx.audit.grant(tx, &meta, Entry::success(Action::UserExport, user)).await?;
                Ok(Ok(()))
            })
        })
        .await?;
        Ok(Value::Object(out))
    }

    async fn events_of(&self, user: UserId) -> Result<Value> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let filter = AuditFilter { user_id: Some(user), ..AuditFilter::default() };
        let mut page = Page::new(200, None)?;
        let mut events = Vec::new();
        loop {
            let part = self.audit.list(&self.db, &key, &filter, &page).await?;
            for event in part.items {
                events.push(serde_json::to_value(event).map_err(unwritable)?);
            }
            match part.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => return Ok(Value::Array(events)),
            }
        }
    }
}

async fn collect(conn: &mut Conn<'_>, user: UserId, now: Timestamp) -> Result<Option<Map<String, Value>>> {
    let Some(record) = users::by_id(conn, user).await? else { return Ok(None) };
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    let email = Email::parse(&record.user.email, "/email").ok();
    put("user", serde_json::to_value(&record.user).map_err(unwritable)?);
    for (name, rows) in store::all(conn, user).await? {
        put(name, Value::Array(rows));
    }
    let roles = members::of_user(conn, user, None, None, MOST).await?;
    put("memberships", serde_json::to_value(roles).map_err(unwritable)?);
    let made = invitations::list(conn, &Which::By(user), None, MOST, now).await?;
    put("invitations_made", serde_json::to_value(made).map_err(unwritable)?);
    let received = match &email {
        Some(email) => invitations::of_email(conn, email, now).await?,
        None => Vec::new(),
    };
    put("invitations_received", serde_json::to_value(received).map_err(unwritable)?);
    put("exported_at", json!(now));
    Ok(Some(out))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal("an export cannot be written").with_source(error)
}

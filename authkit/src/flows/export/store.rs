//! What each table holds on an account, as facts that may be shown: no hash, no seed, no key, no secret (ASVS 15.3.1).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::{Conn, on_db, row};
use crate::error::Result;
use crate::ids::UserId;
use crate::time::Timestamp;

trait Shown {
    fn shown(self) -> Value;
}

/// Microseconds since 1970 in the store.
#[derive(Debug)]
struct Time(Option<i64>);

impl Shown for Time {
    fn shown(self) -> Value {
        json!(self.0.map(Timestamp::from_micros))
    }
}

impl Shown for Option<i64> {
    fn shown(self) -> Value {
        json!(self)
    }
}

impl Shown for Option<String> {
    fn shown(self) -> Value {
        json!(self)
    }
}

impl Shown for Option<Uuid> {
    fn shown(self) -> Value {
        json!(self)
    }
}

/// A table: its name in the export, its statement, its columns by kind.
macro_rules! tables {
    ($($table:ident $row:ident = $sql:literal
        { $($field:ident: $type:ty),* $(,)? } at { $($time:ident),* $(,)? };)*) => {
        $(
            row! { struct $row { $($field: Option<$type>,)* $($time: Option<i64>),* } }

            impl $row {
                fn shown(self) -> Value {
                    let mut out = serde_json::Map::new();
                    $(out.insert(stringify!($field).to_owned(), self.$field.shown());)*
                    $(out.insert(stringify!($time).to_owned(), Time(self.$time).shown());)*
                    Value::Object(out)
                }
            }
        )*

        /// The rows of each table.
        pub(super) async fn all(conn: &mut Conn<'_>, user: UserId) -> Result<Vec<(&'static str, Vec<Value>)>> {
            let mut out = Vec::new();
            $({
                const SQL: &str = $sql;
                let rows: Vec<$row> =
                    on_db!(conn, |c| sqlx::query_as(SQL).bind(user.as_uuid()).fetch_all(c).await)?;
                out.push((stringify!($table), rows.into_iter().map($row::shown).collect()));
            })*
            Ok(out)
        }
    };
}

tables! {
    passwords Password = "SELECT changed_at FROM authkit_passwords WHERE user_id = $1" {} at { changed_at };
    roles Role = "SELECT role, granted_at FROM authkit_user_roles WHERE user_id = $1 ORDER BY role"
        { role: String } at { granted_at };
    sessions Session = "SELECT id, ip, user_agent, amr, end_reason, created_at, rotated_at, absolute_expires_at,
            auth_time, ended_at FROM authkit_sessions WHERE user_id = $1 ORDER BY id"
        { id: Uuid, ip: String, user_agent: String, amr: String, end_reason: String }
        at { created_at, rotated_at, absolute_expires_at, auth_time, ended_at };
    devices Device = "SELECT id, created_at, last_used_at FROM authkit_devices WHERE user_id = $1 ORDER BY id"
        { id: Uuid } at { created_at, last_used_at };
    links Link = "SELECT id, purpose, address, end_reason, created_at, expires_at, ended_at
            FROM authkit_links WHERE user_id = $1 ORDER BY id"
        { id: Uuid, purpose: String, address: String, end_reason: String } at { created_at, expires_at, ended_at };
    lockouts Lockout = "SELECT id, kind, failures, lock_count, first_failure_at, last_failure_at, locked_until
            FROM authkit_lockouts WHERE user_id = $1 ORDER BY id"
        { id: Uuid, kind: String, failures: i64, lock_count: i64 }
        at { first_failure_at, last_failure_at, locked_until };
    totp Totp = "SELECT id, name, created_at, confirmed_at, last_used_at FROM authkit_totp
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, name: String } at { created_at, confirmed_at, last_used_at };
    backup_sets BackupSet = "SELECT created_at FROM authkit_backup_sets WHERE user_id = $1" {} at { created_at };
    backup_codes BackupCode = "SELECT used_at FROM authkit_backup_codes WHERE user_id = $1 ORDER BY code_hash"
        {} at { used_at };
    mfa_pending Pending = "SELECT id, end_reason, created_at, expires_at, ended_at FROM authkit_mfa_pending
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, end_reason: String } at { created_at, expires_at, ended_at };
    passkeys Passkey = "SELECT id, name, transports, created_at, last_used_at FROM authkit_passkeys
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, name: String, transports: String } at { created_at, last_used_at };
    passkey_challenges PasskeyChallenge = "SELECT id, purpose, created_at, expires_at FROM authkit_passkey_challenges
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, purpose: String } at { created_at, expires_at };
    api_keys ApiKey = "SELECT id, name, scopes, created_at, expires_at, last_used_at, revoked_at FROM authkit_api_keys
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, name: String, scopes: String } at { created_at, expires_at, last_used_at, revoked_at };
    idempotency Repeatable = "SELECT id, created_at, expires_at FROM authkit_idempotency
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid } at { created_at, expires_at };
    mails Mail = "SELECT id, template, state, created_at, finished_at FROM authkit_outbox
            WHERE user_id = $1 ORDER BY id"
        { id: Uuid, template: String, state: String } at { created_at, finished_at };
    notices Notice = "SELECT kind, told_at FROM authkit_notices WHERE user_id = $1 ORDER BY kind"
        { kind: String } at { told_at };
    revocations Revocation = "SELECT id, min_ver, created_at FROM authkit_revocations WHERE user_id = $1 ORDER BY id"
        { id: Uuid, min_ver: i64 } at { created_at };
}

//! How each kind of thing is shown.

use super::{Column, Kind, View};

const fn column(title: &'static str, field: &'static str, kind: Kind) -> Column {
    Column { title, field, kind, wide: false }
}

const fn wide(title: &'static str, field: &'static str, kind: Kind) -> Column {
    Column { title, field, kind, wide: true }
}

pub(crate) const USER: View = View {
    id: "id",
    columns: &[
        wide("ID", "id", Kind::Id),
        column("EMAIL", "email", Kind::Id),
        column("NAME", "name", Kind::Text),
        column("ROLES", "roles", Kind::Text),
        column("STATUS", "status", Kind::State),
        column("VERIFIED", "email_verified", Kind::Flag),
        wide("MFA", "mfa_enabled", Kind::Flag),
        wide("CREATED (UTC)", "created_at", Kind::Time),
    ],
    fields: &[
        "id",
        "email",
        "name",
        "email_verified",
        "roles",
        "status",
        "mfa_enabled",
        "profile",
        "created_at",
        "updated_at",
    ],
};

pub(crate) const SENT_LINK: View = View {
    id: "user_id",
    columns: &[
        column("USER", "user_id", Kind::Id),
        column("PURPOSE", "purpose", Kind::Text),
        column("EMAIL", "email", Kind::Id),
        column("MAILED", "mailed", Kind::Flag),
        column("EXPIRES (UTC)", "expires_at", Kind::Time),
    ],
    fields: &["user_id", "purpose", "email", "mailed", "expires_at"],
};

pub(crate) const ROLE: View = View {
    id: "name",
    columns: &[
        column("NAME", "name", Kind::Id),
        column("PERMISSIONS", "permissions", Kind::Text),
        column("DESCRIPTION", "description", Kind::Text),
        column("BUILT IN", "built_in", Kind::Flag),
    ],
    fields: &["name", "permissions", "description", "built_in", "created_at", "updated_at"],
};

pub(crate) const SESSION: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        wide("USER", "user_id", Kind::Id),
        column("LAST USED (UTC)", "last_used_at", Kind::Time),
        column("IP", "ip", Kind::Text),
        wide("ENDS (UTC)", "expires_at", Kind::Time),
        wide("DEVICE", "user_agent", Kind::Text),
    ],
    fields: &["id", "user_id", "created_at", "last_used_at", "expires_at", "ip", "user_agent", "amr"],
};

pub(crate) const SESSIONS_ENDED: View =
    View { id: "user_id", columns: &[], fields: &["user_id", "sessions_ended"] };

pub(crate) const ALL_ENDED: View =
    View { id: "sessions", columns: &[], fields: &["sessions", "accounts", "jwt_secret_must_change"] };

pub(crate) const PASSKEY: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("NAME", "name", Kind::Text),
        wide("USER", "user_id", Kind::Id),
        wide("MAY BE COPIED", "backup_eligible", Kind::Flag),
        wide("BACKED UP", "backed_up", Kind::Flag),
        wide("BY", "transports", Kind::Text),
        wide("REGISTERED (UTC)", "created_at", Kind::Time),
        column("LAST USED (UTC)", "last_used_at", Kind::Time),
    ],
    fields: &[
        "id",
        "user_id",
        "name",
        "backup_eligible",
        "backed_up",
        "transports",
        "created_at",
        "last_used_at",
    ],
};

pub(crate) const PASSKEYS_REMOVED: View =
    View { id: "user_id", columns: &[], fields: &["user_id", "removed"] };

pub(crate) const API_KEY: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("NAME", "name", Kind::Text),
        column("SCOPES", "scopes", Kind::Text),
        column("STATUS", "status", Kind::State),
        wide("USER", "user_id", Kind::Id),
        wide("LAST USED (UTC)", "last_used_at", Kind::Time),
        wide("EXPIRES (UTC)", "expires_at", Kind::Time),
    ],
    fields: &[
        "id",
        "user_id",
        "name",
        "scopes",
        "status",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ],
};

pub(crate) const CLEANUP_JOB: View = View {
    id: "name",
    columns: &[
        column("JOB", "name", Kind::Id),
        column("REMOVED", "removed", Kind::Text),
        column("BATCHES", "batches", Kind::Text),
        column("COMPLETE", "complete", Kind::Flag),
        column("FAILED", "failed", Kind::Flag),
    ],
    fields: &["name", "removed", "batches", "complete", "failed"],
};

pub(crate) const CLEANUP: View = View {
    id: "finished_at",
    columns: &[],
    fields: &["started_at", "finished_at", "dry_run", "complete", "removed"],
};

pub(crate) const CLEANUP_STATUS: View = View {
    id: "running",
    columns: &[
        column("RUNNING", "running", Kind::Flag),
        column("BEGAN (UTC)", "started_at", Kind::Time),
        column("ENDED (UTC)", "finished_at", Kind::Time),
        column("REMOVED", "last.removed", Kind::Text),
        column("COMPLETE", "last.complete", Kind::Flag),
    ],
    fields: &["running", "started_at", "finished_at", "last.removed", "last.complete"],
};

pub(crate) const LOCKOUT: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("KIND", "kind", Kind::Text),
        column("FAILURES", "failures", Kind::Text),
        column("LOCKED UNTIL", "locked_until", Kind::Time),
        wide("LOCKS", "lock_count", Kind::Text),
        wide("USER", "user_id", Kind::Id),
        wide("LAST FAILURE (UTC)", "last_failure_at", Kind::Time),
    ],
    fields: &[
        "id",
        "kind",
        "user_id",
        "failures",
        "locked_until",
        "lock_count",
        "first_failure_at",
        "last_failure_at",
    ],
};

pub(crate) const LIMIT: View = View {
    id: "name",
    columns: &[
        column("LIMIT", "name", Kind::Id),
        column("RATE", "rate", Kind::Text),
        column("BY", "by", Kind::Text),
        column("LEFT", "remaining", Kind::Text),
        column("NEXT IN (S)", "next_in_seconds", Kind::Text),
    ],
    fields: &["name", "rate", "by", "remaining", "next_in_seconds"],
};

pub(crate) const MFA: View = View {
    id: "user_id",
    columns: &[
        column("USER", "user_id", Kind::Id),
        column("ENABLED", "enabled", Kind::Flag),
        column("BACKUP CODES", "backup_codes_remaining", Kind::Text),
        column("FACTORS", "factors", Kind::Text),
    ],
    fields: &["user_id", "enabled", "backup_codes_remaining", "factors"],
};

pub(crate) const MFA_POLICY: View = View {
    id: "policy",
    columns: &[
        column("POLICY", "policy", Kind::Id),
        column("REQUIRED ROLES", "required_roles", Kind::Text),
        column("ACCOUNTS", "accounts", Kind::Text),
        column("WITH A FACTOR", "with_factor", Kind::Text),
        column("LACKING ONE", "lacking", Kind::Text),
    ],
    fields: &["policy", "required_roles", "accounts", "with_factor", "lacking"],
};

pub(crate) const REENCRYPTED: View =
    View { id: "resealed", columns: &[], fields: &["looked_at", "resealed", "unreadable"] };

pub(crate) const KEY: View = View {
    id: "kid",
    columns: &[
        column("KEY", "kid", Kind::Id),
        column("PURPOSE", "purpose", Kind::Text),
        column("ALGORITHM", "algorithm", Kind::Text),
        column("STATE", "state", Kind::State),
        column("ACTIVE FROM (UTC)", "activates_at", Kind::Time),
        wide("RETIRES (UTC)", "retires_at", Kind::Time),
        wide("GONE (UTC)", "gone_at", Kind::Time),
    ],
    fields: &["kid", "purpose", "algorithm", "state", "created_at", "activates_at", "retires_at", "gone_at"],
};

pub(crate) const MAIL: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("MAIL", "template", Kind::Id),
        column("STATE", "state", Kind::State),
        column("TRIES", "attempts", Kind::Text),
        wide("DUE (UTC)", "due_at", Kind::Time),
        wide("LAST ERROR", "last_error", Kind::Text),
        wide("USER", "user_id", Kind::Id),
        wide("MADE (UTC)", "created_at", Kind::Time),
        wide("DONE (UTC)", "finished_at", Kind::Time),
    ],
    fields: &[
        "id",
        "template",
        "state",
        "user_id",
        "attempts",
        "in_hand",
        "last_error",
        "created_at",
        "due_at",
        "expires_at",
        "finished_at",
    ],
};

pub(crate) const MAIL_SENT: View =
    View { id: "message_id", columns: &[], fields: &["message_id", "address"] };

pub(crate) const MAIL_PREVIEW: View =
    View { id: "template", columns: &[], fields: &["template", "subject", "text", "html"] };

pub(crate) const TOKEN: View = View {
    id: "user_id",
    columns: &[
        column("KIND", "kind", Kind::Text),
        column("STATUS", "status", Kind::State),
        column("WHY", "why", Kind::Text),
        column("GENUINE", "genuine", Kind::Flag),
        column("KEY", "key.kid", Kind::Text),
        column("KEY STATE", "key.state", Kind::State),
        column("USER", "user_id", Kind::Text),
        column("SESSION", "session.id", Kind::Text),
        column("CLAIMS", "claims", Kind::Text),
    ],
    fields: &["kind", "status", "why", "genuine", "key.kid", "user_id", "session.id", "claims"],
};

pub(crate) const SETTING: View = View {
    id: "name",
    columns: &[
        column("SETTING", "name", Kind::Id),
        column("VALUE", "value", Kind::Text),
        column("ORIGIN", "origin", Kind::Text),
    ],
    fields: &["name", "value", "origin"],
};

pub(crate) const SETTING_PLAIN: View = View {
    id: "name",
    columns: &[column("SETTING", "name", Kind::Id), column("VALUE", "value", Kind::Text)],
    fields: &["name", "value"],
};

pub(crate) const CHECKED: View = View { id: "valid", columns: &[], fields: &["valid", "warnings"] };

pub(crate) const SCHEMA: View = View {
    id: "state",
    columns: &[
        column("STATE", "state", Kind::State),
        column("APPLIED", "applied", Kind::Text),
        column("EXPECTED", "expected", Kind::Text),
        column("ENGINE", "engine", Kind::Text),
    ],
    fields: &["state", "applied", "expected", "engine"],
};

pub(crate) const SEEDED: View = View {
    id: "name",
    columns: &[
        column("KIND", "kind", Kind::Text),
        column("NAME", "name", Kind::Id),
        column("OUTCOME", "outcome", Kind::State),
        column("PASSWORD", "password", Kind::Id),
    ],
    fields: &["kind", "name", "outcome"],
};

pub(crate) const FINDING: View = View {
    id: "check",
    columns: &[
        column("CHECK", "check", Kind::Id),
        column("STATUS", "status", Kind::State),
        column("FINDING", "finding", Kind::Text),
    ],
    fields: &["check", "status", "finding", "effect", "fix", "code"],
};

pub(crate) const VERSION: View =
    View { id: "version", columns: &[], fields: &["name", "version", "engines"] };

pub(crate) const ORGANISATION: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("NAME", "name", Kind::Text),
        column("DOMAIN", "domain", Kind::Text),
        column("SEATS", "seat_limit", Kind::Text),
        column("STATUS", "status", Kind::State),
        wide("CREATED (UTC)", "created_at", Kind::Time),
    ],
    fields: &["id", "name", "domain", "seat_limit", "status", "created_at", "updated_at"],
};

pub(crate) const MEMBERSHIP: View = View {
    id: "id",
    columns: &[
        wide("ID", "id", Kind::Id),
        column("USER", "user_id", Kind::Id),
        column("TYPE", "resource_type", Kind::Text),
        column("RESOURCE", "resource_id", Kind::Id),
        column("ROLE", "role", Kind::Text),
        wide("SINCE (UTC)", "created_at", Kind::Time),
    ],
    fields: &["id", "user_id", "resource_type", "resource_id", "role", "created_at", "updated_at"],
};

pub(crate) const INVITATION: View = View {
    id: "id",
    columns: &[
        column("ID", "id", Kind::Id),
        column("EMAIL", "email", Kind::Id),
        column("ROLE", "role", Kind::Text),
        wide("ORGANISATION", "org_id", Kind::Id),
        wide("TYPE", "resource_type", Kind::Text),
        wide("RESOURCE", "resource_id", Kind::Id),
        column("STATUS", "status", Kind::State),
        column("EXPIRES (UTC)", "expires_at", Kind::Time),
    ],
    fields: &[
        "id",
        "email",
        "role",
        "org_id",
        "resource_type",
        "resource_id",
        "inviter_id",
        "status",
        "created_at",
        "sent_at",
        "expires_at",
    ],
};

pub(crate) const DECISION: View = View {
    id: "allowed",
    columns: &[
        column("ALLOWED", "allowed", Kind::Flag),
        column("USER", "user", Kind::Id),
        column("PERMISSION", "permission", Kind::Text),
        column("RESOURCE", "resource", Kind::Id),
        column("WHY", "why", Kind::Text),
    ],
    fields: &["allowed", "user", "permission", "resource", "why", "row"],
};

pub(crate) const RESOURCE_TYPE: View = View {
    id: "resource_type",
    columns: &[
        column("TYPE", "resource_type", Kind::Text),
        column("ROLE", "role", Kind::Id),
        column("PERMISSIONS", "permissions", Kind::Text),
        column("FROM ORGANISATION ROLE", "from_org", Kind::Text),
    ],
    fields: &["resource_type", "role", "permissions", "from_org"],
};

/// Everything that is held on an account: as JSON or YAML.
pub(crate) const EXPORT: View = View { id: "exported_at", columns: &[], fields: &["user", "exported_at"] };

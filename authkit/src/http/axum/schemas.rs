//! Schemas of answers whose types live below HTTP, for the OpenAPI document. A test compares them with what is
//! really sent.

#![expect(dead_code, reason = "read by the derive only")]

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// An account, as its owner sees it.
#[derive(ToSchema)]
pub(super) struct User {
    /// Never changes.
    id: Uuid,
    /// The address that mail goes to.
    email: String,
    /// What to call the person.
    name: String,
    /// Whether the address was proved.
    email_verified: bool,
    /// Names of roles, sorted.
    roles: Vec<String>,
    /// Whether it may sign in.
    status: Status,
    /// Whether a second factor is set up.
    mfa_enabled: bool,
    /// The application's own facts about the person.
    #[schema(value_type = Object)]
    profile: Value,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it last changed.
    #[schema(format = "date-time")]
    updated_at: String,
}

/// A page of accounts.
#[derive(ToSchema)]
pub(super) struct UserList {
    items: Vec<User>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Whether an API key opens anything.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum ApiKeyStatus {
    Active,
    Expired,
    Revoked,
}

/// An API key, without its text.
#[derive(ToSchema)]
pub(super) struct ApiKey {
    /// Never changes.
    id: Uuid,
    /// In whose name it acts.
    user_id: Uuid,
    /// What its maker calls it.
    name: String,
    /// Permissions that it may use as long as its owner has them.
    scopes: Vec<String>,
    /// Whether it opens anything.
    status: ApiKeyStatus,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ends.
    #[schema(format = "date-time")]
    expires_at: String,
    /// When it was last used, to the minute.
    #[schema(required, format = "date-time")]
    last_used_at: Option<String>,
    /// When it was revoked.
    #[schema(required, format = "date-time")]
    revoked_at: Option<String>,
}

/// An API key that was just made.
#[derive(ToSchema)]
pub(super) struct NewApiKey {
    /// Never changes.
    id: Uuid,
    /// In whose name it acts.
    user_id: Uuid,
    /// What its maker calls it.
    name: String,
    /// Permissions that it may use as long as its owner has them.
    scopes: Vec<String>,
    /// Whether it opens anything.
    status: ApiKeyStatus,
    /// When it was made.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it ends.
    #[schema(format = "date-time")]
    expires_at: String,
    /// Null: it was not used yet.
    #[schema(required, format = "date-time")]
    last_used_at: Option<String>,
    /// Null: it was just made.
    #[schema(required, format = "date-time")]
    revoked_at: Option<String>,
    /// For `Authorization: Bearer`. Shown this once.
    #[schema(pattern = "^akk_[A-Za-z0-9_-]{104}$")]
    key: String,
}

/// A page of API keys.
#[derive(ToSchema)]
pub(super) struct ApiKeyList {
    items: Vec<ApiKey>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What a cleanup did.
#[derive(ToSchema)]
pub(super) struct CleanupReport {
    /// When it began.
    #[schema(format = "date-time")]
    started_at: String,
    /// When it ended.
    #[schema(format = "date-time")]
    finished_at: String,
    /// Whether it only looked.
    dry_run: bool,
    /// Whether nothing was left.
    complete: bool,
    /// Rows that went.
    removed: u64,
    /// By job.
    jobs: Vec<CleanupJobReport>,
}

/// What one job did.
#[derive(ToSchema)]
pub(super) struct CleanupJobReport {
    /// Its name.
    name: String,
    /// Rows that went.
    removed: u64,
    /// Transactions that it took.
    batches: u64,
    /// Whether nothing was left.
    complete: bool,
    /// Whether it failed.
    failed: bool,
}

/// Whether an account may sign in.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Status {
    Active,
    Disabled,
    Deleted,
}

/// A signed-in device.
#[derive(ToSchema)]
pub(super) struct Session {
    /// Never changes.
    id: Uuid,
    /// When the user signed in.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it was last refreshed.
    #[schema(format = "date-time")]
    last_used_at: String,
    /// When it ends unless it is refreshed before.
    #[schema(format = "date-time")]
    expires_at: String,
    /// Address at sign-in.
    #[schema(required)]
    ip: Option<String>,
    /// `User-Agent` at sign-in.
    #[schema(required)]
    user_agent: Option<String>,
    /// How the user proved who he is (RFC 8176).
    amr: Vec<String>,
    /// Whether it is the session that asks.
    current: bool,
}

/// A kind of second factor.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum FactorKind {
    Totp,
    BackupCode,
    Passkey,
}

/// A second factor.
#[derive(ToSchema)]
pub(super) struct Factor {
    /// Never changes.
    id: Uuid,
    r#type: FactorKind,
    /// As its owner called it.
    name: String,
    /// Whether it counts: an authenticator app that is being set up does not yet.
    confirmed: bool,
}

/// The second factors of an account.
#[derive(ToSchema)]
pub(super) struct MfaStatus {
    /// Whether a sign-in asks for one.
    enabled: bool,
    factors: Vec<Factor>,
    /// Backup codes that were not used yet.
    backup_codes_remaining: u64,
}

/// A passkey.
#[derive(ToSchema)]
pub(super) struct Passkey {
    /// Never changes.
    id: Uuid,
    /// What its owner called it.
    name: String,
    /// Whether it may be copied to other devices of its owner, as synchronised passkeys are.
    backup_eligible: bool,
    /// Whether it was backed up or synchronised when it was last used.
    backed_up: bool,
    /// How browsers reach it, as it said itself.
    transports: Vec<String>,
    /// When it was registered.
    #[schema(format = "date-time")]
    created_at: String,
    /// When it last proved its owner.
    #[schema(required, format = "date-time")]
    last_used_at: Option<String>,
}

/// A page of passkeys.
#[derive(ToSchema)]
pub(super) struct PasskeyList {
    items: Vec<Passkey>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of sessions.
#[derive(ToSchema)]
pub(super) struct SessionList {
    items: Vec<Session>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What failed attempts are counted on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum LockKind {
    Email,
    Ip,
    Network,
    Device,
    SecondFactor,
}

/// Failed attempts on one thing, and whether it is locked.
#[derive(ToSchema)]
pub(super) struct Lockout {
    /// Stays the same as long as the thing is remembered.
    id: Uuid,
    kind: LockKind,
    /// The account, where there is one.
    #[schema(required)]
    user_id: Option<Uuid>,
    /// Failures that count now; of a network, distinct e-mails.
    failures: u32,
    /// Until when nothing is judged; null when it is not locked.
    #[schema(required, format = "date-time")]
    locked_until: Option<String>,
    /// Locks so far.
    lock_count: u32,
    /// The oldest failure that counts.
    #[schema(required, format = "date-time")]
    first_failure_at: Option<String>,
    /// The latest failure that counts.
    #[schema(required, format = "date-time")]
    last_failure_at: Option<String>,
}

/// A page of lockouts.
#[derive(ToSchema)]
pub(super) struct LockoutList {
    items: Vec<Lockout>,
    /// Where the next page starts; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// The one error body.
#[derive(ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorFacts,
}

/// What went wrong.
#[derive(ToSchema)]
pub(super) struct ErrorFacts {
    /// Stable code.
    code: String,
    /// A sentence for people.
    message: String,
    details: Details,
    /// The answer's `X-Request-ID`.
    request_id: String,
}

/// The same facts as RFC 9457 has them, for `Accept: application/problem+json`.
#[derive(ToSchema)]
pub(super) struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// Stable code.
    code: String,
    /// The answer's `X-Request-ID`.
    request_id: String,
    #[schema(nullable = false)]
    details: Option<Details>,
}

/// Facts special to the code.
#[derive(ToSchema)]
pub(super) struct Details {
    /// The faults of single fields, all at once.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldFault>>,
    /// The number in `Retry-After`.
    #[schema(nullable = false, minimum = 1)]
    retry_after_seconds: Option<u64>,
    /// What would do, where a recent strong sign-in is missing.
    #[schema(nullable = false)]
    satisfied_by: Option<Vec<StepUpBy>>,
}

/// What a step-up takes; `enrol`: a second factor must be set up first.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum StepUpBy {
    Password,
    Totp,
    BackupCode,
    Passkey,
    Enrol,
}

/// One thing wrong with one field.
#[derive(ToSchema)]
pub(super) struct FieldFault {
    /// JSON pointer of the field.
    pointer: String,
    code: FieldCode,
    /// A sentence for people.
    message: String,
}

/// What is wrong with a field.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum FieldCode {
    Required,
    Unknown,
    Type,
    Format,
    TooShort,
    TooLong,
    TooCommon,
    TooWeak,
    ContainsContext,
    Breached,
    OutOfRange,
}

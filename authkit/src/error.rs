//! The one error of the library and the one list of its codes.
//!
//! Every error has two messages: [`Error::public_message`] may be shown to a client and never tells
//! whether an account exists; the `Display` text is for logs and operators. Neither holds a secret.

mod limit_state;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use limit_state::LimitState;

/// Result with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a caller may want to tell apart. Codes never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be read: bad JSON, wrong type, unknown or missing field.
    InvalidRequest,
    /// Unknown e-mail, wrong password, no password, disabled, deleted: one answer for all (R5).
    InvalidCredentials,
    /// Access token missing, malformed, expired, revoked or of another purpose.
    Unauthenticated,
    /// Refresh token unknown, expired, revoked or reused: one answer, the audit tells which.
    RefreshInvalid,
    /// A second factor wrong, replayed or exhausted, or the pending sign-in dead: one answer, the audit tells which.
    MfaInvalid,
    /// A mailed link or invitation unknown, used, expired, revoked or of another purpose: one answer for all.
    LinkInvalid,
    /// Too many requests of this kind. [`Error::retry_after`] says when there is room again.
    RateLimited,
    /// Too many wrong credentials: no further one is judged before [`Error::retry_after`], a right one neither.
    Locked,
    /// The e-mail must be verified first. Said only after the right password.
    EmailUnverified,
    /// A recent strong sign-in is missing.
    StepUpRequired,
    /// The role or permission is missing.
    Forbidden,
    /// Absent, or another tenant's.
    NotFound,
    /// A guard refused: the thing exists, is the last of its kind, or changed meanwhile.
    Conflict,
    /// It is not the version any more that the request asks for.
    PreconditionFailed,
    /// Well-formed, but not acceptable. [`Error::fields`] says what.
    Validation,
    /// Store or another dependency not reachable, or overload.
    Unavailable,
    /// A setting or key file is wrong; the process should not start.
    Config,
    /// The store's schema is behind or ahead of this build, or sealed under another root key.
    Schema,
    /// A bug. The target number in every suite is zero.
    Internal,
}

impl ErrorKind {
    /// Stable text of this kind, as it stands in answers and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::RefreshInvalid => "REFRESH_INVALID",
            Self::MfaInvalid => "MFA_INVALID",
            Self::LinkInvalid => "LINK_INVALID",
            Self::RateLimited => "RATE_LIMITED",
            Self::Locked => "LOCKED",
            Self::EmailUnverified => "EMAIL_UNVERIFIED",
            Self::StepUpRequired => "STEP_UP_REQUIRED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::Validation => "VALIDATION_ERROR",
            Self::Unavailable => "UNAVAILABLE",
            Self::Config => "CONFIG_INVALID",
            Self::Schema => "SCHEMA_MISMATCH",
            Self::Internal => "INTERNAL_ERROR",
        }
    }

    pub(crate) const fn default_message(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request could not be read.",
            Self::InvalidCredentials => "E-mail or password is wrong.",
            Self::Unauthenticated => "A valid access token is required.",
            Self::RefreshInvalid => "The refresh token is not valid. Sign in again.",
            Self::MfaInvalid => "The second factor was not accepted.",
            Self::LinkInvalid => "This link is not valid any more. Ask for a new one.",
            Self::RateLimited => "Too many requests. Try again later.",
            Self::Locked => "Too many failed attempts. Try again later.",
            Self::EmailUnverified => "Verify your e-mail address first.",
            Self::StepUpRequired => "Confirm your identity again to do this.",
            Self::Forbidden => "You may not do this.",
            Self::NotFound => "There is no such thing here.",
            Self::Conflict => "This conflicts with the present state.",
            Self::PreconditionFailed => "This changed since you read it. Read it again.",
            Self::Validation => "The request is well-formed but not acceptable.",
            Self::Unavailable => "The service is not available right now. Try again.",
            Self::Config | Self::Schema | Self::Internal => "An internal error occurred.",
        }
    }
}

/// Stable code of a field error (contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldCode {
    /// The field is missing.
    Required,
    /// The field is not known here.
    Unknown,
    /// The value has another JSON type.
    Type,
    /// The value has the right type, but not the right form.
    Format,
    /// Too few characters.
    TooShort,
    /// Too many characters or bytes.
    TooLong,
    /// In the list of common passwords.
    TooCommon,
    /// Estimated as too easy to guess.
    TooWeak,
    /// Holds the user's e-mail name or the product's name (ASVS 6.1.2).
    ContainsContext,
    /// Found in a collection of breached passwords.
    Breached,
    /// A number or span outside of its bounds.
    OutOfRange,
}

/// One thing wrong with one field of the input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct FieldError {
    /// JSON pointer of the field, such as `/email`.
    pub pointer: String,
    /// Stable code.
    pub code: FieldCode,
    /// A sentence for people. Never repeats the value.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// An error of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, code: FieldCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }
}

/// The library's error. Small (one pointer), `Send + Sync + 'static`.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    public: Option<Cow<'static, str>>,
    internal: Cow<'static, str>,
    retry_after: Option<Duration>,
    fields: Vec<FieldError>,
    limit: Option<LimitState>,
    satisfied_by: Vec<&'static str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `internal` is for logs and operators and must hold no secret.
    pub fn new(kind: ErrorKind, internal: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = matches!(kind, ErrorKind::Unavailable).then(|| Duration::from_secs(1));
        Self(Box::new(Inner {
            kind,
            public: None,
            internal: internal.into(),
            retry_after,
            fields: Vec::new(),
            limit: None,
            satisfied_by: Vec::new(),
            source: None,
        }))
    }

    /// Input that is well-formed but not acceptable, all its faults at once.
    pub fn validation(fields: Vec<FieldError>) -> Self {
        let names: Vec<&str> = fields.iter().map(|f| f.pointer.as_str()).collect();
        let mut error = Self::new(ErrorKind::Validation, format!("not acceptable: {}", names.join(", ")));
        error.0.fields = fields;
        error
    }

    /// A single field that is not acceptable.
    pub fn field(pointer: impl Into<String>, code: FieldCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self::validation(vec![FieldError::new(pointer, code, message)])
    }

    /// A bug: something that the code believed impossible.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A dependency that does not answer, or overload; with `Retry-After: 1`.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// A limit that was hit; a retry makes sense when there is room again.
    pub(crate) fn rate_limited(state: LimitState) -> Self {
        let text = format!("the limit {} was hit", state.policy);
        let mut error = Self::new(ErrorKind::RateLimited, text).with_retry_after(state.reset);
        error.0.limit = Some(state);
        error
    }

    /// A recent strong sign-in is missing; `satisfied_by` names what would do.
    pub(crate) fn step_up(satisfied_by: Vec<&'static str>) -> Self {
        let mut error = Self::from(ErrorKind::StepUpRequired);
        error.0.satisfied_by = satisfied_by;
        error
    }

    /// A wrong setting or key file.
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Replaces the message that clients see.
    #[must_use]
    pub fn with_public(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.0.public = Some(message.into());
        self
    }

    /// Sets after which time a retry makes sense.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Attaches field errors to an error of any kind.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<FieldError>) -> Self {
        self.0.fields = fields;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Stable text of the kind.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// The message that a client may see.
    pub fn public_message(&self) -> &str {
        self.0.public.as_deref().unwrap_or_else(|| self.0.kind.default_message())
    }

    /// After which time a retry makes sense, when that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The limit that was hit, for [`ErrorKind::RateLimited`].
    pub fn limit(&self) -> Option<&LimitState> {
        self.0.limit.as_ref()
    }

    /// What would do, for [`ErrorKind::StepUpRequired`]: `password`, `totp`, `backup_code` or `passkey` in a step-up;
    /// `enrol` when a second factor must be set up first.
    pub fn satisfied_by(&self) -> &[&'static str] {
        &self.0.satisfied_by
    }

    /// The faults of single fields, for [`ErrorKind::Validation`] and [`ErrorKind::InvalidRequest`].
    pub fn fields(&self) -> &[FieldError] {
        &self.0.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.internal)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &self.0.internal);
        if !self.0.fields.is_empty() {
            out.field("fields", &self.0.fields);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind, kind.default_message())
    }
}

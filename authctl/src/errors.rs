//! Errors as operators see them: what, effect, next command, and a code that `authctl help CODE` explains.

use std::fmt::Write as _;
use std::io;

use authkit::ErrorKind;

pub(crate) use crate::codes::Code;

/// An error on its way to the operator.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) code: Code,
    what: String,
    details: Vec<String>,
    next: Option<String>,
    causes: Vec<String>,
}

impl CliError {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), details: Vec::new(), next: None, causes: Vec::new() }
    }

    /// A better next command than the code's own.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// What is wrong, on one line.
    pub(crate) fn summary(&self) -> String {
        if self.details.is_empty() {
            self.what.clone()
        } else {
            format!("{}: {}", self.what, self.details.join(" "))
        }
    }

    /// The text for stderr. With `verbose` also what caused it.
    pub(crate) fn render(&self, verbose: bool, colour: bool) -> String {
        let (red, plain) = if colour { ("\u{1b}[1;31m", "\u{1b}[0m") } else { ("", "") };
        let mut out = format!("{red}error [{}]{plain}: {}\n", self.code.text(), self.what);
        for detail in &self.details {
            let _ = writeln!(out, "  - {detail}");
        }
        let next = self.next.as_deref().unwrap_or(self.code.next());
        let _ = writeln!(out, "  effect: {}\n  next:   {next}", self.code.effect());
        for cause in self.causes.iter().filter(|_| verbose) {
            let _ = writeln!(out, "  cause:  {cause}");
        }
        out
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed or was refused.
    Error(Box<CliError>),
    /// Nobody reads the result any more: no fault.
    BrokenPipe,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        CliError::new(Code::Output, format!("the result could not be written: {error}")).into()
    }
}

/// What a command is about: decides how the library's answers are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    User,
    NewUser,
    Role,
    Org,
    Membership,
    NewInvitation,
    Invitation,
    Session,
    Passkey,
    Lockout,
    ApiKey,
    NewApiKey,
    Cleanup,
    Limits,
    Key,
    Mfa,
    Mail,
    MailTest,
    Seed,
    Store,
}

/// For `map_err`: the library's error, named by what the command is about.
pub(crate) fn about(subject: Subject) -> impl Fn(authkit::Error) -> Failure {
    move |error| from_library(&error, subject).into()
}

fn from_library(error: &authkit::Error, subject: Subject) -> CliError {
    let text = error.to_string();
    let mut out = CliError::new(code_of(error, &text, subject), text);
    if !error.fields().is_empty() {
        "the input is not acceptable".clone_into(&mut out.what);
        let line = |fault: &authkit::error::FieldError| {
            let name = fault.pointer.trim_start_matches('/').replace('/', ".");
            let name = if name.is_empty() { "file".to_owned() } else { name };
            format!("{name} {}", fault.message)
        };
        out.details = error.fields().iter().map(line).collect();
    }
    if out.code == Code::Config {
        let text = std::mem::take(&mut out.what);
        let mut lines = text.lines();
        lines.next().unwrap_or_default().trim_end_matches(':').clone_into(&mut out.what);
        out.details = lines.map(|line| line.trim_start_matches("- ").to_owned()).collect();
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        out.causes.push(cause.to_string());
        source = cause.source();
    }
    out
}

fn code_of(error: &authkit::Error, text: &str, subject: Subject) -> Code {
    match (error.kind(), subject) {
        (ErrorKind::NotFound, _) if text.starts_with("there is no role") => Code::RoleMissing,
        (ErrorKind::NotFound, _) if text.contains("no such account") => Code::UserMissing,
        (ErrorKind::NotFound, Subject::Org | Subject::NewInvitation) => Code::OrgMissing,
        (ErrorKind::NotFound, Subject::Membership) => Code::MembershipMissing,
        (ErrorKind::NotFound, Subject::Invitation) => Code::InvitationMissing,
        (ErrorKind::Conflict, _) if text.contains("last owner") => Code::OrgOwner,
        (ErrorKind::Conflict, _) if text.contains("no free seat") => Code::OrgSeats,
        (ErrorKind::Conflict, Subject::NewInvitation) => Code::InvitationThere,
        (ErrorKind::Conflict, Subject::Invitation) => Code::InvitationOver,
        (ErrorKind::NotFound, Subject::Session) if text.contains("session") => Code::SessionMissing,
        (ErrorKind::NotFound, Subject::Passkey) if text.contains("passkey") => Code::PasskeyMissing,
        (ErrorKind::NotFound, Subject::Mail) => Code::MailMissing,
        (ErrorKind::Conflict, Subject::Mail) => Code::MailOver,
        (ErrorKind::Unavailable, Subject::MailTest) => Code::MailRefused,
        (ErrorKind::NotFound, Subject::Lockout) if text.contains("lockout") => Code::LockoutMissing,
        (ErrorKind::NotFound, Subject::ApiKey) => Code::ApiKeyMissing,
        (ErrorKind::Forbidden, Subject::NewApiKey) => Code::ApiKeyScope,
        (ErrorKind::Conflict, Subject::NewApiKey) => Code::ApiKeyRefused,
        (ErrorKind::Conflict, Subject::Cleanup) => Code::CleanupLocked,
        (ErrorKind::NotFound, _) => Code::UserMissing,
        (ErrorKind::Conflict, _) if text.contains("last super_admin") => Code::LastAdmin,
        (ErrorKind::Conflict, Subject::Seed) if text.starts_with("demo accounts") => Code::SeedDemo,
        (ErrorKind::Conflict, Subject::Seed) => Code::SeedRefused,
        (ErrorKind::Conflict, Subject::NewUser) => Code::UserExists,
        (ErrorKind::Conflict, Subject::Role) => Code::RoleBuiltIn,
        (ErrorKind::Conflict, Subject::Key) => Code::KeyStatic,
        (ErrorKind::Conflict, Subject::Mfa) => Code::MfaNone,
        (ErrorKind::Conflict, _) => Code::UserState,
        (ErrorKind::Validation, _) => Code::Input,
        (ErrorKind::InvalidRequest, _) => Code::Unreadable,
        (ErrorKind::Unavailable, Subject::Limits) if text.contains("Redis") => Code::LimiterDown,
        (ErrorKind::Unavailable, _) if text.starts_with("no mail can be sent") => Code::MailOff,
        (ErrorKind::Unavailable, _) if text.starts_with("MFA_ENCRYPTION_KEY") => Code::MfaKeyMissing,
        (ErrorKind::Unavailable, _) if text.contains("database is locked") => Code::StoreLocked,
        (ErrorKind::Unavailable, _) => Code::StoreDown,
        (ErrorKind::Config, _) => Code::Config,
        (ErrorKind::Schema, _) if text.contains("TOKEN_PEPPER") => Code::KeyForeign,
        (ErrorKind::Schema, _) if text.contains("newer than this build") => Code::SchemaAhead,
        (ErrorKind::Schema, _) if text.contains("migrate up") => Code::SchemaBehind,
        (ErrorKind::Schema, _) => Code::SchemaAltered,
        (ErrorKind::Forbidden, _) => Code::NotPermitted,
        _ => Code::Bug,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_s_kinds_have_their_codes() {
        let code =
            |kind, text: &'static str, subject| from_library(&authkit::Error::new(kind, text), subject).code;
        assert_eq!(code(ErrorKind::NotFound, "there is no such account", Subject::Role), Code::UserMissing);
        assert_eq!(code(ErrorKind::NotFound, "there is no role \"x\"", Subject::NewUser), Code::RoleMissing);
        assert_eq!(code(ErrorKind::Unavailable, "busy", Subject::Store), Code::StoreDown);
        assert_eq!(code(ErrorKind::Internal, "x", Subject::User), Code::Bug);
        let last = "this is the last super_admin who can sign in";
        assert_eq!(code(ErrorKind::Conflict, last, Subject::User), Code::LastAdmin);
    }

    #[test]
    fn an_error_says_what_effect_and_next() {
        let text = CliError::new(Code::UserMissing, "there is no account x").render(false, false);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("error [E-USER-1]: there is no account x"), "{text}");
        assert!(lines[1].contains("effect: ") && lines[2].contains("next: "), "{text}");
    }
}

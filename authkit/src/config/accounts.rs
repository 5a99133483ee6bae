use std::time::Duration;

/// When an e-mail address must be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmailVerification {
    /// Before the first sign-in; sign-up never tells whether the address is known.
    Required,
    /// Asked for, not needed to sign in.
    Optional,
    /// Never asked for.
    Off,
}

/// A role that the host defines: a name and the permissions that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleDefinition {
    /// 1 to 64 characters of `[A-Za-z0-9_.:-]`.
    pub name: String,
    /// Permission strings such as `documents:review`; `*` grants all, `documents:*` all of documents.
    pub permissions: Vec<String>,
    /// For people.
    pub description: String,
}

impl EmailVerification {
    /// The name as in `EMAIL_VERIFICATION`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Off => "off",
        }
    }
}

impl RoleDefinition {
    /// A role `name` with `permissions`.
    pub fn new<P: Into<String>>(name: impl Into<String>, permissions: impl IntoIterator<Item = P>) -> Self {
        Self {
            name: name.into(),
            permissions: permissions.into_iter().map(Into::into).collect(),
            description: String::new(),
        }
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }
}

/// Sign-up, verification, roles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountsConfig {
    /// `EMAIL_VERIFICATION`; `None` means required in prod, else optional.
    pub email_verification: Option<EmailVerification>,
    /// `EMAIL_VERIFY_EXPIRE_HOURS`: how long a link that proves an address can be used.
    pub verify_ttl: Duration,
    /// `PASSWORD_RESET_EXPIRE_MINUTES`: how long a link that sets a new password can be used.
    pub reset_ttl: Duration,
    /// `DEFAULT_ROLES`: what sign-up gives.
    pub default_roles: Vec<String>,
    /// `[[roles]]` of `authkit.toml`: defined when the process starts, beside the built-in ones.
    pub roles: Vec<RoleDefinition>,
    /// `SEED_DEMO_ACCOUNTS`: the server makes the demo accounts when it starts. Development only.
    pub seed_demo_accounts: bool,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            email_verification: None,
            verify_ttl: Duration::from_hours(24),
            reset_ttl: Duration::from_mins(30),
            default_roles: vec!["user".into()],
            roles: Vec::new(),
            seed_demo_accounts: false,
        }
    }
}

//! Settings as plain data: one file a section, each with its defaults.
//!
//! [`parse`] turns `authkit.toml` and environment variables into [`Settings`], [`Config::validate`]
//! judges them. Nothing there reads the environment or a file: binaries hand both in, so that
//! `authkit-server`, `authctl` and an embedding application understand the same names in the same
//! way. [`load`] does it all for a binary, with the key that development needs
//! ([`complete_dev_secrets`]).

mod accounts;
mod api_keys;
mod authz;
mod cleanup;
mod database_url;
mod dev_keys;
mod http_url;
mod limits;
mod load;
mod lockout;
mod mail;
mod mfa;
mod near;
mod network;
mod parse;
mod passwords;
mod problem;
mod reference;
mod roles;
mod secret_file;
mod secrets;
mod server;
mod sessions;
mod setting;
mod settings;
mod table;
mod tokens;
mod validate;
mod value;
mod webauthn;

pub use accounts::{AccountsConfig, EmailVerification, RoleDefinition};
pub use api_keys::ApiKeysConfig;
pub use authz::{AuthzConfig, ResourceType};
pub use cleanup::CleanupConfig;
pub use database_url::{redact_url, sqlite_file};
pub use dev_keys::{complete_dev_secrets, dev_mfa_key, dev_token_pepper};
pub use limits::{LimitsConfig, Rate, RedisConfig};
pub use load::{FILE_NAME, check, load};
pub use lockout::LockoutConfig;
pub use mail::{MailConfig, Notice, SmtpTls};
pub use mfa::{MfaConfig, MfaPolicy};
pub use network::{Network, NetworkError, TrustedProxies};
pub use parse::parse;
pub use passwords::{Argon2Config, PasswordsConfig};
pub use problem::{Origin, SettingError, SettingWarning};
pub use reference::reference;
pub use roles::BUILT_IN_ROLES;
pub use secret_file::{SecretFile, read_secret_file};
pub use secrets::Secrets;
pub(crate) use secrets::fernet_key;
pub use server::{ServerConfig, TokenTransport};
pub use sessions::{SessionPolicy, SessionsConfig};
pub use setting::{Section, Setting};
pub use settings::{Settings, ShownSetting};
pub use table::settings;
pub use tokens::{JwtAlgorithm, TokensConfig};
pub use webauthn::WebauthnConfig;

/// Where the process runs. Decides which shortcuts are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Environment {
    /// A developer's machine: keys are made, weak settings are warned about.
    #[default]
    Dev,
    /// Like production.
    Staging,
    /// Production: anything weak or missing refuses to start.
    Prod,
}

impl Environment {
    /// The name as in `ENV`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }
}

/// Everything that can be set, without the secrets of [`Secrets`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Config {
    /// `ENV`.
    pub env: Environment,
    /// Addresses, transport of tokens, browsers' origins.
    pub server: ServerConfig,
    /// Sign-up, verification, roles.
    pub accounts: AccountsConfig,
    /// Organisations, roles on resources, invitations.
    pub authz: AuthzConfig,
    /// Password policy and hash cost.
    pub passwords: PasswordsConfig,
    /// Access tokens.
    pub tokens: TokensConfig,
    /// Sessions and refresh tokens.
    pub sessions: SessionsConfig,
    /// API keys.
    pub api_keys: ApiKeysConfig,
    /// Cleaning up.
    pub cleanup: CleanupConfig,
    /// Mail: server, sender, what is not told.
    pub mail: MailConfig,
    /// Limits of requests, and the limiter that several processes share.
    pub limits: LimitsConfig,
    /// Locks after failed sign-ins.
    pub lockout: LockoutConfig,
    /// Second factors.
    pub mfa: MfaConfig,
    /// Passkeys: the relying party.
    pub webauthn: WebauthnConfig,
}

impl Config {
    /// When an e-mail address must be proved: as set, else required in prod and optional elsewhere.
    pub fn email_verification(&self) -> EmailVerification {
        self.accounts.email_verification.unwrap_or(match self.env {
            Environment::Prod => EmailVerification::Required,
            Environment::Dev | Environment::Staging => EmailVerification::Optional,
        })
    }

    /// Whether these settings name something that sends mail: an SMTP server, or in dev a folder of files.
    pub fn has_mailer(&self) -> bool {
        self.mail.smtp_host.is_some() || self.env == Environment::Dev
    }

    /// Whether the process brings the schema up to date when it starts: as set, else only in dev.
    pub fn migrate_on_start(&self) -> bool {
        self.server.migrate_on_start.unwrap_or(self.env == Environment::Dev)
    }

    /// Whether requests are refused rather than counted in memory while Redis does not answer: as set, else in prod
    /// when a URL is given.
    pub fn redis_required(&self) -> bool {
        let redis = &self.limits.redis;
        redis.required.unwrap_or(self.env == Environment::Prod && redis.is_enabled())
    }

    /// The issuer of access tokens: as set, else `PUBLIC_URL`.
    pub fn issuer(&self) -> &str {
        self.tokens.issuer.as_deref().unwrap_or(&self.server.public_url)
    }
}

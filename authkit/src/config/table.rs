//! The one table of settings: reading, the check for unknown names, `authctl config show` and the
//! reference all come from it.

mod api_keys;
mod authz;
mod cleanup;
mod limits;
mod lockout;
mod mail;
mod mfa;
mod webauthn;

use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::Duration;

use super::database_url::redact_url;
use super::setting::{Absent, Kind, Section, Setting, Sight};
use super::value::{choice, list, quoted, switch, whole};
use super::{EmailVerification, Environment, JwtAlgorithm, SessionPolicy, TokenTransport, TrustedProxies};
use crate::secret::SecretString;

/// Every setting that this build knows, in the order in which they are shown.
pub fn settings() -> &'static [Setting] {
    static ALL: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        [
            SETTINGS,
            authz::SETTINGS,
            mfa::SETTINGS,
            api_keys::SETTINGS,
            limits::SETTINGS,
            lockout::SETTINGS,
            webauthn::SETTINGS,
            cleanup::SETTINGS,
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect()
    });
    &ALL
}

const DAY: u64 = 86_400;

fn seconds(text: &str, unit: u64) -> Result<Duration, String> {
    whole::<u64>(text).map(|count| Duration::from_secs(count.saturating_mul(unit)))
}

fn optional<T>(value: Option<&T>, show: impl Fn(&T) -> String) -> String {
    value.map(show).unwrap_or_default()
}

/// White space at the end of a line of an `.env` file, or a slash too many, must not make two bases of one.
fn base_url(text: &str) -> String {
    text.strip_suffix('/').unwrap_or(text).to_owned()
}

/// A secret is shown only as being there.
fn shown(set: bool) -> String {
    if set { "(set)".into() } else { String::new() }
}

fn redact_url_if_url(text: &str) -> String {
    if text.contains("://") { redact_url(text) } else { text.into() }
}

static SETTINGS: &[Setting] = &[
    Setting {
        name: "ENV",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("dev"),
        values: "dev, staging or prod",
        doc: "Where the process runs; `prod` refuses everything weak, `dev` makes keys and only warns.",
        set: |d, t| {
            let all = [Environment::Dev, Environment::Staging, Environment::Prod].map(|e| (e.name(), e));
            choice(t, &all).map(|v| d.config.env = v)
        },
        show: |c, _| c.env.name().into(),
    },
    Setting {
        name: "DATABASE_URL",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Url,
        absent: Absent::Value("sqlite://authkit.db"),
        values: "`sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`",
        doc: "The store.",
        set: |d, t| {
            d.config.server.database_url = t.into();
            Ok(())
        },
        show: |c, _| redact_url(&c.server.database_url),
    },
    Setting {
        name: "MIGRATE_ON_START",
        section: Section::Server,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Rule("true in dev, else false"),
        values: "true or false",
        doc: "Brings the schema up to date at start; without it a schema that is behind refuses to start and names `authctl migrate up`.",
        set: |d, t| switch(t).map(|v| d.config.server.migrate_on_start = Some(v)),
        show: |c, _| c.migrate_on_start().to_string(),
    },
    Setting {
        name: "BIND_ADDR",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("127.0.0.1:8000"),
        values: "an IP address and a port",
        doc: "Where the server listens.",
        set: |d, t| t.parse().map(|v| d.config.server.bind_addr = v).map_err(|_| format!("is {}", quoted(t))),
        show: |c, _| c.server.bind_addr.to_string(),
    },
    Setting {
        name: "PUBLIC_URL",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("http://localhost:8000"),
        values: "an http or https URL; https in prod",
        doc: "The address under which clients reach the server; the only base of links.",
        set: |d, t| {
            d.config.server.public_url = base_url(t);
            Ok(())
        },
        show: |c, _| redact_url(&c.server.public_url),
    },
    Setting {
        name: "API_PREFIX",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("/v1"),
        values: "empty, or a path that starts with a slash",
        doc: "Stands before every route but those at the root, such as `/health`.",
        set: |d, t| {
            d.config.server.api_prefix = t.into();
            Ok(())
        },
        show: |c, _| c.server.api_prefix.clone(),
    },
    Setting {
        name: "TOKEN_TRANSPORT",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("bearer"),
        values: "bearer or cookie",
        doc: "How tokens reach clients: in the answer, or in `__Host-` cookies, which need https or localhost.",
        set: |d, t| {
            let all = [TokenTransport::Bearer, TokenTransport::Cookie].map(|v| (v.name(), v));
            choice(t, &all).map(|v| d.config.server.token_transport = v)
        },
        show: |c, _| c.server.token_transport.name().into(),
    },
    Setting {
        name: "CORS_ORIGINS",
        section: Section::Server,
        kind: Kind::List,
        sight: Sight::Plain,
        absent: Absent::Value(""),
        values: "origins such as `https://app.example.com`, without path and `*`",
        doc: "Which web pages of other origins may call the API.",
        set: |d, t| list(t).map(|v| d.config.server.cors_origins = v),
        show: |c, _| c.server.cors_origins.join(","),
    },
    Setting {
        name: "TRUSTED_PROXIES",
        section: Section::Server,
        kind: Kind::List,
        sight: Sight::Plain,
        absent: Absent::Value(""),
        values: "networks such as `10.0.0.0/8` or `2001:db8::/32`, or single addresses",
        doc: "Proxies whose `X-Forwarded-For` or `Forwarded` is believed; see the chapter on embedding.",
        set: |d, t| TrustedProxies::parse(&list(t)?).map(|v| d.config.server.trusted_proxies = v),
        show: |c, _| c.server.trusted_proxies.to_string(),
    },
    Setting {
        name: "LOG_LEVEL",
        section: Section::Server,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("INFO"),
        values: "off, error, warn, info, debug, trace, or a list such as warn,authkit=debug",
        doc: "How much is logged.",
        set: |d, t| {
            d.config.server.log_level = t.into();
            Ok(())
        },
        show: |c, _| c.server.log_level.clone(),
    },
    Setting {
        name: "EMAIL_VERIFICATION",
        section: Section::Accounts,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Rule("required in prod, else optional"),
        values: "required, optional or off",
        doc: "Whether an e-mail address must be proved before the first sign-in.",
        set: |d, t| {
            let all = [EmailVerification::Required, EmailVerification::Optional, EmailVerification::Off];
            choice(t, &all.map(|v| (v.name(), v))).map(|v| d.config.accounts.email_verification = Some(v))
        },
        show: |c, _| c.email_verification().name().into(),
    },
    Setting {
        name: "EMAIL_VERIFY_EXPIRE_HOURS",
        section: Section::Accounts,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("24"),
        values: "1 to 720",
        doc: "How long a mailed link that proves an address can be used.",
        set: |d, t| seconds(t, 3600).map(|v| d.config.accounts.verify_ttl = v),
        show: |c, _| (c.accounts.verify_ttl.as_secs() / 3600).to_string(),
    },
    Setting {
        name: "PASSWORD_RESET_EXPIRE_MINUTES",
        section: Section::Accounts,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("30"),
        values: "1 to 1440",
        doc: "How long a mailed link that sets a new password can be used.",
        set: |d, t| seconds(t, 60).map(|v| d.config.accounts.reset_ttl = v),
        show: |c, _| (c.accounts.reset_ttl.as_secs() / 60).to_string(),
    },
    Setting {
        name: "DEFAULT_ROLES",
        section: Section::Accounts,
        kind: Kind::List,
        sight: Sight::Plain,
        absent: Absent::Value("user"),
        values: "names of roles; not `admin`, not `super_admin`, none with the permission `*`",
        doc: "The roles that sign-up gives.",
        set: |d, t| list(t).map(|v| d.config.accounts.default_roles = v),
        show: |c, _| c.accounts.default_roles.join(","),
    },
    Setting {
        name: "SEED_DEMO_ACCOUNTS",
        section: Section::Accounts,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Value("false"),
        values: "true or false; true in dev only",
        doc: "Makes the demo accounts, whose passwords everybody knows, when the server starts.",
        set: |d, t| switch(t).map(|v| d.config.accounts.seed_demo_accounts = v),
        show: |c, _| c.accounts.seed_demo_accounts.to_string(),
    },
    Setting {
        name: "PASSWORD_MIN_LENGTH",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("8"),
        values: "8 to 64 characters",
        doc: "The shortest password; 15 is advised where no second factor is enforced.",
        set: |d, t| whole(t).map(|v| d.config.passwords.min_length = v),
        show: |c, _| c.passwords.min_length.to_string(),
    },
    Setting {
        name: "PASSWORD_MIN_STRENGTH",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("2"),
        values: "0 to 4",
        doc: "The lowest score of the estimator zxcvbn that a new password may have.",
        set: |d, t| whole(t).map(|v| d.config.passwords.min_strength = v),
        show: |c, _| c.passwords.min_strength.to_string(),
    },
    Setting {
        name: "ARGON2_MEMORY_KIB",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("19456"),
        values: "8 times the lanes to 4194304 KiB",
        doc: "Memory of one Argon2id hash; less than the OWASP minimum is refused outside dev.",
        set: |d, t| whole(t).map(|v| d.config.passwords.argon2.memory_kib = v),
        show: |c, _| c.passwords.argon2.memory_kib.to_string(),
    },
    Setting {
        name: "ARGON2_ITERATIONS",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("2"),
        values: "1 to 100",
        doc: "Passes of one Argon2id hash over its memory.",
        set: |d, t| whole(t).map(|v| d.config.passwords.argon2.iterations = v),
        show: |c, _| c.passwords.argon2.iterations.to_string(),
    },
    Setting {
        name: "ARGON2_PARALLELISM",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("1"),
        values: "1 to 64",
        doc: "Lanes of one Argon2id hash.",
        set: |d, t| whole(t).map(|v| d.config.passwords.argon2.parallelism = v),
        show: |c, _| c.passwords.argon2.parallelism.to_string(),
    },
    Setting {
        name: "ARGON2_MAX_CONCURRENT",
        section: Section::Passwords,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Rule("as many as processor cores"),
        values: "1 to 1024",
        doc: "How many hashes are computed at the same time; the rest waits or is refused with 503.",
        set: |d, t| {
            let count = NonZeroUsize::new(whole(t)?).ok_or("is 0, so that nobody could sign in")?;
            d.config.passwords.max_concurrent = Some(count);
            Ok(())
        },
        show: |c, _| optional(c.passwords.max_concurrent.as_ref(), ToString::to_string),
    },
    Setting {
        name: "PASSWORD_BREACH_URL",
        section: Section::Passwords,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Rule("none: no look-up"),
        values: "an https URL",
        doc: "Service that is asked whether a new password was breached; only five hexadecimal digits of its SHA-1 leave.",
        set: |d, t| {
            d.config.passwords.breach_url = Some(base_url(t));
            Ok(())
        },
        show: |c, _| optional(c.passwords.breach_url.as_ref(), |url| redact_url(url)),
    },
    Setting {
        name: "MFA_TOTP_ISSUER",
        section: Section::Passwords,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("authkit"),
        values: "1 to 64 characters without a colon",
        doc: "The product's name: shown in authenticator apps, refused as part of passwords.",
        set: |d, t| {
            d.config.passwords.product_name = t.into();
            Ok(())
        },
        show: |c, _| c.passwords.product_name.clone(),
    },
    Setting {
        name: "JWT_ALG",
        section: Section::Tokens,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("EdDSA"),
        values: "EdDSA, ES256 or HS256",
        doc: "How access tokens are signed; with HS256 whoever can verify can also sign.",
        set: |d, t| {
            let all = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256].map(|v| (v.name(), v));
            choice(t, &all).map(|v| d.config.tokens.algorithm = v)
        },
        show: |c, _| c.tokens.algorithm.name().into(),
    },
    Setting {
        name: "JWT_SECRET",
        section: Section::Tokens,
        kind: Kind::Text,
        sight: Sight::Secret,
        absent: Absent::Rule("none"),
        values: "at least 256 bits; only with HS256, and required there",
        doc: "The key of HS256.",
        set: |d, t| {
            d.secrets.jwt_secret = Some(SecretString::from(t));
            Ok(())
        },
        show: |_, s| shown(s.jwt_secret.is_some()),
    },
    Setting {
        name: "JWT_ISSUER",
        section: Section::Tokens,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Rule("`PUBLIC_URL`"),
        values: "text; with a colon in it, a URL",
        doc: "The claim `iss` of access tokens.",
        set: |d, t| {
            d.config.tokens.issuer = Some(t.into());
            Ok(())
        },
        show: |c, _| redact_url_if_url(c.issuer()),
    },
    Setting {
        name: "JWT_AUDIENCE",
        section: Section::Tokens,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("authkit"),
        values: "text; with a colon in it, a URL",
        doc: "The claim `aud` of access tokens.",
        set: |d, t| {
            d.config.tokens.audience = t.into();
            Ok(())
        },
        show: |c, _| redact_url_if_url(&c.tokens.audience),
    },
    Setting {
        name: "ACCESS_TOKEN_EXPIRE_MINUTES",
        section: Section::Tokens,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("15"),
        values: "1 to 1440",
        doc: "How long an access token lives.",
        set: |d, t| seconds(t, 60).map(|v| d.config.tokens.access_ttl = v),
        show: |c, _| (c.tokens.access_ttl.as_secs() / 60).to_string(),
    },
    Setting {
        name: "TOKEN_PEPPER",
        section: Section::Tokens,
        kind: Kind::List,
        sight: Sight::Secret,
        absent: Absent::Rule("in dev on SQLite made and kept beside the file; else required"),
        values: "keys of at least 256 bits each, newest first",
        doc: "The root keys that seal all other keys in the store.",
        set: |d, t| {
            d.secrets.token_pepper = list(t)?.into_iter().map(SecretString::from).collect();
            Ok(())
        },
        show: |_, s| shown(!s.token_pepper.is_empty()),
    },
    Setting {
        name: "REFRESH_TOKEN_EXPIRE_DAYS",
        section: Section::Sessions,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("14"),
        values: "1 to 3650, at most `SESSION_ABSOLUTE_EXPIRE_DAYS`",
        doc: "A session ends when it was not refreshed for so long.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.sessions.idle_ttl = v),
        show: |c, _| (c.sessions.idle_ttl.as_secs() / DAY).to_string(),
    },
    Setting {
        name: "SESSION_ABSOLUTE_EXPIRE_DAYS",
        section: Section::Sessions,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("90"),
        values: "1 to 3650",
        doc: "A session ends so long after its sign-in, however often it is refreshed.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.sessions.absolute_ttl = v),
        show: |c, _| (c.sessions.absolute_ttl.as_secs() / DAY).to_string(),
    },
    Setting {
        name: "REFRESH_REUSE_GRACE_SECONDS",
        section: Section::Sessions,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("10"),
        values: "0 to 300; 0 is strict",
        doc: "How long a refresh token that was just used still gets the same successor, for answers that got lost.",
        set: |d, t| seconds(t, 1).map(|v| d.config.sessions.reuse_grace = v),
        show: |c, _| c.sessions.reuse_grace.as_secs().to_string(),
    },
    Setting {
        name: "SESSION_POLICY",
        section: Section::Sessions,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("single"),
        values: "single or multi",
        doc: "Whether a sign-in ends the user's other sessions.",
        set: |d, t| {
            let all = [SessionPolicy::Single, SessionPolicy::Multi].map(|v| (v.name(), v));
            choice(t, &all).map(|v| d.config.sessions.policy = v)
        },
        show: |c, _| c.sessions.policy.name().into(),
    },
    Setting {
        name: "SESSION_MAX_PER_USER",
        section: Section::Sessions,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("20"),
        values: "1 to 1000",
        doc: "With `multi`: a further sign-in ends the session least recently used.",
        set: |d, t| whole(t).map(|v| d.config.sessions.max_per_user = v),
        show: |c, _| c.sessions.max_per_user.to_string(),
    },
    Setting {
        name: "SESSION_BIND_IP",
        section: Section::Sessions,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Value("false"),
        values: "true or false",
        doc: "New sessions work only from the network of their sign-in (an IPv4 address, an IPv6 /64).",
        set: |d, t| switch(t).map(|v| d.config.sessions.bind_ip = v),
        show: |c, _| c.sessions.bind_ip.to_string(),
    },
    Setting {
        name: "REVOCATION_POLL_SECONDS",
        section: Section::Sessions,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("1"),
        values: "1 to 5",
        doc: "How often a process asks what other processes revoked.",
        set: |d, t| seconds(t, 1).map(|v| d.config.sessions.revocation_poll = v),
        show: |c, _| c.sessions.revocation_poll.as_secs().to_string(),
    },
    mail::SMTP_HOST,
    mail::SMTP_PORT,
    mail::SMTP_USER,
    mail::SMTP_PASSWORD,
    mail::SMTP_TLS,
    mail::MAIL_FROM,
    mail::MAIL_DIR,
    mail::NOTICES_OFF,
];

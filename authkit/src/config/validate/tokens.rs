//! Tokens, keys, sessions.

use super::Report;
use crate::config::database_url::{Store, store};
use crate::config::secrets::weakness;
use crate::config::{Config, Environment, JwtAlgorithm, Secrets};
use crate::secret::ExposeSecret as _;

const KEY_FIX: &str = "make one by `openssl rand -base64 32`";
const MINUTE: u64 = 60;
const DAY: u64 = 86_400;

pub(super) fn judge(config: &Config, secrets: &Secrets, report: &mut Report) {
    root_keys(config, secrets, report);
    jwt_secret(config, secrets, report);
    let tokens = &config.tokens;
    name_claim("JWT_ISSUER", tokens.issuer.as_deref(), report);
    name_claim("JWT_AUDIENCE", Some(&tokens.audience), report);
    sessions(config, report);
}

fn sessions(config: &Config, report: &mut Report) {
    let (access, sessions) = (config.tokens.access_ttl, &config.sessions);
    let spans = report.span("ACCESS_TOKEN_EXPIRE_MINUTES", access, (1, 1440), MINUTE)
        & report.span("REFRESH_TOKEN_EXPIRE_DAYS", sessions.idle_ttl, (1, 3650), DAY)
        & report.span("SESSION_ABSOLUTE_EXPIRE_DAYS", sessions.absolute_ttl, (1, 3650), DAY);
    if spans && sessions.idle_ttl > sessions.absolute_ttl {
        report.error(
            "REFRESH_TOKEN_EXPIRE_DAYS",
            "is longer than SESSION_ABSOLUTE_EXPIRE_DAYS, so it would never apply",
            "set it to at most that",
        );
    }
    report.span("REFRESH_REUSE_GRACE_SECONDS", sessions.reuse_grace, (0, 300), 1);
    report.range("SESSION_MAX_PER_USER", sessions.max_per_user.into(), 1, 1000);
    // A view of revocations older than 10 s answers nothing: polls must come well before.
    report.span("REVOCATION_POLL_SECONDS", sessions.revocation_poll, (1, 5), 1);
}

fn root_keys(config: &Config, secrets: &Secrets, report: &mut Report) {
    const NAME: &str = "TOKEN_PEPPER";
    let keys = &secrets.token_pepper;
    let sqlite =
        matches!(store(&config.server.database_url), Some(Store::SqliteFile(_) | Store::SqliteMemory));
    if keys.is_empty() && !(sqlite && report.env == Environment::Dev) {
        let problem =
            format!("is missing; it is made only with ENV=dev on SQLite, and this is {}", report.env.name());
        report.error(NAME, problem, KEY_FIX);
    }
    for (index, key) in keys.iter().enumerate() {
        // Counted from the newest, so that one of several can be found without being shown.
        let which = if keys.len() == 1 { String::new() } else { format!("(key {}) ", index + 1) };
        if let Some(problem) = weakness(key) {
            report.error(NAME, format!("{which}{problem}"), KEY_FIX);
        }
        if keys.iter().take(index).any(|earlier| earlier.expose_secret() == key.expose_secret()) {
            report.error(NAME, format!("{which}is there twice"), "keep each key once, newest first");
        }
    }
}

fn jwt_secret(config: &Config, secrets: &Secrets, report: &mut Report) {
    const NAME: &str = "JWT_SECRET";
    let algorithm = config.tokens.algorithm;
    match (&secrets.jwt_secret, algorithm == JwtAlgorithm::Hs256) {
        (None, false) => {}
        (None, true) => report.error(NAME, "is missing, and JWT_ALG is HS256", KEY_FIX),
        (Some(_), false) => report.error(
            NAME,
            format!("is set, but JWT_ALG is {}, whose keys are made and kept in the store", algorithm.name()),
            "remove it, or set JWT_ALG to HS256",
        ),
        (Some(secret), true) => {
            if let Some(problem) = weakness(secret) {
                report.error(NAME, problem, KEY_FIX);
            }
            if secrets.token_pepper.iter().any(|key| key.expose_secret() == secret.expose_secret()) {
                report.error(NAME, "is the same as a key of TOKEN_PEPPER", KEY_FIX);
            }
        }
    }
}

/// `StringOrURI` of RFC 7519 section 2: with a colon in it, it must be a URI.
fn name_claim(name: &'static str, value: Option<&str>, report: &mut Report) {
    let Some(value) = value else { return };
    let printable = value.bytes().all(|b| b.is_ascii_graphic());
    let uri = value.split_once(':').is_none_or(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
    });
    let problem = if value.is_empty() || value.len() > 255 {
        "is empty or longer than 255 characters"
    } else if !printable {
        "holds a space, a control character or a letter outside of ASCII"
    } else if value.contains("://") && value.contains('@') {
        "is a URL with a user or password part"
    } else if !uri {
        "has a colon and is no URI"
    } else {
        return;
    };
    report.error(name, problem, "set it to a short name or a URL without secrets");
}

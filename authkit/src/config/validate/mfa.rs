//! Second factors.

use super::Report;
use crate::config::database_url::{Store, store};
use crate::config::secrets::{is_fernet_key, weakness};
use crate::config::{Config, Environment, MfaPolicy, Secrets};
use crate::secret::ExposeSecret as _;

const KEY_FIX: &str = "make one by `openssl rand -base64 32 | tr +/ -_`";

pub(super) fn judge(config: &Config, secrets: &Secrets, report: &mut Report) {
    let mfa = &config.mfa;
    report.span("MFA_TOTP_PERIOD", mfa.totp_period, (15, 120), 1);
    report.range("MFA_TOTP_DIGITS", mfa.totp_digits.into(), 6, 8);
    report.range("MFA_BACKUP_CODES_COUNT", mfa.backup_codes.into(), 4, 50);
    report.span("MFA_TOKEN_EXPIRE_MINUTES", mfa.token_ttl, (1, 60), 60);
    if mfa.policy == MfaPolicy::Off && !mfa.required_roles.is_empty() {
        report.warn(
            "MFA_REQUIRED_ROLES",
            "names roles, but MFA_POLICY is off, so that nobody needs a second factor",
            "set MFA_POLICY to optional or required, or remove the roles",
        );
    }
    keys(config, secrets, report);
}

fn keys(config: &Config, secrets: &Secrets, report: &mut Report) {
    const NAME: &str = "MFA_ENCRYPTION_KEY";
    let keys = &secrets.mfa_encryption_key;
    let sqlite =
        matches!(store(&config.server.database_url), Some(Store::SqliteFile(_) | Store::SqliteMemory));
    let made = sqlite && report.env == Environment::Dev;
    if keys.is_empty() && !made && config.mfa.policy != MfaPolicy::Off {
        let problem =
            format!("is missing; it is made only with ENV=dev on SQLite, and this is {}", report.env.name());
        report.error(NAME, problem, format!("{KEY_FIX}, or set MFA_POLICY to off"));
    }
    for (index, key) in keys.iter().enumerate() {
        let which = if keys.len() == 1 { String::new() } else { format!("(key {}) ", index + 1) };
        if !is_fernet_key(key) {
            report.error(
                NAME,
                format!("{which}is no Fernet key: 32 bytes as base64url with padding"),
                KEY_FIX,
            );
        } else if let Some(problem) = weakness(key) {
            report.error(NAME, format!("{which}{problem}"), KEY_FIX);
        }
        if keys.iter().take(index).any(|earlier| earlier.expose_secret() == key.expose_secret()) {
            report.error(NAME, format!("{which}is there twice"), "keep each key once, newest first");
        }
        if secrets.token_pepper.iter().any(|pepper| pepper.expose_secret() == key.expose_secret()) {
            report.error(NAME, format!("{which}is the same as a key of TOKEN_PEPPER"), KEY_FIX);
        }
    }
}

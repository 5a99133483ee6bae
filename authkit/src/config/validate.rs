//! What may be set to what. One list of rules for settings that were read and for those set in code.

mod accounts;
mod api_keys;
mod authz;
mod cleanup;
mod limits;
mod lockout;
mod mail;
mod mfa;
mod server;
mod tokens;
mod webauthn;

use std::borrow::Cow;
use std::time::Duration;

use super::problem::{Origin, SettingError, SettingWarning};
use super::{Config, Environment, Secrets};

impl Config {
    /// Judges every setting and secret, and reports ALL that is wrong.
    ///
    /// `has_mailer` says whether this process can send mail: without it production refuses an
    /// `EMAIL_VERIFICATION` that nobody could pass. Outside of development on SQLite at least one root
    /// key must be there; the key that development makes comes later, by
    /// [`complete_dev_secrets`](super::complete_dev_secrets).
    ///
    /// No message holds the value of a secret (R15).
    pub fn validate(
        &self,
        secrets: &Secrets,
        has_mailer: bool,
    ) -> Result<Vec<SettingWarning>, Vec<SettingError>> {
        let mut report = Report { env: self.env, errors: Vec::new(), warnings: Vec::new() };
        server::judge(self, &mut report);
        accounts::judge(self, has_mailer, &mut report);
        authz::judge(self, &mut report);
        tokens::judge(self, secrets, &mut report);
        api_keys::judge(self, &mut report);
        cleanup::judge(self, secrets, &mut report);
        limits::judge(self, &mut report);
        mail::judge(self, secrets, &mut report);
        lockout::judge(self, &mut report);
        mfa::judge(self, secrets, &mut report);
        webauthn::judge(self, &mut report);
        if report.errors.is_empty() { Ok(report.warnings) } else { Err(report.errors) }
    }
}

/// What was found.
struct Report {
    env: Environment,
    errors: Vec<SettingError>,
    warnings: Vec<SettingWarning>,
}

impl Report {
    fn error(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.errors.push(SettingError::new(name, Origin::Host, problem, fix));
    }

    fn warn(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.warnings.push(SettingWarning::new(name, Origin::Host, problem, fix));
    }

    /// A shortcut that development may take: a warning there, an error elsewhere.
    fn weak(&mut self, name: &'static str, problem: &str, fix: &str) {
        if self.env == Environment::Dev {
            self.warn(name, problem, fix);
        } else {
            self.error(name, format!("{problem}, which {} refuses", self.env.name()), fix);
        }
    }

    /// A number from `min` to `max`.
    fn range(&mut self, name: &'static str, value: u64, min: u64, max: u64) -> bool {
        let inside = (min..=max).contains(&value);
        if !inside {
            self.error(name, format!("is {value}"), format!("set it to a number from {min} to {max}"));
        }
        inside
    }

    /// A span from `min` to `max` units of `unit` seconds each.
    fn span(&mut self, name: &'static str, value: Duration, (min, max): (u64, u64), unit: u64) -> bool {
        let of = |count: u64| Duration::from_secs(count.saturating_mul(unit));
        let inside = (of(min)..=of(max)).contains(&value);
        if !inside {
            let word = match unit {
                60 => "minutes",
                86_400 => "days",
                _ => "seconds",
            };
            #[expect(clippy::cast_precision_loss, reason = "for people; spans of ages may be rounded")]
            let count = value.as_secs_f64() / unit as f64;
            self.error(name, format!("is {count} {word}"), format!("set it to {min} to {max} {word}"));
        }
        inside
    }
}

#[cfg(test)]
mod tests;

//! Sign-up, roles, passwords.

use super::Report;
use crate::config::database_url::redact_url;
use crate::config::http_url::HttpUrl;
use crate::config::roles::{default_faults, definition_faults};
use crate::config::{Config, EmailVerification, Environment};

pub(super) fn judge(config: &Config, has_mailer: bool, report: &mut Report) {
    email_verification(config, has_mailer, report);
    report.span("EMAIL_VERIFY_EXPIRE_HOURS", config.accounts.verify_ttl, (1, 720), 3600);
    report.span("PASSWORD_RESET_EXPIRE_MINUTES", config.accounts.reset_ttl, (1, 1440), 60);
    for (problem, fix) in default_faults(&config.accounts.default_roles, &config.accounts.roles) {
        report.error("DEFAULT_ROLES", problem, fix);
    }
    for (problem, fix) in definition_faults(&config.accounts.roles) {
        report.error("roles", problem, fix);
    }
    demo_accounts(config, report);
    passwords(config, report);
    argon2(config, report);
}

fn email_verification(config: &Config, has_mailer: bool, report: &mut Report) {
    const NAME: &str = "EMAIL_VERIFICATION";
    if has_mailer || config.email_verification() != EmailVerification::Required {
        return;
    }
    let fix = "set SMTP_HOST and MAIL_FROM, or set it to optional or off";
    if report.env == Environment::Prod {
        report.error(NAME, "is required, but no mail can be sent, so nobody could sign in", fix);
    } else {
        report.warn(
            NAME,
            "is required, but no mail can be sent: verify accounts by `authctl user verify-email`",
            fix,
        );
    }
}

fn demo_accounts(config: &Config, report: &mut Report) {
    const NAME: &str = "SEED_DEMO_ACCOUNTS";
    if !config.accounts.seed_demo_accounts {
        return;
    }
    if report.env != Environment::Dev {
        let problem = format!("is true, but {} takes no accounts with known passwords", report.env.name());
        report.error(NAME, problem, "set it to false");
    } else if !config.server.bind_addr.ip().is_loopback() {
        report.warn(
            NAME,
            format!("makes accounts with known passwords, reachable over {}", config.server.bind_addr),
            "keep this server away from networks that you do not trust",
        );
    }
}

fn passwords(config: &Config, report: &mut Report) {
    let passwords = &config.passwords;
    report.range("PASSWORD_MIN_LENGTH", passwords.min_length.into(), 8, 64);
    report.range("PASSWORD_MIN_STRENGTH", passwords.min_strength.into(), 0, 4);
    if let Some(url) = &passwords.breach_url {
        let problem = match HttpUrl::parse(url) {
            Ok(parsed) if parsed.path == "/" => Some("ends with a slash"),
            Ok(parsed) if parsed.is_secure() => None,
            Ok(_) => Some("is http: parts of password hashes could be read on their way"),
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            report.error(
                "PASSWORD_BREACH_URL",
                problem,
                "set it to an https address such as https://api.pwnedpasswords.com/range",
            );
        }
    }
    let name = &passwords.product_name;
    if !(1..=64).contains(&name.chars().count())
        || name.trim() != name
        || name.contains(|c: char| c == ':' || c.is_control())
    {
        report.error(
            "MFA_TOTP_ISSUER",
            format!("is \"{}\"", redact_control(name)),
            "set it to your product's name: 1 to 64 characters, no colon, no white space at its ends",
        );
    }
}

/// Cut and escaped; a name with a colon may be a URL that lost its way, so it is masked like one.
fn redact_control(text: &str) -> String {
    let shown = if text.contains("://") { redact_url(text) } else { text.to_owned() };
    shown.chars().take(40).collect::<String>().escape_debug().to_string()
}

fn argon2(config: &Config, report: &mut Report) {
    const NAME: &str = "ARGON2_MEMORY_KIB";
    let cost = config.passwords.argon2;
    // RFC 9106 section 3.1: at least 8 KiB a lane. The upper bounds keep one sign-in from stopping the machine.
    let lanes = report.range("ARGON2_PARALLELISM", cost.parallelism.into(), 1, 64);
    let passes = report.range("ARGON2_ITERATIONS", cost.iterations.into(), 1, 100);
    let least = 8 * u64::from(if lanes { cost.parallelism } else { 1 });
    let memory = report.range(NAME, cost.memory_kib.into(), least, 4_194_304);
    if lanes && passes && memory && !cost.meets_owasp_minimum() {
        report.weak(
            NAME,
            "and ARGON2_ITERATIONS together are weaker than the OWASP minimum",
            "set them to 19456 and 2, or to 47104 and 1, 12288 and 3, 9216 and 4, 7168 and 5",
        );
    }
    if let Some(count) = config.passwords.max_concurrent {
        report.range("ARGON2_MAX_CONCURRENT", u64::try_from(count.get()).unwrap_or(u64::MAX), 1, 1024);
    }
}

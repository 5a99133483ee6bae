//! Cleaning up.

use super::Report;
use crate::config::{Config, Secrets, secrets};

pub(super) fn judge(config: &Config, secrets: &Secrets, report: &mut Report) {
    report.span("AUDIT_RETENTION_DAYS", config.cleanup.audit_retention, (1, 36_500), 86_400);
    if let Some(why) = secrets.internal_cleanup_token.as_ref().and_then(secrets::weakness) {
        report.weak("INTERNAL_CLEANUP_TOKEN", why, "set it to a random one: openssl rand -base64 32");
    }
}

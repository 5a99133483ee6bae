//! Locks after failed sign-ins.

use super::Report;
use crate::config::Config;

pub(super) fn judge(config: &Config, report: &mut Report) {
    let lockout = &config.lockout;
    report.range("LOGIN_FAIL_EMAIL_THRESHOLD", lockout.email_threshold.into(), 1, 1000);
    report.range("LOGIN_FAIL_IP_THRESHOLD", lockout.ip_threshold.into(), 1, 100_000);
    report.range("STUFFING_PAIR_THRESHOLD", lockout.stuffing_threshold.into(), 2, 1000);
    report.span("EMAIL_LOCK_TTL", lockout.email_ttl, (1, 86_400), 1);
    let first = report.span("IP_LOCK_TTL", lockout.ip_ttl, (1, 86_400), 1);
    if report.span("IP_LOCK_MAX_TTL", lockout.ip_max_ttl, (1, 2_592_000), 1)
        && first
        && lockout.ip_max_ttl < lockout.ip_ttl
    {
        report.error("IP_LOCK_MAX_TTL", "is less than IP_LOCK_TTL", "set it to IP_LOCK_TTL or more");
    }
}

//! API keys.

use super::Report;
use crate::config::Config;

const DAY: u64 = 86_400;

pub(super) fn judge(config: &Config, report: &mut Report) {
    let keys = &config.api_keys;
    let most = report.span("API_KEY_MAX_EXPIRE_DAYS", keys.max_ttl, (1, 3650), DAY);
    if report.span("API_KEY_EXPIRE_DAYS", keys.ttl, (1, 3650), DAY) && most && keys.ttl > keys.max_ttl {
        let fix = "set it to API_KEY_MAX_EXPIRE_DAYS or less";
        report.error("API_KEY_EXPIRE_DAYS", "is more than API_KEY_MAX_EXPIRE_DAYS", fix);
    }
}

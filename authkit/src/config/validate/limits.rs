//! Redis.

use super::Report;
use crate::config::Config;

const URL_FIX: &str = "set it to redis://HOST:PORT or rediss://USER:PASSWORD@HOST:PORT";

pub(super) fn judge(config: &Config, report: &mut Report) {
    let redis = &config.limits.redis;
    if redis.urls.iter().any(|url| !is_redis(url)) {
        // The text is not repeated: it may hold a password.
        report.error("REDIS_URL", "holds what is no address of a Redis server", URL_FIX);
    }
    if redis.is_enabled() && redis.urls.is_empty() {
        report.error("REDIS_ENABLED", "is true, but there is no REDIS_URL", "set REDIS_URL, or remove it");
    }
    if config.redis_required() && !redis.is_enabled() {
        let problem = "is true, but Redis is not used";
        report.error("REDIS_REQUIRED", problem, "set REDIS_URL and REDIS_ENABLED=true, or remove it");
    }
}

fn is_redis(url: &str) -> bool {
    let rest = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://"));
    let host = rest.map(|rest| rest.rsplit('@').next().unwrap_or(rest));
    host.is_some_and(|host| {
        !host.is_empty() && !host.starts_with(['/', ':', '?']) && !host.contains(char::is_whitespace)
    })
}

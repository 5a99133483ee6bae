use std::time::Duration;

/// API keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKeysConfig {
    /// `API_KEY_EXPIRE_DAYS`: how long a key lives unless its maker says otherwise.
    pub ttl: Duration,
    /// `API_KEY_MAX_EXPIRE_DAYS`: how long a key may live at the most.
    pub max_ttl: Duration,
}

impl Default for ApiKeysConfig {
    fn default() -> Self {
        let days = |count: u64| Duration::from_hours(24 * count);
        Self { ttl: days(90), max_ttl: days(365) }
    }
}

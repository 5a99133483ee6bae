use std::time::Duration;

/// Cleaning up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupConfig {
    /// `CLEANUP_INTERVAL`: how often the server cleans up; zero means never.
    pub interval: Duration,
    /// `AUDIT_RETENTION_DAYS`: how long events of the audit log are kept.
    pub audit_retention: Duration,
}

impl Default for CleanupConfig {
    fn default() -> Self {
        Self { interval: Duration::from_hours(6), audit_retention: Duration::from_hours(365 * 24) }
    }
}

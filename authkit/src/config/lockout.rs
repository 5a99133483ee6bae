use std::time::Duration;

/// When failed sign-ins lock, and for how long (contract 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockoutConfig {
    /// `LOGIN_FAIL_EMAIL_THRESHOLD`: the failure with this number locks the e-mail.
    pub email_threshold: u32,
    /// `LOGIN_FAIL_IP_THRESHOLD`: the failure with this number locks the address.
    pub ip_threshold: u32,
    /// `EMAIL_LOCK_TTL`: how long a lock of an e-mail lasts, and how long after the last one its failures count.
    pub email_ttl: Duration,
    /// `IP_LOCK_TTL`: the same for addresses and networks; their first lock.
    pub ip_ttl: Duration,
    /// `IP_LOCK_ESCALATION`: each lock of an address or network is twice as long as the one before it.
    pub ip_escalation: bool,
    /// `IP_LOCK_MAX_TTL`: the longest lock.
    pub ip_max_ttl: Duration,
    /// `STUFFING_PAIR_THRESHOLD`: so many distinct e-mails that fail from one network lock it.
    pub stuffing_threshold: u32,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self {
            email_threshold: 8,
            ip_threshold: 30,
            email_ttl: Duration::from_mins(15),
            ip_ttl: Duration::from_mins(15),
            ip_escalation: true,
            ip_max_ttl: Duration::from_hours(24),
            stuffing_threshold: 50,
        }
    }
}

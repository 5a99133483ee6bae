use std::time::Duration;

/// How many devices a user may be signed in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SessionPolicy {
    /// One: a sign-in ends the others.
    #[default]
    Single,
    /// Up to `SESSION_MAX_PER_USER`; a further sign-in ends the one least recently used.
    Multi,
}

impl SessionPolicy {
    /// The name as in `SESSION_POLICY`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Multi => "multi",
        }
    }
}

/// Sessions and refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionsConfig {
    /// `REFRESH_TOKEN_EXPIRE_DAYS`: a session dies when it was not refreshed for so long.
    pub idle_ttl: Duration,
    /// `SESSION_ABSOLUTE_EXPIRE_DAYS`: a session dies then, however often it is refreshed.
    pub absolute_ttl: Duration,
    /// `REFRESH_REUSE_GRACE_SECONDS`: how long the token before the present one still gets the same
    /// successor; zero is strict.
    pub reuse_grace: Duration,
    /// `SESSION_POLICY`.
    pub policy: SessionPolicy,
    /// `SESSION_MAX_PER_USER`, for [`SessionPolicy::Multi`].
    pub max_per_user: u32,
    /// `SESSION_BIND_IP`: sessions made from now on work only from the network of their sign-in.
    pub bind_ip: bool,
    /// `REVOCATION_POLL_SECONDS`: how often a node asks for what other nodes revoked.
    pub revocation_poll: Duration,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            idle_ttl: Duration::from_hours(14 * 24),
            absolute_ttl: Duration::from_hours(90 * 24),
            reuse_grace: Duration::from_secs(10),
            policy: SessionPolicy::default(),
            max_per_user: 20,
            bind_ip: false,
            revocation_poll: Duration::from_secs(1),
        }
    }
}

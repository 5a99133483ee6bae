use std::borrow::Cow;
use std::time::Duration;

/// How a limit stands for one key after it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitState {
    /// Name of the limit, such as `login_ip`.
    pub policy: Cow<'static, str>,
    /// Requests that are possible at once; half of what is set while the shared limiter does not answer.
    pub limit: u32,
    /// Requests that are left now.
    pub remaining: u32,
    /// When there is one more.
    pub reset: Duration,
    /// The time after which all of them are free again.
    pub window: Duration,
}

impl LimitState {
    pub(crate) fn new(
        policy: Cow<'static, str>,
        (limit, remaining): (u32, u32),
        (reset, window): (Duration, Duration),
    ) -> Self {
        Self { policy, limit, remaining, reset, window }
    }
}

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::database_url::redact_url;
use super::value::{period, quoted, shown_period, whole};

/// So many requests in a period, written `20/10m`: at most `limit` at once, and one more each `period / limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Requests, at least one.
    pub limit: NonZeroU32,
    /// The time after which all of them are free again.
    pub period: Duration,
}

impl Rate {
    /// `limit` requests in `period`; a limit of 0 would shut the door for good and is read as 1.
    pub const fn new(limit: u32, period: Duration) -> Self {
        let limit = match NonZeroU32::new(limit) {
            Some(limit) => limit,
            None => NonZeroU32::MIN,
        };
        Self { limit, period }
    }

    /// Half the requests, rounded up, in the same period: what is left when the shared limiter does not answer.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self::new(self.limit.get().div_ceil(2), self.period)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.limit, shown_period(self.period))
    }
}

impl FromStr for Rate {
    /// The end of a sentence about the setting.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (limit, span) = text.split_once('/').ok_or_else(|| format!("is {}", quoted(text)))?;
        let limit = NonZeroU32::new(whole(limit)?).ok_or("has a limit of 0, which would let nobody in")?;
        Ok(Self { limit, period: period(span)? })
    }
}

/// How often each door may be knocked at. Every number is for one key (an address, an e-mail, a user), not for all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// `RL_LOGIN_IP_LIMIT`: sign-ins from an address.
    pub login_ip: Rate,
    /// `RL_LOGIN_EMAIL_LIMIT`: sign-ins to an e-mail, or by a known device.
    pub login_email: Rate,
    /// `RL_SIGNUP_IP_LIMIT`: sign-ups from an address.
    pub signup_ip: Rate,
    /// `RL_RESET_IP_LIMIT`: requests for a mailed link from an address.
    pub reset_ip: Rate,
    /// `RL_RESET_EMAIL_LIMIT`: requests for a mailed link to an e-mail.
    pub reset_email: Rate,
    /// `RL_REFRESH_USER_LIMIT`: refreshes of a user, over all of his sessions.
    pub refresh_user: Rate,
    /// `RL_MAIL_RECIPIENT_LIMIT`: mails of any kind to a recipient that somebody asked for.
    pub mail_recipient: Rate,
    /// `RL_MFA_USER_LIMIT`: second factors of a user.
    pub mfa_user: Rate,
    /// `RL_LINK_IP_LIMIT`: mailed links redeemed from an address.
    pub link_ip: Rate,
    /// `RL_INVITE_USER_LIMIT`: invitations that a user has mailed.
    pub invite_user: Rate,
    /// `RL_S3_USER_LIMIT`: storage credentials of a user.
    pub s3_user: Rate,
    /// `RL_API_KEY_LIMIT`: uses of an API key.
    pub api_key: Rate,
    /// `RL_FALLBACK_IP_LIMIT`: from an address, at every door that has no limit of its own.
    pub fallback_ip: Rate,
    /// The limiter that several processes share.
    pub redis: RedisConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let minutes = Duration::from_mins;
        let hour = Duration::from_hours(1);
        Self {
            login_ip: Rate::new(20, minutes(10)),
            login_email: Rate::new(10, minutes(10)),
            signup_ip: Rate::new(5, hour),
            reset_ip: Rate::new(5, hour),
            reset_email: Rate::new(3, hour),
            refresh_user: Rate::new(60, hour),
            mail_recipient: Rate::new(5, hour),
            mfa_user: Rate::new(20, minutes(15)),
            link_ip: Rate::new(30, minutes(10)),
            invite_user: Rate::new(100, hour),
            s3_user: Rate::new(60, hour),
            api_key: Rate::new(600, minutes(1)),
            fallback_ip: Rate::new(300, minutes(1)),
            redis: RedisConfig::default(),
        }
    }
}

impl LimitsConfig {
    /// Every limit `rate`: for tests that are not about limits.
    #[must_use]
    pub const fn with_all(mut self, rate: Rate) -> Self {
        self.login_ip = rate;
        self.login_email = rate;
        self.signup_ip = rate;
        self.reset_ip = rate;
        self.reset_email = rate;
        self.refresh_user = rate;
        self.mail_recipient = rate;
        self.mfa_user = rate;
        self.link_ip = rate;
        self.invite_user = rate;
        self.s3_user = rate;
        self.api_key = rate;
        self.fallback_ip = rate;
        self
    }
}

/// The limiter that several processes share. `Debug` masks what `REDIS_URL` hides.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisConfig {
    /// `REDIS_URL`: one URL, or nodes of a cluster. May hold a password: never printed whole.
    pub urls: Vec<String>,
    /// `REDIS_ENABLED`; `None` means yes when a URL is given.
    pub enabled: Option<bool>,
    /// `REDIS_REQUIRED`; `None` means yes in prod when a URL is given, no elsewhere.
    pub required: Option<bool>,
    /// How long an answer may take, with everything that belongs to it, before memory decides; 100 ms. No setting of
    /// the environment: requests wait for it.
    pub timeout: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), enabled: None, required: None, timeout: Duration::from_millis(100) }
    }
}

impl RedisConfig {
    /// The URLs as they may be shown.
    pub fn shown_urls(&self) -> String {
        self.urls.iter().map(|url| redact_url(url)).collect::<Vec<_>>().join(",")
    }

    /// Whether limits are kept in Redis.
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(!self.urls.is_empty())
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("urls", &self.shown_urls())
            .field("enabled", &self.enabled)
            .field("required", &self.required)
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_as_it_is_written() {
        for (text, limit, seconds) in [
            ("20/10m", 20, 600),
            ("5/1h", 5, 3600),
            ("1/1s", 1, 1),
            ("100/1d", 100, 86_400),
            ("7/90s", 7, 90),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.limit.get(), rate.period.as_secs()), (limit, seconds), "{text}");
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!("3/60s".parse::<Rate>().unwrap().to_string(), "3/1m");
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in
            ["", "20", "0/10m", "20/", "20/10", "20/0m", "-1/1m", "20/1w", "20/10 m", "2.5/1m", "20/99999d"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert!("0/10m".parse::<Rate>().is_err_and(|why| why.contains("a limit of 0")));
    }

    #[test]
    fn half_is_rounded_up_and_never_nothing() {
        for (full, half) in [(20, 10), (5, 3), (3, 2), (1, 1)] {
            assert_eq!(Rate::new(full, Duration::from_mins(1)).halved().limit.get(), half);
        }
    }

    #[test]
    fn passwords_of_urls_are_not_shown() {
        let urls = ["redis://:CANARY@a:6379/1", "rediss://app:CANARY@b"].map(str::to_owned).to_vec();
        let config = RedisConfig { urls, ..RedisConfig::default() };
        assert_eq!(config.shown_urls(), "redis://:***@a:6379/1,rediss://app:***@b");
        assert!(!format!("{config:?}").contains("CANARY"));
    }
}

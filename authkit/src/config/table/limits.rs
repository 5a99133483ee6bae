//! `RL_*` and `REDIS_*`.

use super::{list, switch};
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};

/// A limit: its name, field, default and whose requests it counts.
macro_rules! rate {
    ($name:literal, $field:ident, $default:literal, $doc:literal) => {
        Setting {
            name: $name,
            section: Section::Limits,
            kind: Kind::Text,
            sight: Sight::Plain,
            absent: Absent::Value($default),
            values: "`N/period`: a number from 1 and a period in s, m, h or d",
            doc: $doc,
            set: |d, t| t.parse().map(|v| d.config.limits.$field = v),
            show: |c, _| c.limits.$field.to_string(),
        }
    };
}

pub(super) static SETTINGS: &[Setting] = &[
    rate!("RL_LOGIN_IP_LIMIT", login_ip, "20/10m", "Sign-ins from an address."),
    rate!("RL_LOGIN_EMAIL_LIMIT", login_email, "10/10m", "Sign-ins to an e-mail, or by a known device."),
    rate!("RL_SIGNUP_IP_LIMIT", signup_ip, "5/1h", "Sign-ups from an address."),
    rate!("RL_RESET_IP_LIMIT", reset_ip, "5/1h", "Requests for a mailed link from an address."),
    rate!("RL_RESET_EMAIL_LIMIT", reset_email, "3/1h", "Requests for a mailed link to an e-mail."),
    rate!("RL_REFRESH_USER_LIMIT", refresh_user, "60/1h", "Refreshes of a user, over all of his sessions."),
    rate!("RL_MAIL_RECIPIENT_LIMIT", mail_recipient, "5/1h", "Mails to a recipient that somebody asked for."),
    rate!("RL_MFA_USER_LIMIT", mfa_user, "20/15m", "Second factors of a user."),
    rate!("RL_LINK_IP_LIMIT", link_ip, "30/10m", "Mailed links redeemed from an address."),
    rate!("RL_INVITE_USER_LIMIT", invite_user, "100/1h", "Invitations that a user has mailed."),
    rate!("RL_S3_USER_LIMIT", s3_user, "60/1h", "Storage credentials of a user."),
    rate!("RL_API_KEY_LIMIT", api_key, "600/1m", "Uses of an API key."),
    rate!(
        "RL_FALLBACK_IP_LIMIT",
        fallback_ip,
        "300/1m",
        "From an address, at every door that judges a credential or writes and has no limit of its own."
    ),
    Setting {
        name: "REDIS_URL",
        section: Section::Limits,
        kind: Kind::List,
        sight: Sight::Url,
        absent: Absent::Value(""),
        values: "`redis://` or `rediss://` with `USER:PASSWORD@HOST:PORT/DB`, or several nodes of one cluster",
        doc: "Where limits are kept that several processes share; a cluster is recognised.",
        set: |d, t| list(t).map(|v| d.config.limits.redis.urls = v),
        show: |c, _| c.limits.redis.shown_urls(),
    },
    Setting {
        name: "REDIS_ENABLED",
        section: Section::Limits,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Rule("true when a URL is given"),
        values: "true or false",
        doc: "Whether limits are kept in Redis.",
        set: |d, t| switch(t).map(|v| d.config.limits.redis.enabled = Some(v)),
        show: |c, _| c.limits.redis.is_enabled().to_string(),
    },
    Setting {
        name: "REDIS_REQUIRED",
        section: Section::Limits,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Rule("true in prod when a URL is given, else false"),
        values: "true or false",
        doc: "Refuses requests with 503 while Redis does not answer; without it half of each limit holds in memory.",
        set: |d, t| switch(t).map(|v| d.config.limits.redis.required = Some(v)),
        show: |c, _| c.redis_required().to_string(),
    },
];

//! Second factors.

use super::{seconds, shown, whole};
use crate::config::MfaPolicy;
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};
use crate::config::value::{choice, list};
use crate::secret::SecretString;

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "MFA_POLICY",
        section: Section::Mfa,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("optional"),
        values: "off, optional or required",
        doc: "Whether accounts need a second factor. With `off` none can be set up; those that exist are still asked for.",
        set: |d, t| {
            let all = [MfaPolicy::Off, MfaPolicy::Optional, MfaPolicy::Required].map(|v| (v.name(), v));
            choice(t, &all).map(|v| d.config.mfa.policy = v)
        },
        show: |c, _| c.mfa.policy.name().into(),
    },
    Setting {
        name: "MFA_REQUIRED_ROLES",
        section: Section::Mfa,
        kind: Kind::List,
        sight: Sight::Plain,
        absent: Absent::Value(""),
        values: "names of roles",
        doc: "Who holds one of them needs a second factor, and nobody else, unless the policy is `off`; empty: everybody with `required`.",
        set: |d, t| list(t).map(|v| d.config.mfa.required_roles = v),
        show: |c, _| c.mfa.required_roles.join(","),
    },
    Setting {
        name: "MFA_ENCRYPTION_KEY",
        section: Section::Mfa,
        kind: Kind::List,
        sight: Sight::Secret,
        absent: Absent::Rule(
            "in dev on SQLite made and kept beside the file; else required unless `MFA_POLICY` is off",
        ),
        values: "Fernet keys (32 random bytes each, as base64url with padding), newest first",
        doc: "Seals what second factors keep in the store; after a change run `authctl key reencrypt`.",
        set: |d, t| {
            d.secrets.mfa_encryption_key = list(t)?.into_iter().map(SecretString::from).collect();
            Ok(())
        },
        show: |_, s| shown(!s.mfa_encryption_key.is_empty()),
    },
    Setting {
        name: "MFA_TOTP_PERIOD",
        section: Section::Mfa,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("30"),
        values: "15 to 120 seconds",
        doc: "How long an authenticator app shows a code; for authenticators that are set up from now on. Many apps know 30 only.",
        set: |d, t| seconds(t, 1).map(|v| d.config.mfa.totp_period = v),
        show: |c, _| c.mfa.totp_period.as_secs().to_string(),
    },
    Setting {
        name: "MFA_TOTP_DIGITS",
        section: Section::Mfa,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("6"),
        values: "6 to 8",
        doc: "Digits of a code; for authenticators that are set up from now on. Many apps know 6 only.",
        set: |d, t| whole(t).map(|v| d.config.mfa.totp_digits = v),
        show: |c, _| c.mfa.totp_digits.to_string(),
    },
    Setting {
        name: "MFA_BACKUP_CODES_COUNT",
        section: Section::Mfa,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("10"),
        values: "4 to 50",
        doc: "Codes of a new set of backup codes.",
        set: |d, t| whole(t).map(|v| d.config.mfa.backup_codes = v),
        show: |c, _| c.mfa.backup_codes.to_string(),
    },
    Setting {
        name: "MFA_TOKEN_EXPIRE_MINUTES",
        section: Section::Mfa,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("5"),
        values: "1 to 60",
        doc: "How long a sign-in waits for its second factor.",
        set: |d, t| seconds(t, 60).map(|v| d.config.mfa.token_ttl = v),
        show: |c, _| (c.mfa.token_ttl.as_secs() / 60).to_string(),
    },
];

//! Cleaning up.

use std::time::Duration;

use super::{DAY, seconds, shown};
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};
use crate::config::value::{period, shown_period};
use crate::secret::SecretString;

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "CLEANUP_INTERVAL",
        section: Section::Cleanup,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Value("6h"),
        values: "a number and s, m, h or d, from 1s to 31d; 0 for never",
        doc: "How often servers remove rows that are of no more use; of several one does it.",
        set: |d, t| {
            let span = if t == "0" { Ok(Duration::ZERO) } else { period(t) };
            span.map(|v| d.config.cleanup.interval = v)
        },
        show: |c, _| {
            let every = c.cleanup.interval;
            if every.is_zero() { "0".to_owned() } else { shown_period(every) }
        },
    },
    Setting {
        name: "AUDIT_RETENTION_DAYS",
        section: Section::Cleanup,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("365"),
        values: "1 to 36500",
        doc: "How long events of the audit log are kept.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.cleanup.audit_retention = v),
        show: |c, _| (c.cleanup.audit_retention.as_secs() / DAY).to_string(),
    },
    Setting {
        name: "INTERNAL_CLEANUP_TOKEN",
        section: Section::Cleanup,
        kind: Kind::Text,
        sight: Sight::Secret,
        absent: Absent::Rule("none: there is no such route"),
        values: "at least 256 random bits, as for `TOKEN_PEPPER`",
        doc: "Opens `POST internal/cleanup` as `Authorization: Bearer`.",
        set: |d, t| {
            d.secrets.internal_cleanup_token = Some(SecretString::from(t.trim_end_matches(['\r', '\n'])));
            Ok(())
        },
        show: |_, s| shown(s.internal_cleanup_token.is_some()),
    },
];

//! API keys.

use super::{DAY, seconds};
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "API_KEY_EXPIRE_DAYS",
        section: Section::ApiKeys,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("90"),
        values: "1 to `API_KEY_MAX_EXPIRE_DAYS`",
        doc: "How long an API key lives unless its maker says otherwise.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.api_keys.ttl = v),
        show: |c, _| (c.api_keys.ttl.as_secs() / DAY).to_string(),
    },
    Setting {
        name: "API_KEY_MAX_EXPIRE_DAYS",
        section: Section::ApiKeys,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("365"),
        values: "1 to 3650",
        doc: "How long an API key may live at the most.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.api_keys.max_ttl = v),
        show: |c, _| (c.api_keys.max_ttl.as_secs() / DAY).to_string(),
    },
];

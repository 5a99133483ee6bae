//! Organisations and invitations.

use super::{DAY, seconds, switch};
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "ORG_SELF_SERVICE",
        section: Section::Authorization,
        kind: Kind::Switch,
        sight: Sight::Plain,
        absent: Absent::Value("false"),
        values: "true or false",
        doc: "Whether anybody who is signed in may make an organisation; without it only who may do everything.",
        set: |d, t| switch(t).map(|v| d.config.authz.org_self_service = v),
        show: |c, _| c.authz.org_self_service.to_string(),
    },
    Setting {
        name: "INVITE_EXPIRE_DAYS",
        section: Section::Authorization,
        kind: Kind::Whole,
        sight: Sight::Plain,
        absent: Absent::Value("7"),
        values: "1 to 90 days",
        doc: "How long an invitation can be accepted.",
        set: |d, t| seconds(t, DAY).map(|v| d.config.authz.invite_ttl = v),
        show: |c, _| (c.authz.invite_ttl.as_secs() / DAY).to_string(),
    },
];

//! Passkeys: the relying party.

use super::list;
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};

pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "WEBAUTHN_RP_ID",
        section: Section::Passkeys,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Rule("the host of `PUBLIC_URL`"),
        values: "a domain such as `example.com`: the host of every origin, or a domain above it",
        doc: "To whom passkeys belong. A change makes all of them useless.",
        set: |d, t| {
            d.config.webauthn.rp_id = Some(t.into());
            Ok(())
        },
        show: |c, _| c.webauthn_rp_id().unwrap_or_default().into(),
    },
    Setting {
        name: "WEBAUTHN_RP_NAME",
        section: Section::Passkeys,
        kind: Kind::Text,
        sight: Sight::Plain,
        absent: Absent::Rule("`WEBAUTHN_RP_ID`"),
        values: "1 to 64 bytes",
        doc: "What authenticators show beside a passkey.",
        set: |d, t| {
            d.config.webauthn.rp_name = Some(t.into());
            Ok(())
        },
        show: |c, _| c.webauthn_rp_name().unwrap_or_default().into(),
    },
    Setting {
        name: "WEBAUTHN_ORIGINS",
        section: Section::Passkeys,
        kind: Kind::List,
        sight: Sight::Plain,
        absent: Absent::Rule("the origin of `PUBLIC_URL`"),
        values: "origins such as `https://app.example.com`, without path and `*`; https, or http on localhost",
        doc: "Which web pages may use passkeys.",
        set: |d, t| list(t).map(|v| d.config.webauthn.origins = v),
        show: |c, _| c.webauthn_origins().join(","),
    },
];

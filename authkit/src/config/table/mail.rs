//! Settings of mail.

use std::path::PathBuf;

use super::shown;
use crate::config::SmtpTls;
use crate::config::setting::{Absent, Kind, Section, Setting, Sight};
use crate::config::value::{choice, list, whole};
use crate::secret::SecretString;

pub(super) const SMTP_HOST: Setting = Setting {
    name: "SMTP_HOST",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Plain,
    absent: Absent::Rule("none: in dev mails become files in `MAIL_DIR`, elsewhere none are sent"),
    values: "a host name or an IP address",
    doc: "The server that mails are handed to. Without a mailer password reset and e-mail change are 503 to everyone.",
    set: |d, t| {
        d.config.mail.smtp_host = Some(t.into());
        Ok(())
    },
    show: |c, _| c.mail.smtp_host.clone().unwrap_or_default(),
};

pub(super) const SMTP_PORT: Setting = Setting {
    name: "SMTP_PORT",
    section: Section::Mail,
    kind: Kind::Whole,
    sight: Sight::Plain,
    absent: Absent::Rule("587 with starttls, 465 with tls, 25 with none"),
    values: "1 to 65535",
    doc: "The port of `SMTP_HOST`.",
    set: |d, t| whole(t).map(|v| d.config.mail.smtp_port = Some(v)),
    show: |c, _| c.mail.port().to_string(),
};

pub(super) const SMTP_USER: Setting = Setting {
    name: "SMTP_USER",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Plain,
    absent: Absent::Rule("none: no sign-in"),
    values: "a name, together with `SMTP_PASSWORD`",
    doc: "Signs in to `SMTP_HOST`.",
    set: |d, t| {
        d.config.mail.smtp_user = Some(t.into());
        Ok(())
    },
    show: |c, _| c.mail.smtp_user.clone().unwrap_or_default(),
};

pub(super) const SMTP_PASSWORD: Setting = Setting {
    name: "SMTP_PASSWORD",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Secret,
    absent: Absent::Rule("none"),
    values: "the password of `SMTP_USER`",
    doc: "Signs in to `SMTP_HOST`, never before the connection is encrypted as `SMTP_TLS` says.",
    set: |d, t| {
        // The line end of the file that holds it.
        let text = t.strip_suffix('\n').unwrap_or(t);
        d.secrets.smtp_password = Some(SecretString::from(text.strip_suffix('\r').unwrap_or(text)));
        Ok(())
    },
    show: |_, s| shown(s.smtp_password.is_some()),
};

pub(super) const SMTP_TLS: Setting = Setting {
    name: "SMTP_TLS",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Plain,
    absent: Absent::Value("starttls"),
    values: "starttls, tls or none; none outside dev only to this machine",
    doc: "How the connection to `SMTP_HOST` is encrypted. Never opportunistic: a server without STARTTLS gets no mail.",
    set: |d, t| {
        let all = [SmtpTls::Starttls, SmtpTls::Tls, SmtpTls::None].map(|v| (v.name(), v));
        choice(t, &all).map(|v| d.config.mail.smtp_tls = v)
    },
    show: |c, _| c.mail.smtp_tls.name().into(),
};

pub(super) const MAIL_FROM: Setting = Setting {
    name: "MAIL_FROM",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Plain,
    absent: Absent::Rule("needed with `SMTP_HOST`; for files `no-reply@localhost`"),
    values: "`address` or `Name <address>`",
    doc: "The sender of all mails.",
    set: |d, t| {
        d.config.mail.from = Some(t.into());
        Ok(())
    },
    show: |c, _| c.mail.sender().to_owned(),
};

pub(super) const MAIL_DIR: Setting = Setting {
    name: "MAIL_DIR",
    section: Section::Mail,
    kind: Kind::Text,
    sight: Sight::Plain,
    absent: Absent::Value("./mail"),
    values: "a folder; dev only",
    doc: "Where mails become files, one `.eml` each, when there is no `SMTP_HOST`. They hold live links.",
    set: |d, t| {
        d.config.mail.dir = PathBuf::from(t);
        Ok(())
    },
    show: |c, _| c.mail.dir.display().to_string(),
};

pub(super) const NOTICES_OFF: Setting = Setting {
    name: "NOTICES_OFF",
    section: Section::Mail,
    kind: Kind::List,
    sight: Sight::Plain,
    absent: Absent::Value(""),
    values: "`password_changed`, `email_changed`, `factor_added`, `factor_removed`, `new_device`, `account_locked`, `api_key_created`, `refresh_replayed`",
    doc: "Mails about the security of an account that its owner does not get.",
    set: |d, t| list(t).map(|v| d.config.mail.notices_off = v),
    show: |c, _| c.mail.notices_off.join(","),
};

use std::fmt;
use std::path::PathBuf;

/// How the connection to the SMTP server is protected. Never opportunistic: what is asked for is there, or nothing is
/// sent (RFC 8314 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SmtpTls {
    /// Plain at first, then upgraded; a server without STARTTLS gets no mail.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In clear. Outside of development to this machine only.
    None,
}

impl SmtpTls {
    /// The name as in `SMTP_TLS`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }

    /// The port that is usual for it (RFC 8314 section 3.3, RFC 5321 section 4.5.4.2).
    pub const fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

macro_rules! notices {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// A mail that tells the owner of an account of something that he may not have done himself. Each is on
        /// unless `NOTICES_OFF` names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Notice { $($(#[$meta])* $variant),* }

        impl Notice {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name as in `NOTICES_OFF`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

notices! {
    /// The password was changed or set.
    PasswordChanged = "password_changed",
    /// The e-mail address was changed; goes to the old one.
    EmailChanged = "email_changed",
    /// A second factor or passkey was added.
    FactorAdded = "factor_added",
    /// A second factor or passkey was removed.
    FactorRemoved = "factor_removed",
    /// Few backup codes are left.
    BackupCodesLow = "backup_codes_low",
    /// A sign-in from a device that was not seen before.
    NewDevice = "new_device",
    /// Too many wrong attempts locked the account.
    AccountLocked = "account_locked",
    /// An API key was made.
    ApiKeyCreated = "api_key_created",
    /// A used refresh token came again: somebody has a copy.
    RefreshReplayed = "refresh_replayed",
}

impl Notice {
    /// The notice of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|notice| notice.name() == name)
    }
}

/// Mail: server, sender, what is not told. The password is in [`Secrets`](super::Secrets).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailConfig {
    /// `SMTP_HOST`: name or address; `None` means no SMTP.
    pub smtp_host: Option<String>,
    /// `SMTP_PORT`; `None` means the usual one for `smtp_tls`.
    pub smtp_port: Option<u16>,
    /// `SMTP_USER`.
    pub smtp_user: Option<String>,
    /// `SMTP_TLS`.
    pub smtp_tls: SmtpTls,
    /// `MAIL_FROM`: `address` or `Name <address>`.
    pub from: Option<String>,
    /// `MAIL_DIR`: where development writes mails as files when there is no SMTP server.
    pub dir: PathBuf,
    /// `NOTICES_OFF`: names of [`Notice`]s that are not sent.
    pub notices_off: Vec<String>,
}

impl MailConfig {
    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.smtp_port.unwrap_or(self.smtp_tls.port())
    }

    /// The sender of all mails.
    pub fn sender(&self) -> &str {
        self.from.as_deref().unwrap_or("no-reply@localhost")
    }

    /// Whether that notice is sent.
    pub fn tells(&self, notice: Notice) -> bool {
        !self.notices_off.iter().any(|name| name == notice.name())
    }
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp_host: None,
            smtp_port: None,
            smtp_user: None,
            smtp_tls: SmtpTls::default(),
            from: None,
            dir: PathBuf::from("./mail"),
            notices_off: Vec::new(),
        }
    }
}

impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailConfig")
            .field("smtp_host", &self.smtp_host)
            .field("smtp_port", &self.port())
            .field("smtp_user", &self.smtp_user.as_ref().map(|_| "(set)"))
            .field("smtp_tls", &self.smtp_tls)
            .field("from", &self.from)
            .field("dir", &self.dir)
            .field("notices_off", &self.notices_off)
            .finish()
    }
}

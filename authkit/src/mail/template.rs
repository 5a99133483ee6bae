//! The mails there are: their names, what their links open, how long they are worth sending.

use std::time::Duration;

use crate::config::Notice;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

macro_rules! templates {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $path:expr;)*) => {
        /// A kind of mail. Each has a template in English; see [`crate::AuthKitBuilder::mail_template`] for others.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Template { $($(#[$meta])* $variant),* }

        impl Template {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Stable name, as it stands in the outbox.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The page under `PUBLIC_URL` that its link opens, if it has a link.
            pub const fn link_path(self) -> Option<&'static str> {
                match self { $(Self::$variant => $path),* }
            }
        }
    };
}

templates! {
    /// Proves the address of a new account. With a link, perhaps a code.
    VerifyEmail = "verify_email", Some("verify-email");
    /// Somebody signed up with the address of an account that exists.
    SignUpKnown = "signup_known", None;
    /// Somebody proved the address of an account that nobody had proved before: what was set up there is gone.
    AddressProved = "address_proved", None;
    /// Lets the owner set a new password. With a link, perhaps a code.
    ResetPassword = "reset_password", Some("reset-password");
    /// Proves the new address of a change; goes there. With a link, perhaps a code.
    ConfirmEmail = "confirm_email", Some("confirm-email");
    /// Tells the old address of a change. With a link that undoes it.
    UndoEmail = "undo_email", Some("undo-email");
    /// Invites somebody. With a link.
    Invitation = "invitation", Some("accept-invitation");
    /// The account was locked. With a link that unlocks it.
    Unlock = "unlock", Some("unlock");
    /// The password was changed.
    PasswordChanged = "password_changed", None;
    /// The address was changed; goes to the old one.
    EmailChanged = "email_changed", None;
    /// A second factor was added.
    FactorAdded = "factor_added", None;
    /// A second factor was removed.
    FactorRemoved = "factor_removed", None;
    /// Few backup codes are left.
    BackupCodesLow = "backup_codes_low", None;
    /// A sign-in from a new device.
    NewDevice = "new_device", None;
    /// Too many wrong attempts locked the account.
    AccountLocked = "account_locked", None;
    /// An API key was made.
    ApiKeyCreated = "api_key_created", None;
    /// A used refresh token came again.
    RefreshReplayed = "refresh_replayed", None;
    /// An operator tries whether mail works.
    Test = "test", None;
}

impl Template {
    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|template| template.name() == name)
    }

    /// After which time it is not worth sending, unless the mail says so itself.
    pub(crate) const fn lifetime(self) -> Duration {
        match self {
            Self::Test => HOUR,
            _ => DAY,
        }
    }
}

impl From<Notice> for Template {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::PasswordChanged => Self::PasswordChanged,
            Notice::EmailChanged => Self::EmailChanged,
            Notice::FactorAdded => Self::FactorAdded,
            Notice::FactorRemoved => Self::FactorRemoved,
            Notice::BackupCodesLow => Self::BackupCodesLow,
            Notice::NewDevice => Self::NewDevice,
            Notice::AccountLocked => Self::AccountLocked,
            Notice::ApiKeyCreated => Self::ApiKeyCreated,
            Notice::RefreshReplayed => Self::RefreshReplayed,
        }
    }
}

//! Every limit, every door that asks limits, and which. A new limit is a line in [`limits`], a new door a variant of
//! [`Door`] and a line in [`Door::buckets`].

use serde::Serialize;
use uuid::Uuid;

use crate::config::{LimitsConfig, Rate};
use crate::ids::{ApiKeyId, SessionId, UserId};
use crate::users::Email;

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitAxis {
    /// The client's address: IPv4 whole, IPv6 its /64.
    Address,
    /// The canonical e-mail, of unknown accounts too.
    Email,
    /// A device that signed in before.
    Device,
    /// The user.
    User,
    /// The session, where the user is not known.
    Session,
    /// The API key.
    ApiKey,
}

/// A limit of the library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) axis: LimitAxis,
    pub(crate) rate: fn(&LimitsConfig) -> Rate,
}

macro_rules! limits {
    ($($constant:ident: $name:literal by $axis:ident as $field:ident;)*) => {
        $(const $constant: Limit =
            Limit { name: $name, axis: LimitAxis::$axis, rate: |config| config.$field };)*

        /// All limits.
        pub(crate) const LIMITS: &[Limit] = &[$($constant),*];
    };
}

limits! {
    LOGIN_IP: "login_ip" by Address as login_ip;
    LOGIN_EMAIL: "login_email" by Email as login_email;
    LOGIN_DEVICE: "login_device" by Device as login_email;
    SIGNUP_IP: "signup_ip" by Address as signup_ip;
    RESET_IP: "reset_ip" by Address as reset_ip;
    RESET_EMAIL: "reset_email" by Email as reset_email;
    RESEND_IP: "resend_ip" by Address as reset_ip;
    RESEND_EMAIL: "resend_email" by Email as reset_email;
    MAIL_RECIPIENT: "mail_recipient" by Email as mail_recipient;
    MAIL_SENDER: "mail_sender" by User as mail_recipient;
    INVITE_USER: "invite_user" by User as invite_user;
    MFA_USER: "mfa_user" by User as mfa_user;
    LINK_IP: "link_ip" by Address as link_ip;
    REFRESH_USER: "refresh_user" by User as refresh_user;
    REFRESH_SESSION: "refresh_session" by Session as refresh_user;
    API_KEY: "api_key" by ApiKey as api_key;
    FALLBACK_IP: "fallback_ip" by Address as fallback_ip;
}

/// What somebody is about to try.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door<'a> {
    /// A sign-in. A known `device` takes the place of the e-mail: strangers who use up the e-mail's limit do not
    /// keep its owner out.
    Login { email: &'a Email, device: Option<Uuid> },
    /// A sign-up.
    SignUp,
    /// A sign-up that mails somebody.
    SignUpMailed { email: &'a Email },
    /// Asking for a link that sets a new password.
    Reset { email: &'a Email },
    /// Asking for another link that proves an address.
    Resend { email: &'a Email },
    /// A signed-in user who has something mailed to an address of his choice.
    ChangeEmail { user: UserId, email: &'a Email },
    /// Having an invitation mailed to an address of one's choice.
    Invite { user: UserId, email: &'a Email },
    /// A second factor of a known user, at whatever door.
    SecondFactor { user: UserId },
    /// Using a mailed link or its code.
    Link,
    /// A refresh. A session that the store does not know has no user: it counts for itself.
    Refresh { user: Option<UserId>, session: SessionId },
    /// A sign-in by passkey: nobody is known before its answer is judged.
    Passkey,
    /// Any use of an API key.
    ApiKey { key: ApiKeyId },
    /// Any door that judges a credential or writes, and has no limit of its own.
    Other,
}

/// Whose requests are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// The client of the request.
    Client,
    Email(&'a Email),
    Device(Uuid),
    User(UserId),
    Session(SessionId),
    ApiKey(ApiKeyId),
}

impl<'a> Door<'a> {
    pub(super) fn buckets(self) -> Vec<(Limit, Subject<'a>)> {
        use Subject::{Client, Device, Session, User};
        match self {
            Self::Login { email, device: None } => {
                vec![(LOGIN_IP, Client), (LOGIN_EMAIL, Subject::Email(email))]
            }
            Self::Login { device: Some(id), .. } => vec![(LOGIN_IP, Client), (LOGIN_DEVICE, Device(id))],
            Self::SignUp => vec![(SIGNUP_IP, Client)],
            Self::SignUpMailed { email } => {
                vec![(SIGNUP_IP, Client), (MAIL_RECIPIENT, Subject::Email(email))]
            }
            Self::Reset { email } => vec![
                (RESET_IP, Client),
                (RESET_EMAIL, Subject::Email(email)),
                (MAIL_RECIPIENT, Subject::Email(email)),
            ],
            Self::Resend { email } => vec![
                (RESEND_IP, Client),
                (RESEND_EMAIL, Subject::Email(email)),
                (MAIL_RECIPIENT, Subject::Email(email)),
            ],
            Self::ChangeEmail { user, email } => vec![
                (FALLBACK_IP, Client),
                (MAIL_SENDER, User(user)),
                (MAIL_RECIPIENT, Subject::Email(email)),
            ],
            Self::Invite { user, email } => vec![
                (FALLBACK_IP, Client),
                (INVITE_USER, User(user)),
                (MAIL_RECIPIENT, Subject::Email(email)),
            ],
            Self::SecondFactor { user } => vec![(FALLBACK_IP, Client), (MFA_USER, User(user))],
            Self::Link => vec![(LINK_IP, Client)],
            Self::Refresh { user: Some(id), .. } => vec![(REFRESH_USER, User(id))],
            Self::Refresh { session, .. } => vec![(REFRESH_SESSION, Session(session))],
            Self::Passkey => vec![(LOGIN_IP, Client)],
            Self::ApiKey { key } => vec![(API_KEY, Subject::ApiKey(key))],
            Self::Other => vec![(FALLBACK_IP, Client)],
        }
    }
}

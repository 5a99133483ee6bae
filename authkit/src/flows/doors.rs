//! Every door that is limited, and by what. A new door is a variant of [`Door`] and a line in [`Door::buckets`].

use uuid::Uuid;

use crate::config::{LimitsConfig, Rate};
use crate::ids::{SessionId, UserId};
use crate::users::Email;

/// What somebody is about to try.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door<'a> {
    /// A sign-in. A known `device` takes the place of the e-mail: strangers who use up the e-mail's limit do not
    /// keep its owner out.
    Login { email: &'a Email, device: Option<Uuid> },
    /// A sign-up.
    SignUp,
    /// A refresh. A session that the store does not know has no user: it counts for itself.
    Refresh { user: Option<UserId>, session: SessionId },
    /// Any door that judges a credential or writes, and has no limit of its own.
    Other,
}

/// Whose requests are counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis<'a> {
    /// The client's address: IPv4 whole, IPv6 its /64.
    Address,
    Email(&'a Email),
    Device(Uuid),
    User(UserId),
    Session(SessionId),
}

/// A limit's name and rate, and whose requests it counts.
pub(super) type Asked<'a> = (&'static str, Rate, Axis<'a>);

impl<'a> Door<'a> {
    pub(super) fn buckets(self, c: &LimitsConfig) -> Vec<Asked<'a>> {
        use Axis::{Address, Device, Email, Session, User};
        let by_address = ("login_ip", c.login_ip, Address);
        match self {
            Self::Login { email, device: None } => {
                vec![by_address, ("login_email", c.login_email, Email(email))]
            }
            Self::Login { device: Some(id), .. } => {
                vec![by_address, ("login_device", c.login_email, Device(id))]
            }
            Self::SignUp => vec![("signup_ip", c.signup_ip, Address)],
            Self::Refresh { user: Some(id), .. } => vec![("refresh_user", c.refresh_user, User(id))],
            Self::Refresh { session, .. } => vec![("refresh_session", c.refresh_user, Session(session))],
            Self::Other => vec![("fallback_ip", c.fallback_ip, Address)],
        }
    }
}

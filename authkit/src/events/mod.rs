//! Security events: what happened, to whom, by whom. One event is one audit row (R17), one call of each hook
//! inside the transaction, and one message to subscribers after the commit.

use std::fmt;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::ids::{EventId, SessionId, UserId};
use crate::time::Timestamp;

/// Events that a slow subscriber may lag behind before it misses some.
const SUBSCRIBER_BUFFER: usize = 1024;

macro_rules! actions {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// What happened. Names never change meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Action { $($(#[$meta])* $variant),* }

        impl Action {
            /// Stable name, as it stands in the audit.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The action of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// All actions.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

actions! {
    /// Somebody signed up.
    UserSignUp = "user.signup",
    /// An operator made an account.
    UserCreate = "user.create",
    /// Name, profile or e-mail of an account changed.
    UserUpdate = "user.update",
    /// An operator disabled an account.
    UserDisable = "user.disable",
    /// An operator enabled an account.
    UserEnable = "user.enable",
    /// An account was deleted and can be restored.
    UserDelete = "user.delete",
    /// A deleted account was restored.
    UserRestore = "user.restore",
    /// An account and all that hangs on it was removed.
    UserPurge = "user.purge",
    /// An e-mail address was marked as proved.
    EmailVerify = "email.verify",
    /// Somebody asked for another mail to prove an address.
    EmailVerifyRequest = "email.verify_request",
    /// A user asked for another address.
    EmailChangeRequest = "email.change_request",
    /// A new address was confirmed and is the account's now.
    EmailChange = "email.change",
    /// A former address was given back; password and sessions are gone.
    EmailUndo = "email.undo",
    /// The owner of an unproved address took the account: whatever was set up before is gone.
    AddressProve = "address.prove",
    /// A mailed link or its code was refused.
    LinkRefuse = "link.refuse",
    /// A sign-in by password, granted or refused.
    Login = "login",
    /// A first factor was right, and the second one is outstanding.
    MfaPending = "mfa.pending",
    /// A second factor was refused: wrong, used before, moved, or its sign-in was over.
    MfaRefuse = "mfa.refuse",
    /// A backup code was used up.
    MfaBackupCode = "mfa.backup_code",
    /// An authenticator app is being set up; it counts for nothing before it is confirmed.
    MfaEnrol = "mfa.enrol",
    /// An authenticator app was confirmed and is a second factor now.
    MfaConfirm = "mfa.confirm",
    /// A new set of backup codes was made; the old one is gone.
    MfaBackupCodes = "mfa.backup_codes",
    /// A user removed his authenticator apps and backup codes, or failed to.
    MfaDisable = "mfa.disable",
    /// An operator removed all second factors of an account.
    MfaReset = "mfa.reset",
    /// A repeated sign-in within a session.
    StepUp = "step_up",
    /// A user registered a passkey, or failed to.
    PasskeyAdd = "passkey.add",
    /// A passkey was removed, by its owner or an operator.
    PasskeyRemove = "passkey.remove",
    /// A passkey's signature was right, but its counter did not rise: there may be a copy of the key. Refused.
    PasskeyClone = "passkey.clone",
    /// A session ended by its own token.
    Logout = "logout",
    /// A user ended all of his sessions.
    LogoutAll = "logout_all",
    /// A user changed his password, or failed to.
    PasswordChange = "password.change",
    /// An operator set a password.
    PasswordSet = "password.set",
    /// Somebody asked for a link that sets a new password.
    PasswordResetRequest = "password.reset_request",
    /// A password was set by a mailed link.
    PasswordReset = "password.reset",
    /// The collection of breached passwords could not be asked.
    BreachUnknown = "password.breach_unknown",
    /// A session was ended by its user or an operator.
    SessionEnd = "session.end",
    /// A session was ended by a newer sign-in.
    SessionEvict = "session.evict",
    /// A used refresh token came again: theft. The session is dead.
    RefreshReuse = "refresh.reuse",
    /// A refresh token newer than the store: the store went back in time. The session is dead.
    RefreshAhead = "refresh.ahead",
    /// A genuine refresh token refused by the state of account or session.
    RefreshRefused = "refresh.refused",
    /// An API key was made.
    ApiKeyCreate = "api_key.create",
    /// An API key was revoked.
    ApiKeyRevoke = "api_key.revoke",
    /// So many attempts failed that no more are judged for a time.
    LockoutLock = "lockout.lock",
    /// A further lock, longer than the one before it, or of a whole network. Comes beside its `lockout.lock`.
    LockoutEscalate = "lockout.escalate",
    /// An operator or the owner ended a lock or forgot failed attempts.
    LockoutUnlock = "lockout.unlock",
    /// A role was given to a user.
    RoleGrant = "role.grant",
    /// A role was taken from a user.
    RoleRevoke = "role.revoke",
    /// A role was defined or changed.
    RoleDefine = "role.define",
    /// An organisation was made.
    OrgCreate = "org.create",
    /// Name, domain, seats or state of an organisation changed.
    OrgUpdate = "org.update",
    /// An organisation, and all roles in it and on its resources, is gone.
    OrgDelete = "org.delete",
    /// Authkit was told of a resource on which roles are held.
    ResourceCreate = "resource.create",
    /// A resource, and all roles on it, is gone.
    ResourceDelete = "resource.delete",
    /// A user was given a role on a resource, or in an organisation.
    MembershipGrant = "membership.grant",
    /// A user's role on a resource changed.
    MembershipChange = "membership.change",
    /// A user lost his role on a resource.
    MembershipRevoke = "membership.revoke",
    /// Somebody was invited.
    InvitationCreate = "invitation.create",
    /// An invitation was mailed once more; the link before is dead.
    InvitationResend = "invitation.resend",
    /// An invitation was taken back.
    InvitationRevoke = "invitation.revoke",
    /// Somebody accepted an invitation.
    InvitationAccept = "invitation.accept",
    /// Everything held on an account was read out.
    UserExport = "user.export",
    /// An account and all that hung on it was removed for good at its owner's wish.
    UserErase = "user.erase",
    /// An operator filled the limits of an address, an e-mail or a user again.
    LimitsReset = "limits.reset",
    /// A data key was made.
    KeyCreate = "key.create",
    /// A data key was replaced.
    KeyRotate = "key.rotate",
    /// An operator made a waiting mail due at once.
    MailRetry = "mail.retry",
    /// An operator took a waiting mail out of the outbox.
    MailDrop = "mail.drop",
    /// The data keys were sealed anew under another root.
    KeyReseal = "key.reseal",
    /// What second factors keep was sealed anew under the newest key.
    KeyReencrypt = "key.reencrypt",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Whether it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Granted and done.
    Success,
    /// Refused.
    Failure,
}

impl Outcome {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// One security event. Holds no secret and no text typed by an unknown person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Sorts by time.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// Granted or refused.
    pub outcome: Outcome,
    /// Who: `user:ID`, `cli:USER@HOST`, `anonymous`, `system`.
    pub actor: String,
    /// The account it is about.
    pub user_id: Option<UserId>,
    /// The session it is about.
    pub session_id: Option<SessionId>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// Ties it to the answer and the log.
    pub request_id: Option<String>,
    /// Why, as an operator said.
    pub reason: Option<String>,
    /// Facts special to the action.
    pub details: Map<String, Value>,
}

type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

/// Hands events to those who asked for them, after the commit.
#[derive(Clone)]
pub(crate) struct Publisher {
    sinks: Arc<Vec<Sink>>,
    channel: broadcast::Sender<Arc<Event>>,
}

impl Publisher {
    pub(crate) fn new(sinks: Vec<Sink>) -> Self {
        Self { sinks: Arc::new(sinks), channel: broadcast::channel(SUBSCRIBER_BUFFER).0 }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.channel.subscribe()
    }

    /// Never fails and never panics: the effect is already durable.
    pub(crate) fn publish(&self, event: &Arc<Event>) {
        for sink in self.sinks.iter() {
            if catch_unwind(AssertUnwindSafe(|| sink(event))).is_err() {
                tracing::error!(action = %event.action, "an event sink panicked");
            }
        }
        // No subscriber is no fault.
        let _ = self.channel.send(Arc::clone(event));
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({} sinks)", self.sinks.len())
    }
}

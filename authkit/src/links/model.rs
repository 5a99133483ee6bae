//! What a mailed link is.

use serde::Serialize;

use crate::ids::{InvitationId, LinkId, SessionId, UserId};
use crate::secret::SecretString;
use crate::time::Timestamp;

/// What a mailed link is for. It is refused everywhere else (R9): the purpose is part of the hash that finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkPurpose {
    /// Proves the address of a new account, and does nothing else.
    VerifyEmail,
    /// Sets a new password.
    ResetPassword,
    /// Proves a new address and makes it the account's.
    ChangeEmail,
    /// Gives an account its former address back.
    UndoEmail,
    /// Takes an invitation.
    Invitation,
    /// Ends the lock of an account's e-mail.
    Unlock,
}

impl LinkPurpose {
    /// All purposes.
    pub const ALL: &'static [Self] = &[
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::ChangeEmail,
        Self::UndoEmail,
        Self::Invitation,
        Self::Unlock,
    ];

    /// Stable name, as in store and audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::UndoEmail => "undo_email",
            Self::Invitation => "invitation",
            Self::Unlock => "unlock",
        }
    }

    /// The last part of the address that a mail carries, after `PUBLIC_URL` (contract section 2).
    pub const fn path(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::ChangeEmail => "confirm-email",
            Self::UndoEmail => "undo-email",
            Self::Invitation => "accept-invitation",
            Self::Unlock => "unlock",
        }
    }

    /// Whether the mail also carries a code to be typed. Not where a link outlives a day: a short code would not
    /// last, or be guessed.
    pub const fn has_code(self) -> bool {
        !matches!(self, Self::UndoEmail | Self::Invitation)
    }
}

/// What proves that somebody got a mail.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinkProof {
    /// The text after `token=` in the link.
    Token(SecretString),
    /// The code, typed, and the address that the mail went to.
    Code {
        /// In any spelling.
        email: String,
        /// Eight digits; spaces and hyphens do not count.
        code: SecretString,
    },
}

impl LinkProof {
    /// By the text after `token=` in the link.
    pub fn token(token: impl Into<SecretString>) -> Self {
        Self::Token(token.into())
    }

    /// By the code, typed, and the address that the mail went to.
    pub fn code(email: impl Into<String>, code: impl Into<SecretString>) -> Self {
        Self::Code { email: email.into(), code: code.into() }
    }
}

/// Of what there is one link at a time for each purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A user: a new link of that purpose replaces the one before.
    User(UserId),
    /// The link itself: several of that purpose live side by side.
    Itself(UserId),
    /// An invitation: sending it again replaces its link. Nobody needs an account to use it.
    Invitation(InvitationId),
    /// Nobody: a row that nothing opens, so that an unknown address costs what a known one costs (R5).
    Decoy,
}

/// A link to be.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'a> {
    pub(crate) purpose: LinkPurpose,
    pub(crate) subject: Subject,
    /// The epoch of the account under which it is made; `None` for one that outlives changes of credentials.
    pub(crate) epoch: Option<i64>,
    /// The address that it proves, as stored.
    pub(crate) address: Option<&'a str>,
    /// Keyed hash of that address's key, by which a typed code finds the link.
    pub(crate) address_hash: [u8; 32],
    /// The session that asked for it, where its effect spares that.
    pub(crate) session: Option<SessionId>,
    pub(crate) expires_at: Timestamp,
}

/// Why a link ended before its time and without having been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The account's credentials changed, or its address was proved by somebody else's means.
    CredentialChange,
    /// Everything was ended at once.
    Revoked,
}

impl EndReason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CredentialChange => "credential_change",
            Self::Revoked => "revoked",
        }
    }
}

/// A link as the store has it, without its hashes.
#[derive(Debug, Clone)]
pub(crate) struct LinkRecord {
    pub(crate) id: LinkId,
    pub(crate) user: Option<UserId>,
    /// Of an invitation: which.
    pub(crate) invitation: Option<InvitationId>,
    pub(crate) address: Option<String>,
    pub(crate) session: Option<SessionId>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) end_reason: Option<String>,
}

impl LinkRecord {
    /// Why it cannot be used at `now`, if so. Judged again by the statement that uses it.
    pub(crate) fn dead(&self, now: Timestamp) -> Option<&str> {
        match &self.end_reason {
            Some(reason) => Some(reason),
            None => (now >= self.expires_at).then_some("expired"),
        }
    }
}

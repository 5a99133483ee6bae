//! What an invitation is.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::authz::Resource;
use crate::ids::{InvitationId, UserId};
use crate::time::Timestamp;

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InvitationState {
    /// It can be accepted.
    Pending,
    /// It was.
    Accepted,
    /// Somebody took it back.
    Revoked,
    /// Its time is over.
    Expired,
    /// Whoever made it may not any more, or is gone.
    Void,
}

/// Why one ended, as the store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Accepted,
    Revoked,
    Void,
}

impl Ended {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Void => "void",
        }
    }
}

impl InvitationState {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }

    pub(super) fn from_reason(reason: &str) -> Self {
        match reason {
            "accepted" => Self::Accepted,
            "revoked" => Self::Revoked,
            "expired" => Self::Expired,
            _ => Self::Void,
        }
    }
}

/// Somebody is asked to come.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// Never changes. Accepts nothing.
    pub id: InvitationId,
    /// The address that it went to. Whoever accepts it has that address.
    pub email: String,
    /// Where to; `None` for the platform itself.
    pub resource: Option<Resource>,
    /// As what: a role there, on the platform a role of the account.
    pub role: String,
    /// Who asked; `None` for an operator of the server.
    pub inviter_id: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last mailed.
    pub sent_at: Timestamp,
    /// From when on it cannot be accepted.
    pub expires_at: Timestamp,
    /// What became of it.
    pub state: InvitationState,
}

impl Invitation {
    /// Where to, the platform included.
    pub(crate) fn target(&self) -> Resource {
        self.resource.clone().unwrap_or_else(Resource::platform)
    }
}

impl Serialize for Invitation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let org = self.resource.as_ref().and_then(Resource::as_org);
        let other = self.resource.as_ref().filter(|_| org.is_none());
        let mut out = serializer.serialize_struct("Invitation", 11)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("email", &self.email)?;
        out.serialize_field("role", &self.role)?;
        out.serialize_field("org_id", &org)?;
        out.serialize_field("resource_type", &other.map(Resource::kind))?;
        out.serialize_field("resource_id", &other.map(Resource::id))?;
        out.serialize_field("inviter_id", &self.inviter_id)?;
        out.serialize_field("status", &self.state)?;
        out.serialize_field("created_at", &self.created_at)?;
        out.serialize_field("sent_at", &self.sent_at)?;
        out.serialize_field("expires_at", &self.expires_at)?;
        out.end()
    }
}

/// Whom to ask, where to and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewInvitation {
    /// As typed.
    pub email: String,
    /// A role there; on the platform a role of the account.
    pub role: String,
    /// Where to; `None` for the platform itself.
    pub resource: Option<Resource>,
}

impl NewInvitation {
    /// To the platform itself, as holder of that role.
    pub fn new(email: impl Into<String>, role: impl Into<String>) -> Self {
        Self { email: email.into(), role: role.into(), resource: None }
    }

    /// To an organisation or another resource instead.
    #[must_use]
    pub fn to(mut self, resource: Resource) -> Self {
        self.resource = Some(resource);
        self
    }
}

//! Who holds which role on what.

pub(crate) mod store;

use serde::Serialize;
use serde::ser::SerializeStruct as _;

use super::Resource;
use crate::ids::{MembershipId, UserId};
use crate::time::Timestamp;

/// A user's role on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// Never changes.
    pub id: MembershipId,
    /// Who.
    pub user_id: UserId,
    /// On what.
    pub resource: Resource,
    /// As what.
    pub role: String,
    /// Of an organisation: whether its admins may act on the account itself. Not when its owner brought it along.
    pub managed: bool,
    /// When it was given.
    pub created_at: Timestamp,
    /// When the role last changed.
    pub updated_at: Timestamp,
}

impl Serialize for Membership {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Membership", 7)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("user_id", &self.user_id)?;
        out.serialize_field("resource_type", self.resource.kind())?;
        out.serialize_field("resource_id", self.resource.id())?;
        out.serialize_field("role", &self.role)?;
        out.serialize_field("created_at", &self.created_at)?;
        out.serialize_field("updated_at", &self.updated_at)?;
        out.end()
    }
}

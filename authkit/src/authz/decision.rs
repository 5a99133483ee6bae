//! Whether somebody may do something on a thing, and by which row. Pure: what the store said goes in.

use serde::Serialize;
use uuid::Uuid;

use super::types::ResourceTypes;
use super::{Resource, covers};
use crate::ids::MembershipId;
use crate::users::UserStatus;

/// Whether a user may do something on a resource, why, and by which row of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// For people.
    pub why: String,
    /// What decided; for a refusal the row that comes nearest, if there is one.
    pub row: Option<DecidedBy>,
    /// Whether the user may know that the resource is there: else refusals say that it is not.
    pub visible: bool,
}

impl Decision {
    /// No, and nothing is told.
    pub(crate) fn refused(why: &str) -> Self {
        Self { allowed: false, why: why.to_owned(), row: None, visible: false }
    }
}

/// The row of the store that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecidedBy {
    /// A role of the account itself, which permits everything everywhere.
    Role {
        /// Its name.
        role: String,
    },
    /// A membership on the resource.
    Membership {
        /// Its id.
        id: MembershipId,
        /// The role there.
        role: String,
    },
    /// A membership in the resource's organisation.
    Inherited {
        /// Its id.
        id: MembershipId,
        /// The organisation, as `org:ID`.
        org: Resource,
        /// The role in the organisation.
        org_role: String,
        /// The role that it gives on the resource.
        role: String,
    },
}

/// All that the store says about a user and a resource: one row.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) status: UserStatus,
    /// Roles of the account with what they permit.
    pub(crate) platform: Vec<(String, Vec<String>)>,
    /// The membership on the resource itself.
    pub(crate) direct: Option<(Uuid, String)>,
    /// Whether the store knows the resource.
    pub(crate) known: bool,
    /// The resource's organisation.
    pub(crate) org: Option<String>,
    /// The membership there.
    pub(crate) in_org: Option<(Uuid, String)>,
    /// Whether that organisation is disabled.
    pub(crate) org_disabled: bool,
}

impl Access {
    /// Whether the account may do everything everywhere, and by which role.
    pub(crate) fn operator(&self) -> Option<&str> {
        let mut roles = self.platform.iter();
        let role = roles.find(|(_, granted)| granted.iter().any(|grant| grant == "*"))?;
        (self.status == UserStatus::Active).then_some(role.0.as_str())
    }

    /// Whether a role of the account permits it.
    pub(crate) fn permits_platform(&self, permission: &str) -> bool {
        let mut granted = self.platform.iter().flat_map(|(_, granted)| granted);
        self.status == UserStatus::Active && granted.any(|grant| covers(grant, permission))
    }

    /// Whether somebody who is not `operator` may know of the resource.
    pub(crate) fn belongs(&self) -> bool {
        self.direct.is_some() || self.in_org.is_some()
    }

    /// What the user is permitted on the resource, by whatever way.
    pub(crate) fn permissions(&self, types: &ResourceTypes, resource: &Resource) -> Vec<String> {
        if self.operator().is_some() {
            return vec!["*".to_owned()];
        }
        if self.status != UserStatus::Active || self.org_disabled {
            return Vec::new();
        }
        self.ways(types, resource).into_iter().flat_map(|(_, granted)| granted.to_vec()).collect()
    }

    fn ways<'t>(&self, types: &'t ResourceTypes, resource: &Resource) -> Vec<(DecidedBy, &'t [String])> {
        let mut out = Vec::new();
        let kind = resource.kind();
        if let Some((id, role)) = &self.direct
            && let Some(granted) = types.permissions(kind, role)
        {
            let row = DecidedBy::Membership { id: MembershipId::from_uuid(*id), role: role.clone() };
            out.push((row, granted));
        }
        if let (Some((id, org_role)), Some(org)) = (&self.in_org, &self.org)
            && let Some(role) = types.inherited(kind, org_role)
            && let Some(granted) = types.permissions(kind, role)
        {
            let row = DecidedBy::Inherited {
                id: MembershipId::from_uuid(*id),
                org: Resource::stored(super::ORG.to_owned(), org.clone()),
                org_role: org_role.clone(),
                role: role.to_owned(),
            };
            out.push((row, granted));
        }
        out
    }

    /// Judges one permission.
    pub(crate) fn decide(&self, types: &ResourceTypes, resource: &Resource, permission: &str) -> Decision {
        let refuse = |why: String, row, visible| Decision { allowed: false, why, row, visible };
        if self.status != UserStatus::Active {
            return refuse(format!("the account is {}", self.status.name()), None, false);
        }
        if let Some(role) = self.operator() {
            let why = format!("the role {role} permits everything");
            return Decision {
                allowed: true,
                why,
                row: Some(DecidedBy::Role { role: role.to_owned() }),
                visible: true,
            };
        }
        if types.get(resource.kind()).is_none() {
            return refuse(format!("no kind of resource is called {}", resource.kind()), None, false);
        }
        if !self.belongs() {
            let why = if self.known {
                format!("the user has no role on {resource}")
            } else {
                format!("{resource} is not known")
            };
            return refuse(why, None, false);
        }
        if self.org_disabled {
            return refuse("the organisation is disabled".to_owned(), None, true);
        }
        let ways = self.ways(types, resource);
        for (row, granted) in &ways {
            if granted.iter().any(|grant| covers(grant, permission)) {
                let why = format!("{} permits {permission}", row.told(resource));
                return Decision { allowed: true, why, row: Some(row.clone()), visible: true };
            }
        }
        match ways.into_iter().next() {
            Some((row, _)) => {
                refuse(format!("{} does not permit {permission}", row.told(resource)), Some(row), true)
            }
            None => {
                let why = format!("no role of the user there permits anything on {resource}");
                refuse(why, None, true)
            }
        }
    }
}

impl DecidedBy {
    fn told(&self, resource: &Resource) -> String {
        match self {
            Self::Role { role } => format!("the role {role}"),
            Self::Membership { role, .. } => format!("the role {role} on {resource}"),
            Self::Inherited { org, org_role, role, .. } => {
                format!("the role {role} on {resource}, given by the role {org_role} on {org},")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResourceType;

    fn types() -> ResourceTypes {
        ResourceTypes::new(&[ResourceType::new("project")
            .role("owner", ["*"])
            .role("viewer", ["read", "notes:*"])
            .from_org("admin", "owner")])
    }

    fn stranger() -> Access {
        Access {
            status: UserStatus::Active,
            platform: vec![("user".into(), vec![]), ("helper".into(), vec!["project:*".into()])],
            direct: None,
            known: true,
            org: Some("o".into()),
            in_org: None,
            org_disabled: false,
        }
    }

    fn judge(access: &Access, permission: &str) -> (bool, bool) {
        let decision = access.decide(&types(), &Resource::new("project", "1").unwrap(), permission);
        (decision.allowed, decision.visible)
    }

    #[test]
    fn a_way_is_needed_and_each_is_enough() {
        let id = Uuid::from_u128(1);
        assert_eq!(judge(&stranger(), "read"), (false, false));
        let viewer = Access { direct: Some((id, "viewer".into())), ..stranger() };
        assert_eq!((judge(&viewer, "read"), judge(&viewer, "notes:add")), ((true, true), (true, true)));
        assert_eq!((judge(&viewer, "edit"), judge(&viewer, "*")), ((false, true), (false, true)));
        let member = Access { in_org: Some((id, "member".into())), ..stranger() };
        assert_eq!(judge(&member, "read"), (false, true), "of the own organisation, without a role");
        let admin = Access { in_org: Some((id, "admin".into())), ..viewer.clone() };
        assert_eq!(judge(&admin, "edit"), (true, true));
        let root = Access { platform: vec![("super_admin".into(), vec!["*".into()])], ..stranger() };
        assert_eq!(judge(&root, "edit"), (true, true));
        // Neither a role that is declared no more, nor one of another kind, permits anything.
        let former = Access { direct: Some((id, "reviewer".into())), ..stranger() };
        assert_eq!(judge(&former, "read"), (false, true));
    }

    #[test]
    fn who_cannot_act_is_permitted_nothing() {
        let id = Uuid::from_u128(1);
        let root = Access { platform: vec![("super_admin".into(), vec!["*".into()])], ..stranger() };
        for status in [UserStatus::Disabled, UserStatus::Deleted] {
            let access = Access { status, direct: Some((id, "owner".into())), ..root.clone() };
            assert_eq!(judge(&access, "read"), (false, false));
            assert!(access.permissions(&types(), &Resource::new("project", "1").unwrap()).is_empty());
        }
        let shut = Access { org_disabled: true, direct: Some((id, "owner".into())), ..stranger() };
        assert_eq!(judge(&shut, "read"), (false, true));
        assert!(shut.permissions(&types(), &Resource::new("project", "1").unwrap()).is_empty());
    }
}

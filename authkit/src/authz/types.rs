//! Which roles there are on which kind of thing, and what they permit.

use std::collections::BTreeMap;

use super::{ORG, covers};
use crate::config::ResourceType;

/// To see who holds which role on a thing.
pub(crate) const MEMBERS_READ: &str = "members:read";
/// To give and take roles on a thing, and to invite to it.
pub(crate) const MEMBERS_WRITE: &str = "members:write";

/// What is declared, by kind.
#[derive(Debug, Default)]
pub(crate) struct ResourceTypes(BTreeMap<String, ResourceType>);

impl ResourceTypes {
    /// What the host declares, beside organisations.
    pub(crate) fn new(declared: &[ResourceType]) -> Self {
        let mut all: BTreeMap<_, _> = declared.iter().map(|kind| (kind.name.clone(), kind.clone())).collect();
        let org = all.entry(ORG.to_owned()).or_insert_with(|| ResourceType::new(ORG));
        for (role, permissions) in [
            ("owner", &["*"][..]),
            ("admin", &["read", "update", MEMBERS_READ, MEMBERS_WRITE, "users:*"]),
            ("member", &["read"]),
        ] {
            let permissions = permissions.iter().map(|&permission| permission.to_owned()).collect();
            org.roles.insert(role.to_owned(), permissions);
        }
        Self(all)
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&ResourceType> {
        self.0.get(kind)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &ResourceType> {
        self.0.values()
    }

    /// What scopes of API keys may say about things: `KIND:PERMISSION`.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = String> {
        self.0.values().flat_map(|kind| {
            let granted = kind.roles.values().flatten();
            granted.map(move |permission| scope_on(&kind.name, permission))
        })
    }

    /// What a role permits; `None` for one that is not declared (any more): it permits nothing.
    pub(crate) fn permissions(&self, kind: &str, role: &str) -> Option<&[String]> {
        self.0.get(kind)?.roles.get(role).map(Vec::as_slice)
    }

    /// Which role a role in the thing's organisation gives on it.
    pub(crate) fn inherited(&self, kind: &str, org_role: &str) -> Option<&str> {
        self.0.get(kind)?.from_org.get(org_role).map(String::as_str)
    }

    /// Roles that permit everything: a thing keeps a holder of one.
    pub(crate) fn owning(&self, kind: &str) -> Vec<&str> {
        let roles = self.0.get(kind).into_iter().flat_map(|kind| &kind.roles);
        roles.filter(|(_, granted)| granted.iter().any(|g| g == "*")).map(|(name, _)| name.as_str()).collect()
    }
}

/// By what name a scope of an API key covers a permission on a kind of thing.
pub(crate) fn scope_on(kind: &str, permission: &str) -> String {
    format!("{kind}:{permission}")
}

/// Whether `granted` permits all that `wanted` does: who holds the one may give the other.
pub(crate) fn cover_all(granted: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|want| granted.iter().any(|grant| covers(grant, want)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisations_keep_their_roles_beside_the_hosts() {
        let types = ResourceTypes::new(&[
            ResourceType::new("org").role("clinician", ["patients:read"]),
            ResourceType::new("project")
                .role("boss", ["*"])
                .role("viewer", ["read"])
                .from_org("admin", "boss"),
        ]);
        assert_eq!(types.owning("org"), ["owner"]);
        assert_eq!(types.owning("project"), ["boss"]);
        assert!(types.owning("ghost").is_empty());
        assert_eq!(types.permissions("org", "clinician").unwrap(), ["patients:read"]);
        assert_eq!(
            (types.inherited("project", "admin"), types.inherited("project", "member")),
            (Some("boss"), None)
        );
        assert_eq!(types.all().count(), 2);
    }

    #[test]
    fn a_role_covers_what_it_permits_and_no_more() {
        let texts = |all: &[&str]| all.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        assert!(
            cover_all(&texts(&["*"]), &texts(&["*", "a"])) && cover_all(&texts(&["a:*"]), &texts(&["a:b"]))
        );
        assert!(cover_all(&[], &[]) && cover_all(&texts(&["a:*"]), &texts(&["a:*"])));
        assert!(!cover_all(&texts(&["a:*", "b"]), &texts(&["*"])) && !cover_all(&[], &texts(&["a"])));
    }
}

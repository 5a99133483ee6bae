use std::collections::BTreeMap;
use std::time::Duration;

/// Organisations, roles on resources, invitations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthzConfig {
    /// `ORG_SELF_SERVICE`: whether anybody may make an organisation, whose owner he then is.
    pub org_self_service: bool,
    /// `INVITE_EXPIRE_DAYS`: how long an invitation can be accepted.
    pub invite_ttl: Duration,
    /// `[[resource_types]]` of `authkit.toml`: what roles there are on the host's things.
    pub resource_types: Vec<ResourceType>,
}

impl Default for AuthzConfig {
    fn default() -> Self {
        Self { org_self_service: false, invite_ttl: Duration::from_hours(7 * 24), resource_types: Vec::new() }
    }
}

/// A kind of thing on which users hold roles: a project, a folder. The host declares it; authkit keeps who holds which
/// role on which one.
///
/// ```
/// use authkit::config::ResourceType;
///
/// let project = ResourceType::new("project")
///     .role("owner", ["*"])
///     .role("editor", ["read", "edit"])
///     .role("viewer", ["read"])
///     .from_org("owner", "owner")
///     .from_org("member", "viewer");
/// # drop(project);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceType {
    /// 1 to 64 of `[a-z0-9_-]`, a letter first. `org` adds roles to those that organisations have (`owner`, `admin`,
    /// `member`).
    pub name: String,
    /// What each role permits on one such thing: `review`, `documents:*`, or `*` for everything. `members:read` and
    /// `members:write` are authkit's own: to see, and to give and take, roles on it.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Which role a role in an organisation gives on each such thing of that organisation.
    pub from_org: BTreeMap<String, String>,
}

impl ResourceType {
    /// A kind of that name, with no role yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With a role.
    #[must_use]
    pub fn role<P: Into<String>>(
        mut self,
        name: impl Into<String>,
        permissions: impl IntoIterator<Item = P>,
    ) -> Self {
        self.roles.insert(name.into(), permissions.into_iter().map(Into::into).collect());
        self
    }

    /// Whoever holds `org_role` in the thing's organisation holds `role` on it.
    #[must_use]
    pub fn from_org(mut self, org_role: impl Into<String>, role: impl Into<String>) -> Self {
        self.from_org.insert(org_role.into(), role.into());
        self
    }
}

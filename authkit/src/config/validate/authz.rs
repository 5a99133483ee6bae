//! Organisations, roles on resources, invitations.

use super::Report;
use crate::config::Config;
use crate::config::roles::{is_permission, is_role_name};
use crate::config::value::quoted;

/// Roles that every organisation has.
const ORG_ROLES: [&str; 3] = ["owner", "admin", "member"];

pub(super) fn judge(config: &Config, report: &mut Report) {
    report.span("INVITE_EXPIRE_DAYS", config.authz.invite_ttl, (1, 90), 86_400);
    for (problem, fix) in faults(config) {
        report.error("resource_types", problem, fix);
    }
}

/// Pairs of problem and fix.
fn faults(config: &Config) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    let types = &config.authz.resource_types;
    let own = types.iter().find(|kind| kind.name == "org");
    let is_org_role =
        |role: &str| ORG_ROLES.contains(&role) || own.is_some_and(|own| own.roles.contains_key(role));
    for (index, kind) in types.iter().enumerate() {
        let name = quoted(&kind.name);
        if !is_type_name(&kind.name) {
            let fix = "use 1 to 64 small letters, digits, _ and -, a letter first";
            out.push((format!("has the name {name}"), fix));
        }
        if kind.name == "platform" {
            out.push((format!("uses the name {name}, which authkit needs itself"), "choose another name"));
        }
        if types.iter().take(index).any(|earlier| earlier.name == kind.name) {
            out.push((format!("declares {name} twice"), "keep one of the two"));
        }
        if kind.roles.is_empty() {
            out.push((format!("gives {name} no role"), "give it at least one role"));
        }
        for (role, permissions) in &kind.roles {
            if !is_role_name(role) {
                let fix = "use 1 to 64 letters, digits and the characters _ . : - for a role's name";
                out.push((format!("gives {name} a role {}", quoted(role)), fix));
            }
            if kind.name == "org" && ORG_ROLES.contains(&role.as_str()) {
                out.push((format!("redefines the built-in role {}", quoted(role)), "choose another name"));
            }
            for permission in permissions.iter().filter(|permission| !is_permission(permission)) {
                let problem = format!("gives a role of {name} the permission {}", quoted(permission));
                out.push((problem, "write permissions like review, documents:* or *"));
            }
        }
        for (from, to) in &kind.from_org {
            if kind.name == "org" {
                out.push(("lets org inherit from itself".to_owned(), "remove from_org there"));
            } else if !kind.roles.contains_key(to) {
                let problem = format!("lets {name} inherit the role {}, which it has not", quoted(to));
                out.push((problem, "declare that role"));
            } else if !is_org_role(from) {
                let problem = format!("lets {name} inherit from {}, no role of organisations", quoted(from));
                out.push((problem, "use owner, admin, member, or a role declared for org"));
            }
        }
    }
    out
}

fn is_type_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResourceType;

    fn count(types: &[ResourceType]) -> usize {
        let mut config = Config::default();
        config.authz.resource_types = types.to_vec();
        faults(&config).len()
    }

    #[test]
    fn declarations_are_judged() {
        let project = ResourceType::new("project").role("owner", ["*"]).from_org("admin", "owner");
        assert_eq!(count(std::slice::from_ref(&project)), 0);
        let org = ResourceType::new("org").role("clinician", ["patients:read"]);
        assert_eq!(count(&[org.clone(), project.clone().from_org("clinician", "owner")]), 0);
        assert_eq!(count(&[project.clone().from_org("clinician", "owner")]), 1);
        assert_eq!(count(&[project.clone(), project.clone()]), 1);
        assert_eq!(count(&[project.clone().from_org("member", "ghost")]), 1);
        assert_eq!(count(&[ResourceType::new("project")]), 1);
        assert_eq!(count(&[org.clone().role("owner", ["read"])]), 1);
        assert_eq!(count(&[org.from_org("owner", "clinician")]), 1);
        assert_eq!(count(&[project.clone().role("a b", ["x y"])]), 2);
        for bad in ["", "Project", "a:b", "1a", "platform", &"x".repeat(65)] {
            assert_eq!(count(&[ResourceType::new(bad).role("owner", ["*"])]), 1, "{bad}");
        }
    }
}

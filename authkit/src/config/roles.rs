//! Names of roles and permissions, as configuration may spell them.

use super::RoleDefinition;

/// The roles that always exist and cannot be redefined.
pub const BUILT_IN_ROLES: [&str; 3] = ["super_admin", "admin", "user"];

/// Roles that nobody gets by signing up.
const NEVER_AT_SIGN_UP: [&str; 2] = ["super_admin", "admin"];

const MAX_NAME: usize = 64;
const MAX_PERMISSION: usize = 128;
const MAX_DESCRIPTION: usize = 500;

/// Whether `name` is 1 to 64 characters of `[A-Za-z0-9_.:-]`.
pub(super) fn is_role_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| is_name_byte(b) || b == b':')
}

/// Whether `permission` is `*`, or parts of `[A-Za-z0-9_.-]` between colons, the last of which may be `*`.
pub(super) fn is_permission(permission: &str) -> bool {
    let mut parts: Vec<&str> = permission.split(':').collect();
    if parts.last() == Some(&"*") {
        parts.pop();
    }
    permission.len() <= MAX_PERMISSION
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(is_name_byte))
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// What is wrong with `[[roles]]`: pairs of problem and fix.
pub(super) fn definition_faults(roles: &[RoleDefinition]) -> Vec<(String, &'static str)> {
    let mut faults = Vec::new();
    for (index, role) in roles.iter().enumerate() {
        let mut fault = |what: String, fix| faults.push((what, fix));
        let name = super::value::quoted(&role.name);
        if !is_role_name(&role.name) {
            fault(
                format!("has the name {name}"),
                "use 1 to 64 letters, digits and the characters _ . : - for a role's name",
            );
        } else if BUILT_IN_ROLES.contains(&role.name.as_str()) {
            fault(format!("redefines the built-in role {name}"), "choose another name");
        } else if roles.iter().take(index).any(|earlier| earlier.name == role.name) {
            fault(format!("defines {name} twice"), "keep one of the two");
        }
        for permission in role.permissions.iter().filter(|permission| !is_permission(permission)) {
            fault(
                format!("gives {name} the permission {}", super::value::quoted(permission)),
                "write permissions like documents:review, documents:* or *",
            );
        }
        if role.description.len() > MAX_DESCRIPTION || role.description.chars().any(char::is_control) {
            fault(
                format!("has for {name} a description that is too long or holds control characters"),
                "use at most 500 bytes on one line",
            );
        }
    }
    faults
}

/// What is wrong with `DEFAULT_ROLES`: pairs of problem and fix.
pub(super) fn default_faults(names: &[String], roles: &[RoleDefinition]) -> Vec<(String, &'static str)> {
    let mut faults = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let shown = super::value::quoted(name);
        let grants_all =
            roles.iter().any(|role| role.name == *name && role.permissions.iter().any(|p| p == "*"));
        if !is_role_name(name) {
            faults.push((
                format!("holds {shown}, which is no role's name"),
                "use 1 to 64 letters, digits and the characters _ . : - for a role's name",
            ));
        } else if NEVER_AT_SIGN_UP.contains(&name.as_str()) || grants_all {
            faults.push((
                format!("would make everybody who signs up a {shown}"),
                "remove it and grant it to single people with `authctl role grant`",
            ));
        } else if names.iter().take(index).any(|earlier| earlier == name) {
            faults.push((format!("holds {shown} twice"), "keep one of the two"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions() {
        for good in ["*", "documents:*", "documents:review", "a", "a.b:c-d:E_f:*"] {
            assert!(is_permission(good), "{good}");
        }
        for bad in ["", ":", "a:", ":a", "a::b", "*:a", "a*", "a b", "ä", &"x".repeat(129)] {
            assert!(!is_permission(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_judged_and_built_in_ones_protected() {
        let roles = |name: &str| vec![RoleDefinition::new(name, ["a:b"])];
        for good in ["ADMIN", "reviewer", "org:owner", "x"] {
            assert!(definition_faults(&roles(good)).is_empty(), "{good}");
        }
        for bad in ["", "a b", "super_admin", "admin", "user", "ä", &"x".repeat(65)] {
            assert_eq!(definition_faults(&roles(bad)).len(), 1, "{bad}");
        }
        let twice = [RoleDefinition::new("a", ["x"]), RoleDefinition::new("a", ["x y"])];
        assert_eq!(definition_faults(&twice).len(), 2);
        let wordy = RoleDefinition::new("a", ["x"]).with_description("line\nline");
        assert_eq!(definition_faults(&[wordy]).len(), 1);
    }

    #[test]
    fn sign_up_grants_no_power() {
        let all = [RoleDefinition::new("boss", ["*"]), RoleDefinition::new("clerk", ["a:*"])];
        let faults = |names: &[&str]| {
            default_faults(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(), &all).len()
        };
        assert_eq!(faults(&["user", "clerk"]), 0);
        assert_eq!(faults(&[]), 0);
        for bad in ["super_admin", "admin", "boss", "no name"] {
            assert_eq!(faults(&[bad]), 1, "{bad}");
        }
        assert_eq!(faults(&["user", "user"]), 1);
    }
}

//! Who may do what: roles of accounts, organisations, and roles on resources.
//!
//! A role is a name for a set of permissions. A permission is a text such as `documents:review`. A role may grant `*` (all) or `documents:*` (all of
//! documents). `super_admin`, `admin` and `user` are built in; hosts define more in their settings or by seed. Roles
//! on resources (organisations, and the host's own things) are another matter: the host declares them by kind of thing,
//! users hold them on single things, and [`Decision`] says what follows. See [`crate::manual::authorization`].

mod decision;
pub(crate) mod members;
pub(crate) mod orgs;
mod resource;
pub(crate) mod store;
mod types;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use crate::db::{Db, feed};
use crate::error::{Error, FieldCode, FieldError, Result};
use crate::time::Timestamp;

pub(crate) use decision::Access;
pub use decision::{DecidedBy, Decision};
pub use members::Membership;
pub use orgs::{NewOrganisation, OrgStatus, Organisation, OrganisationChange};
pub use resource::Resource;
pub(crate) use types::{MEMBERS_READ, MEMBERS_WRITE, ResourceTypes, cover_all, scope_on};

/// The built-in role that may do everything.
pub const SUPER_ADMIN: &str = "super_admin";
/// The built-in role of organisations' admins.
pub const ADMIN: &str = "admin";
/// The built-in role of everybody.
pub const USER: &str = "user";
/// The kind of resource that organisations are.
pub(crate) const ORG: &str = "org";
/// What stands for a target where an invitation has none.
pub(crate) const PLATFORM: &str = "platform";
/// The feed whose head moves with every change of a role.
pub(crate) const FEED: &str = "roles";

/// A role and what it permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoleInfo {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<String>,
    /// For people.
    pub description: String,
    /// Whether it cannot be changed.
    pub built_in: bool,
    /// When it was defined.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What each role permits, as last read from the store.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    head: i64,
    permissions: HashMap<String, Vec<String>>,
}

impl Grants {
    /// Whether one of `roles` permits `wanted`.
    pub(crate) fn permit(&self, roles: &[String], wanted: &str) -> bool {
        let mut granted = roles.iter().filter_map(|role| self.permissions.get(role)).flatten();
        granted.any(|grant| covers(grant, wanted))
    }

    pub(crate) fn head(&self) -> i64 {
        self.head
    }
}

/// `*` covers all, `a:*` covers `a:b`, `a:b:c` and `a:b:*`, anything else itself only.
pub(crate) fn covers(grant: &str, wanted: &str) -> bool {
    match grant.strip_suffix('*') {
        Some("") => true,
        Some(prefix) if prefix.ends_with(':') => wanted.starts_with(prefix),
        _ => grant == wanted,
    }
}

/// The present [`Grants`], shared.
#[derive(Default)]
pub(crate) struct Roles(RwLock<Arc<Grants>>);

impl Roles {
    pub(crate) fn grants(&self) -> Arc<Grants> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn load(&self, db: &Db) -> Result<()> {
        let (head, roles) = db
            .read(|conn| {
                Box::pin(async move {
                    let heads = feed::heads(conn).await?;
                    let head = heads.into_iter().find(|(name, _)| name == FEED).map_or(0, |(_, head)| head);
                    Ok((head, store::all(conn).await?))
                })
            })
            .await?;
        let permissions = roles.into_iter().map(|role| (role.name, role.permissions)).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Grants { head, permissions });
        Ok(())
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({})", self.grants().permissions.len())
    }
}

/// A role's name: 1 to 64 characters of `[A-Za-z0-9_.:-]`.
pub(crate) fn check_role_name(name: &str) -> Result<()> {
    let sound = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    let message = "must be 1 to 64 characters of A-Z a-z 0-9 _ . : -";
    if sound { Ok(()) } else { Err(Error::field("/role", FieldCode::Format, message)) }
}

/// A permission: 1 to 128 characters of `[A-Za-z0-9_.:-]`, or ending in `*` alone or after a colon.
pub(crate) fn check_permission(permission: &str) -> Result<(), FieldError> {
    let body = permission.strip_suffix('*').unwrap_or(permission);
    let star_is_sound = body.len() == permission.len() || body.is_empty() || body.ends_with(':');
    let sound = (1..=128).contains(&permission.len())
        && star_is_sound
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    let message = "must be like documents:review, documents:* or *";
    if sound { Ok(()) } else { Err(FieldError::new("/permissions", FieldCode::Format, message)) }
}

/// A description: one line of at most 500 characters.
pub(crate) fn check_description(text: &str) -> Result<(), FieldError> {
    let fault = |code, message: &'static str| Err(FieldError::new("/description", code, message));
    if text.chars().count() > 500 {
        fault(FieldCode::TooLong, "must be at most 500 characters")
    } else if text.chars().any(char::is_control) {
        fault(FieldCode::Format, "must not contain control characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_cover_what_they_say_and_no_more() {
        assert!(
            covers("*", "anything") && covers("a:*", "a:b") && covers("a:*", "a:b:c") && covers("a:b", "a:b")
        );
        for (grant, wanted) in [("a:*", "ab:c"), ("a:*", "a"), ("a:b", "a:bc"), ("a:b", "a:*"), ("a*", "ab")]
        {
            assert!(!covers(grant, wanted), "{grant} {wanted}");
        }
    }

    #[test]
    fn an_unknown_role_permits_nothing() {
        let permissions = HashMap::from([("r".to_owned(), vec!["a:b".to_owned()])]);
        let grants = Grants { head: 0, permissions };
        assert!(grants.permit(&["x".into(), "r".into()], "a:b"));
        assert!(!grants.permit(&["x".into()], "a:b") && !grants.permit(&[], "a:b"));
    }

    #[test]
    fn names_and_permissions_have_a_form() {
        for name in ["", "a b", "a\u{e9}", &"a".repeat(65)] {
            assert!(check_role_name(name).is_err(), "{name:?}");
        }
        assert!(check_role_name("REVIEWER").is_ok());
        for permission in ["", "a b", "a*", "*:a", "a:**"] {
            assert!(check_permission(permission).is_err(), "{permission:?}");
        }
        for permission in ["*", "a:*", "a:b", "a"] {
            assert!(check_permission(permission).is_ok(), "{permission:?}");
        }
    }
}

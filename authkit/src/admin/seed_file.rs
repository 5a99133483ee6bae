//! The file that says which roles and accounts should be there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{NewUser, SeedMembership, SeedOrganisation, SeedPlan};
use crate::authz::NewOrganisation;
use crate::config::RoleDefinition;
use crate::error::{Error, FieldCode, Result};
use crate::secret::SecretString;

/// A seed file, read. Passwords are not in it, only where they come from.
///
/// ```toml
/// [[roles]]
/// name = "REVIEWER"
/// permissions = ["documents:review"]
/// description = "Reviews what others wrote"
///
/// [[users]]
/// email = "ada@example.com"
/// name = "Ada"
/// roles = ["REVIEWER"]
/// email_verified = true
/// password_file = "ada.password"   # or password_env = "NAME", or generate_password = true, or none
///
/// [[organisations]]
/// name = "Clinic"
/// owner = "ada@example.com"        # an account whose e-mail is proved
/// members = { "grace@example.com" = "member" }
///
/// [[memberships]]
/// user = "ada@example.com"
/// resource = "project:42"
/// role = "owner"
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedFile {
    #[serde(default)]
    roles: Vec<SeedRole>,
    #[serde(default)]
    users: Vec<SeedUser>,
    #[serde(default)]
    organisations: Vec<SeedOrg>,
    #[serde(default)]
    memberships: Vec<SeedRoleOn>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedOrg {
    name: String,
    owner: String,
    domain: Option<String>,
    seat_limit: Option<i64>,
    #[serde(default)]
    members: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedRoleOn {
    user: String,
    resource: String,
    role: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedRole {
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    email: String,
    name: String,
    roles: Option<Vec<String>>,
    #[serde(default)]
    email_verified: bool,
    profile: Option<Value>,
    password_env: Option<String>,
    password_file: Option<String>,
    #[serde(default)]
    generate_password: bool,
}

/// Where the password of a seeded account comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeedPassword {
    /// The environment variable of that name.
    Env(String),
    /// The file of that path.
    File(String),
    /// Made by whoever seeds.
    Generate,
}

impl SeedUser {
    fn password(&self, pointer: &str) -> Result<Option<SeedPassword>> {
        match (&self.password_env, &self.password_file, self.generate_password) {
            (None, None, false) => Ok(None),
            (Some(name), None, false) => Ok(Some(SeedPassword::Env(name.clone()))),
            (None, Some(path), false) => Ok(Some(SeedPassword::File(path.clone()))),
            (None, None, true) => Ok(Some(SeedPassword::Generate)),
            _ => {
                let message = "takes one of password_env, password_file and generate_password";
                Err(Error::field(pointer, FieldCode::Unknown, message))
            }
        }
    }
}

impl SeedOrg {
    fn planned(self) -> SeedOrganisation {
        let mut organisation = NewOrganisation::new(self.name).with_admin(self.owner);
        (organisation.domain, organisation.seat_limit) = (self.domain, self.seat_limit);
        SeedOrganisation { organisation, members: self.members.into_iter().collect() }
    }
}

impl SeedFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] that names the line. It repeats no value: someone may have written a
    /// password into the file (R15).
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let message = error.message();
            let safe = ["unknown field", "missing field", "duplicate"].iter().any(|p| message.starts_with(p));
            let what = if safe { message } else { "this is not what belongs here" };
            Error::field("/", FieldCode::Format, format!("line {line}: {what}"))
        })
    }

    /// The plan, each password taken from `password`, which is called with the e-mail as written.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] when an account names two sources, and whatever `password` returns.
    pub fn plan(
        self,
        mut password: impl FnMut(&str, &SeedPassword) -> Result<SecretString>,
    ) -> Result<SeedPlan> {
        let roles = self.roles.into_iter().map(|role| {
            let mut definition = RoleDefinition::new(role.name, role.permissions);
            definition.description = role.description;
            definition
        });
        let roles = roles.collect();
        let mut users = Vec::with_capacity(self.users.len());
        for (index, user) in self.users.into_iter().enumerate() {
            let source = user.password(&format!("/users/{index}"))?;
            let mut new = NewUser::new(&user.email, user.name);
            new.password = source.map(|source| password(&user.email, &source)).transpose()?;
            new.roles = user.roles;
            new.email_verified = user.email_verified;
            new.profile = user.profile;
            users.push(new);
        }
        let mut plan = SeedPlan::new(roles, users);
        plan.organisations = self.organisations.into_iter().map(SeedOrg::planned).collect();
        for (index, role) in self.memberships.into_iter().enumerate() {
            let fault = |_| {
                let pointer = format!("/memberships/{index}/resource");
                Error::field(pointer, FieldCode::Format, "must be TYPE:ID, such as project:42")
            };
            let resource = role.resource.parse().map_err(fault)?;
            plan.memberships.push(SeedMembership { email: role.user, resource, role: role.role });
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ExposeSecret as _;

    #[test]
    fn reads_roles_accounts_and_where_passwords_come_from() {
        let text = r#"
            [[roles]]
            name = "R"
            permissions = ["a:b"]
            [[users]]
            email = "a@example.com"
            name = "A"
            roles = ["R"]
            password_env = "P"
            [[users]]
            email = "b@example.com"
            name = "B"
        "#;
        let plan = SeedFile::parse(text).unwrap().plan(|email, source| {
            assert_eq!((email, source), ("a@example.com", &SeedPassword::Env("P".into())));
            Ok(SecretString::from("from outside"))
        });
        let plan = plan.unwrap();
        assert_eq!(plan.roles.len(), 1);
        assert_eq!(plan.users[0].password.as_ref().unwrap().expose_secret(), "from outside");
        assert!(plan.users[1].password.is_none() && plan.users[1].roles.is_none());
    }

    #[test]
    fn errors_name_the_line_and_repeat_no_value() {
        let head = "[[users]]\nemail = \"a@example.com\"\nname = \"A\"\n";
        for line in ["password = \"CANARY\"", "generate_password = \"CANARY\"", "password_env = 'CANARY"] {
            let error = SeedFile::parse(&format!("{head}{line}")).unwrap_err();
            let shown = format!("{error:?} {:?}", error.fields());
            assert!(shown.contains("line 4") && !shown.contains("CANARY"), "{shown}");
        }
        let both = format!("{head}password_env = \"P\"\ngenerate_password = true");
        assert!(SeedFile::parse(&both).unwrap().plan(|_, _| Ok(SecretString::from(""))).is_err());
    }
}

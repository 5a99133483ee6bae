//! Organisations: tenants of one platform.

pub(crate) mod store;

use serde::Serialize;

use crate::error::{Error, FieldCode, FieldError, Result};
use crate::ids::OrgId;
use crate::precondition::Precondition;
use crate::time::Timestamp;

/// Whether an organisation works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrgStatus {
    /// It does.
    Active,
    /// Its members are permitted nothing in it, until an operator enables it.
    Disabled,
}

impl OrgStatus {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Disabled].into_iter().find(|status| status.name() == name)
    }
}

/// A tenant: members with roles, and things that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Organisation {
    /// Never changes.
    pub id: OrgId,
    /// For people.
    pub name: String,
    /// The domain that it says it has; nothing follows from it.
    pub domain: Option<String>,
    /// How many members there may be; `None` for any number.
    pub seat_limit: Option<i64>,
    /// Whether it works.
    pub status: OrgStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The facts of an organisation to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewOrganisation {
    /// For people: one line of 1 to 200 characters.
    pub name: String,
    /// A domain such as `example.com`, if any. It is a label: nobody proves it, and nothing follows from it.
    pub domain: Option<String>,
    /// Who shall be its first owner: an account of that e-mail if an operator asks and there is one, else whoever accepts
    /// the invitation that is mailed there.
    pub admin_email: Option<String>,
    /// How many members there may be, 1 to 1,000,000.
    pub seat_limit: Option<i64>,
}

impl NewOrganisation {
    /// An organisation of that name; set the other fields as wanted.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With a first owner.
    #[must_use]
    pub fn with_admin(mut self, email: impl Into<String>) -> Self {
        self.admin_email = Some(email.into());
        self
    }

    /// With so many seats at the most.
    #[must_use]
    pub fn with_seats(mut self, limit: i64) -> Self {
        self.seat_limit = Some(limit);
        self
    }
}

/// What is to change in an organisation; `None` leaves a field as it is, `Some(None)` empties it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrganisationChange {
    /// For people.
    pub name: Option<String>,
    /// The domain.
    pub domain: Option<Option<String>>,
    /// How many members there may be. Operators only. Fewer than there are keeps those, and lets nobody else in.
    pub seat_limit: Option<Option<i64>>,
    /// Whether it works. Operators only.
    pub status: Option<OrgStatus>,
    /// What the organisation must be for anything to change.
    pub only_if: Precondition,
}

/// A name of 1 to 200 characters on one line, trimmed.
pub(crate) fn check_org_name(name: &str, faults: &mut Vec<FieldError>) -> String {
    let name = name.trim();
    let fault = if name.is_empty() {
        Some((FieldCode::TooShort, "must not be empty"))
    } else if name.chars().count() > 200 {
        Some((FieldCode::TooLong, "must be at most 200 characters"))
    } else if name.chars().any(char::is_control) {
        Some((FieldCode::Format, "must not contain control characters"))
    } else {
        None
    };
    faults.extend(fault.map(|(code, message)| FieldError::new("/name", code, message)));
    name.to_owned()
}

/// A host name in small ASCII letters with at least one dot (RFC 1123 section 2.1).
pub(crate) fn check_domain(domain: &str, faults: &mut Vec<FieldError>) -> String {
    let domain = domain.trim().to_ascii_lowercase();
    let sound = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if domain.len() > 253 || !domain.contains('.') || !domain.split('.').all(sound) {
        faults.push(FieldError::new("/domain", FieldCode::Format, "must be a domain such as example.com"));
    }
    domain
}

pub(crate) fn check_seats(limit: i64, faults: &mut Vec<FieldError>) -> i64 {
    if !(1..=1_000_000).contains(&limit) {
        faults.push(FieldError::new("/seat_limit", FieldCode::OutOfRange, "must be 1 to 1000000"));
    }
    limit
}

impl OrganisationChange {
    /// All faults at once.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let mut faults = Vec::new();
        self.name = self.name.map(|name| check_org_name(&name, &mut faults));
        self.domain = self.domain.map(|domain| domain.map(|domain| check_domain(&domain, &mut faults)));
        self.seat_limit = self.seat_limit.map(|limit| limit.map(|limit| check_seats(limit, &mut faults)));
        if faults.is_empty() { Ok(self) } else { Err(Error::validation(faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_judged_all_at_once() {
        let change = OrganisationChange {
            name: Some(" \n".into()),
            domain: Some(Some("nodot".into())),
            seat_limit: Some(Some(0)),
            ..OrganisationChange::default()
        };
        assert_eq!(change.checked().unwrap_err().fields().len(), 3);
        let mut faults = Vec::new();
        assert_eq!(check_domain(" Example.COM ", &mut faults), "example.com");
        assert_eq!(check_org_name("  The Clinic ", &mut faults), "The Clinic");
        assert!(faults.is_empty());
        for bad in ["", ".", "a.", ".a", "-a.b", "a-.b", "a b.c", "\u{e9}.com", "a..b", "a.b/c"] {
            let mut faults = Vec::new();
            check_domain(bad, &mut faults);
            assert_eq!(faults.len(), 1, "{bad}");
        }
    }
}

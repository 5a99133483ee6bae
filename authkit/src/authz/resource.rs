//! What roles are held on.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{ORG, PLATFORM};
use crate::error::{Error, FieldCode, Result};
use crate::ids::OrgId;

/// A thing of the host, or an organisation, on which users hold roles: its kind and its id there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    kind: String,
    id: String,
}

impl Resource {
    /// The thing of that kind and id: `Resource::new("project", "42")`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Validation`] when `kind` is not 1 to 64 of `[a-z0-9_-]` with a letter first, or `id` not 1
    /// to 128 of `[A-Za-z0-9._~-]`.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Result<Self> {
        let (kind, id) = (kind.into(), id.into());
        let fits = |text: &str, most, extra: &[u8]| {
            (1..=most).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
        };
        if !fits(&kind, 64, b"_-")
            || !kind.starts_with(|c: char| c.is_ascii_lowercase())
            || kind.bytes().any(|b| b.is_ascii_uppercase())
        {
            let message = "must be 1 to 64 of a-z 0-9 _ -, a letter first";
            return Err(Error::field("/resource_type", FieldCode::Format, message));
        }
        if !fits(&id, 128, b"._~-") {
            let message = "must be 1 to 128 of A-Z a-z 0-9 . _ ~ -";
            return Err(Error::field("/resource_id", FieldCode::Format, message));
        }
        Ok(Self { kind, id })
    }

    /// The organisation of that id, as a resource.
    pub fn org(id: OrgId) -> Self {
        Self { kind: ORG.to_owned(), id: id.to_string() }
    }

    /// What an invitation to nothing in particular is bound to.
    pub(crate) fn platform() -> Self {
        Self { kind: PLATFORM.to_owned(), id: PLATFORM.to_owned() }
    }

    /// As the store has it.
    pub(crate) fn stored(kind: String, id: String) -> Self {
        Self { kind, id }
    }

    /// Of which kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its id at the host.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The organisation that it is, if it is one.
    pub fn as_org(&self) -> Option<OrgId> {
        (self.kind == ORG).then(|| self.id.parse().ok()).flatten()
    }

    /// Whether it is of a kind that authkit makes itself, whatever its id says: hosts neither make nor end one.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == ORG || self.is_platform()
    }

    pub(crate) fn is_platform(&self) -> bool {
        self.kind == PLATFORM
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl FromStr for Resource {
    type Err = Error;

    /// Reads `KIND:ID`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, id) = text.split_once(':').unwrap_or((text, ""));
        Self::new(kind, id)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_one_spelling() {
        let resource: Resource = "project:42".parse().unwrap();
        assert_eq!(
            (resource.kind(), resource.id(), resource.to_string().as_str()),
            ("project", "42", "project:42")
        );
        for bad in ["", "project", "project:", ":1", "Project:1", "1a:2", "a:b:c", "a: b", "a:\0", "a:\u{e9}"]
        {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
        assert!(Resource::new("project", "x".repeat(129)).is_err());
    }
}

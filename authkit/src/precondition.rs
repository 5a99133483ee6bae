//! Updates that ask "is it still what I saw?" (RFC 9110 section 13.1.1).

use ring::digest::{SHA256, digest};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a tag: enough that no two versions share one.
const TAG_LEN: usize = 16;

/// Which versions of a thing may be changed. The default: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition(Option<Vec<String>>);

impl Precondition {
    /// Only what still has one of these tags; see [`crate::User::version_tag`].
    pub fn any_of<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self(Some(tags.into_iter().map(Into::into).collect()))
    }

    /// Judges what is there, read in the transaction that will change it.
    ///
    /// # Errors
    /// [`ErrorKind::PreconditionFailed`] when it is another version.
    pub(crate) fn check(&self, tag: &str) -> Result<()> {
        match &self.0 {
            Some(tags) if !tags.iter().any(|wanted| wanted == tag) => {
                Err(Error::new(ErrorKind::PreconditionFailed, "the thing changed since it was read"))
            }
            _ => Ok(()),
        }
    }
}

/// A strong tag of what is seen: it changes whenever anything of that does, be it within one tick of the clock.
pub(crate) fn tag_of(seen: &impl Serialize) -> String {
    // Nothing that we serialise can fail; if it did, no tag would match, and nothing be overwritten.
    let text = serde_json::to_vec(seen).unwrap_or_default();
    let whole = digest(&SHA256, &text);
    whole.as_ref().iter().take(TAG_LEN).fold(String::with_capacity(2 * TAG_LEN), |mut out, byte| {
        out.extend([byte >> 4, byte & 15].iter().filter_map(|half| char::from_digit((*half).into(), 16)));
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_what_is_seen() {
        let tag = tag_of(&serde_json::json!({ "name": "Ada" }));
        assert_eq!((tag.len(), &tag), (32, &tag_of(&serde_json::json!({ "name": "Ada" }))));
        assert_ne!(tag, tag_of(&serde_json::json!({ "name": "Adb" })));
    }

    #[test]
    fn only_the_version_that_was_seen_is_changed() {
        assert!(Precondition::default().check("a").is_ok());
        assert!(Precondition::any_of(["b", "a"]).check("a").is_ok());
        for other in [Precondition::any_of(["b"]), Precondition::any_of(Vec::<String>::new())] {
            assert_eq!(other.check("a").unwrap_err().kind(), ErrorKind::PreconditionFailed);
        }
    }
}

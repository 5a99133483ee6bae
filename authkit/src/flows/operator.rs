//! Whether a signed-in caller may do what operators do.

use crate::authz::store as roles;
use crate::error::{Error, ErrorKind, Result};
use crate::flows::{Authenticated, Ctx};

/// The permission that covers all others.
const EVERYTHING: &str = "*";

impl Ctx {
    /// Asks the store whether the caller may do everything now: whether account and session stand, and whether a role
    /// that he holds at this moment permits everything, as `super_admin` does (R14).
    pub(crate) async fn require_operator(&self, auth: &Authenticated) -> Result<()> {
        let record = self.require_current(auth).await?;
        // Not the view of this node, which follows a change of a role within a second only.
        let defined = self.db.read(|conn| Box::pin(async move { roles::all(conn).await })).await?;
        let held = defined.iter().filter(|role| record.user.roles.contains(&role.name));
        if held.flat_map(|role| &role.permissions).any(|permission| permission == EVERYTHING) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forbidden, "no role of the caller permits everything"))
    }
}

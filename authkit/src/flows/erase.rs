//! The end of an account: what hangs on it ends with it, or is handed over.

use crate::audit::Entry;
use crate::authz::members::store as members;
use crate::authz::{Membership, ORG};
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::UserId;
use crate::invitations::store as invitations;
use crate::meta::RequestMeta;
use crate::users::{UserStatus, store as users};

/// Memberships that are looked at in one go.
const MANY: i64 = 1000;

impl Ctx {
    /// Refuses to end an account that is the last owner of an organisation: somebody else must be made one, or the
    /// organisation ended, first. Takes the rows of those organisations. The account's row is held.
    pub(crate) async fn keep_organisations_owned(&self, tx: &mut Tx<'_>, user: UserId) -> Result<Ruling<()>> {
        for membership in self.ownerships(tx, user).await? {
            members::take(tx.conn(), &membership.resource).await?;
            if let Err(refusal) = self.keep_an_owner(tx, &membership, None).await? {
                return Ok(Err(refusal));
            }
        }
        Ok(Ok(()))
    }

    /// What ends with an account, soft delete included: its roles everywhere, and whom it invited. A restored account
    /// comes back without them, as without its sessions.
    pub(crate) async fn end_what_hangs(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<()> {
        let now = self.now();
        let invited = invitations::end_of_inviter(tx.conn(), user, None, now).await?;
        let roles = members::delete_of_user(tx.conn(), user).await?;
        if roles > 0 || invited > 0 {
            let entry = Entry::success(Action::MembershipRevoke, user)
                .detail("resource", "*")
                .detail("memberships", roles)
                .detail("invitations", invited);
            self.audit.grant(tx, meta, entry).await?;
        }
        Ok(())
    }

    /// Makes `to` an owner of everything of which `from` is the last one. Returns how many things that were.
    pub(crate) async fn hand_over_in(
        &self,
        tx: &mut Tx<'_>,
        from: UserId,
        to: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<u64>> {
        let heir = users::by_id(tx.conn(), to).await?;
        if from == to || heir.is_none_or(|heir| heir.user.status != UserStatus::Active) {
            let text = "nothing is handed over to an account that cannot sign in, or to the same one";
            return Ok(Err(Error::new(ErrorKind::Conflict, text).with_public(text)));
        }
        // In the order of ids, as everybody takes two accounts.
        for id in [from.min(to), from.max(to)] {
            users::take(tx.conn(), id).await?;
        }
        let mut count = 0;
        for membership in self.all_ownerships(tx, from).await? {
            let resource = &membership.resource;
            members::take(tx.conn(), resource).await?;
            if self.keep_an_owner(tx, &membership, None).await?.is_ok() {
                continue;
            }
            match members::of(tx.conn(), to, resource).await? {
                Some(held) => {
                    members::set_role(tx.conn(), held.id, &membership.role, self.now()).await?;
                    let entry = Entry::success(Action::MembershipChange, to)
                        .detail("resource", resource.to_string())
                        .detail("role", membership.role.clone())
                        .detail("from", held.role);
                    self.audit.grant(tx, meta, entry).await?;
                }
                None => {
                    if let Err(refusal) = self.seat(tx, resource).await? {
                        return Ok(Err(refusal));
                    }
                    self.add_member(tx, to, resource, &membership.role, false, meta).await?;
                }
            }
            count += 1;
        }
        Ok(Ok(count))
    }

    async fn ownerships(&self, tx: &mut Tx<'_>, user: UserId) -> Result<Vec<Membership>> {
        let mut all = self.all_ownerships(tx, user).await?;
        all.retain(|membership| membership.resource.kind() == ORG);
        Ok(all)
    }

    /// Sorted, so that everybody takes their rows in the same order.
    async fn all_ownerships(&self, tx: &mut Tx<'_>, user: UserId) -> Result<Vec<Membership>> {
        let mut owned = Vec::new();
        let mut after = None;
        loop {
            let part = members::of_user(tx.conn(), user, None, after, MANY).await?;
            let Some(last) = part.last().map(|membership| membership.id.as_uuid()) else { break };
            after = Some(last);
            owned.extend(part.into_iter().filter(|membership| {
                let owning = self.types.owning(membership.resource.kind());
                owning.contains(&membership.role.as_str())
            }));
        }
        owned.sort_by(|a, b| a.resource.cmp(&b.resource));
        Ok(owned)
    }
}

//! Lists of organisations, members and invitations, for users and operators alike. Whether somebody may see them was
//! judged before.

use crate::authz::members::store as member_store;
use crate::authz::orgs::store as org_store;
use crate::authz::{Membership, Organisation, Resource};
use crate::crypto::keys::KeyPurpose;
use crate::db::page::Cursors;
use crate::db::{Listing, Page};
use crate::error::Result;
use crate::flows::Ctx;
use crate::ids::UserId;
use crate::invitations::Invitation;
use crate::invitations::store::{self as invitation_store, Which};

impl Ctx {
    pub(crate) async fn all_orgs(&self, page: &Page) -> Result<Listing<Organisation>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, "orgs".into());
        let (after, limit) = (cursors.start(page)?, i64::from(page.limit) + 1);
        let read =
            self.db.read(move |conn| Box::pin(async move { org_store::all(conn, after, limit).await }));
        Ok(cursors.page(read.await?, page, |org| org.id.as_uuid()))
    }

    pub(crate) async fn orgs_of(&self, user: UserId, page: &Page) -> Result<Listing<Organisation>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("orgs-of:{user}"));
        let (after, limit) = (cursors.start(page)?, i64::from(page.limit) + 1);
        let read = self
            .db
            .read(move |conn| Box::pin(async move { org_store::of_user(conn, user, after, limit).await }));
        let listing = cursors.page(read.await?, page, |(membership, _)| membership.as_uuid());
        let items = listing.items.into_iter().map(|(_, org)| org).collect();
        Ok(Listing { items, next_cursor: listing.next_cursor })
    }

    pub(crate) async fn members_of(&self, resource: &Resource, page: &Page) -> Result<Listing<Membership>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("members-of:{resource}"));
        let (after, limit, resource) = (cursors.start(page)?, i64::from(page.limit) + 1, resource.clone());
        let read = self.db.read(move |conn| {
            Box::pin(async move { member_store::of_resource(conn, &resource, after, limit).await })
        });
        Ok(cursors.page(read.await?, page, |membership| membership.id.as_uuid()))
    }

    pub(crate) async fn memberships_of(
        &self,
        user: UserId,
        kind: Option<&str>,
        page: &Page,
    ) -> Result<Listing<Membership>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("memberships-of:{user}:{kind:?}"));
        let (after, limit, kind) = (cursors.start(page)?, i64::from(page.limit) + 1, kind.map(str::to_owned));
        let read = self.db.read(move |conn| {
            Box::pin(async move { member_store::of_user(conn, user, kind.as_deref(), after, limit).await })
        });
        Ok(cursors.page(read.await?, page, |membership| membership.id.as_uuid()))
    }

    pub(crate) async fn invitations_of(&self, which: Which, page: &Page) -> Result<Listing<Invitation>> {
        let (key, _) = self.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("invitations:{which:?}"));
        let (before, limit, now) = (cursors.start(page)?, i64::from(page.limit) + 1, self.now());
        let read = self.db.read(move |conn| {
            Box::pin(async move { invitation_store::list(conn, &which, before, limit, now).await })
        });
        Ok(cursors.page(read.await?, page, |invitation| invitation.id.as_uuid()))
    }
}

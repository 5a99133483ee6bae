//! Locks: look at them, end them.

use std::sync::Arc;

use super::{Admin, AdminIn, Changed};
use crate::crypto::keys::KeyPurpose;
use crate::db::page::Cursors;
use crate::db::{Listing, Page, Tx};
use crate::devices;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::{LockoutId, UserId};
use crate::lockout::{KeyPair, Lockout, LockoutFilter, Row, store};
use crate::meta::RequestMeta;
use crate::users::{Email, User};

impl Admin {
    /// Counters of failed attempts and their locks, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list, [`ErrorKind::Validation`] for a malformed e-mail.
    pub async fn lockouts(&self, filter: &LockoutFilter, page: &Page) -> Result<Listing<Lockout>> {
        let ctx = &self.ctx;
        let (key, _) = ctx.keys.active_bytes(KeyPurpose::Cursor)?;
        let cursors = Cursors::new(&key, format!("lockouts:{filter:?}"));
        let (before, limit) = (cursors.start(page)?, i64::from(page.limit) + 1);
        let keys = ctx.keys_of(filter)?;
        let (wanted, moment) = (filter.clone(), ctx.lockouts.moment());
        let now = moment.micros();
        let rows = ctx
            .db
            .read(move |conn| {
                Box::pin(async move {
                    let keys = keys.as_ref().map(|keys| keys.each_ref().map(String::as_str));
                    store::list(conn, &wanted, keys, now, before, limit).await
                })
            })
            .await?;
        let listing = cursors.page(rows, page, |row| row.id.as_uuid());
        // What is over counts nothing, although the row still stands.
        let items = listing.items.into_iter().map(|row| ctx.describe_lockout(row));
        let counts = |lockout: &Lockout| lockout.failures > 0 || lockout.is_locked();
        let items = items.filter(|l| counts(l) && (!filter.locked || l.is_locked())).collect();
        Ok(Listing { items, next_cursor: listing.next_cursor })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn lockout(&self, id: LockoutId) -> Result<Lockout> {
        let row = self.ctx.db.read(move |conn| Box::pin(async move { store::by_id(conn, id).await })).await?;
        row.map(|row| self.ctx.describe_lockout(row)).ok_or_else(no_such_lockout)
    }

    /// Ends a lock and forgets its failures. Attempts being judged at this moment still count.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn clear_lockout(&self, id: LockoutId) -> Result<Changed<Lockout>> {
        self.run(Action::LockoutUnlock, None, move |ctx, tx, meta| {
            Box::pin(async move { ctx.clear_lockout_in(tx, id, meta).await })
        })
        .await
    }

    /// Removes up to `most` counters that matter no more, and up to `most` devices that ended or were not used for 400
    /// days. A live lock stays. Returns how many of both were removed.
    pub async fn sweep_lockouts(&self, most: u32) -> Result<u64> {
        let ctx = Arc::clone(&self.ctx);
        self.ctx
            .db
            .write(move |tx| {
                let ctx = Arc::clone(&ctx);
                Box::pin(async move {
                    let now = ctx.lockouts.moment().timestamp();
                    let untouched = (now - ctx.lockouts.untouched_for()).as_micros();
                    let rows = store::sweep(tx.conn(), untouched, now.as_micros(), most.into()).await?;
                    let unused = now - devices::REMEMBERED;
                    Ok(rows + devices::store::sweep(tx.conn(), unused, most.into()).await?)
                })
            })
            .await
    }

    /// Ends all locks of an account: e-mail, devices and second factor. Locks of addresses stay.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account.
    pub async fn unlock_user(&self, user: UserId) -> Result<Changed<User>> {
        self.run(Action::LockoutUnlock, Some(user), move |ctx, tx, meta| {
            Box::pin(async move { ctx.unlock_user_in(tx, user, meta).await })
        })
        .await
    }
}

impl AdminIn<'_, '_> {
    /// As [`Admin::unlock_user`].
    pub async fn unlock_user(&mut self, user: UserId) -> Result<Changed<User>> {
        self.ctx.unlock_user_in(self.tx, user, &self.meta).await?
    }
}

impl Ctx {
    /// Names of the rows of a filter's e-mail and address, under the present lookup key and the former one.
    fn keys_of(&self, filter: &LockoutFilter) -> Result<Option<[String; 6]>> {
        if filter.email.is_none() && filter.ip.is_none() {
            return Ok(None);
        }
        let names = self.row_keys()?;
        let mut keys = Vec::new();
        let mut add = |pair: KeyPair| keys.extend([pair.current, pair.former]);
        if let Some(email) = &filter.email {
            let email = Email::parse(email, "/email").map_err(|fault| Error::validation(vec![fault]))?;
            add(names.email(email.key()));
        }
        if let Some(ip) = filter.ip {
            add(names.ip(Some(ip)));
            add(names.network(Some(ip)));
        }
        keys.resize(6, String::new());
        Ok(<[String; 6]>::try_from(keys).ok())
    }

    /// A row as it counts now.
    fn describe_lockout(&self, mut row: Row) -> Lockout {
        row.look(&self.lockouts.moment(), &self.lockouts.rules(row.kind));
        row.describe()
    }

    async fn clear_lockout_in(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        id: LockoutId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<Lockout>>> {
        let Some(row) = store::by_id(tx.conn(), id).await? else { return Ok(Err(no_such_lockout())) };
        let (row, changed) = self.forget_in(tx, row, meta).await?;
        Ok(Ok(Changed::new(changed, row.describe())))
    }

    pub(crate) async fn unlock_user_in(
        self: &Arc<Self>,
        tx: &mut Tx<'_>,
        user: UserId,
        meta: &RequestMeta,
    ) -> Result<Ruling<Changed<User>>> {
        let Some(record) = self.take(tx, user).await? else {
            let refusal = Error::new(ErrorKind::NotFound, "there is no such account");
            return Ok(Err(refusal.with_public("There is no such account.")));
        };
        let changed = self.forget_failures_of(tx, user, &record.user.email, meta).await?;
        Ok(Ok(Changed::new(changed, record.user)))
    }
}

fn no_such_lockout() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such lockout").with_public("There is no such lockout.")
}

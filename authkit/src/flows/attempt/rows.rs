//! The rows behind an attempt: looked at, reserved on, settled, locked.

use std::sync::Arc;
use std::time::Duration;

use super::{Reservation, Target};
use crate::audit::Entry;
use crate::db::{Conn, Tx};
use crate::devices::{self, Presented};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::{Ctx, Ruling};
use crate::ids::LockoutId;
use crate::lockout::{LockKind, Moment, Row, store};
use crate::meta::RequestMeta;

/// What rows say at one moment.
pub(super) struct View {
    /// Until when nothing is judged.
    pub(super) locked_until: Option<i64>,
    /// The row that counts, if it is there, and what looking at it changed.
    pub(super) own: Option<(Row, bool)>,
    /// Rows to be written back although something is locked, and whether they lock newly.
    pub(super) mends: Vec<(Row, bool)>,
}

impl Ctx {
    /// A device that is not this account's, or not any more, counts as absent.
    pub(super) async fn admit_device(&self, conn: &mut Conn<'_>, target: &mut Target) -> Result<()> {
        let Some(device) = target.device.take() else { return Ok(()) };
        let owner = devices::store::owner(conn, &device, target.email.key()).await?;
        if let Some((owner, last_used_at)) = owner {
            target.kind = LockKind::Device;
            target.key = self.row_keys()?.device(device.id);
            target.user = Some(owner);
            target.device = Some(Presented { last_used_at: Some(last_used_at), ..device });
        }
        Ok(())
    }

    pub(super) async fn view(&self, conn: &mut Conn<'_>, target: &Target, moment: &Moment) -> Result<View> {
        let mut view = View { locked_until: None, own: None, mends: Vec::new() };
        for mut row in store::by_keys(conn, target.keys()).await? {
            let change = row.look(moment, &self.lockouts.rules(row.kind));
            row.touched_at = moment.micros();
            view.locked_until = view.locked_until.max(row.locked_until);
            if row.locked_until.is_some() && (change.guessed || change.locked) {
                view.mends.push((row.clone(), change.locked));
            }
            if row.key == target.key.current {
                view.own = Some((row, change.changed));
            }
        }
        Ok(view)
    }

    pub(super) async fn try_reserve(
        self: &Arc<Self>,
        target: &Arc<Target>,
    ) -> Result<Option<store::Reserved>> {
        let id = LockoutId::generate(self.now(), &*self.random)?;
        let (ctx, target) = (Arc::clone(self), Arc::clone(target));
        // No answer rests on the reservation alone: whatever the client is told, the settlement was durable before.
        self.db
            .write_ahead(move |tx| {
                let (ctx, target) = (Arc::clone(&ctx), Arc::clone(&target));
                Box::pin(async move {
                    let (rules, moment) = (ctx.lockouts.rules(target.kind), ctx.lockouts.moment());
                    let ask = store::Ask {
                        key: &target.key.current,
                        id,
                        kind: target.kind,
                        user: target.user,
                        now: moment.micros(),
                        threshold: rules.threshold,
                        window_from: (moment.timestamp() - rules.ttl).as_micros(),
                        others: target.others(),
                    };
                    store::reserve(tx.conn(), &ask).await
                })
            })
            .await
    }

    /// Looks why there was no place, and takes one if time has made one. `None`: try again.
    pub(super) async fn look_and_reserve(
        &self,
        tx: &mut Tx<'_>,
        target: &Target,
        meta: &RequestMeta,
    ) -> Result<Ruling<Option<i64>>> {
        let moment = self.lockouts.moment();
        let view = self.view(tx.conn(), target, &moment).await?;
        for (row, locks) in view.mends {
            self.write_back(tx, row, locks, target, meta).await?;
        }
        if let Some(until) = view.locked_until {
            return Ok(Err(locked(until, &moment)));
        }
        let Some((mut row, changed)) = view.own else { return Ok(Ok(None)) };
        let room = row.has_room(&self.lockouts.rules(row.kind));
        if !changed {
            return Ok(if room { Ok(None) } else { Err(crowded()) });
        }
        if room {
            row.reserve(moment.micros());
        }
        row.user = row.user.or(target.user);
        let round = row.round;
        let written = store::replace(tx.conn(), &row).await?;
        Ok(match (written, room) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some(round)),
            (true, false) => Err(crowded()),
        })
    }

    pub(super) async fn mend(
        self: &Arc<Self>,
        mends: Vec<(Row, bool)>,
        target: &Target,
        meta: &RequestMeta,
    ) -> Result<()> {
        let job = Arc::new((Arc::clone(self), mends, target.clone(), meta.clone()));
        self.db
            .write(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (ctx, mends, target, meta) = &*job;
                    for (row, locks) in mends {
                        ctx.write_back(tx, row.clone(), *locks, target, meta).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Another that was first has told of the lock, too.
    pub(super) async fn write_back(
        &self,
        tx: &mut Tx<'_>,
        row: Row,
        locks: bool,
        target: &Target,
        meta: &RequestMeta,
    ) -> Result<()> {
        if store::replace(tx.conn(), &row).await? && locks {
            self.tell_lock(tx, &row, target, meta).await?;
        }
        Ok(())
    }

    pub(super) async fn settle_failure(
        &self,
        tx: &mut Tx<'_>,
        reservation: &Reservation,
        meta: &RequestMeta,
    ) -> Result<()> {
        let target = &*reservation.target;
        let (moment, rules) = (self.lockouts.moment(), self.lockouts.rules(target.kind));
        let (now, until) = (moment.micros(), (moment.timestamp() + rules.ttl).as_micros());
        let key = &target.key.current;
        let settled =
            store::settle_failure(tx.conn(), key, reservation.round, now, rules.threshold, until).await?;
        if let Some(row) = settled
            && row.failures == rules.threshold
            && row.locked_until == Some(until)
        {
            self.tell_lock(tx, &row, target, meta).await?;
        }
        // One order for all: e-mail, address, network.
        for (kind, key) in [(LockKind::Ip, &target.ip), (LockKind::Network, &target.network)] {
            let (id, rules) = (LockoutId::generate(self.now(), &*self.random)?, self.lockouts.rules(kind));
            let mut row = store::take(tx.conn(), &key.current, id, kind, now).await?;
            let found = row.look(&moment, &rules).locked;
            let locks = match kind {
                LockKind::Network => row.fail_tag(target.tag, &moment, &rules),
                _ => row.fail(&moment, &rules),
            };
            row.touched_at = now;
            self.write_back(tx, row, locks || found, target, meta).await?;
        }
        Ok(())
    }

    /// Once a lock, in the transaction that makes it.
    pub(super) async fn tell_lock(
        &self,
        tx: &mut Tx<'_>,
        row: &Row,
        target: &Target,
        meta: &RequestMeta,
    ) -> Result<()> {
        let mut entry = locked_entry(row);
        let about_person = !matches!(row.kind, LockKind::Ip | LockKind::Network);
        if about_person {
            entry.user = row.user;
            if row.user.is_none() {
                entry = entry.detail("email_hash", self.email_fingerprint(&target.email)?);
            }
        }
        if row.kind == LockKind::Email {
            entry = self.with_unlock_link(tx, entry, row.user, &target.email).await?;
        }
        self.audit.record(tx, meta, entry.clone().by_system()).await?;
        if row.kind == LockKind::Network || (row.kind == LockKind::Ip && row.lock_count > 1) {
            entry.action = Action::LockoutEscalate;
            self.audit.record(tx, meta, entry.by_system()).await?;
        }
        Ok(())
    }
}

pub(super) fn locked(until: i64, now: &Moment) -> Error {
    let left = u64::try_from(until.saturating_sub(now.micros())).unwrap_or(0).max(1);
    Error::from(ErrorKind::Locked).with_retry_after(Duration::from_micros(left))
}

/// Refused only because of those that are being judged.
pub(super) fn crowded() -> Error {
    Error::new(ErrorKind::RateLimited, "as many attempts are being judged as may fail")
        .with_retry_after(Duration::from_secs(1))
}

fn locked_entry(row: &Row) -> Entry {
    let seen = row.describe();
    let entry = Entry::system(Action::LockoutLock)
        .detail("kind", row.kind.name())
        .detail("lockout", row.id.to_string())
        .detail("failures", seen.failures)
        .detail("lock_count", seen.lock_count);
    match seen.locked_until {
        Some(until) => entry.detail("locked_until", until.to_string()),
        None => entry,
    }
}

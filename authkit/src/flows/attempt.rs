//! Every door that judges a credential goes this way (contract 4.3): look whether it is locked, wait for a hash slot,
//! reserve one of the attempts that may still fail, hash, settle.
//!
//! A reservation counts like a failure until it is settled, so that of many guesses at once no more are judged
//! than may fail. It is made when a slot is at hand, so that overload leaves nothing behind. From then on everything
//! runs in a task of its own that shutdown waits for ([`Ctx::detached`]): a client that hangs up cancels no count.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument as _;

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::{Conn, Job, Tx};
use crate::devices::{self, Presented};
use crate::error::{Error, ErrorKind, Result};
use crate::flows::{Ctx, Ruling};
use crate::ids::{LockoutId, UserId};
use crate::lockout::{KeyPair, LockKind, Moment, Row, RowKeys, store};
use crate::meta::RequestMeta;
use crate::users::Email;

/// So often a row is looked at again that others change at the same time.
const TRIES: usize = 16;

/// What is being tried. Each has a counter of its own, shared by every door that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor {
    /// Counted on the e-mail, or on the device that shows itself.
    Password,
    /// Counted on the account, over all factors and tokens.
    #[cfg_attr(not(test), expect(dead_code, reason = "its doors come with second factors"))]
    SecondFactor(UserId),
}

/// Who tries what, from where: the rows on which it counts.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    kind: LockKind,
    key: KeyPair,
    user: Option<UserId>,
    device: Option<Presented>,
    email: Email,
    ip: KeyPair,
    network: KeyPair,
    /// Stands for the e-mail among those that failed from the network.
    tag: u32,
    /// The row must be looked at before anything is reserved on it.
    due: bool,
}

impl Target {
    /// The account, once it is known.
    pub(crate) fn of(mut self, user: Option<UserId>) -> Self {
        self.user = user;
        self
    }

    /// The account, if there is one.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.user
    }

    /// The e-mail that was tried.
    pub(crate) fn email(&self) -> &Email {
        &self.email
    }

    /// The device on whose own budget this counts.
    pub(crate) fn device(&self) -> Option<&Presented> {
        self.device.as_ref()
    }

    fn keys(&self) -> [&str; 6] {
        let [ip, old_ip, network, old_network] = self.others();
        [&self.key.current, &self.key.former, ip, old_ip, network, old_network]
    }

    fn others(&self) -> [&str; 4] {
        [&self.ip.current, &self.ip.former, &self.network.current, &self.network.former]
    }
}

/// An attempt that may be judged. Until it is settled it counts like a failure, and 30 s later it is one.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    target: Arc<Target>,
    round: i64,
}

impl Reservation {
    /// What is tried.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
}

/// What rows say at one moment.
struct View {
    /// Until when nothing is judged.
    locked_until: Option<i64>,
    /// The row that counts, if it is there, and what looking at it changed.
    own: Option<(Row, bool)>,
    /// Rows to be written back although something is locked, and whether they lock newly.
    mends: Vec<(Row, bool)>,
}

impl Ctx {
    /// Names of rows under the present lookup key.
    pub(crate) fn row_keys(&self) -> Result<RowKeys> {
        let active = self.keys.active_bytes(KeyPurpose::Lookup)?;
        Ok(RowKeys::new(active, self.keys.retiring_bytes(KeyPurpose::Lookup)?))
    }

    /// The rows on which an attempt counts.
    pub(crate) fn target(
        &self,
        factor: Factor,
        email: &Email,
        device: Option<Presented>,
        meta: &RequestMeta,
    ) -> Result<Target> {
        let names = self.row_keys()?;
        let (kind, key, user) = match factor {
            Factor::Password => (LockKind::Email, names.email(email.key()), None),
            Factor::SecondFactor(user) => (LockKind::SecondFactor, names.second_factor(user), Some(user)),
        };
        Ok(Target {
            kind,
            key,
            user,
            device: device.filter(|_| factor == Factor::Password),
            email: email.clone(),
            ip: names.ip(meta.ip),
            network: names.network(meta.ip),
            tag: names.tag(meta.ip, email.key()),
            due: false,
        })
    }

    /// Refuses what is locked, with one read and no write; else reads on by `then`. A device that is this e-mail's
    /// takes the place of the e-mail.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`]
    pub(crate) async fn unless_locked<T, F>(
        self: &Arc<Self>,
        target: Target,
        meta: &RequestMeta,
        then: F,
    ) -> Result<(Target, T)>
    where
        T: Send + 'static,
        F: for<'a, 'c> FnOnce(&'a mut Conn<'c>) -> Job<'a, T> + Send + 'static,
    {
        let ctx = Arc::clone(self);
        let (target, view, rest) = self
            .db
            .read(move |conn| {
                Box::pin(async move {
                    let mut target = target;
                    ctx.admit_device(conn, &mut target).await?;
                    let view = ctx.view(conn, &target, &ctx.lockouts.moment()).await?;
                    target.due = view.own.as_ref().is_some_and(|(_, changed)| *changed);
                    let rest = if view.locked_until.is_some() { None } else { Some(then(conn).await?) };
                    Ok((target, view, rest))
                })
            })
            .await?;
        if !view.mends.is_empty() {
            self.mend(view.mends, &target, meta).await?;
        }
        match rest {
            Some(rest) => Ok((target, rest)),
            None => Err(locked(view.locked_until.unwrap_or_default(), &self.lockouts.moment())),
        }
    }

    /// Takes one of the attempts that may still fail.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`]; [`ErrorKind::RateLimited`] when so many are being judged now that no more may fail.
    pub(crate) async fn reserve(self: &Arc<Self>, target: Target, meta: &RequestMeta) -> Result<Reservation> {
        let mut look_first = target.due;
        let target = Arc::new(target);
        for _ in 0..TRIES {
            if !look_first && let Some(reserved) = self.try_reserve(&target).await? {
                let reservation = Reservation { target: Arc::clone(&target), round: reserved.round };
                if !reserved.blocked {
                    return Ok(reservation);
                }
                // The address got locked while this one waited for its slot.
                self.give_back(&reservation, None, meta).await?;
            }
            look_first = false;
            let (ctx, target_in, meta_in) = (Arc::clone(self), Arc::clone(&target), meta.clone());
            let looked = self
                .db
                .write(move |tx| {
                    let (ctx, target, meta) = (Arc::clone(&ctx), Arc::clone(&target_in), meta_in.clone());
                    Box::pin(async move { ctx.look_and_reserve(tx, &target, &meta).await })
                })
                .await??;
            if let Some(round) = looked {
                return Ok(Reservation { target, round });
            }
        }
        Err(crowded())
    }

    /// The attempt failed: it counts on its row, its address and its network, and `entry` tells of it.
    pub(crate) async fn fail(
        self: &Arc<Self>,
        reservation: &Reservation,
        entry: Entry,
        meta: &RequestMeta,
    ) -> Result<()> {
        let job = Arc::new((Arc::clone(self), reservation.clone(), entry, meta.clone()));
        self.db
            .write(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (ctx, reservation, entry, meta) = &*job;
                    ctx.settle_failure(tx, reservation, meta).await?;
                    ctx.audit.record(tx, meta, entry.clone()).await.map(|_| ())
                })
            })
            .await
    }

    /// Nothing was proved wrong: the attempt does not count. `entry` tells of it, if there is something to tell.
    pub(crate) async fn give_back(
        self: &Arc<Self>,
        reservation: &Reservation,
        entry: Option<Entry>,
        meta: &RequestMeta,
    ) -> Result<()> {
        let job = Arc::new((Arc::clone(self), reservation.clone(), entry, meta.clone()));
        self.db
            .write(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (ctx, reservation, entry, meta) = &*job;
                    ctx.give_back_in(tx, reservation).await?;
                    if let Some(entry) = entry {
                        ctx.audit.record(tx, meta, entry.clone()).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// As [`Self::give_back`], in the caller's transaction.
    pub(crate) async fn give_back_in(&self, tx: &mut Tx<'_>, reservation: &Reservation) -> Result<()> {
        let now = self.lockouts.moment().micros();
        store::settle_back(tx.conn(), &reservation.target.key.current, reservation.round, now).await?;
        Ok(())
    }

    /// A full sign-in: the row's failures are forgotten, in the transaction that begins the session.
    ///
    /// # Errors
    /// [`ErrorKind::RateLimited`] when it took so long that the reservation has become a failure: the session is
    /// undone with the transaction.
    pub(crate) async fn succeed_in(&self, tx: &mut Tx<'_>, reservation: &Reservation) -> Result<()> {
        let now = self.lockouts.moment().micros();
        let key = &reservation.target.key.current;
        let settled = store::settle_success(tx.conn(), key, reservation.round, now).await?;
        if settled { Ok(()) } else { Err(crowded()) }
    }

    /// After an error before the settlement: the reservation is given back if the store allows it, else it becomes a
    /// failure by itself.
    pub(crate) async fn unsettled<T>(
        self: &Arc<Self>,
        reservation: &Reservation,
        out: Result<T>,
        meta: &RequestMeta,
    ) -> Result<T> {
        if out.is_err()
            && let Err(error) = self.give_back(reservation, None, meta).await
        {
            tracing::warn!(%error, "an attempt could not be given back; it will count as failed");
        }
        out
    }

    /// Runs `work` in a task of its own that shutdown waits for: whoever waits for it may go away.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let under_way = self.db.under_way();
        let task = async move {
            let _under_way = under_way;
            work.await
        };
        let task = tokio::spawn(task.instrument(tracing::Span::current()));
        task.await.map_err(|error| {
            let text = "a sign-in did not come to its end";
            let error_of = if error.is_panic() { Error::internal } else { Error::unavailable };
            error_of(text).with_source(error)
        })?
    }

    /// Forgets failures and locks of an account: of its e-mail, its devices and its second factor. `true` when there
    /// was something to forget; each lock is audited. The account's row is held.
    pub(crate) async fn forget_failures_of(
        &self,
        tx: &mut Tx<'_>,
        user: UserId,
        email: &str,
        meta: &RequestMeta,
    ) -> Result<bool> {
        let mut rows = store::of_user(tx.conn(), user).await?;
        if let Ok(email) = Email::parse(email, "/email") {
            // Counted before the account was there: its row does not name it.
            let key = self.row_keys()?.email(email.key());
            let named = store::by_keys(tx.conn(), [&key.current, &key.former, "", "", "", ""]).await?;
            rows.extend(named.into_iter().filter(|row| row.user != Some(user)));
        }
        let mut some = false;
        for row in rows {
            let row = Row { user: Some(user), ..row };
            some |= self.forget_in(tx, row, meta).await?.1;
        }
        Ok(some)
    }

    /// For the purge of an account: its rows go, locked or not.
    pub(crate) async fn forget_attempts_of(&self, tx: &mut Tx<'_>, user: UserId, email: &str) -> Result<()> {
        let key = match Email::parse(email, "/email") {
            Ok(email) => self.row_keys()?.email(email.key()),
            Err(_) => KeyPair::default(),
        };
        store::delete_of_user(tx.conn(), user, [&key.current, &key.former]).await.map(|_| ())
    }

    /// Forgets failures and lock of one row. Audited when there was something to forget.
    pub(crate) async fn forget_in(
        &self,
        tx: &mut Tx<'_>,
        mut row: Row,
        meta: &RequestMeta,
    ) -> Result<(Row, bool)> {
        for _ in 0..TRIES {
            let moment = self.lockouts.moment();
            row.look(&moment, &self.lockouts.rules(row.kind));
            if !row.forget() {
                return Ok((row, false));
            }
            row.touched_at = moment.micros();
            if store::replace(tx.conn(), &row).await? {
                let mut entry = unlocked(&row);
                entry.user = row.user;
                self.audit.record(tx, meta, entry).await?;
                return Ok((row, true));
            }
            match store::by_id(tx.conn(), row.id).await? {
                Some(fresh) => row = Row { user: row.user.or(fresh.user), ..fresh },
                None => return Ok((row, false)),
            }
        }
        Err(Error::unavailable("a counter of failures changed all the time"))
    }
}

impl Ctx {
    /// A device that is not this account's, or not any more, counts as absent.
    async fn admit_device(&self, conn: &mut Conn<'_>, target: &mut Target) -> Result<()> {
        let Some(device) = target.device.take() else { return Ok(()) };
        let owner = devices::store::owner(conn, &device, target.email.key()).await?;
        if let Some(owner) = owner {
            target.kind = LockKind::Device;
            target.key = self.row_keys()?.device(device.id);
            target.user = Some(owner);
            target.device = Some(device);
        }
        Ok(())
    }

    async fn view(&self, conn: &mut Conn<'_>, target: &Target, moment: &Moment) -> Result<View> {
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

    async fn try_reserve(self: &Arc<Self>, target: &Arc<Target>) -> Result<Option<store::Reserved>> {
        let id = LockoutId::generate(self.now(), &*self.random)?;
        let (ctx, target) = (Arc::clone(self), Arc::clone(target));
        self.db
            .write_statement(move |tx| {
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
    async fn look_and_reserve(
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

    async fn mend(
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
    async fn write_back(
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

    async fn settle_failure(
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
    async fn tell_lock(&self, tx: &mut Tx<'_>, row: &Row, target: &Target, meta: &RequestMeta) -> Result<()> {
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
            entry.action = crate::events::Action::LockoutEscalate;
            self.audit.record(tx, meta, entry.by_system()).await?;
        }
        Ok(())
    }
}

fn locked(until: i64, now: &Moment) -> Error {
    let left = u64::try_from(until.saturating_sub(now.micros())).unwrap_or(0).max(1);
    Error::from(ErrorKind::Locked).with_retry_after(Duration::from_micros(left))
}

/// Refused only because of those that are being judged.
fn crowded() -> Error {
    Error::new(ErrorKind::RateLimited, "as many attempts are being judged as may fail")
        .with_retry_after(Duration::from_secs(1))
}

fn locked_entry(row: &Row) -> Entry {
    let seen = row.describe();
    let entry = Entry::system(crate::events::Action::LockoutLock)
        .detail("kind", row.kind.name())
        .detail("lockout", row.id.to_string())
        .detail("failures", seen.failures)
        .detail("lock_count", seen.lock_count);
    match seen.locked_until {
        Some(until) => entry.detail("locked_until", until.to_string()),
        None => entry,
    }
}

fn unlocked(row: &Row) -> Entry {
    Entry::system(crate::events::Action::LockoutUnlock)
        .detail("kind", row.kind.name())
        .detail("lockout", row.id.to_string())
}

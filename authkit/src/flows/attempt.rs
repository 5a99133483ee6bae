//! Every door that judges a credential goes this way (contract 4.3): look whether it is locked, wait for a hash slot,
//! reserve one of the attempts that may still fail, hash, settle.
//!
//! A reservation counts like a failure until it is settled, so that of many guesses at once no more are judged
//! than may fail. It is made when a slot is at hand, so that overload leaves nothing behind. From then on everything
//! runs in a task of its own that shutdown waits for ([`Ctx::detached`]): a client that hangs up cancels no count.

mod forget;
mod rows;

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument as _;

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::{Conn, Job, Tx};
use crate::devices::Presented;
use crate::error::{Error, Result};
use crate::flows::Ctx;
use crate::ids::{DeviceId, UserId};
use crate::lockout::{KeyPair, LockKind, RowKeys, store};
use crate::meta::RequestMeta;
use crate::users::Email;

use self::rows::{crowded, locked};

/// So often a row is looked at again that others change at the same time.
const TRIES: usize = 16;

/// What is being tried. Each has a counter of its own, shared by every door that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor {
    /// Counted on the e-mail, or on the device that shows itself.
    Password,
    /// Counted on the account, over all factors and tokens.
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
    /// [`Locked`](crate::ErrorKind::Locked)
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
    /// [`Locked`](crate::ErrorKind::Locked); [`RateLimited`](crate::ErrorKind::RateLimited) when so many are being judged now that no more may fail.
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

    /// As [`Self::fail`], in the caller's transaction, which tells of it.
    pub(crate) async fn fail_in(
        &self,
        tx: &mut Tx<'_>,
        reservation: &Reservation,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.settle_failure(tx, reservation, meta).await
    }

    /// Forgets wrong passwords of an e-mail, or of the device that showed itself, after a sign-in that was completed
    /// elsewhere. A lock stays: it is about what others do at this moment.
    pub(crate) async fn forgive_password(
        &self,
        tx: &mut Tx<'_>,
        email: &Email,
        device: Option<DeviceId>,
    ) -> Result<()> {
        let names = self.row_keys()?;
        let key = device.map_or_else(|| names.email(email.key()), |device| names.device(device));
        store::forgive(tx.conn(), &key.current, self.lockouts.moment().micros()).await
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
    /// [`RateLimited`](crate::ErrorKind::RateLimited) when it took so long that the reservation has become a failure: the session is
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
}

#[cfg(test)]
mod tests;

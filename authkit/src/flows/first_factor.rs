//! The one end of every first factor: whichever door it was given at, what becomes of it is decided here.

use crate::audit::Entry;
use crate::crypto::keys::KeyPurpose;
use crate::db::Tx;
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::attempt::Reservation;
use crate::flows::device::Device;
use crate::flows::gate::{Start, Started};
use crate::flows::tokens::Facts;
use crate::flows::{Amr, Ctx, Login, Ruling, Tokens};
use crate::ids::{PendingId, UserId};
use crate::meta::RequestMeta;
use crate::mfa::{PendingRecord, PendingSignIn, PendingToken, store};
use crate::sessions::Standing;

/// A first factor that was right.
#[derive(Debug, Clone)]
pub(crate) struct First<'a> {
    /// What is told in the audit when it is a sign-in.
    pub(crate) action: Action,
    pub(crate) user: UserId,
    /// The epoch under which it was judged.
    pub(crate) epoch: i64,
    /// What it proves.
    pub(crate) amr: Amr,
    /// The device that showed itself, or a new one.
    pub(crate) device: Option<&'a Device>,
    /// The attempt, if it was one that could fail.
    pub(crate) reservation: Option<&'a Reservation>,
}

/// What became of a first factor.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A session has begun.
    Started(Box<Started>),
    /// The account has a second factor, and it is outstanding.
    Pending(PendingSignIn),
}

impl Ctx {
    /// Begins the session that a first factor opens, or has the account wait for its second factor. Settles the
    /// attempt, remembers the device, writes the audit.
    pub(crate) async fn finish_first_factor(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        first: &First<'_>,
    ) -> Result<Ruling<Outcome>> {
        let start = Start {
            user: first.user,
            epoch: first.epoch,
            amr: first.amr.clone(),
            replaces: None,
            device: first.device.map(Device::id),
            proved_at: None,
        };
        if let Some(started) = self.start_session(tx, meta, &start).await? {
            let mut entry = Entry::success(first.action, first.user).session(started.session.id);
            if let Some(device) = first.device {
                entry = self.remember_device(tx, device, &started).await?.on(entry);
            }
            if let Some(reservation) = first.reservation {
                self.succeed_in(tx, reservation).await?;
            }
            self.audit.grant(tx, meta, entry).await?;
            return Ok(Ok(Outcome::Started(Box::new(started))));
        }
        if let Some(pending) = self.await_second_factor(tx, meta, first).await? {
            return Ok(Ok(Outcome::Pending(pending)));
        }
        let entry = Entry::failure(first.action, Some(first.user), "changed_meanwhile");
        self.audit.record(tx, meta, entry).await?;
        Ok(Err(ErrorKind::InvalidCredentials.into()))
    }

    /// `None` when that is not what the gate refused for.
    async fn await_second_factor(
        &self,
        tx: &mut Tx<'_>,
        meta: &RequestMeta,
        first: &First<'_>,
    ) -> Result<Option<PendingSignIn>> {
        if first.amr.is_mfa() {
            return Ok(None);
        }
        let factors = self.factors(tx.conn(), first.user).await?;
        if !factors.any() {
            return Ok(None);
        }
        let (now, life) = (self.now(), self.config.mfa.token_ttl);
        let pending = PendingRecord {
            id: PendingId::generate(now, &*self.random)?,
            user: first.user,
            epoch: first.epoch,
            amr: first.amr.text(),
            device: match first.device {
                Some(Device::Known(known)) => Some(known.id),
                _ => None,
            },
        };
        if !store::begin(tx.conn(), &pending, self.unverified_may(), now, now + life).await? {
            return Ok(None);
        }
        // Nothing was proved wrong, and nobody is signed in: what failed before still counts (contract 4.3).
        if let Some(reservation) = first.reservation {
            self.give_back_in(tx, reservation).await?;
        }
        let entry = Entry::success(Action::MfaPending, first.user).detail("first", first.amr.text());
        self.audit.record(tx, meta, entry).await?;
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Token)?;
        let mfa_token = PendingToken::issue(kid, &key, pending.id, pending.user);
        Ok(Some(PendingSignIn { mfa_token, factors: factors.kinds(), expires_in: life.as_secs() }))
    }

    /// What the client gets, after the commit.
    pub(crate) async fn conclude(
        &self,
        meta: &RequestMeta,
        outcome: Outcome,
        device: Option<&Device>,
    ) -> Result<Login> {
        match outcome {
            Outcome::Started(started) => self.hand_over(meta, *started, device).await.map(Login::Complete),
            Outcome::Pending(pending) => Ok(Login::SecondFactor(pending)),
        }
    }

    /// The tokens of a session that has begun.
    pub(crate) async fn hand_over(
        &self,
        meta: &RequestMeta,
        started: Started,
        device: Option<&Device>,
    ) -> Result<Tokens> {
        let facts =
            Facts { session: Standing::from(&started.session), ver: started.ver, roles: started.roles };
        let device_token = device.and_then(Device::token);
        Ok(Tokens { device_token, ..self.issue(meta, facts).await? })
    }
}

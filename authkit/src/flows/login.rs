//! Sign-in by password.

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::password::{Admission, MAX_PASSWORD_BYTES, Verification};
use crate::error::{Error, ErrorKind, FieldCode, FieldError, Result};
use crate::events::Action;
use crate::flows::attempt::{Factor, Reservation, Target};
use crate::flows::doors::Door;
use crate::flows::first_factor::First;
use crate::flows::gate::{Gate, gate};
use crate::flows::{Amr, Ctx, Tokens};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::mfa::PendingSignIn;
use crate::passwords::policy::normalise;
use crate::passwords::store::{self as passwords, SignInRow};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::users::{Email, UserStatus};

/// An e-mail and a password, as typed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: SecretString,
    /// [`Tokens::device_token`] of an earlier sign-in on this device. One that is unknown, or another account's,
    /// counts as absent.
    pub device_token: Option<SecretString>,
}

impl Credentials {
    /// An e-mail and a password.
    pub fn new(email: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self { email: email.into(), password: password.into(), device_token: None }
    }

    /// Adds the token of a device that signed in before.
    #[must_use]
    pub fn with_device_token(mut self, token: impl Into<SecretString>) -> Self {
        self.device_token = Some(token.into());
        self
    }
}

/// How a sign-in ended, short of a refusal.
#[derive(Debug)]
#[non_exhaustive]
pub enum Login {
    /// Signed in.
    Complete(Tokens),
    /// The second factor is outstanding: nobody is signed in.
    SecondFactor(PendingSignIn),
}

impl Ctx {
    pub(crate) async fn login(self: &Arc<Self>, input: Credentials, meta: &RequestMeta) -> Result<Login> {
        let (email, password) = check_input(&input)?;
        let device = self.shown_device(input.device_token.as_ref(), &email).await?;
        let known = device.as_ref().map(|device| device.id.as_uuid());
        self.limit(Door::Login { email: &email, device: known }, meta).await?;
        let target = self.target(Factor::Password, &email, device, meta)?;
        let key = email.clone();
        let (target, row) = self
            .unless_locked(target, meta, move |conn| {
                Box::pin(async move { passwords::for_sign_in(conn, key.key()).await })
            })
            .await?;
        let admission = self.hasher.admit().await?;
        let attempt = Attempt { email, password, row, meta: meta.clone() };
        let ctx = Arc::clone(self);
        // Held until it is settled: so no more reservations are open at a time than are admitted, and parallel sign-ins
        // to one account do not fill its budget.
        self.detached(async move { ctx.judge_login(attempt, target, &admission).await }).await
    }

    async fn judge_login(
        self: &Arc<Self>,
        attempt: Attempt,
        target: Target,
        admission: &Admission,
    ) -> Result<Login> {
        let Attempt { email, password, row, meta } = attempt;
        let owner = row.as_ref().map(|row| UserId::from_uuid(row.id));
        let reservation = self.reserve(target.of(owner), &meta).await?;
        // Unknown accounts and accounts without a password cost the same hash (R5). No connection is held.
        let stored = row.as_ref().and_then(|row| row.hash.clone());
        let out = self.hasher.verify_admitted(admission, &password, stored).await;
        let verification = self.unsettled(&reservation, out, &meta).await?;
        let (Some(row), Verification::Match { needs_rehash }) = (row.as_ref(), verification) else {
            let entry = match &row {
                Some(row) => failure(Some(row), "wrong_password"),
                None => failure(None, "unknown").detail("email_hash", self.email_fingerprint(&email)?),
            };
            self.fail(&reservation, entry, &meta).await?;
            return Err(ErrorKind::InvalidCredentials.into());
        };
        let status =
            UserStatus::from_name(&row.status).ok_or_else(|| Error::internal("an unknown status"))?;
        match gate(status, row.email_verified_at.is_some(), self.unverified_may()) {
            Gate::Open => {}
            // Counts like a wrong password, or the lock would tell that the password was right (R5).
            Gate::Closed(why) => {
                self.fail(&reservation, failure(Some(row), why), &meta).await?;
                return Err(ErrorKind::InvalidCredentials.into());
            }
            Gate::Unverified => {
                let entry = failure(Some(row), "email_unverified");
                self.give_back(&reservation, Some(entry), &meta).await?;
                return Err(ErrorKind::EmailUnverified.into());
            }
        }
        let upgraded = if needs_rehash {
            let out = self.hasher.hash_admitted(admission, &password).await;
            Some(self.unsettled(&reservation, out, &meta).await?)
        } else {
            None
        };
        self.complete_login(row, upgraded, &email, &reservation, &meta).await
    }

    async fn complete_login(
        self: &Arc<Self>,
        row: &SignInRow,
        upgraded: Option<String>,
        email: &Email,
        reservation: &Reservation,
        meta: &RequestMeta,
    ) -> Result<Login> {
        let (user, epoch) = (UserId::from_uuid(row.id), row.epoch);
        let device = self.device_of(reservation.target().device(), email);
        let device = self.unsettled(reservation, device, meta).await?;
        let rehash = row.hash.clone().zip(upgraded);
        let job = Arc::new((rehash, device.clone(), reservation.clone(), meta.clone()));
        let outcome = self
            .decide(meta, Action::Login, Some(user), move |ctx, tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (rehash, device, reservation, meta) = &*job;
                    let first = First {
                        action: Action::Login,
                        user,
                        epoch,
                        amr: Amr::password(),
                        device: Some(device),
                        reservation: Some(reservation),
                    };
                    let ruling = ctx.finish_first_factor(tx, meta, &first).await?;
                    if let (Ok(_), Some((old, new))) = (&ruling, rehash) {
                        passwords::rehash(tx.conn(), user, old, new).await?;
                    }
                    Ok(ruling)
                })
            })
            .await;
        let outcome = self.unsettled(reservation, outcome, meta).await?;
        self.conclude(meta, outcome, Some(&device)).await
    }
}

/// A sign-in on its way.
struct Attempt {
    email: Email,
    password: SecretString,
    row: Option<SignInRow>,
    meta: RequestMeta,
}

fn failure(row: Option<&SignInRow>, why: &str) -> Entry {
    Entry::failure(Action::Login, row.map(|row| UserId::from_uuid(row.id)), why)
}

/// Length caps come before any costly work (R16); what they refuse tells nothing about an account.
fn check_input(input: &Credentials) -> Result<(Email, SecretString)> {
    let mut faults = Vec::new();
    let email = Email::parse(&input.email, "/email").map_err(|fault| faults.push(fault)).ok();
    let password = normalise(&input.password);
    if password.expose_secret().is_empty() {
        faults.push(FieldError::new("/password", FieldCode::Required, "must not be empty"));
    } else if password.expose_secret().len() > MAX_PASSWORD_BYTES {
        faults.push(FieldError::new("/password", FieldCode::TooLong, "must be at most 512 bytes"));
    }
    match email {
        Some(email) if faults.is_empty() => Ok((email, password)),
        _ => Err(Error::validation(faults)),
    }
}

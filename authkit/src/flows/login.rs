//! Sign-in by password.

use std::sync::Arc;

use crate::audit::Entry;
use crate::crypto::password::{MAX_PASSWORD_BYTES, Verification};
use crate::error::{Error, ErrorKind, FieldCode, FieldError, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::gate::{Gate, Start, gate};
use crate::flows::tokens::Facts;
use crate::flows::{Ctx, Tokens};
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::passwords::policy::normalise;
use crate::passwords::store::{self as passwords, SignInRow};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::users::{Email, UserStatus};

/// How a password is told in `amr` (RFC 8176).
pub(crate) const AMR_PASSWORD: &str = "pwd";

/// An e-mail and a password, as typed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Credentials {
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: SecretString,
}

impl Credentials {
    /// An e-mail and a password.
    pub fn new(email: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self { email: email.into(), password: password.into() }
    }
}

/// How a sign-in ended, short of a refusal.
#[derive(Debug)]
#[non_exhaustive]
pub enum Login {
    /// Signed in.
    Complete(Tokens),
}

impl Ctx {
    pub(crate) async fn login(self: &Arc<Self>, input: Credentials, meta: &RequestMeta) -> Result<Login> {
        let (email, password) = check_input(&input)?;
        self.limit(Door::Login { email: &email, device: None }, meta).await?;
        let row = {
            let email = email.clone();
            self.db
                .read(move |conn| Box::pin(async move { passwords::for_sign_in(conn, email.key()).await }))
                .await?
        };
        // Unknown accounts and accounts without a password cost the same hash (R5). No connection is held.
        let stored = row.as_ref().and_then(|row| row.hash.clone());
        let verification = self.hasher.verify(&password, stored).await?;
        let (Some(row), Verification::Match { needs_rehash }) = (row.as_ref(), verification) else {
            let entry = match &row {
                Some(row) => failure(Some(row), "wrong_password"),
                None => failure(None, "unknown").detail("email_hash", self.email_fingerprint(&email)?),
            };
            return self.refuse(meta, entry, ErrorKind::InvalidCredentials.into()).await;
        };
        let status =
            UserStatus::from_name(&row.status).ok_or_else(|| Error::internal("an unknown status"))?;
        match gate(status, row.email_verified_at.is_some(), self.unverified_may()) {
            Gate::Open => {}
            Gate::Closed(why) => {
                return self
                    .refuse(meta, failure(Some(row), why), ErrorKind::InvalidCredentials.into())
                    .await;
            }
            Gate::Unverified => {
                let entry = failure(Some(row), "email_unverified");
                return self.refuse(meta, entry, ErrorKind::EmailUnverified.into()).await;
            }
        }
        let upgraded = if needs_rehash { Some(self.hasher.hash(&password).await?) } else { None };
        self.complete_login(row, upgraded, meta).await.map(Login::Complete)
    }

    async fn complete_login(
        self: &Arc<Self>,
        row: &SignInRow,
        upgraded: Option<String>,
        meta: &RequestMeta,
    ) -> Result<Tokens> {
        let user = UserId::from_uuid(row.id);
        let start = Start { user, epoch: row.epoch, amr: AMR_PASSWORD, replaces: None };
        let rehash = row.hash.clone().zip(upgraded);
        let meta_in = meta.clone();
        let started = self
            .decide(meta, Action::Login, Some(user), move |ctx, tx| {
                let (meta, start, rehash) = (meta_in.clone(), start.clone(), rehash.clone());
                Box::pin(async move {
                    let Some(started) = ctx.start_session(tx, &meta, &start).await? else {
                        let entry = Entry::failure(Action::Login, Some(user), "changed_meanwhile");
                        ctx.audit.record(tx, &meta, entry).await?;
                        return Ok(Err(ErrorKind::InvalidCredentials.into()));
                    };
                    if let Some((old, new)) = &rehash {
                        passwords::rehash(tx.conn(), user, old, new).await?;
                    }
                    let entry = Entry::success(Action::Login, user).session(started.session.id);
                    ctx.audit.grant(tx, &meta, entry).await?;
                    Ok(Ok(started))
                })
            })
            .await?;
        let facts = Facts { session: &started.session, ver: started.ver, roles: started.roles };
        self.issue(meta, facts).await
    }
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

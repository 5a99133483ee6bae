//! Sign-up.

use std::sync::Arc;

use crate::audit::Entry;
use crate::config::EmailVerification;
use crate::db::Tx;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::{Ctx, Ruling, mailed};
use crate::ids::UserId;
use crate::links::LinkPurpose;
use crate::meta::RequestMeta;
use crate::passwords::policy;
use crate::passwords::store as passwords;
use crate::secret::SecretString;
use crate::users::{Email, NewRecord, Record, User, UserStatus, check_name, empty_profile, store as users};

/// What somebody who signs up tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignUp {
    /// What to call the person.
    pub name: String,
    /// As typed.
    pub email: String,
    /// As typed.
    pub password: SecretString,
}

impl SignUp {
    /// The three facts of a sign-up.
    pub fn new(name: impl Into<String>, email: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self { name: name.into(), email: email.into(), password: password.into() }
    }
}

/// How a sign-up ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SignedUp {
    /// The account exists and may sign in.
    Created(User),
    /// With required verification: the same answer whether or not the address was known (R5).
    VerificationRequired,
}

impl Ctx {
    pub(crate) async fn signup(self: &Arc<Self>, input: SignUp, meta: &RequestMeta) -> Result<SignedUp> {
        let (email, name, password) = self.check_signup(&input)?;
        let mailed = self.mails_signups();
        let door = if mailed { Door::SignUpMailed { email: &email } } else { Door::SignUp };
        self.limit(door, meta).await?;
        let password = self.check_breach(password, "/password", None, meta).await?;
        let hash = self.hasher.hash(&password).await?;
        let id = UserId::generate(self.now(), &*self.random)?;
        let fingerprint = self.email_fingerprint(&email)?;
        let required = self.verification() == EmailVerification::Required;
        let new = NewRecord { id, email, name, email_verified: false, profile: empty_profile() };
        let made = {
            let meta_in = meta.clone();
            self.decide(meta, Action::UserSignUp, None, move |ctx, tx| {
                let (new, hash, meta, fingerprint) =
                    (new.clone(), hash.clone(), meta_in.clone(), fingerprint.clone());
                Box::pin(async move { ctx.signup_in(tx, &new, &hash, &fingerprint, &meta).await })
            })
            .await
        };
        match made {
            Ok(_) if required => Ok(SignedUp::VerificationRequired),
            Err(error) if required && error.kind() == ErrorKind::Conflict => {
                Ok(SignedUp::VerificationRequired)
            }
            Ok(record) => Ok(SignedUp::Created(record.user)),
            Err(error) => Err(error),
        }
    }

    async fn signup_in(
        &self,
        tx: &mut Tx<'_>,
        new: &NewRecord,
        hash: &str,
        fingerprint: &str,
        meta: &RequestMeta,
    ) -> Result<Ruling<Record>> {
        let point = tx.savepoint().await?;
        // Whether it waits for its former owner is asked after the insert, which on PostgreSQL waits for a change
        // that gives the address free at this moment.
        if users::insert(tx.conn(), new, self.now()).await? && !self.is_reserved(tx, &new.email, None).await?
        {
            tx.release(point).await?;
            self.furnish(tx, new, hash).await?;
            let found = users::by_id(tx.conn(), new.id).await?;
            let record = found.ok_or_else(|| Error::internal("a new account is not there"))?;
            if self.mails_signups() {
                self.send_link(tx, LinkPurpose::VerifyEmail, &record.user, record.version.epoch).await?;
            }
            self.audit.grant(tx, meta, Entry::success(Action::UserSignUp, new.id)).await?;
            return Ok(Ok(record));
        }
        tx.rollback_to(point).await?;
        if self.verification() == EmailVerification::Required {
            self.sign_up_known(tx, new, hash).await?;
            // As for a new one, whose answer is the same.
            self.idempotency.effected(tx, meta.claim).await?;
        }
        let entry = Entry::failure(Action::UserSignUp, None, "email_taken").detail("email_hash", fingerprint);
        self.audit.record(tx, meta, entry).await?;
        Ok(Err(taken()))
    }

    /// Password and roles of a new account.
    pub(crate) async fn furnish(&self, tx: &mut Tx<'_>, new: &NewRecord, hash: &str) -> Result<()> {
        let now = self.now();
        passwords::set(tx.conn(), new.id, hash, now).await?;
        for role in &self.config.accounts.default_roles {
            users::grant(tx.conn(), new.id, role, now).await?;
        }
        Ok(())
    }

    /// Where nobody shall learn that the address has an account, it costs what a new one costs: the same statements,
    /// undone, and the same rows beside them. Its owner is told.
    async fn sign_up_known(&self, tx: &mut Tx<'_>, new: &NewRecord, hash: &str) -> Result<()> {
        let point = tx.savepoint().await?;
        let mut shadow = new.clone();
        // No domain ends so (RFC 2606 section 2), and the id is new.
        shadow.email = mailed::stored(&format!("{}@shadow.invalid", new.id))?;
        if users::insert(tx.conn(), &shadow, self.now()).await? {
            self.furnish(tx, &shadow, hash).await?;
        }
        tx.rollback_to(point).await?;
        if self.mails_signups() {
            self.issue_decoy(tx, LinkPurpose::VerifyEmail, &new.email).await?;
            match users::by_email(tx.conn(), &new.email).await? {
                Some(owner) if owner.user.status == UserStatus::Active => {
                    self.mail_known(tx, &owner.user).await?;
                }
                _ => self.outbox.enqueue_nothing(tx).await.map(|_| ())?,
            }
        }
        Ok(())
    }

    fn mails_signups(&self) -> bool {
        self.verifies() && self.outbox.is_on()
    }

    /// All faults of the input at once.
    fn check_signup(&self, input: &SignUp) -> Result<(Email, String, SecretString)> {
        let mut faults = Vec::new();
        let name = check_name(&input.name, &mut faults);
        let email = Email::parse(&input.email, "/email").map_err(|fault| faults.push(fault)).ok();
        let context = policy::Context { email_local: email.as_ref().map(Email::local_part), words: &[] };
        let password = policy::check(&self.config.passwords, &input.password, &context, "/password")
            .map_err(|more| faults.extend(more))
            .ok();
        match (email, password) {
            (Some(email), Some(password)) if faults.is_empty() => Ok((email, name, password)),
            _ => Err(Error::validation(faults)),
        }
    }
}

pub(crate) fn taken() -> Error {
    Error::new(ErrorKind::Conflict, "the e-mail is taken")
        .with_public("An account with this e-mail exists already.")
}

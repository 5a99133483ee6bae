//! Sign-up.

use std::sync::Arc;

use crate::audit::Entry;
use crate::config::EmailVerification;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::Ctx;
use crate::flows::doors::Door;
use crate::ids::UserId;
use crate::meta::RequestMeta;
use crate::passwords::policy;
use crate::passwords::store as passwords;
use crate::secret::SecretString;
use crate::users::{Email, NewRecord, User, check_name, empty_profile, store as users};

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
        self.limit(Door::SignUp, meta).await?;
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
                Box::pin(async move {
                    let now = ctx.now();
                    if !users::insert(tx.conn(), &new, now).await? {
                        let entry = Entry::failure(Action::UserSignUp, None, "email_taken")
                            .detail("email_hash", fingerprint);
                        ctx.audit.record(tx, &meta, entry).await?;
                        return Ok(Err(taken()));
                    }
                    passwords::set(tx.conn(), id, &hash, now).await?;
                    for role in &ctx.config.accounts.default_roles {
                        users::grant(tx.conn(), id, role, now).await?;
                    }
                    ctx.audit.grant(tx, &meta, Entry::success(Action::UserSignUp, id)).await?;
                    let record = users::by_id(tx.conn(), id).await?;
                    Ok(record.ok_or_else(|| Error::internal("a new account is not there")))
                })
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

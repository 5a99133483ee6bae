//! Flows: one story a file, one transaction. Features meet only here.

pub(crate) mod account;
pub(crate) mod api_keys;
pub(crate) mod assurance;
pub(crate) mod attempt;
pub(crate) mod authenticate;
pub(crate) mod authority;
pub(crate) mod authz_lists;
pub(crate) mod credential_change;
pub(crate) mod device;
pub(crate) mod doors;
pub(crate) mod email_change;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod first_factor;
pub(crate) mod gate;
pub(crate) mod invitation_accept;
pub(crate) mod invitations;
pub(crate) mod limit;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod mailed;
pub(crate) mod memberships;
pub(crate) mod mfa_complete;
pub(crate) mod mfa_disable;
pub(crate) mod mfa_enrol;
pub(crate) mod once;
pub(crate) mod operator;
pub(crate) mod orgs;
pub(crate) mod passkeys;
pub(crate) mod passkeys_login;
pub(crate) mod passkeys_own;
pub(crate) mod password;
pub(crate) mod recovery;
pub(crate) mod redeem;
pub(crate) mod refresh;
pub(crate) mod second_factor;
pub(crate) mod signup;
pub(crate) mod step_up;
pub(crate) mod tokens;
pub(crate) mod unlock;
pub(crate) mod verification;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::api_keys::Touches;
use crate::audit::{Audit, Entry};
use crate::authz::{ResourceTypes, Roles};
use crate::config::{Config, EmailVerification};
use crate::crypto::keys::{KeyPurpose, Keys};
use crate::crypto::mac;
use crate::crypto::password::PasswordHasher;
use crate::crypto::verified_cache::VerifiedCache;
use crate::db::{CleanupJob, Db, Job, Tx};
use crate::error::{Error, Result};
use crate::events::Action;
use crate::idempotency::Idempotency;
use crate::ids::{SessionId, UserId};
use crate::limits::Limiter;
use crate::lockout::Lockouts;
use crate::mail::{Courier, Outbox};
use crate::meta::RequestMeta;
use crate::mfa::Seals;
use crate::passkeys::Ceremonies;
use crate::passwords::breach::BreachLookup;
use crate::random::SharedRandom;
use crate::secret::SecretString;
use crate::sessions::owners::Owners;
use crate::sessions::revocations::{Revocation, Revocations};
use crate::time::{SharedClock, Timestamp};
use crate::users::Email;

pub use account::ProfileChange;
pub use api_keys::ApiKeyRequest;
pub(crate) use assurance::Amr;
pub use assurance::{Acr, Assurance};
pub use authenticate::{AnyRole, Authenticated, Credential, Enrolling, Permission, Requirement, Role};
pub use doors::LimitAxis;
pub use invitation_accept::AcceptInvitation;
pub use login::{Credentials, Login};
pub use mfa_disable::DisableProof;
pub use passkeys::PasskeyOptions;
pub use passkeys_login::PasskeyFor;
pub use password::PasswordChange;
pub use second_factor::{PasskeyProof, SecondFactor};
pub use signup::{SignUp, SignedUp};
pub use step_up::StepUp;
pub(crate) use tokens::ClaimsSource;
pub use tokens::{ClaimsContext, Tokens};

/// A sign-in older than this is not fresh enough to change a credential (contract 4.14).
pub(crate) const FRESH: Duration = Duration::from_mins(5);

/// Everything that flows work with. One per [`crate::AuthKit`].
pub(crate) struct Ctx {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) config: Config,
    pub(crate) keys: Arc<Keys>,
    pub(crate) audit: Audit,
    pub(crate) outbox: Outbox,
    pub(crate) limiter: Limiter,
    pub(crate) owners: Owners,
    pub(crate) courier: Courier,
    pub(crate) hasher: PasswordHasher,
    pub(crate) lockouts: Lockouts,
    pub(crate) seals: Seals,
    pub(crate) touches: Touches,
    pub(crate) cleanup_jobs: Vec<Arc<dyn CleanupJob>>,
    pub(crate) cleanup_token: Option<SecretString>,
    pub(crate) idempotency: Idempotency,
    pub(crate) breach: Option<Arc<dyn BreachLookup>>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) verified: VerifiedCache,
    pub(crate) roles: Roles,
    pub(crate) types: ResourceTypes,
    pub(crate) claims: Option<ClaimsSource>,
    pub(crate) issuer: String,
    pub(crate) ceremonies: Ceremonies,
}

/// What a transaction decided: `Err` is a refusal whose traces are committed.
pub(crate) type Ruling<T> = std::result::Result<T, Error>;

impl Ctx {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn verification(&self) -> EmailVerification {
        self.config.email_verification()
    }

    /// Whether accounts may sign in before their address is proved.
    pub(crate) fn unverified_may(&self) -> bool {
        self.verification() != EmailVerification::Required
    }

    /// What stands for the e-mail of an unknown account in the audit: people type passwords into that field.
    pub(crate) fn email_fingerprint(&self, email: &Email) -> Result<String> {
        let (key, kid) = self.keys.active_bytes(KeyPurpose::Lookup)?;
        let tag = mac::mac(&key, &[b"email", email.key().as_bytes()]);
        Ok(format!("{kid}.{}", crate::crypto::strict::to_base64url(&tag)))
    }

    /// Runs `effect` in a write transaction. An error of a host's hook undoes the effect alone: the refusal is
    /// audited and committed. Without hooks an error undoes everything. An effect of a request that came with an
    /// idempotency key comes about once.
    pub(crate) async fn decide<T, F>(
        self: &Arc<Self>,
        meta: &RequestMeta,
        action: Action,
        user: Option<UserId>,
        effect: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a, 'c> Fn(&'a Arc<Self>, &'a mut Tx<'c>) -> Job<'a, Ruling<T>> + Send + Sync + 'static,
    {
        let ctx = Arc::clone(self);
        if !self.audit.has_hooks() {
            let job = Arc::new((ctx, effect, meta.claim));
            return self
                .db
                .write(move |tx| {
                    let job = Arc::clone(&job);
                    Box::pin(async move {
                        let ruling = (job.1)(&job.0, tx).await?;
                        if ruling.is_ok() {
                            job.0.idempotency.effected(tx, job.2).await?;
                        }
                        Ok(ruling)
                    })
                })
                .await?;
        }
        let job = Arc::new((ctx, effect, meta.clone()));
        self.db
            .write_alone(move |tx| {
                let job = Arc::clone(&job);
                Box::pin(async move {
                    let (ctx, effect, meta) = &*job;
                    let point = tx.savepoint().await?;
                    match effect(ctx, tx).await {
                        Ok(ruling) => {
                            tx.release(point).await?;
                            if ruling.is_ok() {
                                ctx.idempotency.effected(tx, meta.claim).await?;
                            }
                            Ok(ruling)
                        }
                        Err(error) if !tx.refused_by_hook() || crate::db::ends_transaction(&error) => {
                            Err(error)
                        }
                        Err(error) => {
                            tx.rollback_to(point).await?;
                            let entry = Entry::failure(action, user, "refused_by_hook");
                            ctx.audit.record(tx, meta, entry).await?;
                            Ok(Err(error))
                        }
                    }
                })
            })
            .await?
    }

    /// Audits a refusal in a transaction of its own and gives the refusal back.
    pub(crate) async fn refuse<T>(&self, meta: &RequestMeta, entry: Entry, refusal: Error) -> Result<T> {
        let (audit, meta, entry) = (self.audit.clone(), meta.clone(), Arc::new(entry));
        self.db
            .write(move |tx| {
                let (audit, meta, entry) = (audit.clone(), meta.clone(), Arc::clone(&entry));
                Box::pin(async move { audit.record(tx, &meta, (*entry).clone()).await.map(|_| ()) })
            })
            .await?;
        Err(refusal)
    }

    /// Makes the access tokens of ended sessions void.
    pub(crate) async fn revoke_sessions(&self, tx: &mut Tx<'_>, ended: &[SessionId]) -> Result<()> {
        for session in ended {
            self.revocations.revoke(tx, Revocation::Session(*session)).await?;
        }
        Ok(())
    }

    /// Reads whatever other processes changed: revocations, keys, roles.
    pub(crate) async fn refresh_views(&self) -> Result<()> {
        let heads = self.revocations.refresh(&self.db).await?;
        for (feed, head) in heads {
            if feed == crate::crypto::keys::FEED && head != self.keys.snapshot().head() {
                self.keys.load(&self.db).await?;
            } else if feed == crate::authz::FEED && head != self.roles.grants().head() {
                self.roles.load(&self.db).await?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx").field("db", &self.db).finish_non_exhaustive()
    }
}

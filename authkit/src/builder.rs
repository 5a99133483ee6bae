//! Putting a kit together: checks the settings, the schema and the root key before anything is served.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde::Serialize;

use crate::api_keys::Touches;
use crate::audit::{Audit, Hook};
use crate::authz::{ResourceTypes, Roles};
use crate::config::{Config, Environment, Secrets};
use crate::crypto::jwt::{LEEWAY, TokenVerifier};
use crate::crypto::keys::{JWKS_MAX_AGE, KeyTiming, Keys};
use crate::crypto::password::PasswordHasher;
use crate::crypto::seal::RootKeys;
use crate::crypto::verified_cache::{DEFAULT_CAPACITY, VerifiedCache};
use crate::db::{CleanupJob, Db};
use crate::error::{Error, Result};
use crate::events::{Event, Publisher};
use crate::flows::{ClaimsContext, ClaimsSource, Ctx};
use crate::idempotency::Idempotency;
use crate::kit::AuthKit;
use crate::limits::Limiter;
use crate::lockout::Lockouts;
use crate::mail::{Courier, MailText, Mailer, Outbox, Template, Texts};
use crate::meta::RequestMeta;
use crate::mfa::Seals;
use crate::passkeys::Ceremonies;
use crate::passwords::breach::BreachLookup;
use crate::random::{SecureRandom, SharedRandom, SystemRandom};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::sessions::owners::Owners;
use crate::sessions::revocations::{self, Revocations};
use crate::time::{Clock, SharedClock, SystemClock};

/// Hashes that may wait, for each slot; one more is shed with 503.
const QUEUE_PER_SLOT: usize = 64;

type EventSink = Arc<dyn Fn(&Event) + Send + Sync>;

/// Makes an [`AuthKit`]. Everything but store and secrets has a default.
pub struct AuthKitBuilder {
    db: Db,
    secrets: Secrets,
    config: Config,
    clock: SharedClock,
    random: SharedRandom,
    hooks: Vec<Box<dyn Hook>>,
    sinks: Vec<EventSink>,
    claims: Option<ClaimsSource>,
    breach: Option<Arc<dyn BreachLookup>>,
    mailer: Option<Arc<dyn Mailer>>,
    mail_texts: Vec<(Template, String, MailText)>,
    cleanup_jobs: Vec<Arc<dyn CleanupJob>>,
    revocation_capacity: usize,
    define_roles: bool,
    #[cfg(feature = "testing")]
    without_limits: bool,
}

impl AuthKitBuilder {
    pub(crate) fn new(db: Db, secrets: Secrets) -> Self {
        Self {
            db,
            secrets,
            config: Config::default(),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom::new()),
            hooks: Vec::new(),
            sinks: Vec::new(),
            claims: None,
            breach: None,
            mailer: None,
            mail_texts: Vec::new(),
            cleanup_jobs: Vec::new(),
            revocation_capacity: revocations::CAPACITY,
            define_roles: true,
            #[cfg(feature = "testing")]
            without_limits: false,
        }
    }

    /// The settings; without this call the defaults of development.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Declares a kind of thing on which users hold roles, beside those of the settings. Call it after
    /// [`Self::config`].
    #[must_use]
    pub fn resource_type(mut self, kind: crate::config::ResourceType) -> Self {
        self.config.authz.resource_types.push(kind);
        self
    }

    /// Another clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Another source of randomness. Must be unpredictable outside of tests.
    #[must_use]
    pub fn random(mut self, random: impl SecureRandom) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Code that runs inside the transaction of every granted event.
    #[must_use]
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Code that runs after the commit of every event, refusals too. It must be quick: it runs on the request path.
    #[must_use]
    pub fn on_event(mut self, sink: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// The host's own claims in access tokens; read back by [`crate::Authenticated::claims`]. Clients can read
    /// them: no secrets.
    #[must_use]
    pub fn claims<C, S, F>(mut self, source: S) -> Self
    where
        C: Serialize,
        S: Fn(ClaimsContext) -> F + Send + Sync + 'static,
        F: Future<Output = Result<C>> + Send + 'static,
    {
        self.claims = Some(Arc::new(move |context| {
            source(context)
                .map(|claims| {
                    serde_json::to_value(claims?)
                        .map_err(|e| Error::internal("custom claims cannot be written").with_source(e))
                })
                .boxed()
        }));
        self
    }

    /// Where to ask whether a password is known from breaches.
    #[must_use]
    pub fn breach_lookup(mut self, lookup: impl BreachLookup) -> Self {
        self.breach = Some(Arc::new(lookup));
        self
    }

    /// Sends no mails, whatever was said before.
    #[must_use]
    pub fn without_mailer(mut self) -> Self {
        self.mailer = None;
        self
    }

    /// What sends mails; see [`crate::mail`] for those that come along. Without one nothing is sent, and whatever needs
    /// mail is refused.
    #[must_use]
    pub fn mailer(mut self, mailer: impl Mailer) -> Self {
        self.mailer = Some(Arc::new(mailer));
        self
    }

    /// The words of one kind of mail in one language (such as `de` or `de-AT`), instead of those that are there. Users
    /// get the language of their profile's `locale`, else English.
    ///
    /// Words that use an unknown fact are refused by [`Self::build`].
    #[must_use]
    pub fn mail_template(mut self, template: Template, language: impl Into<String>, text: MailText) -> Self {
        self.mail_texts.push((template, language.into(), text));
        self
    }

    /// Something of the host's to be cleaned up with the library's own. A name that is taken is refused by
    /// [`Self::build`].
    #[must_use]
    pub fn cleanup_job(mut self, job: impl CleanupJob) -> Self {
        self.cleanup_jobs.push(Arc::new(job));
        self
    }

    /// Revocations held in memory; beyond them the store is asked a token at a time.
    #[must_use]
    pub fn revocation_capacity(mut self, entries: usize) -> Self {
        self.revocation_capacity = entries;
        self
    }

    /// No limit refuses anything: to measure what limits cost. Refused with `ENV=prod`.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn danger_without_limits(mut self) -> Self {
        self.without_limits = true;
        self
    }

    /// Leaves the roles of the settings as the store has them: for a process that only looks. Without this call
    /// roles that the settings define are written to the store when the kit is built.
    #[must_use]
    pub fn keep_roles(mut self) -> Self {
        self.define_roles = false;
        self
    }

    /// Checks everything and reads keys, roles and revocations.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for settings that must not be served with; [`crate::ErrorKind::Schema`] when the
    /// store is behind, ahead, or sealed under another root key; [`crate::ErrorKind::Unavailable`].
    pub async fn build(self) -> Result<AuthKit> {
        // Settings make it large, and it is awaited deep inside of other futures.
        Box::pin(self.put_together()).await
    }

    async fn put_together(self) -> Result<AuthKit> {
        let Self {
            db,
            secrets,
            config,
            clock,
            random,
            hooks,
            sinks,
            claims,
            breach,
            mailer,
            mail_texts,
            cleanup_jobs,
            ..
        } = self;
        let (revocation_capacity, define_roles) = (self.revocation_capacity, self.define_roles);
        #[cfg(feature = "testing")]
        let without_limits = self.without_limits;
        #[cfg(feature = "testing")]
        if config.env == Environment::Prod && without_limits {
            return Err(Error::config("to go without limits is for measurements only"));
        }
        let warnings = config.validate(&secrets, mailer.is_some()).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Error::config(lines.join("\n"))
        })?;
        for warning in warnings {
            tracing::warn!(target: "authkit::config", "{warning}");
        }
        if secrets.token_pepper.is_empty() {
            return Err(Error::config("TOKEN_PEPPER is missing: give at least one root key"));
        }
        if config.env == Environment::Prod && random.is_predictable() {
            return Err(Error::config("a predictable source of randomness is for tests only"));
        }
        crate::cleanup::check_names(&cleanup_jobs)?;
        db.schema_status().await?.require_current()?;
        let roots = RootKeys::new(&secrets.token_pepper)?;
        let timing = KeyTiming {
            publish: JWKS_MAX_AGE + config.sessions.revocation_poll,
            retire: config.tokens.access_ttl + LEEWAY + JWKS_MAX_AGE,
        };
        let jwt_secret = secrets.jwt_secret.as_ref().map(SecretString::expose_secret);
        let keys = Arc::new(
            Keys::open(
                &db,
                roots,
                Arc::clone(&clock),
                Arc::clone(&random),
                config.tokens.algorithm,
                jwt_secret.map(str::as_bytes),
                timing,
            )
            .await?,
        );
        let slots = config.passwords.max_concurrent.or_else(|| std::thread::available_parallelism().ok());
        let slots = slots.unwrap_or(NonZeroUsize::MIN);
        let queue = slots.get().saturating_mul(QUEUE_PER_SLOT);
        let hasher = PasswordHasher::new(config.passwords.argon2, slots, queue, Arc::clone(&random))?;
        let lockouts = Lockouts::new(config.lockout.clone(), Arc::clone(&clock));
        let seals = Seals::new(&secrets)?;
        let timing = revocations::Timing {
            poll: config.sessions.revocation_poll,
            access_ttl: config.tokens.access_ttl,
        };
        let revocations =
            Revocations::new(Arc::clone(&clock), Arc::clone(&random), timing, revocation_capacity);
        let issuer = config.issuer().to_owned();
        let verifier = TokenVerifier::new(issuer.clone(), config.tokens.audience.clone());
        let publisher = Publisher::new(sinks);
        let outbox = Outbox::new(
            Arc::clone(&clock),
            Arc::clone(&random),
            Arc::clone(&keys),
            config.mail.clone(),
            mailer.is_some(),
        );
        let idempotency = Idempotency::new(Arc::clone(&clock), Arc::clone(&random), Arc::clone(&keys));
        let limiter = Limiter::new(&config, &clock)?;
        #[cfg(feature = "testing")]
        let limiter = if without_limits { limiter.off() } else { limiter };
        let texts = Texts::new(&config.passwords.product_name, &config.server.public_url, mail_texts)?;
        let sender = config.mail.sender().to_owned();
        let courier = Courier::new(db.clone(), outbox.clone(), mailer, texts, sender);
        let audit = Audit::new(Arc::clone(&clock), Arc::clone(&random), publisher, outbox.clone(), hooks);
        let ctx = Arc::new(Ctx {
            db,
            clock,
            random,
            keys,
            audit,
            outbox,
            limiter,
            owners: Owners::default(),
            courier,
            hasher,
            lockouts,
            seals,
            touches: Touches::default(),
            cleanup_jobs,
            cleanup_token: secrets.internal_cleanup_token,
            idempotency,
            breach,
            revocations,
            verified: VerifiedCache::new(verifier, DEFAULT_CAPACITY),
            roles: Roles::default(),
            types: ResourceTypes::new(&config.authz.resource_types),
            claims,
            issuer,
            ceremonies: Ceremonies::new(&config)?,
            config,
        });
        ctx.roles.load(&ctx.db).await?;
        let kit = AuthKit { ctx };
        if define_roles {
            kit.define_configured_roles().await?;
        }
        kit.ctx.revocations.refresh(&kit.ctx.db).await?;
        Ok(kit)
    }
}

impl AuthKit {
    async fn define_configured_roles(&self) -> Result<()> {
        let admin = self.admin(RequestMeta::new());
        for role in &self.ctx.config.accounts.roles {
            admin.define_role(role.clone()).await?;
        }
        for role in &self.ctx.config.accounts.default_roles {
            if self.roles().get(role).await?.is_none() {
                return Err(Error::config(format!("DEFAULT_ROLES names {role:?}, which is not defined")));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for AuthKitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthKitBuilder").field("db", &self.db).finish_non_exhaustive()
    }
}

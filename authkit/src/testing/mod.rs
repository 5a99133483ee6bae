//! For tests of this library and of applications that embed it: a clock that tests move, randomness that repeats,
//! hashes that cost nothing, and a signed-in user in one call.
//!
//! Nothing here changes how the library behaves. What would be dangerous outside of tests is passed in openly and
//! refused with `ENV=prod`.

mod clock;
#[cfg(feature = "redis")]
mod limits;
mod mailbox;
mod random;

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::{Argon2Config, Config, EmailVerification, LimitsConfig, Rate, Secrets, SessionPolicy};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::flows::{Authenticated, Credentials, Login, SignUp, SignedUp, Tokens};
use crate::kit::AuthKit;
use crate::mail::{Mail, Template};
use crate::meta::RequestMeta;
use crate::mfa::base32;
use crate::mfa::totp::{Algorithm, Parameters};
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;
use crate::users::User;
use crate::{AuthKitBuilder, random::SecureRandom as _};

pub use clock::ManualClock;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use limits::{LimiterTwins, Said};
pub use mailbox::Mailbox;
pub use random::SeededRandom;

/// The password of every account that [`TestKit::sign_up`] makes.
pub const PASSWORD: &str = "correct horse battery staple";

/// A limit that no test hits.
pub const GENEROUS: Rate = Rate::new(1_000_000, Duration::from_secs(1));

/// Settings for tests: the cheapest Argon2id there is, many devices, no verification, [`GENEROUS`] limits. A test of
/// limits sets those it is about in `config.limits`, or all to [`LimitsConfig::default`].
pub fn config() -> Config {
    let mut config = Config::default();
    config.passwords.argon2 = Argon2Config::new(8, 1, 1);
    config.passwords.max_concurrent = NonZeroUsize::new(2);
    config.accounts.email_verification = Some(EmailVerification::Optional);
    config.sessions.policy = SessionPolicy::Multi;
    config.limits = LimitsConfig::default().with_all(GENEROUS);
    config
}

/// Secrets for tests: public, therefore worthless.
pub fn secrets() -> Secrets {
    Secrets::new([SecretString::from("q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0")])
        .with_mfa_keys([SecretString::from("Xb7rTq2LwYd0Ns5vKz8mGh1cPf4jAe6uRo9iWt3xSgM=")])
}

/// What an authenticator app shows at a time that took over `secret`, the base32 of [`crate::TotpEnrolment`]: six digits,
/// 30 seconds. `None` for what is no such secret.
pub fn totp_code(secret: &str, at: Timestamp) -> Option<String> {
    let parameters = Parameters { algorithm: Algorithm::Sha1, digits: 6, period: 30 };
    Some(parameters.code(&base32::decode(secret)?, parameters.step(at)))
}

/// A kit on a store of its own, with its clock in the test's hand.
#[derive(Debug, Clone)]
pub struct TestKit {
    /// The kit under test.
    pub kit: AuthKit,
    /// Its clock; starts at 2026-01-01T00:00:00Z.
    pub clock: ManualClock,
    /// What [`Self::deliver_all`] sent, unless another mailer was given.
    pub mailbox: Mailbox,
}

/// Somebody who is signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// The account.
    pub user: User,
    /// What the client holds.
    pub tokens: Tokens,
    /// What a guarded handler gets.
    pub auth: Authenticated,
}

impl SignedIn {
    /// The access token, to be sent.
    pub fn access(&self) -> &str {
        self.tokens.access_token.expose_secret()
    }

    /// The refresh token, to be sent.
    pub fn refresh(&self) -> &str {
        self.tokens.refresh_token.expose_secret()
    }
}

impl TestKit {
    /// A kit on a private SQLite store in memory.
    #[cfg(feature = "sqlite")]
    pub async fn in_memory() -> Result<Self> {
        Self::open(Db::connect("sqlite::memory:").await?, config()).await
    }

    /// A kit on `db`, which is migrated first, with `config`.
    pub async fn open(db: Db, config: Config) -> Result<Self> {
        Self::build(db, config, |builder| builder).await
    }

    /// As [`Self::open`], with more said to the builder.
    pub async fn build(
        db: Db,
        config: Config,
        more: impl FnOnce(AuthKitBuilder) -> AuthKitBuilder,
    ) -> Result<Self> {
        let clock = ManualClock::new();
        db.migrate(&clock).await?;
        Self::attach(db, config, clock, more).await
    }

    /// A further node on a migrated store, sharing `clock`.
    pub async fn attach(
        db: Db,
        config: Config,
        clock: ManualClock,
        more: impl FnOnce(AuthKitBuilder) -> AuthKitBuilder,
    ) -> Result<Self> {
        // Two nodes with one stream of randomness would make the same ids: each gets a stream of its own.
        let mut seed = [0; 8];
        crate::random::SystemRandom::new().fill(&mut seed)?;
        let random = SeededRandom::new(u64::from_be_bytes(seed));
        let mailbox = Mailbox::new();
        let builder = AuthKit::builder(db, secrets())
            .config(config)
            .clock(clock.clone())
            .random(random)
            .mailer(mailbox.clone());
        Ok(Self { kit: more(builder).build().await?, clock, mailbox })
    }

    /// The mails that were sent. Call [`Self::deliver_all`] first.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Puts mails into the outbox as a flow would, one for each address, in one transaction. Their links have the
    /// secret `token`; they are worth sending for `lifetime`, by default as long as their kind is.
    pub async fn enqueue(
        &self,
        template: Template,
        addresses: Vec<String>,
        token: &str,
        lifetime: Option<Duration>,
    ) -> Result<()> {
        let (ctx, token) = (std::sync::Arc::clone(&self.kit.ctx), token.to_owned());
        self.kit
            .db()
            .write(move |tx| {
                let (ctx, addresses, token) = (std::sync::Arc::clone(&ctx), addresses.clone(), token.clone());
                Box::pin(async move {
                    for address in &addresses {
                        let mut mail = Mail::new(template, address).token(&token);
                        if let Some(lifetime) = lifetime {
                            mail = mail.not_after(ctx.now() + lifetime);
                        }
                        ctx.outbox.enqueue(tx, mail).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Puts what an unknown address costs into the outbox.
    pub async fn enqueue_nothing(&self) -> Result<()> {
        let ctx = std::sync::Arc::clone(&self.kit.ctx);
        self.kit
            .db()
            .write(move |tx| {
                let ctx = std::sync::Arc::clone(&ctx);
                Box::pin(async move { ctx.outbox.enqueue_nothing(tx).await.map(|_| ()) })
            })
            .await
    }

    /// Sends all that is due.
    pub async fn deliver_all(&self) -> Result<crate::mail::Delivery> {
        self.kit.deliver_due().await
    }

    /// An account with [`PASSWORD`].
    pub async fn sign_up(&self, email: &str) -> Result<User> {
        match self.kit.signup(SignUp::new("Test", email, PASSWORD), &RequestMeta::new()).await? {
            SignedUp::Created(user) => Ok(user),
            SignedUp::VerificationRequired => {
                let user = self.kit.users().find_by_email(email).await?;
                user.ok_or_else(|| Error::internal("a new account is not there"))
            }
        }
    }

    /// Signs in with [`PASSWORD`].
    pub async fn sign_in(&self, email: &str) -> Result<Tokens> {
        match self.kit.login(Credentials::new(email, PASSWORD), &RequestMeta::new()).await? {
            Login::Complete(tokens) => Ok(tokens),
            Login::SecondFactor(_) => Err(Error::internal("a second factor is outstanding")),
        }
    }

    /// An account that is signed in.
    pub async fn signed_in(&self, email: &str) -> Result<SignedIn> {
        let user = self.sign_up(email).await?;
        let tokens = self.sign_in(email).await?;
        let auth = self.kit.authenticate(tokens.access_token.expose_secret(), &RequestMeta::new()).await?;
        Ok(SignedIn { user, tokens, auth })
    }
}

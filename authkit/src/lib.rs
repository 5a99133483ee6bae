//! Accounts, Argon2id sign-in, rotating sessions and short-lived access tokens, inside your own application.
//!
//! One use-case layer, three faces: this library, the `authkit-server` and the `authctl` command line call the
//! same functions on the same store. SQLite by default, PostgreSQL when one machine is not enough, no other
//! service needed.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> authkit::Result<()> {
//! use authkit::config::Secrets;
//! use authkit::secret::ExposeSecret;
//! use authkit::time::SystemClock;
//! use authkit::{AuthKit, Credentials, Db, Login, RequestMeta, Role, SignUp};
//!
//! let db = Db::connect("sqlite::memory:").await?;
//! db.migrate(&SystemClock::new()).await?;
//! // At least 256 bits from a good source. This one is printed in public: make your own.
//! let secrets = Secrets::new(["q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0".into()]);
//! let auth = AuthKit::builder(db, secrets).build().await?;
//!
//! let meta = RequestMeta::new().with_ip([127, 0, 0, 1].into());
//! auth.signup(SignUp::new("Ada", "ada@example.com", "a rather long sentence"), &meta).await?;
//! let sign_in = auth.login(Credentials::new("ada@example.com", "a rather long sentence"), &meta).await?;
//! let Login::Complete(tokens) = sign_in else { unreachable!("no second factor is set up") };
//!
//! let caller = auth.authenticate(tokens.access_token.expose_secret(), &meta).await?;
//! caller.require(Role::new("user"))?;
//! assert!(caller.require(Role::new("admin")).is_err());
//!
//! let next = auth.refresh(tokens.refresh_token.expose_secret(), &meta).await?;
//! assert_ne!(next.refresh_token.expose_secret(), tokens.refresh_token.expose_secret());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! Each only adds; none changes what another does.
//!
//! | feature | adds |
//! | --- | --- |
//! | `sqlite` (default) | SQLite as the store, compiled in |
//! | `postgres` | PostgreSQL as the store |
//! | `axum` | extractors, error answers, and a router to mount under any prefix |
//! | `openapi` | OpenAPI 3.1 of those routes |
//! | `metrics` | counters through the `metrics` facade |
//! | `breach` | look-up of breached passwords by range query |
//! | `redis` | limits that several processes share, in Redis or a cluster of it |
//! | `smtp` | mail through an SMTP server |
//! | `webauthn` | passkeys: WebAuthn as a first and as a second factor |
//! | `testing` | a clock that tests move, randomness that repeats, a signed-in user in one call |
//!
//! # Where to read on
//!
//! [`manual`] explains the session model, storage, keys and embedding. [`config`] lists every setting.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    expect(
        dead_code,
        unused_variables,
        unused_mut,
        unreachable_code,
        reason = "without an engine nothing can be stored"
    )
)]

pub mod admin;
mod api_keys;
pub mod audit;
pub mod authz;
mod builder;
mod cleanup;
pub mod config;
mod crypto;
pub mod db;
mod devices;
pub mod error;
pub mod events;
mod flows;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod http;
mod idempotency;
pub mod ids;
mod invitations;
mod kit;
mod limits;
mod links;
pub mod lockout;
pub mod mail;
pub mod manual;
pub mod meta;
mod mfa;
mod passkeys;
mod passwords;
mod precondition;
pub mod random;
pub mod secret;
mod sessions;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
pub mod time;
mod users;

pub use api_keys::{ApiKey, ApiKeyFilter, ApiKeyStatus, NewApiKey};
pub use audit::Hook;
pub use authz::{
    DecidedBy, Decision, Membership, NewOrganisation, OrgStatus, Organisation, OrganisationChange, Resource,
};
pub use builder::AuthKitBuilder;
pub use cleanup::{CleanupJobInfo, CleanupJobReport, CleanupOptions, CleanupReport, CleanupStatus};
pub use crypto::keys::{KeyInfo, KeyPurpose, KeyState};
pub use crypto::password::{HashKind, HashSlotStats};
pub use db::{CleanupJob, Conn, Db, Engine, Listing, Page, SchemaStatus, SweepBatch, Tx};
pub use error::{Error, ErrorKind, LimitState, Result};
pub use events::Event;
pub use flows::{
    AcceptInvitation, Acr, AnyRole, ApiKeyRequest, Assurance, Authenticated, ClaimsContext, Credential,
    Credentials, DisableProof, Enrolling, LimitAxis, Login, PasskeyFor, PasskeyOptions, PasskeyProof,
    PasswordChange, Permission, ProfileChange, Requirement, Role, SecondFactor, SignUp, SignedUp, StepUp,
    Tokens,
};
pub use ids::{
    ApiKeyId, DeviceId, EventId, FactorId, InvitationId, LinkId, LockoutId, MailId, MembershipId, OrgId,
    PasskeyChallengeId, PasskeyId, PendingId, SessionId, UserId,
};
pub use invitations::{Invitation, InvitationState, NewInvitation};
pub use kit::{
    ApiKeys, AuthKit, Authz, Check, Cleanup, Invitations, Jwks, Limits, Memberships, Mfa, Organisations,
    Passkeys, Readiness, Roles, Sessions, Stats, Users,
};
pub use limits::Policy;
pub use links::{LinkProof, LinkPurpose};
pub use lockout::{LockKind, Lockout, LockoutFilter};
pub use meta::RequestMeta;
pub use mfa::{BackupCodes, FactorInfo, FactorKind, MfaStatus, PendingSignIn, TotpEnrolment};
pub use passkeys::Passkey;
#[cfg(feature = "breach")]
#[cfg_attr(docsrs, doc(cfg(feature = "breach")))]
pub use passwords::breach::HttpRangeLookup;
pub use passwords::breach::{BreachCheck, BreachLookup};
pub use precondition::Precondition;
pub use sessions::Session;
pub use users::{Email, User, UserFilter, UserStatus};

/// The database driver, for hosts that share their pool or transaction. Raising its minor version is a
/// breaking release of ours.
pub use sqlx;

//! Second factors: authenticator apps, backup codes, and the token of a sign-in that waits for one.
//!
//! Pure functions and statements. Who may do what, and when, is decided by flows.

pub(crate) mod backup;
pub(crate) mod base32;
pub(crate) mod enrolment;
mod model;
mod pending;
mod seal;
pub(crate) mod store;
pub(crate) mod totp;

pub use enrolment::TotpEnrolment;
pub use model::{BackupCodes, FactorInfo, FactorKind, MfaStatus, PendingSignIn};
pub(crate) use model::{FEW_LEFT, PendingRecord, TotpRecord, check_name};
pub(crate) use pending::PendingToken;
pub(crate) use seal::Seals;

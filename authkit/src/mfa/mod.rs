//! Second factors: authenticator apps, backup codes, and the token of a sign-in that waits for one.
//!
//! Pure functions and statements. Who may do what, and when, is decided by flows.

mod model;
mod pending;
pub(crate) mod store;

pub(crate) use model::PendingRecord;
pub use model::{FactorKind, PendingSignIn};
pub(crate) use pending::PendingToken;

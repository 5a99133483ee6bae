//! Passkeys (WebAuthn level 3): what is kept of them, the challenges that wait for an answer, and the ceremonies.
//!
//! The tables and this module's records are always there, so that a build without the feature `webauthn` knows that an
//! account has a passkey, and refuses where it cannot check one. Only `ceremony` knows the crate that checks; none of
//! its types leaves that file. Nothing here decides what a passkey opens: flows do.

mod ceremony;
mod model;
pub(crate) mod store;

pub(crate) use ceremony::{Asserted, Begun, Ceremonies, Flaw, Holder, credential_id};
pub use model::Passkey;
pub(crate) use model::{Bound, Draft, Looked, MAX_PER_USER, Owner, Purpose, check_name};

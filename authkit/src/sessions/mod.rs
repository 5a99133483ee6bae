//! Sessions and their refresh tokens: one row a session, a counter instead of a table of tokens, and the view of
//! what was revoked while access tokens for it are still unexpired.

mod model;
pub(crate) mod owners;
pub(crate) mod revocations;
pub(crate) mod store;
pub(crate) mod token;

pub use model::Session;
pub(crate) use model::{EndReason, SessionRecord, Standing, clean_user_agent};

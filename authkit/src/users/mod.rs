//! Accounts as records: who exists, in which state, at which version. Credentials live elsewhere.

mod email;
mod model;
pub(crate) mod store;

pub use email::Email;
pub(crate) use model::{NewRecord, Record, Version, check_name, check_profile, empty_profile};
pub use model::{User, UserFilter, UserStatus};

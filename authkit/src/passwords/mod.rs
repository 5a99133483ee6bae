//! Passwords: what may be one, whether it is known to attackers, and whose it is.

pub(crate) mod breach;
pub(crate) mod common;
pub(crate) mod policy;
pub(crate) mod store;

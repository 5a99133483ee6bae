//! Mailed links: one mechanism for every purpose.
//!
//! A link is 256 random bits in a mail, and a row that holds a keyed hash of them, bound to a purpose, a subject, the
//! epoch of its account, and an end. It is used by one guarded statement in the transaction of its effect (R1); its
//! end is judged at that moment (R6). Beside the link a mail may carry a short code to be typed, with a short life and
//! few tries. Nothing here decides what a link does: flows do.

mod model;
pub(crate) mod store;
mod token;

pub(crate) use model::{Draft, EndReason, LinkRecord, Subject};
pub use model::{LinkProof, LinkPurpose};
pub(crate) use token::{CODE_LIFE, LinkSecret, LinkToken, code_hash, read_code};

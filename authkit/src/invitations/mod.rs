//! Invitations: who is asked to come where, as what, by whom. The secret is a mailed link of its own purpose; here is
//! what it is bound to.

mod model;
pub(crate) mod store;

use std::time::Duration;

pub(crate) use model::Ended;
pub use model::{Invitation, InvitationState, NewInvitation};

/// How long one that is over can still be seen.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);

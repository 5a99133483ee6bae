//! What users do with their own account.

use std::sync::Arc;

use serde_json::Value;

use crate::audit::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Action;
use crate::flows::doors::Door;
use crate::flows::{Authenticated, Ctx};
use crate::meta::RequestMeta;
use crate::precondition::Precondition;
use crate::users::{User, check_name, check_profile, store as users};

/// What a user changes in his own account; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ProfileChange {
    /// What to call the person.
    pub name: Option<String>,
    /// Replaces the whole profile: a JSON object of at most 16 KiB.
    pub profile: Option<Value>,
    /// Which versions of the account may be changed.
    pub only_if: Precondition,
}

impl ProfileChange {
    /// Changes what is given.
    pub fn new(name: Option<String>, profile: Option<Value>) -> Self {
        Self { name, profile, only_if: Precondition::default() }
    }

    /// Changes nothing unless the account is still what was seen.
    #[must_use]
    pub fn only_if(mut self, precondition: Precondition) -> Self {
        self.only_if = precondition;
        self
    }

    /// All faults at once. Gives the change back with the name in its stored form.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let mut faults = Vec::new();
        self.name = self.name.map(|name| check_name(&name, &mut faults));
        if let Some(profile) = &self.profile {
            check_profile(profile, &mut faults);
        }
        if faults.is_empty() { Ok(self) } else { Err(Error::validation(faults)) }
    }
}

impl Ctx {
    pub(crate) async fn update_profile(
        self: &Arc<Self>,
        auth: &Authenticated,
        change: ProfileChange,
        meta: &RequestMeta,
    ) -> Result<User> {
        let change = change.checked()?;
        self.limit(Door::Other, meta).await?;
        self.require_current(auth).await?;
        let user = auth.user_id();
        let meta_in = meta.clone();
        self.decide(meta, Action::UserUpdate, Some(user), move |ctx, tx| {
            let (meta, change) = (meta_in.clone(), change.clone());
            Box::pin(async move {
                users::take(tx.conn(), user).await?;
                let Some(record) = users::by_id(tx.conn(), user).await? else {
                    return Ok(Err(ErrorKind::Unauthenticated.into()));
                };
                if let Err(refusal) = change.only_if.check(&record.user.version_tag()) {
                    return Ok(Err(refusal));
                }
                let name = change.name.unwrap_or(record.user.name);
                let profile = change.profile.unwrap_or(record.user.profile);
                if !users::set_profile(tx.conn(), user, &name, &profile, ctx.now()).await? {
                    return Ok(Err(ErrorKind::Unauthenticated.into()));
                }
                ctx.audit.grant(tx, &meta, Entry::success(Action::UserUpdate, user)).await?;
                let record = users::by_id(tx.conn(), user).await?;
                Ok(record.map(|record| record.user).ok_or_else(|| ErrorKind::Unauthenticated.into()))
            })
        })
        .await
    }

    /// The soft delete of one's own account. Needs a fresh sign-in (contract 4.14).
    pub(crate) async fn delete_account(
        self: &Arc<Self>,
        auth: &Authenticated,
        meta: &RequestMeta,
    ) -> Result<()> {
        self.limit(Door::Other, meta).await?;
        self.require_current(auth).await?;
        self.require_fresh(auth).await?;
        let user = auth.user_id();
        let meta_in = meta.clone();
        self.decide(meta, Action::UserDelete, Some(user), move |ctx, tx| {
            let meta = meta_in.clone();
            Box::pin(async move {
                match ctx.delete_in(tx, user, &meta).await {
                    Ok(_) => Ok(Ok(())),
                    Err(error) if error.kind() == ErrorKind::Conflict => Ok(Err(error)),
                    Err(error) => Err(error),
                }
            })
        })
        .await
    }
}

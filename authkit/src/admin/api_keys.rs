//! API keys, as operators see them; and keys for service accounts, which cannot sign in to make their own.

use super::accounts::not_found;
use super::{Admin, Changed};
use crate::api_keys::{ApiKey, ApiKeyFilter, NewApiKey, store};
use crate::db::{Listing, Page};
use crate::error::{ErrorKind, Result};
use crate::events::Action;
use crate::flows::ApiKeyRequest;
use crate::flows::api_keys::no_such_key;
use crate::ids::{ApiKeyId, UserId};

impl Admin {
    /// API keys, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn api_keys(&self, filter: &ApiKeyFilter, page: &Page) -> Result<Listing<ApiKey>> {
        self.ctx.api_keys_of(filter, page).await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn api_key(&self, id: ApiKeyId) -> Result<ApiKey> {
        let row = self.ctx.db.read(move |conn| Box::pin(async move { store::by_id(conn, id).await })).await?;
        row.map(|row| row.describe(self.ctx.now())).ok_or_else(no_such_key)
    }

    /// Makes a key for an account, such as a service account that has no password. Its text is in the answer and nowhere
    /// else.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown account; [`ErrorKind::Conflict`] when it cannot sign in or has 100 keys;
    /// [`ErrorKind::Forbidden`] for a scope that its roles do not permit; [`ErrorKind::Validation`].
    pub async fn create_api_key(&self, user: UserId, request: ApiKeyRequest) -> Result<Changed<NewApiKey>> {
        let checked = self.ctx.check_api_key(request)?;
        self.run(Action::ApiKeyCreate, Some(user), move |ctx, tx, meta| {
            let checked = checked.clone();
            Box::pin(async move {
                let made = ctx.create_api_key_in(tx, user, &checked, meta).await?;
                Ok(match made {
                    Ok(made) => Ok(Changed::new(true, made)),
                    Err(error) if error.kind() == ErrorKind::Unauthenticated => Err(not_found()),
                    Err(error) => Err(error),
                })
            })
        })
        .await
    }

    /// Ends a key, whoever's it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none of that id.
    pub async fn revoke_api_key(&self, id: ApiKeyId) -> Result<Changed<ApiKey>> {
        self.run(Action::ApiKeyRevoke, None, move |ctx, tx, meta| {
            Box::pin(async move {
                let revoked = ctx.revoke_api_key_in(tx, None, id, meta).await?;
                Ok(revoked.map(|(key, changed)| Changed::new(changed, key)).ok_or_else(no_such_key))
            })
        })
        .await
    }
}

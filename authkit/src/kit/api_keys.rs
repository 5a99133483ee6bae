use std::fmt;
use std::sync::Arc;

use super::AuthKit;
use crate::api_keys::{ApiKey, ApiKeyFilter, NewApiKey};
use crate::db::{Listing, Page};
use crate::error::Result;
use crate::flows::{ApiKeyRequest, Authenticated, Ctx};
use crate::ids::ApiKeyId;
use crate::meta::RequestMeta;

/// API keys of the caller. Made by [`AuthKit::api_keys`].
///
/// What is shown by [`AuthKit::authenticate`] may be a key; see [`crate::manual::api_keys`].
#[derive(Clone, Copy)]
pub struct ApiKeys<'k> {
    ctx: &'k Arc<Ctx>,
}

impl AuthKit {
    /// API keys of a caller who is signed in.
    pub fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys { ctx: &self.ctx }
    }
}

impl ApiKeys<'_> {
    /// Makes a key. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StepUpRequired`] when the caller signed in more than 5 minutes ago;
    /// [`crate::ErrorKind::Forbidden`] for a scope that he has not, and for an API key;
    /// [`crate::ErrorKind::Validation`] with all faults at once; [`crate::ErrorKind::Conflict`] when he has 100 already.
    pub async fn create(
        &self,
        auth: &Authenticated,
        request: ApiKeyRequest,
        meta: &RequestMeta,
    ) -> Result<NewApiKey> {
        self.ctx.create_api_key(auth, request, meta).await
    }

    /// The caller's keys that are not over, newest first.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Forbidden`] for an API key; [`crate::ErrorKind::InvalidRequest`] for a cursor of another list.
    pub async fn own(&self, auth: &Authenticated, page: &Page) -> Result<Listing<ApiKey>> {
        let filter = ApiKeyFilter { user_id: Some(auth.signed_in()?.sub), ..ApiKeyFilter::default() };
        self.ctx.api_keys_of(&filter, page).await
    }

    /// Ends a key of the caller: from this moment on nothing opens by it, in no process.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when it is not his or over already: one answer; [`crate::ErrorKind::Forbidden`] for
    /// an API key.
    pub async fn revoke(&self, auth: &Authenticated, key: ApiKeyId, meta: &RequestMeta) -> Result<()> {
        self.ctx.revoke_own_api_key(auth, key, meta).await
    }
}

impl fmt::Debug for ApiKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeys")
    }
}

//! Requests that may come again.

use crate::error::Result;
use crate::flows::Ctx;
use crate::flows::doors::Door;
use crate::idempotency::{Begun, Repeatable};
use crate::meta::RequestMeta;

impl Ctx {
    /// Whether a request with an idempotency key is to be carried out. The key is a row, so this asks the limiter first,
    /// as every door that writes; the door of the request itself asks again.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "keys come by HTTP"))]
    pub(crate) async fn begin_once(&self, request: Repeatable<'_>, meta: &RequestMeta) -> Result<Begun> {
        self.limit(Door::Other, meta).await?;
        self.idempotency.begin(&self.db, request).await
    }
}

//! Guarding a host's own routes by the kit's limiter.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts as _, Request, State};
use axum::middleware::{FromFnLayer, Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::request::Parts;

use super::error::ApiError;
use super::extract::Meta;
use super::state::AuthState;
use crate::error::{LimitState, Result};
use crate::http::limit;
use crate::limits::Policy;

type KeyOf = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
type Guard = fn(State<RouteLimit>, Request, Next) -> BoxFuture<'static, Response>;

/// The layer that [`RouteLimit::layer`] makes.
pub type RouteLimitLayer = FromFnLayer<Guard, RouteLimit, (State<RouteLimit>, Request)>;

/// A limit on routes of the host: 429 with `Retry-After`, and `RateLimit` and `RateLimit-Policy` on every answer.
///
/// ```
/// # fn app(kit: authkit::AuthKit) -> axum::Router {
/// use std::time::Duration;
///
/// use authkit::Policy;
/// use authkit::config::Rate;
/// use authkit::http::axum::{AuthState, RouteLimit};
/// use axum::{Router, routing::get};
///
/// let state = AuthState::new(kit);
/// let exports = Policy::new("exports", Rate::new(10, Duration::from_secs(60)));
/// Router::new()
///     .route("/export", get(|| async { "rows" }))
///     .layer(RouteLimit::by_address(&state, exports).layer())
/// # }
/// ```
#[derive(Clone)]
pub struct RouteLimit {
    state: AuthState,
    policy: Policy,
    key_of: Option<KeyOf>,
}

impl RouteLimit {
    /// Counts by the client's address, as the library's own doors do. Serve with connect info: requests without an
    /// address share one bucket.
    pub fn by_address(state: &AuthState, policy: Policy) -> Self {
        Self { state: state.clone(), policy, key_of: None }
    }

    /// Counts by what `key_of` finds, such as an API key. Requests where it finds nothing share one bucket: they are
    /// never let through for that.
    pub fn by(
        state: &AuthState,
        policy: Policy,
        key_of: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self { state: state.clone(), policy, key_of: Some(Arc::new(key_of)) }
    }

    /// The layer for a router or a route.
    pub fn layer(self) -> RouteLimitLayer {
        let guard: Guard = |State(limit), request, next| limit.guard(request, next).boxed();
        from_fn_with_state(self, guard)
    }

    async fn guard(self, request: Request, next: Next) -> Response {
        let (mut parts, body) = request.into_parts();
        match self.take(&mut parts).await {
            Ok(state) => {
                let mut response = next.run(Request::from_parts(parts, body)).await;
                limit::add_headers(response.headers_mut(), &state);
                response
            }
            Err(error) => ApiError::from(error).into_response(),
        }
    }

    async fn take(&self, parts: &mut Parts) -> Result<LimitState> {
        let limits = self.state.kit().limits();
        if let Some(key_of) = &self.key_of {
            // A letter in front, so that no key means another bucket than an empty one.
            let key = key_of(parts).map_or_else(String::new, |key| format!("k{key}"));
            return limits.take(&self.policy, key).await;
        }
        let Ok(Meta(meta)) = Meta::from_request_parts(parts, &self.state).await;
        limits.take_for_address(&self.policy, &meta).await
    }
}

impl fmt::Debug for RouteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteLimit").field("policy", &self.policy).finish_non_exhaustive()
    }
}

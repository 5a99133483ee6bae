//! Extractors, error answers and a router for `axum`.
//!
//! ```no_run
//! # async fn run(kit: authkit::AuthKit) {
//! use authkit::http::axum::{ApiError, AuthState, router};
//! use authkit::{Authenticated, Role};
//! use axum::{Router, routing::get};
//!
//! async fn reports(user: Authenticated) -> Result<String, ApiError> {
//!     user.require(Role::new("REVIEWER"))?;
//!     Ok(format!("reports of {}", user.user_id()))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/reports", get(reports))
//!     .nest("/auth-api", router(kit.clone()))
//!     .with_state(AuthState::new(kit));
//! # drop(app);
//! # }
//! ```

mod answers;
mod context;
mod error;
mod etag;
mod extract;
mod idempotency;
mod input;
mod limit;
#[cfg(feature = "openapi")]
#[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
mod openapi;
mod routes;
#[cfg(feature = "openapi")]
mod schemas;
mod state;

pub use context::{RequestContext, request_context};
pub use error::ApiError;
pub use etag::IfMatch;
pub use extract::{Meta, Operator, PathId};
pub use idempotency::Once;
pub use input::{Input, read_body};
pub use limit::{RouteLimit, RouteLimitLayer};
#[cfg(feature = "openapi")]
#[cfg_attr(docsrs, doc(cfg(feature = "openapi")))]
pub use openapi::{openapi, openapi_for};
pub use routes::router;
pub use state::AuthState;

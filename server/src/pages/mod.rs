//! Pages for people who have no application at hand: what mailed links open, and the own account.
//!
//! Made on the server; only passkeys need a script. They decide nothing: they call the kit, as the routes of the library do, and
//! show what it said. A host with pages of its own builds the server without the feature `pages`, or points
//! `PUBLIC_URL` elsewhere.

mod account;
mod form;
mod guard;
mod layout;
mod links;

use std::sync::Arc;

use authkit::AuthKit;
use authkit::http::axum::{ApiError, AuthState};
use authkit::http::origin::origin_of;
use authkit::http::status::Code;
use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;

/// What the pages work with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    auth: AuthState,
    product: String,
    origin: String,
    min_password: u32,
}

impl Pages {
    fn new(auth: &AuthState) -> Self {
        let config = auth.kit().config();
        let inner = Inner {
            product: config.passwords.product_name.clone(),
            origin: origin_of(&config.server.public_url).unwrap_or_default(),
            min_password: config.passwords.min_length,
            auth: auth.clone(),
        };
        Self(Arc::new(inner))
    }

    fn kit(&self) -> &AuthKit {
        self.0.auth.kit()
    }

    /// What the host calls itself.
    fn product(&self) -> &str {
        &self.0.product
    }

    /// The origin of `PUBLIC_URL`.
    fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Characters of a password at the least.
    fn min_password(&self) -> u32 {
        self.0.min_password
    }
}

impl FromRef<Pages> for AuthState {
    fn from_ref(pages: &Pages) -> Self {
        pages.0.auth.clone()
    }
}

/// All pages, to be served at the root: a mail names `PUBLIC_URL` and the page, without `API_PREFIX`.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(auth: &AuthState) -> Router<S> {
    Router::new()
        .merge(links::routes())
        .merge(account::routes())
        .route("/pages/style.css", get(layout::style))
        .method_not_allowed_fallback(|| async { ApiError::new(Code::MethodNotAllowed) })
        .with_state(Pages::new(auth))
}

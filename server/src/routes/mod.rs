//! The server's own routes.

pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod ready;
pub(crate) mod root;
pub(crate) mod well_known;

use std::sync::Arc;

use authkit::AuthKit;

use crate::settings::Settings;

/// What these routes work with.
#[derive(Debug, Clone)]
pub(crate) struct AppState {
    pub(crate) kit: AuthKit,
    pub(crate) settings: Arc<Settings>,
    pub(crate) document: Arc<str>,
    pub(crate) page: Option<Arc<str>>,
}

impl AppState {
    pub(crate) fn new(
        kit: AuthKit,
        settings: Settings,
        document: &serde_json::Value,
        page: Option<String>,
    ) -> Self {
        Self {
            kit,
            settings: Arc::new(settings),
            document: document.to_string().into(),
            page: page.map(Into::into),
        }
    }
}

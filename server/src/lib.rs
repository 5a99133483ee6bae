//! Minimal HTTP server of authkit: the routes of the library, and what stands around them: health, metrics, an
//! OpenAPI document, logs, limits, an orderly end.
//!
//! With the feature `pages`, which is on by default, mailed links open pages that the server makes itself.
//!
//! [`app`] is the whole application as an `axum` router; [`run`] is the process around it.

mod app;
mod cli;
mod middleware;
#[cfg(feature = "pages")]
mod pages;
mod routes;
mod run;
mod serve;
mod settings;
mod shutdown;
pub mod telemetry;

pub use app::app;
pub use cli::{Invocation, Options};
pub use run::{exit_code, run};
pub use serve::serve;
pub use settings::Settings;

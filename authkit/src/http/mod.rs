//! HTTP edges: the one table of statuses, the one error body, credentials in headers and cookies, strict JSON, and
//! in [`axum`] extractors and a router to mount in an application.
//!
//! Everything outside of [`axum`] works on plain headers, so that other frameworks can use it.

pub mod axum;
pub mod bearer;
pub mod body;
pub mod client_address;
pub mod cookies;
pub mod json;
pub mod limit;
pub mod origin;
pub mod query;
pub mod request_id;
pub mod status;

pub use body::Refusal;
pub use status::Code;

//! An application that embeds the library and has one route which needs no more than to know who calls: what that
//! costs beside a bare answer.

use std::net::SocketAddr;

use authkit::http::axum::{AuthState, router};
use authkit::random::SystemRandom;
use authkit::time::SystemClock;
use authkit::{AuthKit, Authenticated, Db, config};
use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;

/// Set to anything, no limit counts: what limits cost is the difference.
pub(crate) const WITHOUT_LIMITS: &str = "LOAD_WITHOUT_LIMITS";

/// Serves on `BIND_ADDR` with the store of `DATABASE_URL`.
///
/// # Errors
/// When a setting or the store cannot be used.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = config::load(None, std::env::vars_os(), false, &SystemRandom::new())?;
    let db = Db::connect(&settings.config.server.database_url).await?;
    db.migrate(&SystemClock::new()).await?;
    let address = settings.config.server.bind_addr;
    let builder = AuthKit::builder(db, settings.secrets).config(settings.config);
    let without_limits = std::env::var_os(WITHOUT_LIMITS).is_some();
    let kit = if without_limits { builder.danger_without_limits() } else { builder }.build().await?;
    let maintained = kit.clone();
    tokio::spawn(async move { maintained.maintain(std::future::pending()).await });
    let app = Router::new()
        .route("/health", get(async || "ok"))
        .route("/who", get(async |_caller: Authenticated| "ok"))
        .nest("/v1", router(kit.clone()))
        .with_state(AuthState::new(kit));
    let listener = tokio::net::TcpListener::bind(address).await?;
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), service).await?;
    Ok(())
}

//! An application of its own with accounts: `cargo run -p authkit --example embed --features axum`.

use std::net::SocketAddr;

use authkit::config::{Secrets, dev_token_pepper};
use authkit::http::axum::{ApiError, AuthState, request_context, router};
use authkit::{AuthKit, Authenticated, Db, Role, random::SystemRandom, time::SystemClock};
use axum::{Json, Router, middleware::from_fn_with_state, routing::get};
use serde_json::{Value, json};

async fn home(user: Option<Authenticated>) -> Json<Value> {
    Json(json!({ "hello": user.map(|user| user.user_id()) }))
}

async fn reports(user: Authenticated) -> Result<Json<Value>, ApiError> {
    user.require(Role::new("REVIEWER"))?;
    Ok(Json(json!({ "reports_of": user.user_id() })))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://embed.db".into());
    let address = std::env::var("BIND_ADDR").unwrap_or_else(|_| "127.0.0.1:8001".into());
    let secrets = Secrets::new([dev_token_pepper(&url, &SystemRandom::new())?]);
    let db = Db::connect(&url).await?;
    db.migrate(&SystemClock::new()).await?;
    let kit = AuthKit::builder(db, secrets).build().await?;
    let state = AuthState::new(kit.clone());
    let app = Router::new()
        .route("/", get(home))
        .route("/reports", get(reports))
        .nest("/auth-api", router(kit))
        .layer(from_fn_with_state(state.clone(), request_context))
        .with_state(state);
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

//! `GET /ready`: whether requests can be served.

use std::time::Duration;

use authkit::http::Refusal;
use authkit::http::axum::ApiError;
use authkit::{Check, ErrorKind};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;

use super::AppState;

/// Whether requests can be served.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Ready {
    /// `ok` or `degraded`.
    #[schema(value_type = String)]
    status: Check,
    checks: Checks,
}

/// Each is `ok`, `degraded`, `down` or `off`.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
struct Checks {
    #[schema(value_type = String)]
    database: Check,
    #[schema(value_type = String)]
    redis: Check,
    #[schema(value_type = String)]
    mail: Check,
    #[schema(value_type = String)]
    keys: Check,
}

impl Checks {
    fn worst(self) -> Check {
        let all = [self.database, self.redis, self.mail, self.keys];
        let worst = [Check::Down, Check::Degraded].into_iter().find(|check| all.contains(check));
        worst.unwrap_or(Check::Ok)
    }
}

/// Whether requests can be served.
#[utoipa::path(
    get, path = "/ready", operation_id = "ready", tag = "server",
    responses((status = 200, description = "They can.", body = Ready)),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Ready>, ApiError> {
    let readiness = state.kit.readiness().await;
    let checks = Checks {
        database: readiness.database,
        redis: readiness.redis,
        mail: readiness.mail,
        keys: readiness.keys,
    };
    match checks.worst() {
        Check::Down => {
            let refusal = Refusal::new(ErrorKind::Unavailable)
                .with_retry_after(Duration::from_secs(1))
                .with_detail("status", json!(Check::Down))
                .with_detail("checks", json!(checks));
            Err(refusal.into())
        }
        status => Ok(Json(Ready { status, checks })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_does_no_harm_and_down_outweighs_degraded() {
        let checks = |database, keys| Checks { database, redis: Check::Off, mail: Check::Off, keys }.worst();
        assert_eq!(checks(Check::Ok, Check::Ok), Check::Ok);
        assert_eq!(checks(Check::Degraded, Check::Ok), Check::Degraded);
        assert_eq!(checks(Check::Degraded, Check::Down), Check::Down);
    }
}

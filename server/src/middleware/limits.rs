//! Bounds of a single request and of all together (R16, R19).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use authkit::ErrorKind;
use authkit::http::json::MAX_BODY;
use authkit::http::{Code, Refusal};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{FutureExt as _, TryStreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use tokio::sync::Semaphore;

use crate::settings::Settings;

const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Bytes of a refused body that are still taken in, so that its sender gets to read the answer.
const DISCARD: usize = 4 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Limits {
    in_flight: Arc<Semaphore>,
    timeout: Duration,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        let in_flight = Arc::new(Semaphore::new(settings.max_in_flight));
        Self { in_flight, timeout: settings.handler_timeout }
    }

    pub(super) async fn run(&self, request: Request, next: Next) -> Result<Response, Refusal> {
        // Asked when everything else is refused.
        let permit = match self.in_flight.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) if request.uri().path().ends_with("/health") => None,
            Err(_) => return Err(Refusal::new(ErrorKind::Unavailable).with_retry_after(RETRY_AFTER)),
        };
        if declared(request.headers()).is_some_and(|length| length > MAX_BODY) {
            discard(request.into_body()).await;
            return Err(Refusal::new(Code::PayloadTooLarge));
        }
        let work = AssertUnwindSafe(next.run(request)).catch_unwind();
        let answer = tokio::time::timeout(self.timeout, work).await;
        drop(permit);
        match answer {
            Ok(Ok(response)) => Ok(response),
            // The panic hook has told where.
            Ok(Err(_)) => Err(Refusal::new(ErrorKind::Internal)),
            Err(_) => {
                tracing::warn!(event_type = "timeout", "a request took too long");
                Err(Refusal::new(ErrorKind::Unavailable).with_retry_after(RETRY_AFTER))
            }
        }
    }
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let all = async {
        let mut seen = 0;
        while let Ok(Some(chunk)) = chunks.try_next().await {
            seen += chunk.len();
            if seen > DISCARD {
                break;
            }
        }
    };
    // Whatever is left, the connection is closed after the answer.
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

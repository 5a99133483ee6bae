//! What belongs to one request from its first byte to the last of its answer: its id, its client's address, and the
//! form of its errors.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::state::AuthState;
use crate::http::body::{self, Refusal};
use crate::http::request_id::{HEADER, RequestId};

/// A request's id, its client's address, and whether the client wants errors as RFC 9457.
///
/// [`request_context`] makes one for each request. A host with a middleware of its own makes it there instead, puts
/// it into the request's extensions, and calls [`Self::finish`] on the answer.
#[derive(Debug, Clone)]
pub struct RequestContext {
    id: RequestId,
    client: Option<IpAddr>,
    problem: bool,
}

impl RequestContext {
    /// Takes the client's `X-Request-ID` over when it has the form, else makes one. The client's address is found
    /// here, once, so that everything that is told of the request tells the same one.
    pub fn begin(state: &AuthState, request: &Request) -> Self {
        let headers = request.headers();
        let id = RequestId::from_headers(headers).unwrap_or_else(|| state.new_request_id());
        let client = state.client_address(headers, request.extensions());
        Self { id, client, problem: body::wants_problem(headers) }
    }

    /// The request's id.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The client's address (R4), see [`crate::http::client_address`]; `None` when the host serves without connect
    /// info.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Completes an answer: `X-Request-ID`, and the error body where a [`Refusal`] was given.
    #[must_use]
    pub fn finish(&self, mut response: Response) -> Response {
        if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
            render(&mut response, &refusal, self.id.as_str(), self.problem);
        }
        response.headers_mut().insert(HEADER, self.id.header_value());
        response
    }
}

/// A middleware that gives requests their [`RequestContext`], unless one further out did. [`super::router`] has it;
/// put it around your own routes too, so that their errors carry the request's id:
/// `.layer(axum::middleware::from_fn_with_state(state, request_context))`.
pub async fn request_context(State(state): State<AuthState>, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<RequestContext>().is_some() {
        return next.run(request).await;
    }
    let context = RequestContext::begin(&state, &request);
    request.extensions_mut().insert(context.clone());
    context.finish(next.run(request).await)
}

pub(super) fn render(response: &mut Response, refusal: &Refusal, request_id: &str, problem: bool) {
    let (media_type, bytes) = refusal.body(request_id, problem);
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    refusal.add_headers(headers);
    *response.body_mut() = Body::from(bytes);
}

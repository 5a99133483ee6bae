//! `Idempotency-Key` on requests that create something.

use std::fmt;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{
    FromRef, FromRequest, FromRequestParts as _, MatchedPath, OptionalFromRequestParts, Request,
};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::error::ApiError;
use super::extract::Meta;
use super::input::body_of;
use super::state::AuthState;
use crate::error::ErrorKind;
use crate::flows::{Authenticated, Credential, Ctx};
use crate::http::body::{JSON, Refusal};
use crate::http::json::{self, FromFields};
use crate::idempotency::{Answer, Begun, Repeatable};
use crate::meta::{Claim, RequestMeta};

/// The header of the request.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Characters of a key at the most.
const MAX_KEY: usize = 255;
/// Bytes of an answer that is kept.
const MAX_ANSWER: usize = 256 * 1024;

/// A JSON body, as [`super::Input`] takes it, of a request that creates something. With an `Idempotency-Key` the request
/// is carried out once in 24 hours: sent again with the same body it gets the same answer, with another body 422, and
/// while it is under way 409. Only answers of success are kept.
///
/// Put it last, as every body, so that whoever may not do this is refused before an answer is given again. Two lines in a
/// handler:
///
/// ```text
/// async fn create(State(state): State<AuthState>, Meta(meta): Meta, caller: Authenticated, once: Once<NewThing>) -> Response {
///     once.answer(meta, async move |meta, body| { … Ok(response) }).await
/// }
/// ```
pub struct Once<T> {
    body: T,
    held: Option<Held>,
}

struct Held {
    ctx: Arc<Ctx>,
    claim: Claim,
}

impl<T: Send + 'static> Once<T> {
    /// Carries the request out. With a key it goes on when the client hangs up; `work` gets the meta by which its effect
    /// is tied to the key.
    pub async fn answer<F, A>(self, meta: RequestMeta, work: F) -> Response
    where
        F: FnOnce(RequestMeta, T) -> A + Send + 'static,
        A: Future<Output = Result<Response, ApiError>> + Send + 'static,
    {
        let Some(held) = self.held else { return work(meta, self.body).await.into_response() };
        let (ctx, body) = (Arc::clone(&held.ctx), self.body);
        let work = async move {
            let answered = work(meta.with_claim(held.claim), body).await.into_response();
            Ok(held.settle(answered).await)
        };
        ctx.detached(work).await.unwrap_or_else(|error| ApiError::from(error).into_response())
    }
}

impl Held {
    /// Keeps a success; lets the key go after a refusal that changed nothing. The answer stands either way.
    async fn settle(self, response: Response) -> Response {
        let (ctx, claim) = (self.ctx, self.claim);
        if !response.status().is_success() {
            if let Err(error) = ctx.idempotency.release(&ctx.db, claim).await {
                tracing::warn!(%error, "an idempotency key was not let go");
            }
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(bytes) = to_bytes(body, MAX_ANSWER).await else {
            return ApiError::from(ErrorKind::Internal).into_response();
        };
        let answer = Answer { status: parts.status.as_u16(), body: bytes.to_vec() };
        if let Err(error) = ctx.idempotency.keep(&ctx.db, claim, &answer).await {
            tracing::warn!(%error, "the answer to an idempotency key was not kept");
        }
        Response::from_parts(parts, Body::from(bytes))
    }
}

impl<S, T> FromRequest<S> for Once<T>
where
    AuthState: FromRef<S>,
    S: Send + Sync,
    T: FromFields + Send,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let bytes = body_of(&parts, body).await.map_err(refused)?;
        // What cannot be read is no request to be remembered.
        let body = json::read(&bytes).map_err(refused)?;
        let Some(key) = key_of(&parts.headers).map_err(refused)? else {
            return Ok(Self { body, held: None });
        };
        let caller =
            <Authenticated as OptionalFromRequestParts<S>>::from_request_parts(&mut parts, state).await;
        let caller = caller.map_err(refused)?;
        let Ok(Meta(meta)) = Meta::from_request_parts(&mut parts, state).await;
        let ctx = Arc::clone(&AuthState::from_ref(state).kit().ctx);
        let route = route_of(&parts);
        let request = Repeatable {
            caller: caller.as_ref().map(Authenticated::user_id),
            api_key: caller.as_ref().and_then(|caller| match caller.credential() {
                Credential::ApiKey(id) => Some(id),
                Credential::Session(_) => None,
            }),
            route: &route,
            key: &key,
            body: &bytes,
        };
        match ctx.begin_once(request, &meta).await.map_err(refused)? {
            Begun::Mine(claim) => Ok(Self { body, held: Some(Held { ctx, claim }) }),
            Begun::Replay(answer) => Err(replay(answer)),
        }
    }
}

fn refused(why: impl Into<ApiError>) -> Response {
    why.into().into_response()
}

/// One header of 1 to 255 visible ASCII characters.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(&KEY).into_iter();
    let bad = |message| Refusal::new(ErrorKind::InvalidRequest).with_message(message);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(bad("Idempotency-Key comes twice.")),
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            let sound = (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            let message = "Idempotency-Key must be 1 to 255 visible ASCII characters.";
            if sound { Ok(Some(text.to_owned())) } else { Err(bad(message)) }
        }
    }
}

fn route_of(parts: &Parts) -> String {
    let path = parts.extensions.get::<MatchedPath>().map_or_else(|| parts.uri.path(), MatchedPath::as_str);
    format!("{} {path}", parts.method)
}

fn replay(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let typed = !answer.body.is_empty();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    if typed {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

impl<T> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold a password.
        f.debug_struct("Once").field("keyed", &self.held.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form() {
        let of = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&KEY, HeaderValue::from_bytes(value).unwrap());
            }
            key_of(&headers)
        };
        assert_eq!(of(&[]).unwrap(), None);
        let longest = [b'a'; MAX_KEY];
        for good in [&b"a"[..], b"\"8e03978e-40d5\"", &longest] {
            assert!(of(&[good]).unwrap().is_some());
        }
        for bad in [&b""[..], b"a b", b"\xc3\xa9", &[b'a'; MAX_KEY + 1]] {
            assert_eq!(of(&[bad]).unwrap_err().status(), 400);
        }
        assert_eq!(of(&[b"a", b"a"]).unwrap_err().status(), 400);
    }
}

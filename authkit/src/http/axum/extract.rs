//! Extractors: who calls, from where, about what.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts, Path};
use http::header::USER_AGENT;
use http::request::Parts;

use super::context::RequestContext;
use super::error::ApiError;
use super::state::AuthState;
use crate::admin::Admin;
use crate::error::ErrorKind;
use crate::flows::{Authenticated, Enrolling};
use crate::ids::UserId;
use crate::meta::RequestMeta;

/// Bytes of a `User-Agent` that are looked at.
const MAX_USER_AGENT: usize = 2048;

/// The caller, by bearer token or cookie. Without a credential, or with a bad one, 401.
impl<S> FromRequestParts<S> for Authenticated
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = authenticate(parts, &AuthState::from_ref(state)).await?;
        found.ok_or_else(|| ErrorKind::Unauthenticated.into())
    }
}

/// The caller if there is one. A credential that was presented and is bad is 401, never anonymous.
impl<S> OptionalFromRequestParts<S> for Authenticated
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        authenticate(parts, &AuthState::from_ref(state)).await
    }
}

/// The caller, also where the policy allows him nothing but to set up a second factor or to give it: for the doors that
/// do that, and for no other.
impl<S> FromRequestParts<S> for Enrolling
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = authenticate_enrolling(parts, &AuthState::from_ref(state)).await?;
        found.ok_or_else(|| ErrorKind::Unauthenticated.into())
    }
}

/// As for [`Authenticated`]: a credential that was presented and is bad is 401, never anonymous.
impl<S> OptionalFromRequestParts<S> for Enrolling
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, ApiError> {
        authenticate_enrolling(parts, &AuthState::from_ref(state)).await
    }
}

async fn authenticate_enrolling(parts: &Parts, state: &AuthState) -> Result<Option<Enrolling>, ApiError> {
    let Some(token) = state.access_token(&parts.method, &parts.headers)? else { return Ok(None) };
    let meta = client(parts, state).map_or_else(RequestMeta::new, |ip| RequestMeta::new().with_ip(ip));
    Ok(Some(state.kit().authenticate_enrolling(token, &meta).await?))
}

async fn authenticate(parts: &Parts, state: &AuthState) -> Result<Option<Authenticated>, ApiError> {
    let Some(token) = state.access_token(&parts.method, &parts.headers)? else { return Ok(None) };
    let meta = client(parts, state).map_or_else(RequestMeta::new, |ip| RequestMeta::new().with_ip(ip));
    Ok(Some(state.kit().authenticate(token, &meta).await?))
}

/// The one that the request's context names, so that log, limits and flows agree.
fn client(parts: &Parts, state: &AuthState) -> Option<IpAddr> {
    match parts.extensions.get::<RequestContext>() {
        Some(context) => context.client(),
        None => state.client_address(&parts.headers, &parts.extensions),
    }
}

/// Where a request comes from: the client's address (when the host serves with connect info; R4, see
/// [`crate::http::client_address`]), `User-Agent`, request id.
#[derive(Debug, Clone, Default)]
pub struct Meta(pub RequestMeta);

impl<S> FromRequestParts<S> for Meta
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let mut meta = RequestMeta::new();
        if let Some(ip) = client(parts, &AuthState::from_ref(state)) {
            meta = meta.with_ip(ip);
        }
        if let Some(agent) = parts.headers.get(USER_AGENT) {
            let bytes = agent.as_bytes();
            let bytes = bytes.get(..MAX_USER_AGENT).unwrap_or(bytes);
            meta = meta.with_user_agent(String::from_utf8_lossy(bytes));
        }
        if let Some(context) = parts.extensions.get::<RequestContext>() {
            meta = meta.with_request_id(context.id().as_str());
        }
        Ok(Self(meta))
    }
}

/// The operations of an operator, for a caller who may do everything (`*`): see [`crate::AuthKit::admin_as`]. Without
/// a credential 401, for anybody else 403.
#[derive(Debug, Clone)]
pub struct Operator(pub Admin);

impl<S> FromRequestParts<S> for Operator
where
    AuthState: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = <Authenticated as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let Ok(Meta(meta)) = Meta::from_request_parts(parts, state).await;
        Ok(Self(AuthState::from_ref(state).kit().admin_as(&caller, meta).await?))
    }
}

/// An operator, or an admin of the organisation that the account in the path was made for, and that account.
pub(super) struct OperatorOver(pub(super) Admin, pub(super) UserId);

impl FromRequestParts<AuthState> for OperatorOver {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AuthState) -> Result<Self, ApiError> {
        let caller = <Authenticated as FromRequestParts<AuthState>>::from_request_parts(parts, state).await?;
        let PathId(user) = PathId::<UserId>::from_request_parts(parts, state).await?;
        let Ok(Meta(meta)) = Meta::from_request_parts(parts, state).await;
        Ok(Self(state.kit().admin_over(&caller, user, meta).await?, user))
    }
}

/// The one id in the path. What is no id names nothing: 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathId<T>(pub T);

impl<S, T> FromRequestParts<S> for PathId<T>
where
    S: Send + Sync,
    T: FromStr + fmt::Debug,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// The two ids in the path. What is no id names nothing: 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathIds<A, B>(pub(super) A, pub(super) B);

impl<S, A, B> FromRequestParts<S> for PathIds<A, B>
where
    S: Send + Sync,
    A: FromStr + fmt::Debug,
    B: FromStr + fmt::Debug,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = <Path<(String, String)> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let ids = path.ok().and_then(|Path((a, b))| Some((a.parse().ok()?, b.parse().ok()?)));
        ids.map(|(a, b)| Self(a, b)).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

//! What extractors and routes work with.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef};
use http::{Extensions, HeaderMap, Method};

use crate::config::TokenTransport;
use crate::error::ErrorKind;
use crate::http::body::Refusal;
use crate::http::client_address::client_address;
use crate::http::request_id::RequestId;
use crate::http::{bearer, cookies, origin};
use crate::ids;
use crate::kit::AuthKit;

/// What extractors and routes work with: the kit, and how tokens travel. Cheap to clone.
///
/// Use it as the state of your router, or give your own state a way to it by [`FromRef`].
#[derive(Clone)]
pub struct AuthState(Arc<Inner>);

struct Inner {
    kit: AuthKit,
    transport: TokenTransport,
    origin: String,
    trusted: Vec<String>,
}

impl AuthState {
    /// As the kit's settings say: `TOKEN_TRANSPORT`, and in cookie mode the origins of `PUBLIC_URL` and
    /// `CORS_ORIGINS`.
    pub fn new(kit: AuthKit) -> Self {
        let server = &kit.config().server;
        let transport = server.token_transport;
        let origin = origin::origin_of(&server.public_url).unwrap_or_default();
        let trusted = server.cors_origins.clone();
        Self(Arc::new(Inner { kit, transport, origin, trusted }))
    }

    /// The kit.
    pub fn kit(&self) -> &AuthKit {
        &self.0.kit
    }

    /// How tokens travel.
    pub fn transport(&self) -> TokenTransport {
        self.0.transport
    }

    /// A new request id.
    pub(super) fn new_request_id(&self) -> RequestId {
        let ctx = &self.0.kit.ctx;
        let made = ids::uuid_v7(ctx.now(), &*ctx.random).ok();
        let parsed = made.and_then(|id| RequestId::parse(&id.to_string()));
        // Without randomness nothing else will work either.
        parsed.unwrap_or_else(RequestId::unknown)
    }

    /// Where a request comes from (R4): see [`crate::http::client_address`].
    pub(super) fn client_address(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        client_address(peer, headers, &self.0.kit.config().server.trusted_proxies)
    }

    pub(super) fn uses_cookies(&self) -> bool {
        self.0.transport == TokenTransport::Cookie
    }

    /// Refuses an unsafe request in cookie mode unless it comes from a page of our own.
    pub(super) fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let checked = self.uses_cookies() && origin::is_unsafe(method);
        if checked && !origin::is_allowed(headers, &self.0.origin, &self.0.trusted) {
            let refusal = Refusal::new(ErrorKind::Forbidden);
            return Err(refusal.with_message("The request comes from another origin."));
        }
        Ok(())
    }

    /// The access token of a request, `None` without one. Never a mix: what is ambiguous is refused.
    pub(super) fn access_token<'h>(
        &self,
        method: &Method,
        headers: &'h HeaderMap,
    ) -> Result<Option<&'h str>, Refusal> {
        let bearer = match bearer::bearer(headers) {
            bearer::Bearer::Absent => None,
            bearer::Bearer::Token(token) => Some(token),
            bearer::Bearer::Malformed => return Err(ErrorKind::Unauthenticated.into()),
            bearer::Bearer::Repeated => return Err(ambiguous("Authorization comes twice.")),
        };
        if !self.uses_cookies() {
            return Ok(bearer);
        }
        let access = cookie(headers, cookies::ACCESS)?;
        let refresh = cookie(headers, cookies::REFRESH)?;
        if bearer.is_some() && (access.is_some() || refresh.is_some()) {
            return Err(ambiguous("Send a cookie or Authorization, not both."));
        }
        if access.is_some() {
            self.check_origin(method, headers)?;
        }
        // Keys are sent on purpose, and never by a browser on its own.
        if access.is_some_and(|token| token.starts_with(crate::api_keys::PREFIX)) {
            return Err(ErrorKind::Unauthenticated.into());
        }
        Ok(bearer.or(access))
    }

    /// The refresh token's cookie in cookie mode, under the same rules.
    pub(super) fn refresh_cookie<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, Refusal> {
        if !self.uses_cookies() {
            return Ok(None);
        }
        let found = cookie(headers, cookies::REFRESH)?;
        if found.is_some() && bearer::bearer(headers) != bearer::Bearer::Absent {
            return Err(ambiguous("Send a cookie or Authorization, not both."));
        }
        Ok(found)
    }

    /// The device token's cookie in cookie mode. It proves nobody, so it may come with anything.
    pub(super) fn device_cookie<'h>(&self, headers: &'h HeaderMap) -> Result<Option<&'h str>, Refusal> {
        if !self.uses_cookies() {
            return Ok(None);
        }
        Ok(cookie(headers, cookies::DEVICE)?.filter(|token| token.starts_with("akd_")))
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refusal> {
    cookies::read(headers, name).map_err(|cookies::Repeated| ambiguous("A cookie comes twice."))
}

fn ambiguous(message: &'static str) -> Refusal {
    Refusal::new(ErrorKind::InvalidRequest).with_message(message)
}

impl From<AuthKit> for AuthState {
    fn from(kit: AuthKit) -> Self {
        Self::new(kit)
    }
}

impl FromRef<AuthState> for AuthKit {
    fn from_ref(state: &AuthState) -> Self {
        state.kit().clone()
    }
}

impl fmt::Debug for AuthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthState").field("transport", &self.0.transport).finish_non_exhaustive()
    }
}

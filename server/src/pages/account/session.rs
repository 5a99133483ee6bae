//! The session of these pages: the tokens of a sign-in like any other, in the cookies of the contract (`__Host-`, Secure,
//! `HttpOnly`, SameSite=Strict). Where the API takes cookies too, it is the same session.

use authkit::http::cookies;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::{Authenticated, Enrolling, ErrorKind, RequestMeta, Result, Tokens};
use axum::response::Response;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use super::{Pages, done, go};
use crate::pages::links::is_token;

/// Somebody who is signed in.
pub(super) struct Caller {
    /// For second factors.
    pub(super) enrolling: Enrolling,
    /// For everything; `None` while the policy asks for a second factor first.
    pub(super) full: Option<Authenticated>,
    /// New tokens, where the access token was over.
    renewed: Option<Tokens>,
}

impl Caller {
    /// An answer to this caller.
    pub(super) fn keep(&self, response: Response) -> Response {
        match &self.renewed {
            // An action that began or ended a session has said so already.
            Some(tokens) if !response.headers().contains_key(SET_COOKIE) => with_tokens(response, tokens),
            _ => response,
        }
    }

    /// The caller, where only a full sign-in will do.
    pub(super) fn full(&self) -> Result<&Authenticated> {
        self.full.as_ref().ok_or_else(|| ErrorKind::StepUpRequired.into())
    }
}

/// Who asks, by the cookies of these pages. An access token that is over, be it by its time or by a change of
/// credentials that its session outlived, is renewed. `None` without a session that lives.
pub(super) async fn caller(pages: &Pages, headers: &HeaderMap, meta: &RequestMeta) -> Result<Option<Caller>> {
    // A cookie that comes twice is none: nobody knows which one counts.
    let cookie = |name| cookies::read(headers, name).ok().flatten();
    if let Some(access) = cookie(cookies::ACCESS) {
        match judge(pages, access, meta).await {
            Ok((enrolling, full)) => return Ok(Some(Caller { enrolling, full, renewed: None })),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {}
            Err(error) => return Err(error),
        }
    }
    let Some(refresh) = cookie(cookies::REFRESH) else { return Ok(None) };
    let tokens = match pages.kit().refresh(refresh, meta).await {
        Ok(tokens) => tokens,
        Err(error) if error.kind() == ErrorKind::RefreshInvalid => return Ok(None),
        Err(error) => return Err(error),
    };
    let (enrolling, full) = judge(pages, tokens.access_token.expose_secret(), meta).await?;
    Ok(Some(Caller { enrolling, full, renewed: Some(tokens) }))
}

async fn judge(
    pages: &Pages,
    access: &str,
    meta: &RequestMeta,
) -> Result<(Enrolling, Option<Authenticated>)> {
    let enrolling = pages.kit().authenticate_enrolling(access, meta).await?;
    match pages.kit().authenticate(access, meta).await {
        Ok(full) => Ok((enrolling, Some(full))),
        Err(error) if error.kind() == ErrorKind::StepUpRequired => Ok((enrolling, None)),
        Err(error) => Err(error),
    }
}

/// The device's token, for who signed in here before.
pub(super) fn device(headers: &HeaderMap) -> Option<SecretString> {
    let token = cookies::read(headers, cookies::DEVICE).ok().flatten()?;
    token.starts_with("akd_").then(|| SecretString::from(token))
}

/// Signed in, and back to the invitation that was opened first, if one was.
pub(super) fn signed_in_for(tokens: &Tokens, invitation: &str) -> Response {
    if is_token(invitation) {
        return with_tokens(go(&format!("accept-invitation?token={invitation}")), tokens);
    }
    signed_in(tokens, "signed-in")
}

/// Signed in, and on to the account.
pub(super) fn signed_in(tokens: &Tokens, what: &str) -> Response {
    with_tokens(done(what), tokens)
}

pub(super) fn with_tokens(mut response: Response, tokens: &Tokens) -> Response {
    let access = cookies::set(cookies::ACCESS, tokens.access_token.expose_secret(), tokens.expires_in);
    let refresh =
        cookies::set(cookies::REFRESH, tokens.refresh_token.expose_secret(), tokens.refresh_expires_in);
    let device = tokens.device_token.as_ref();
    let device =
        device.and_then(|t| cookies::set(cookies::DEVICE, t.expose_secret(), cookies::DEVICE_MAX_AGE));
    add(&mut response, [access, refresh, device]);
    response
}

/// Without a session. The device stays known.
pub(super) fn signed_out(mut response: Response) -> Response {
    add(&mut response, [cookies::clear(cookies::ACCESS), cookies::clear(cookies::REFRESH)]);
    response
}

/// As [`signed_out`]; the device is forgotten, too.
pub(super) fn signed_out_everywhere(response: Response) -> Response {
    let mut response = signed_out(response);
    add(&mut response, [cookies::clear(cookies::DEVICE)]);
    response
}

fn add(response: &mut Response, cookies: impl IntoIterator<Item = Option<HeaderValue>>) {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

pub(super) async fn sign_out(pages: &Pages, headers: &HeaderMap, meta: &RequestMeta) -> Response {
    if let Some(refresh) = cookies::read(headers, cookies::REFRESH).ok().flatten()
        && let Err(error) = pages.kit().logout(refresh, meta).await
    {
        // The session may live on: nobody shall believe that it ended.
        return super::failed(pages, error);
    }
    signed_out(done("signed-out"))
}

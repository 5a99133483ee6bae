//! The page of the own account, as plain requests: its session, and that nobody else can use it.

use authkit_tests::{Answer, Backend, Client, ServerProcess, Store, on_both};
use serde_json::json;

use crate::app::{PASSWORD, me, newcomer, refresh, serve, sign_in, sign_up, sql};

const COOKIES: [&str; 3] = ["__Host-authkit_access", "__Host-authkit_refresh", "__Host-authkit_device"];

/// A client that holds the cookies of an answer.
fn holding(client: &Client, answer: &Answer) -> Client {
    let cookies = answer.set_cookies();
    let pairs: Vec<(&str, &str)> =
        cookies.iter().map(|(name, value, _)| (name.as_str(), value.as_str())).collect();
    client.cookies(&pairs)
}

#[expect(clippy::unnecessary_wraps, reason = "what a request takes")]
fn body(fields: &[(&str, &str)]) -> Option<Vec<u8>> {
    Some(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes())
}

async fn send(client: &Client, fields: &[(&str, &str)]) -> Answer {
    let client = client.header("content-type", "application/x-www-form-urlencoded");
    client.header("sec-fetch-site", "same-origin").request("POST", "/account", body(fields)).await
}

async fn signed_in(client: &Client, email: &str) -> Answer {
    send(client, &[("do", "sign-in"), ("email", email), ("password", PASSWORD)]).await.expect(303)
}

on_both! {
    async fn somebody_signs_in_ends_another_session_and_signs_out(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let elsewhere = newcomer(&client, "ada@example.com").await;
        let answer = signed_in(&client, "ada@example.com").await;
        assert_eq!(answer.header("location"), "account?signed-in");
        // s_078
        let cookies = answer.set_cookies();
        assert_eq!(cookies.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), COOKIES);
        for (name, value, attributes) in &cookies {
            assert!(!value.is_empty());
            for needed in ["path=/", "secure", "httponly", "samesite=strict"] {
                assert!(attributes.iter().any(|found| found == needed), "{name}: {attributes:?}");
            }
            assert!(!attributes.iter().any(|found| found.starts_with("domain")), "{name}");
        }
        let ada = holding(&client, &answer);
        let page = ada.get("/account").await.expect(200);
        assert!(page.text.contains("ada@example.com") && page.text.contains("This device"), "{}", page.text);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe"));
        assert_eq!((page.header("cache-control"), page.header("referrer-policy")), ("no-store", "same-origin"));
        assert!(page.set_cookies().is_empty());

        let other = elsewhere.claim("sid");
        assert!(page.text.contains(other.as_str().unwrap()));
        let ended = send(&ada, &[("do", "session-end"), ("id", other.as_str().unwrap())]).await.expect(303);
        assert_eq!(ended.header("location"), "account?session-ended");
        refresh(&client, &elsewhere.refresh).await.assert_error(401, "REFRESH_INVALID");
        // s_081: what is not one's own is not there.
        let bob = newcomer(&client, "bob@example.com").await.claim("sid");
        for foreign in [bob.as_str().unwrap(), "x", ""] {
            send(&ada, &[("do", "session-end"), ("id", foreign)]).await.expect(404);
        }
        let out = send(&ada, &[("do", "sign-out")]).await.expect(303);
        for (name, value, attributes) in out.set_cookies() {
            assert!(value.is_empty() && attributes.contains(&"max-age=0".to_owned()) && name != COOKIES[2], "{name}");
        }
        let refreshed = cookies[1].1.as_str();
        refresh(&client, refreshed).await.assert_error(401, "REFRESH_INVALID");
        let page = send(&ada, &[("do", "sessions-end")]).await;
        assert_eq!(page.status, 401, "{}", page.text);
        assert!(page.text.contains("Please sign in first."));
    }

    async fn a_session_goes_on_where_its_access_token_is_over(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        sign_up(&client, "ada@example.com").await;
        let answer = signed_in(&client, "ada@example.com").await;
        let cookies = answer.set_cookies();
        let only_refresh = client.cookies(&[(COOKIES[1], &cookies[1].1)]);
        let page = only_refresh.get("/account").await.expect(200);
        assert!(page.text.contains("ada@example.com"));
        let renewed = page.set_cookies();
        assert_eq!(renewed.len(), 2);
        let ada = holding(&client, &page);
        assert!(ada.get("/account").await.expect(200).set_cookies().is_empty());
        // s_057: disabled, and out at once.
        sql(&store, "UPDATE authkit_sessions SET ended_at = created_at, end_reason = 'revoked'").await;
        let gone = client.cookies(&[(COOKIES[1], &renewed[1].1)]).get("/account").await.expect(200);
        assert!(gone.text.contains("Sign in") && !gone.text.contains("ada@example.com"));
    }
}

async fn on_sqlite(env: &[(&str, &str)]) -> (Store, ServerProcess) {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, env).await;
    (store, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_078_no_other_site_acts_in_somebody_s_name() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let answer = signed_in(&client, "ada@example.com").await;
    let ada = holding(&client, &answer).header("content-type", "application/x-www-form-urlencoded");
    let foreign: [&[(&str, &str)]; 7] = [
        &[],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
    ];
    for headers in foreign {
        let client = headers.iter().fold(ada.clone(), |client, (name, value)| client.header(name, value));
        for action in ["sign-out", "sessions-end", "app-add", "passkey-options", "sign-in", "forgot"] {
            let refused =
                client.request("POST", "/account", body(&[("do", action), ("for", "register")])).await;
            assert_eq!(refused.status, 403, "{headers:?}: {}", refused.text);
            assert!(refused.text.contains("This form was sent from another site."));
            assert!(refused.set_cookies().is_empty());
        }
    }
    assert!(ada.get("/account").await.expect(200).text.contains("This device"));
    // A page of our own whose referrer policy hides its origin.
    let own = ada.header("origin", "null").header("sec-fetch-site", "same-origin");
    own.request("POST", "/account", body(&[("do", "sign-out")])).await.expect(303);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_the_page_open_no_api_that_takes_bearer_tokens() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let answer = signed_in(&client, "ada@example.com").await;
    holding(&client, &answer).get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
    // Nor does a bearer token open the page.
    let tokens = sign_in(&client, "ada@example.com").await;
    assert_eq!(me(&client, &tokens.access).await.status, 200);
    let page = client.bearer(&tokens.access).get("/account").await.expect(200);
    assert!(!page.text.contains("ada@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_019_a_wrong_password_tells_nothing_and_unknown_actions_do_nothing() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let mut pages = Vec::new();
    for email in ["ada@example.com", "nob@example.com"] {
        let fields = [("do", "sign-in"), ("email", email), ("password", "not this one")];
        let refused = send(&client, &fields).await.expect(401);
        assert!(
            refused.text.contains("E-mail or password is wrong.") && !refused.text.contains("not this one")
        );
        pages.push(refused.text.replace(email, ""));
    }
    assert_eq!(pages[0], pages[1]);
    for email in ["ada@example.com", "nob@example.com"] {
        let asked = send(&client, &[("do", "forgot"), ("email", email)]).await.expect(200);
        assert!(asked.text.contains("If there is an account with this address"));
    }
    send(&client, &[("do", "forgot"), ("email", "no address")]).await.expect(422);
    let answer = signed_in(&client, "ada@example.com").await;
    let ada = holding(&client, &answer);
    for action in ["", "nothing", "passkey-options"] {
        send(&ada, &[("do", action)]).await.expect(400);
    }
    // s_201
    ada.request("HEAD", "/account", None).await.expect(200);
    ada.request("PUT", "/account", None).await.assert_error(405, "METHOD_NOT_ALLOWED");
    for (fields, status) in [
        (&[("do", "second-factor"), ("mfa_token", "x"), ("code", "123456")][..], 401),
        (&[("do", "sign-in-passkey"), ("credential", "{}"), ("challenge_id", "x")], 401),
        (&[("do", "sign-in-passkey"), ("credential", "{")], 400),
        (&[("do", "sign-in-passkey")], 400),
    ] {
        let refused = send(&client, fields).await;
        assert_eq!(refused.status, status, "{}", refused.text);
    }
    assert_eq!(json!(refresh(&client, "akr_x").await.status), 401);
}

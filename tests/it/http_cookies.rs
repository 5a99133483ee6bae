//! `TOKEN_TRANSPORT=cookie`: tokens that scripts cannot read, and requests that other sites cannot make.

use authkit_tests::{Answer, Backend, Client, ServerProcess, Store, on_both};
use serde_json::{Value, json};

use crate::app::{OTHER, PASSWORD, credentials, launch, part, person, serve};

const ACCESS: &str = "__Host-authkit_access";
const REFRESH: &str = "__Host-authkit_refresh";
const COOKIE: (&str, &str) = ("TOKEN_TRANSPORT", "cookie");
/// `PUBLIC_URL` as it is unless set.
const ORIGIN: &str = "http://localhost:8000";

/// A browser that keeps the cookies it is given.
#[derive(Clone)]
struct Browser {
    client: Client,
    jar: Vec<(String, String)>,
}

impl Browser {
    fn new(server: &ServerProcess) -> Self {
        Self { client: server.client(), jar: Vec::new() }
    }

    fn get(&self, name: &str) -> &str {
        self.jar.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    fn with_cookies(&self) -> Client {
        let jar: Vec<_> = self.jar.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if jar.is_empty() { self.client.clone() } else { self.client.cookies(&jar) }
    }

    /// A request of the application's own page.
    async fn send(&mut self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let client = self.with_cookies().header("origin", ORIGIN).header("sec-fetch-site", "same-origin");
        let answer = client.request(method, path, body.map(|b| b.to_string().into_bytes())).await;
        self.keep(&answer);
        answer
    }

    fn keep(&mut self, answer: &Answer) {
        for (name, value, attributes) in answer.set_cookies() {
            self.jar.retain(|(n, _)| *n != name);
            if !value.is_empty() && !attributes.contains(&"max-age=0".to_owned()) {
                self.jar.push((name, value));
            }
        }
    }
}

/// What the two token cookies of an answer must be.
#[track_caller]
fn assert_cookies(answer: &Answer) {
    let cookies = answer.set_cookies();
    for name in [ACCESS, REFRESH] {
        let (_, value, attributes) =
            cookies.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(!value.is_empty());
        for wanted in ["secure", "httponly", "samesite=strict", "path=/"] {
            assert!(attributes.iter().any(|a| a == wanted), "{name} has no {wanted}: {attributes:?}");
        }
        assert!(!attributes.iter().any(|a| a.starts_with("domain")), "{attributes:?}");
        let age =
            attributes.iter().find_map(|a| a.strip_prefix("max-age=")).and_then(|a| a.parse::<u64>().ok());
        assert!(age.is_some_and(|age| age > 0), "{attributes:?}");
        // Nowhere else.
        assert!(!answer.text.contains(value.as_str()), "{name} in the body");
    }
    for name in ["access_token", "refresh_token"] {
        assert!(answer.body.get(name).is_none_or(Value::is_null), "{}", answer.text);
    }
    assert_eq!(answer.header("cache-control"), "no-store");
}

on_both! {
    async fn s_78_tokens_ride_in_host_cookies_only(store: Store) {
        let server = serve(&store, &[COOKIE]).await;
        let mut browser = Browser::new(&server);
        browser.send("POST", "/v1/auth/signup", Some(person("cookie@example.com"))).await.expect(201);
        let body = credentials("cookie@example.com", PASSWORD);
        let login = browser.send("POST", "/v1/auth/login", Some(body)).await.expect(200);
        assert_eq!(login.body["status"], "authenticated");
        assert!(login.body["expires_in"].as_u64().is_some(), "{}", login.text);
        assert_cookies(&login);
        browser.send("GET", "/v1/auth/me", None).await.expect(200);

        // Without a body, and with an empty one.
        let before = browser.clone();
        let next = browser.send("POST", "/v1/auth/refresh", None).await.expect(200);
        assert_cookies(&next);
        assert_ne!(before.get(REFRESH), browser.get(REFRESH));
        assert_cookies(&browser.send("POST", "/v1/auth/refresh", Some(json!({}))).await.expect(200));

        let up = browser.send("POST", "/v1/auth/step-up", Some(json!({"password": PASSWORD}))).await.expect(200);
        assert_cookies(&up);
        let body = json!({"current_password": PASSWORD, "new_password": OTHER});
        browser.send("POST", "/v1/auth/password", Some(body)).await.expect(204);
        browser.send("GET", "/v1/auth/me", None).await.assert_error(401, "UNAUTHENTICATED");
        browser.send("POST", "/v1/auth/refresh", None).await.expect(200);
        browser.send("GET", "/v1/auth/me", None).await.expect(200);

        let mut thief = browser.clone();
        let logout = browser.send("POST", "/v1/auth/logout", None).await.expect(204);
        assert!(browser.jar.iter().all(|(name, _)| name != ACCESS && name != REFRESH), "{:?}", logout.headers);
        for (_, _, attributes) in logout.set_cookies() {
            // A browser takes the removal only in the form in which it keeps the cookie.
            assert!(attributes.contains(&"secure".into()) && attributes.contains(&"path=/".into()), "{attributes:?}");
        }
        thief.send("GET", "/v1/auth/me", None).await.assert_error(401, "UNAUTHENTICATED");
        thief.send("POST", "/v1/auth/refresh", None).await.assert_error(401, "REFRESH_INVALID");
    }

    async fn s_79_a_planted_session_is_not_adopted(store: Store) {
        let server = serve(&store, &[COOKIE]).await;
        let mut attacker = Browser::new(&server);
        let mut victim = Browser::new(&server);
        for (browser, email) in [(&mut attacker, "attacker@example.com"), (&mut victim, "victim@example.com")] {
            browser.send("POST", "/v1/auth/signup", Some(person(email))).await.expect(201);
        }
        let body = credentials("attacker@example.com", PASSWORD);
        attacker.send("POST", "/v1/auth/login", Some(body)).await.expect(200);
        victim.jar = attacker.jar.clone();
        let body = credentials("victim@example.com", PASSWORD);
        victim.send("POST", "/v1/auth/login", Some(body)).await.expect(200);
        let sid = |browser: &Browser| part(browser.get(ACCESS), 1)["sid"].clone();
        assert_ne!(sid(&victim), sid(&attacker));
        assert_eq!(victim.send("GET", "/v1/auth/me", None).await.str("/email"), "victim@example.com");
        assert_eq!(attacker.send("GET", "/v1/auth/me", None).await.str("/email"), "attacker@example.com");
    }
}

#[tokio::test]
async fn s_78_another_sites_page_changes_nothing() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[COOKIE, ("CORS_ORIGINS", "https://app.example.com")]).await;
    let mut browser = Browser::new(&server);
    browser.send("POST", "/v1/auth/signup", Some(person("csrf@example.com"))).await.expect(201);
    browser.send("POST", "/v1/auth/login", Some(credentials("csrf@example.com", PASSWORD))).await.expect(200);
    let foreign: [&[(&str, &str)]; 10] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://localhost")],
        &[("origin", "https://localhost:8000")],
        &[("origin", "http://localhost:8000.evil.example")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        // No browser contradicts itself.
        &[("sec-fetch-site", "cross-site"), ("origin", ORIGIN)],
    ];
    for headers in foreign {
        let client = headers.iter().fold(browser.with_cookies(), |c, (name, value)| c.header(name, value));
        for (method, path, body) in [
            ("POST", "/v1/auth/logout-all", None),
            ("POST", "/v1/auth/logout", None),
            ("POST", "/v1/auth/refresh", None),
            ("PATCH", "/v1/auth/me", Some(json!({"name": "Mallory"}))),
            ("DELETE", "/v1/auth/me", None),
            ("POST", "/v1/auth/step-up", Some(json!({"password": PASSWORD}))),
        ] {
            let answer = client.request(method, path, body.map(|b| b.to_string().into_bytes())).await;
            assert_eq!(answer.status, 403, "{method} {path} with {headers:?}: {}", answer.text);
            answer.assert_error(403, "FORBIDDEN");
            assert!(answer.set_cookies().is_empty());
        }
        // Reading is no change; a browser lets no other page see the answer.
        client.get("/v1/auth/me").await.expect(200);
    }
    let me = browser.send("GET", "/v1/auth/me", None).await.expect(200);
    assert_eq!(me.str("/name"), "Test Person");
    // Either proof is enough.
    for (name, value) in [("origin", ORIGIN), ("sec-fetch-site", "same-origin")] {
        let client = browser.with_cookies().header(name, value);
        client.patch("/v1/auth/me", json!({"name": "Test Person"})).await.expect(200);
    }
}

#[tokio::test]
async fn s_60_a_cookie_beside_a_bearer_is_refused() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[COOKIE]).await;
    let mut ada = Browser::new(&server);
    ada.send("POST", "/v1/auth/signup", Some(person("ada@example.com"))).await.expect(201);
    ada.send("POST", "/v1/auth/login", Some(credentials("ada@example.com", PASSWORD))).await.expect(200);
    let access = ada.get(ACCESS).to_owned();
    let both = ada.with_cookies().bearer(&access);
    both.get("/v1/auth/me").await.assert_error(400, "INVALID_REQUEST");
    let twice = format!("{ACCESS}={access}; {ACCESS}={access}x");
    let answer = server.client().header("cookie", &twice).get("/v1/auth/me").await;
    assert!(matches!(answer.status, 400 | 401), "{}", answer.text);
    // Only the name with the prefix counts.
    let bare = server.client().cookies(&[("authkit_access", &access)]).get("/v1/auth/me").await;
    bare.assert_error(401, "UNAUTHENTICATED");
    ada.send("GET", "/v1/auth/me", None).await.expect(200);
}

#[tokio::test]
async fn cookies_need_https_or_this_machine() {
    let store = Store::new(Backend::Sqlite).await;
    let launch = launch(&store, &[COOKIE, ("PUBLIC_URL", "http://login.example.com")]);
    let (status, logs) = launch.run_to_exit().await;
    assert_eq!(status.code(), Some(78), "{logs}");
    assert!(logs.contains("TOKEN_TRANSPORT"), "{logs}");
}

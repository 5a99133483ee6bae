//! What every answer looks like, whatever the request: refusals, headers, methods, origins, framing.

use std::time::Duration;

use authkit_tests::raw::Connection;
use authkit_tests::{Answer, Backend, Client, ServerProcess, Store, raw};
use serde_json::{Value, json};

use crate::app::{credentials, me, newcomer, person, serve, settled_logs, sign_up};

const QUIET: Duration = Duration::from_millis(700);

async fn on_sqlite(env: &[(&str, &str)]) -> (Store, ServerProcess) {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, env).await;
    (store, server)
}

/// Nothing that tells what runs here.
#[track_caller]
fn tells_nothing(answer: &Answer) {
    for word in ["axum", "hyper", "tower", "sqlx", "serde", "SELECT", "panicked", ".rs", "authkit/", "0.1.0"]
    {
        assert!(!answer.text.contains(word), "{word}: {}", answer.text);
    }
    assert_eq!((answer.header("server"), answer.header("x-powered-by")), ("", ""));
}

/// (name, method, path, content type, body, status, code): one of each kind of refusal.
type Refusal = (&'static str, &'static str, &'static str, Option<&'static str>, Vec<u8>, u16, &'static str);

fn refusals() -> Vec<Refusal> {
    const JSON: Option<&str> = Some("application/json");
    let login = "/v1/auth/login";
    vec![
        ("unknown", "GET", "/v1/auth/nothing", None, vec![], 404, "NOT_FOUND"),
        ("unknown at the root", "GET", "/nothing", None, vec![], 404, "NOT_FOUND"),
        ("unknown, posted", "POST", "/v1/nothing", JSON, b"{}".to_vec(), 404, "NOT_FOUND"),
        ("a slash too many", "POST", "/v1/auth/login/", JSON, b"{}".to_vec(), 404, "NOT_FOUND"),
        ("two slashes", "POST", "//v1/auth/login", JSON, b"{}".to_vec(), 404, "NOT_FOUND"),
        ("dots", "GET", "/v1/auth/x/../../../etc/passwd", None, vec![], 404, "NOT_FOUND"),
        ("no UTF-8", "GET", "/v1/auth/%ff%fe", None, vec![], 404, "NOT_FOUND"),
        ("method", "GET", login, None, vec![], 405, "METHOD_NOT_ALLOWED"),
        ("method of me", "PUT", "/v1/auth/me", JSON, b"{}".to_vec(), 405, "METHOD_NOT_ALLOWED"),
        ("method of health", "POST", "/health", JSON, b"{}".to_vec(), 405, "METHOD_NOT_ALLOWED"),
        ("too large", "POST", login, JSON, vec![b' '; 65 * 1024], 413, "PAYLOAD_TOO_LARGE"),
        ("text", "POST", login, Some("text/plain"), b"{}".to_vec(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("no JSON", "POST", login, JSON, b"{".to_vec(), 400, "INVALID_REQUEST"),
        ("empty", "POST", login, JSON, vec![], 400, "INVALID_REQUEST"),
        ("no fields", "POST", login, JSON, b"{}".to_vec(), 400, "INVALID_REQUEST"),
        ("no token", "GET", "/v1/auth/me", None, vec![], 401, "UNAUTHENTICATED"),
        (
            "not acceptable",
            "POST",
            "/v1/auth/signup",
            JSON,
            br#"{"name":"","email":"x","password":"y"}"#.to_vec(),
            422,
            "VALIDATION_ERROR",
        ),
        (
            "credentials",
            "POST",
            login,
            JSON,
            br#"{"email":"nobody@example.com","password":"whatever it is"}"#.to_vec(),
            401,
            "INVALID_CREDENTIALS",
        ),
        (
            "refresh",
            "POST",
            "/v1/auth/refresh",
            JSON,
            br#"{"refresh_token":"akr_x"}"#.to_vec(),
            401,
            "REFRESH_INVALID",
        ),
    ]
}

async fn refused(client: &Client, refusal: &Refusal) -> Answer {
    let (_, method, path, mime, body, ..) = refusal;
    let body = (mime.is_some()).then(|| body.clone());
    let client = mime.map_or_else(|| client.clone(), |mime| client.header("content-type", mime));
    client.request(method, path, body).await
}

#[tokio::test]
async fn s_194_every_refusal_has_the_one_error_body() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    for refusal in refusals() {
        let (name, .., status, code) = refusal;
        let answer = refused(&client, &refusal).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        tells_nothing(answer.assert_error(status, code));
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{name}");
        }
    }
}

#[tokio::test]
async fn s_194_the_same_facts_as_problem_json() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client().header("accept", "application/problem+json");
    for refusal in refusals() {
        let (name, .., status, code) = refusal;
        let answer = refused(&client, &refusal).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{name}");
        assert_eq!(answer.body["code"], code, "{name}");
        assert_eq!(answer.body["status"], status, "{name}");
        assert_eq!(answer.body["request_id"], answer.header("x-request-id"), "{name}");
        for member in ["type", "title", "detail"] {
            assert!(!answer.str(&format!("/{member}")).is_empty(), "{name}: {}", answer.text);
        }
        assert_eq!(answer.header("cache-control"), "no-store", "{name}");
        tells_nothing(&answer);
        let plain = refused(&server.client(), &refusal).await;
        assert_eq!(answer.body["detail"], plain.body["error"]["message"], "{name}");
    }
    // Only when it is asked for, and then also among others.
    let mixed = server.client().header("accept", "text/html, application/problem+json;q=0.9, */*;q=0.1");
    assert_eq!(mixed.get("/nothing").await.header("content-type"), "application/problem+json");
    for accept in ["application/json", "*/*", "text/html", "application/*", ""] {
        server.client().header("accept", accept).get("/nothing").await.assert_error(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn s_195_answers_carry_the_security_headers() {
    let (_store, server) = on_sqlite(&[("PUBLIC_URL", "https://login.example.com")]).await;
    let client = server.client();
    let tokens = newcomer(&client, "headers@example.com").await;
    let caller = client.bearer(&tokens.access);
    for path in
        ["/v1/auth/me", "/v1/auth/sessions", "/health", "/ready", "/", "/openapi.json", "/docs", "/nothing"]
    {
        let answer = caller.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert!(answer.header("strict-transport-security").contains("max-age="), "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(!answer.header("referrer-policy").is_empty(), "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    for path in ["/v1/auth/me", "/v1/auth/sessions"] {
        assert_eq!(caller.get(path).await.header("cache-control"), "no-store", "{path}");
    }
    // A page of this machine in development is no reason to tie a browser to https.
    let (_store, server) = on_sqlite(&[]).await;
    assert_eq!(server.client().get("/health").await.header("strict-transport-security"), "");
}

#[tokio::test]
async fn s_196_only_listed_origins_exactly() {
    let listed = "https://app.example.com";
    let origins = format!("{listed},http://localhost:5173");
    let (_store, server) = on_sqlite(&[("CORS_ORIGINS", &origins)]).await;
    let client = server.client();
    let preflight = |origin: &str| {
        client
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,authorization")
    };
    for origin in [listed, "http://localhost:5173"] {
        let answer = preflight(origin).request("OPTIONS", "/v1/auth/login", None).await;
        assert!((200..300).contains(&answer.status), "{}", answer.status);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("access-control-allow-methods").contains("POST"));
        let allowed = answer.header("access-control-allow-headers").to_lowercase();
        assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
        assert_ne!(answer.header("access-control-allow-credentials"), "true");
        let answer = client.header("origin", origin).get("/v1/auth/me").await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(answer.header("vary").to_lowercase().contains("origin"));
    }
    for origin in [
        "null",
        "https://app.example.com.evil.example",
        "https://evilapp.example.com",
        "https://app.example.com:8443",
        "https://app.example.com:443",
        "http://app.example.com",
        "https://app.example.com/",
        "https://APP.example.com",
        "https://user@app.example.com",
        "https://example.com",
        "http://localhost",
        "*",
        listed.strip_suffix('m').unwrap(),
    ] {
        for answer in [
            preflight(origin).request("OPTIONS", "/v1/auth/login", None).await,
            client.header("origin", origin).get("/v1/auth/me").await,
        ] {
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{origin}");
        }
    }
    let (_store, server) = on_sqlite(&[]).await;
    let answer = server.client().header("origin", listed).get("/health").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn s_197_a_body_that_is_no_json_is_refused_unread() {
    let (_store, server) = on_sqlite(&[]).await;
    let body = person("typed@example.com").to_string().into_bytes();
    for mime in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
        "text/json",
    ] {
        let client = server.client().header("content-type", mime);
        for path in ["/v1/auth/signup", "/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout"] {
            let answer = client.request("POST", path, Some(body.clone())).await;
            answer.assert_error(415, "UNSUPPORTED_MEDIA_TYPE");
        }
    }
    for (i, mime) in
        ["application/json", "application/json; charset=utf-8", "Application/JSON"].iter().enumerate()
    {
        let email = format!("typed-{i}@example.com");
        let body = person(&email).to_string().into_bytes();
        let client = server.client().header("content-type", mime);
        client.request("POST", "/v1/auth/signup", Some(body)).await.expect(201);
    }
}

#[tokio::test]
async fn s_200_ambiguous_framing_ends_the_connection() {
    let (_store, server) = on_sqlite(&[]).await;
    let smuggled = "GET /v1/auth/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let head = "POST /v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let two = smuggled.len() + 2;
    let refused = [
        format!("{head}content-length: 2\r\ncontent-length: {two}\r\n\r\n{{}}{smuggled}"),
        format!("{head}content-length: 2, {two}\r\n\r\n{{}}{smuggled}"),
        format!("{head}content-length: +2\r\n\r\n{{}}{smuggled}"),
        format!("{head}content-length: 0x2\r\n\r\n{{}}{smuggled}"),
        format!("{head}transfer-encoding: chunked, identity\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding: xchunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
        format!("{head}transfer-encoding: gzip\r\n\r\n{{}}{smuggled}"),
    ];
    for request in refused {
        let mut connection = Connection::open(server.address()).await.unwrap();
        connection.send(request.as_bytes()).await.unwrap();
        let received = connection.read(QUIET).await;
        assert!(received.closed, "still open after\n{request}");
        assert_eq!(received.statuses(), [400], "{request}\n{}", received.text());
    }
    // Beside chunked a length may be ignored or refused; either way the connection closes after one answer.
    for order in [
        format!("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
        format!(
            "transfer-encoding: chunked\r\ncontent-length: {two}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"
        ),
    ] {
        let received =
            raw::exchange(server.address(), format!("{head}{order}").as_bytes(), QUIET).await.unwrap();
        let received = raw::Received { bytes: received, closed: true };
        assert_eq!(received.statuses(), [400], "{order}\n{}", received.text());
        let mut connection = Connection::open(server.address()).await.unwrap();
        connection.send(format!("{head}{order}").as_bytes()).await.unwrap();
        assert!(connection.read(QUIET).await.closed, "still open after\n{order}");
    }
    assert!(!settled_logs(&server).await.contains("smuggled"), "a request was read out of a body");
}

#[tokio::test]
async fn s_201_methods_that_are_not_listed_do_nothing() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    let tokens = newcomer(&client, "methods@example.com").await;
    let caller = client.bearer(&tokens.access);
    for method in ["TRACE", "CONNECT", "PROPFIND", "SEARCH", "LINK"] {
        for path in ["/v1/auth/me", "/v1/auth/login", "/health"] {
            // CONNECT has no path of its own; the framework may not even route it.
            if method == "CONNECT" {
                continue;
            }
            caller.request(method, path, None).await.assert_error(405, "METHOD_NOT_ALLOWED");
        }
    }
    for path in ["signup", "login", "refresh", "logout", "logout-all", "password", "step-up"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = caller.request(method, &format!("/v1/auth/{path}"), None).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    for path in ["/v1/auth/me", "/v1/auth/sessions", "/health", "/ready", "/", "/openapi.json"] {
        let (get, head) = (caller.get(path).await.expect(200), caller.request("HEAD", path, None).await);
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_eq!(head.header("cache-control"), get.header("cache-control"), "{path}");
    }
    caller.get("/v1/auth/me").await.expect(200);
    let received = raw::exchange(
        server.address(),
        b"HEAD /v1/auth/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        QUIET,
    );
    let received = String::from_utf8(received.await.unwrap()).unwrap();
    assert!(received.starts_with("HTTP/1.1 401") && received.ends_with("\r\n\r\n"), "{received}");
}

#[tokio::test]
async fn a_request_id_is_taken_over_or_made() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    for good in ["abcdefgh", "A-1-b-2-C-3", &"x".repeat(64), "018f9f7e-0000-7000-8000-000000000000"] {
        let answer = client.header("x-request-id", good).get("/v1/auth/me").await;
        assert_eq!(answer.assert_error(401, "UNAUTHENTICATED").str("/error/request_id"), good);
        assert_eq!(client.header("x-request-id", good).get("/health").await.header("x-request-id"), good);
    }
    let mut seen = std::collections::BTreeSet::new();
    for bad in
        ["", "short", &"x".repeat(65), "has space in", "under_score", "semi;colon", "a\tbcdefghi", "<script>"]
    {
        let answer = client.header("x-request-id", bad).get("/v1/auth/me").await;
        let made = answer.assert_error(401, "UNAUTHENTICATED").str("/error/request_id").to_owned();
        assert_ne!(made, bad);
        assert!(seen.insert(made), "an id was made twice");
    }
}

#[tokio::test]
async fn the_prefix_moves_the_api_and_nothing_else() {
    for prefix in ["", "/api/v2"] {
        let (_store, server) = on_sqlite(&[("API_PREFIX", prefix)]).await;
        let client = server.client();
        let at = |path: &str| format!("{prefix}{path}");
        client.post(&at("/auth/signup"), person("prefix@example.com")).await.expect(201);
        let login =
            client.post(&at("/auth/login"), credentials("prefix@example.com", crate::app::PASSWORD)).await;
        let access = login.expect(200).str("/access_token").to_owned();
        client.bearer(&access).get(&at("/auth/me")).await.expect(200);
        client.post("/v1/auth/login", json!({})).await.assert_error(404, "NOT_FOUND");
        for path in ["/health", "/ready", "/metrics", "/openapi.json", "/.well-known/jwks.json"] {
            client.get(path).await.expect(200);
        }
        for path in ["/health", "/ready"] {
            client.get(&at(path)).await.expect(200);
        }
        let document = client.get("/openapi.json").await.expect(200);
        assert!(document.body["paths"].get(at("/auth/login")).is_some(), "{prefix}");
    }
}

#[tokio::test]
async fn health_ready_and_the_root_say_what_the_contract_says() {
    let (_store, server) = on_sqlite(&[]).await;
    let client = server.client();
    for path in ["/health", "/v1/health"] {
        let health = client.get(path).await.expect(200);
        assert_eq!(health.body["status"], "ok");
        let timestamp = health.str("/timestamp");
        assert!(
            timestamp.len() >= 20 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
            "{timestamp}"
        );
        assert_eq!(health.body.as_object().map(serde_json::Map::len), Some(2), "{}", health.text);
    }
    for path in ["/ready", "/v1/ready"] {
        let ready = client.get(path).await.expect(200);
        assert_eq!(ready.body["status"], "ok");
        let checks: Value = json!({"database": "ok", "redis": "off", "mail": "ok", "keys": "ok"});
        assert_eq!(ready.body["checks"], checks);
    }
    client.get("/").await.expect(200);
    sign_up(&client, "unneeded@example.com").await;
    me(&client, "").await.assert_error(401, "UNAUTHENTICATED");
}

//! What operators see: logs, metrics, key set, the API's own description.

use std::collections::{BTreeMap, BTreeSet};

use authkit_tests::{Backend, Launch, Store, on_both};
use serde_json::{Value, json};

use crate::app::{
    PASSWORD, credentials, header, launch, me, newcomer, person, refresh, serve, settled_logs, sign_in,
};

/// The fields of a log line, all of them and no other.
const FIELDS: [&str; 11] = [
    "event_type",
    "function",
    "latency_ms",
    "level",
    "logger",
    "method",
    "module",
    "path",
    "request_id",
    "status_code",
    "timestamp",
];
const CANARY: &str = "canary7q";

on_both! {
    async fn s_174_logs_are_json_lines_without_secrets(store: Store) {
        let server = serve(&store, &[("LOG_LEVEL", "trace")]).await;
        let client = server.client();
        let email = format!("{CANARY}-mail@example.com");
        let mut secrets: Vec<String> = vec![CANARY.into(), PASSWORD.into(), store.pepper().into()];
        let tokens = newcomer(&client, &email).await;
        let next = refresh(&client, &tokens.refresh).await.expect(200);
        for token in [&tokens.access, &tokens.refresh, next.str("/access_token"), next.str("/refresh_token")].map(ToString::to_string) {
            // The last part: heads of tokens are public and alike.
            secrets.push(token[token.len() - 30..].to_owned());
            secrets.push(token);
        }
        let password = format!("{CANARY} wrong password");
        client.post("/v1/auth/login", credentials(&email, &password)).await.expect(401);
        client.post("/v1/auth/login", credentials(&format!("{CANARY}@unknown.example"), &password)).await.expect(401);
        // People type passwords into the field for the address.
        client.post("/v1/auth/login", credentials(&password, "x")).await.expect(422);
        client.post("/v1/auth/signup", json!({"name": CANARY, "email": CANARY, "password": CANARY})).await.expect(422);
        client.post("/v1/auth/signup", person(&email)).await.expect(409);
        client.request("POST", "/v1/auth/login", Some(format!("{{\"{CANARY}\": \"{CANARY}").into_bytes())).await.expect(400);
        client.post("/v1/auth/login", json!({ CANARY: CANARY })).await.expect(400);
        me(&client, &format!("{CANARY}.{CANARY}.{CANARY}")).await.expect(401);
        let caller = client.bearer(next.str("/access_token"));
        caller.post("/v1/auth/password", json!({"current_password": password, "new_password": password})).await.expect(401);
        caller.patch("/v1/auth/me", json!({"name": CANARY, "profile": {"note": CANARY}})).await.expect(200);
        client.get(&format!("/v1/auth/me?token={CANARY}")).await.expect(401);
        client.get(&format!("/v1/x?y={CANARY}")).await.expect(404);
        refresh(&client, &tokens.refresh).await;
        client.post("/v1/auth/logout", json!({"refresh_token": CANARY})).await.expect(204);

        let logs = settled_logs(&server).await;
        for secret in secrets {
            let line = logs.lines().find(|line| line.contains(&secret));
            assert!(line.is_none(), "{secret} is in the log: {line:?}");
        }
        assert!(logs.contains("/v1/auth/login"), "nothing was logged:\n{logs}");
    }
}

#[tokio::test]
async fn every_log_line_has_the_documented_fields() {
    let store = Store::new(Backend::Sqlite).await;
    // In development a hint for people stands beside the log; elsewhere there is nothing but the log.
    let server = strict(&store, "staging").env("MIGRATE_ON_START", "true").start().await;
    let client = server.client();
    newcomer(&client, "logged@example.com").await;
    let id = "log-line-request-1";
    client.header("x-request-id", id).get("/v1/auth/me").await.expect(401);
    client.header("x-request-id", "log-line-request-2").get("/v1/nothing/here").await.expect(404);
    let logs = settled_logs(&server).await;
    for line in logs.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"));
        let names: BTreeSet<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let missing: Vec<_> = FIELDS.iter().filter(|f| !names.contains(*f)).collect();
        assert!(missing.is_empty(), "{missing:?} missing: {line}");
        let more: Vec<_> = names.iter().filter(|n| !FIELDS.contains(n) && **n != "message").collect();
        assert!(more.is_empty(), "{more:?} is not documented: {line}");
        assert!(value["timestamp"].as_str().is_some_and(|t| t.ends_with('Z')), "{line}");
    }
    let line =
        server.json_logs().into_iter().find(|line| line["request_id"] == id).expect("a line of the request");
    assert_eq!(
        (&line["method"], &line["path"], &line["status_code"]),
        (&json!("GET"), &json!("/v1/auth/me"), &json!(401))
    );
    assert!(line["latency_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
    assert!(server.json_logs().iter().any(|line| line["status_code"] == 404));
}

#[tokio::test]
async fn metrics_count_routes_and_outcomes_and_name_nobody() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    let tokens = newcomer(&client, "metered@example.com").await;
    client.post("/v1/auth/login", credentials("metered@example.com", "wrong password")).await.expect(401);
    let next = refresh(&client, &tokens.refresh).await.expect(200);
    refresh(&client, "akr_x").await.expect(401);
    let sid = tokens.claim("sid");
    let sid = sid.as_str().unwrap();
    client.bearer(next.str("/access_token")).delete(&format!("/v1/auth/sessions/{sid}")).await.expect(204);
    client.get("/v1/no/such/place-canary7q").await.expect(404);
    client.request("PROPFIND", "/v1/auth/me", None).await.expect(405);

    let metrics = client.get("/metrics").await.expect(200);
    assert!(metrics.header("content-type").starts_with("text/plain"), "{}", metrics.header("content-type"));
    let text = &metrics.text;
    let user = tokens.claim("sub");
    for word in ["metered", "@", sid, user.as_str().unwrap(), "canary7q", "127.0.0.1"] {
        assert!(!text.contains(word), "{word} is a label:\n{text}");
    }
    assert!(text.contains("/v1/auth/sessions/{id}") && text.contains("/v1/auth/login"), "{text}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a sample");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let has = |words: &[&str]| samples.iter().any(|line| words.iter().all(|word| line.contains(word)));
    for words in [
        &["/v1/auth/login", "401"][..],
        &["/v1/auth/login", "_bucket", "le="],
        &["db_connections"],
        &["hash_slots_busy"],
        &["login", "success"],
        &["login", "INVALID_CREDENTIALS"],
        &["refresh", "success"],
        &["refresh", "REFRESH_INVALID"],
    ] {
        assert!(has(words), "no sample with {words:?}:\n{text}");
    }
    let declared: BTreeSet<_> = text.lines().filter_map(|l| l.strip_prefix("# TYPE ")).collect();
    assert!(!declared.is_empty());
    for name in declared {
        assert!(
            name.starts_with("authkit_") || name.starts_with("http_") || name.starts_with("process_"),
            "{name}"
        );
    }
}

/// A stranger who tries a thousand paths and methods must not grow the registry.
#[tokio::test]
async fn metrics_do_not_grow_with_what_strangers_send() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    client.get("/v1/stranger").await.expect(404);
    client.request("AAAA", "/v1/auth/me", None).await.expect(405);
    let before = client.get("/metrics").await.text.lines().count();
    for i in 0..200 {
        client.get(&format!("/v1/stranger/{i}")).await.expect(404);
        client.request(&format!("M{i}"), "/v1/auth/me", None).await.expect(405);
        client.request(&format!("M{i}"), &format!("/{i}"), None).await;
    }
    let after = client.get("/metrics").await.text.lines().count();
    assert!(after <= before + 60, "{before} lines became {after}");
}

#[tokio::test]
async fn the_key_set_verifies_tokens_and_may_be_cached() {
    for (alg, kty) in [("EdDSA", "OKP"), ("ES256", "EC")] {
        let store = Store::new(Backend::Sqlite).await;
        let server = serve(&store, &[("JWT_ALG", alg)]).await;
        let client = server.client();
        let tokens = newcomer(&client, "keys@example.com").await;
        let jwks = client.get("/.well-known/jwks.json").await.expect(200);
        assert!(jwks.header("cache-control").contains("max-age="), "{}", jwks.header("cache-control"));
        let kid = header(&tokens.access)["kid"].clone();
        let keys = jwks.body["keys"].as_array().unwrap();
        let key = keys.iter().find(|key| key["kid"] == kid).expect("the active key");
        assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!(kty), &json!(alg), &json!("sig")));
        for key in keys {
            for private in ["d", "k", "p", "q"] {
                assert!(key.get(private).is_none(), "{key}");
            }
        }
    }
    let store = Store::new(Backend::Sqlite).await;
    let env = [("JWT_ALG", "HS256"), ("JWT_SECRET", "v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6M=")];
    let server = serve(&store, &env).await;
    let jwks = server.client().get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(jwks.body["keys"], json!([]));
}

#[tokio::test]
async fn the_description_lists_every_route_and_is_sound() {
    let store = Store::new(Backend::Sqlite).await;
    let server =
        serve(&store, &[("INTERNAL_CLEANUP_TOKEN", "kJ3mX9vQ2rT7yB5nW8cZ4fH6gL1pD0sA-eUoIyVbNqM")]).await;
    let client = server.client();
    let document = client.get("/openapi.json").await.expect(200).body;
    assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{}", document["openapi"]);
    let mut found = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().unwrap() {
            if ["parameters", "summary", "description"].contains(&method.as_str()) {
                continue;
            }
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert!(ids.insert(id.to_owned()), "{id} twice");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.keys().any(|s| s.starts_with('2')), "{method} {path}: {responses:?}");
            found.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    let expected = [
        ("POST", "/v1/auth/signup"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/refresh"),
        ("POST", "/v1/auth/logout"),
        ("POST", "/v1/auth/logout-all"),
        ("GET", "/v1/auth/me"),
        ("PATCH", "/v1/auth/me"),
        ("DELETE", "/v1/auth/me"),
        ("POST", "/v1/auth/password"),
        ("POST", "/v1/auth/step-up"),
        ("GET", "/v1/auth/sessions"),
        ("DELETE", "/v1/auth/sessions/{id}"),
        ("GET", "/v1/admin/lockouts"),
        ("DELETE", "/v1/admin/lockouts/{id}"),
        ("POST", "/v1/admin/users/{id}/unlock"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/.well-known/jwks.json"),
    ];
    for (method, path) in expected {
        assert!(found.contains_key(&(method.into(), path.into())), "{method} {path} is not described");
    }
    // Every described route is there, and those with a lock refuse without a key.
    let global = document.get("security").and_then(Value::as_array).is_some_and(|s| !s.is_empty());
    for ((method, path), operation) in &found {
        let nobody = "018f9f7e-0000-7000-8000-000000000000";
        let concrete = path.replace("{id}", nobody).replace("{user_id}", nobody);
        let answer = client.request(method, &concrete, (method == "POST").then(|| b"{}".to_vec())).await;
        assert_ne!(answer.status, 405, "{method} {path}");
        let locked = operation
            .get("security")
            .map_or(global, |s| s.as_array().is_some_and(|s| !s.is_empty() && !s.contains(&json!({}))));
        // Where a caller may be, but need not, others are judged by what they send.
        assert_eq!(answer.status == 401, locked, "{method} {path}: {}", answer.text);
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "$ref" => into.push(text.to_owned()),
                    _ => collect_references(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_needs_no_network_and_is_not_there_in_prod() {
    let store = Store::new(Backend::Sqlite).await;
    let server = serve(&store, &[]).await;
    let page = server.client().get("/docs").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src"), "{:?}", page.headers);
    for mark in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http", "@import", "src='http"] {
        assert!(!page.text.contains(mark), "{mark} in the page");
    }
    // What it loads is served here.
    for mark in ["src=\"", "href=\""] {
        for part in page.text.split(mark).skip(1) {
            let target = part.split('"').next().unwrap();
            if target.starts_with('/') {
                server.client().get(target).await.expect(200);
            }
        }
    }
    drop(server);
    let server = strict(&store, "prod").start().await;
    server.client().get("/docs").await.assert_error(404, "NOT_FOUND");
    server.client().get("/health").await.expect(200);
}

/// With every setting that `prod` and `staging` insist on.
fn strict(store: &Store, env: &str) -> Launch {
    let env = [("ENV", env), ("PUBLIC_URL", "https://login.example.com"), ("EMAIL_VERIFICATION", "off")];
    launch(store, &env)
        .without("ARGON2_MEMORY_KIB")
        .without("ARGON2_ITERATIONS")
        .without("ARGON2_PARALLELISM")
}

#[tokio::test]
async fn prod_serves_with_its_own_strictness() {
    let store = Store::new(Backend::Sqlite).await;
    drop(serve(&store, &[]).await);
    let server = strict(&store, "prod").start().await;
    let client = server.client();
    newcomer(&client, "prod@example.com").await;
    sign_in(&client, "prod@example.com").await;
}

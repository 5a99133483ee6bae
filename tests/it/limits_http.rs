//! Limits as clients see them, on one process and on two that share Redis (cases 35, 40, 42, 191).

use std::net::SocketAddr;
use std::time::Duration;

use authkit::Policy;
use authkit::config::Rate;
use authkit::http::axum::{AuthState, RouteLimit, request_context};
use authkit_tests::{Answer, Backend, Client, Launch, RedisServer, ServerProcess, Store, race};
use axum::Router;
use axum::routing::get;
use serde_json::json;

use crate::support::kit;

async fn wrong_login(client: &Client, email: &str) -> Answer {
    client.post("/v1/auth/login", json!({"email": email, "password": "not the password"})).await
}

async fn start(store: &Store, redis: Option<&RedisServer>, more: &[(&str, &str)]) -> ServerProcess {
    let mut launch = Launch::server(store).default_limits();
    if let Some(redis) = redis {
        launch = launch.env("REDIS_URL", &redis.url());
    }
    more.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start().await
}

fn figure(metrics: &str, line: &str) -> u64 {
    let found = metrics.lines().find_map(|l| l.strip_prefix(line));
    found.map_or(0, |count| count.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_035_the_21st_sign_in_is_refused_with_all_that_belongs_to_it() {
    let redis = RedisServer::start();
    for redis in [None, Some(&redis)] {
        let store = Store::new(Backend::Sqlite).await;
        let server = start(&store, redis, &[]).await;
        let client = server.client();
        for n in 0..20 {
            let answer = wrong_login(&client, &format!("user{n}@example.com")).await;
            answer.assert_error(401, "INVALID_CREDENTIALS");
            assert_eq!(answer.header("ratelimit"), "");
        }
        let refused = wrong_login(&client, "user20@example.com").await;
        refused.assert_error(429, "RATE_LIMITED");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
        assert_eq!(refused.header("ratelimit"), format!("\"login_ip\";r=0;t={wait}"));
        assert_eq!(refused.header("ratelimit-policy"), "\"login_ip\";q=20;w=600");
        let problem =
            wrong_login(&client.header("accept", "application/problem+json"), "a@example.com").await;
        assert_eq!((problem.status, problem.str("/code")), (429, "RATE_LIMITED"));
        assert!(problem.body["details"]["retry_after_seconds"].is_u64(), "{}", problem.text);
        let metrics = client.get("/metrics").await.expect(200).text;
        let passed = r#"authkit_limits_total{limit="login_ip",outcome="passed"}"#;
        let limited = r#"authkit_limits_total{limit="login_ip",outcome="limited"}"#;
        assert_eq!((figure(&metrics, passed), figure(&metrics, limited)), (20, 2), "{metrics}");
        let checks = client.get("/ready").await.expect(200).body["checks"]["redis"].clone();
        assert_eq!(checks, if redis.is_some() { "ok" } else { "off" });
        if redis.is_some() {
            // What Redis holds survives a restart of the server.
            drop(server);
            let server = start(&store, redis, &[]).await;
            wrong_login(&server.client(), "user21@example.com").await.assert_error(429, "RATE_LIMITED");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_191_of_200_parallel_sign_ins_on_two_servers_at_most_20_are_judged() {
    let redis = RedisServer::start();
    let store = Store::new(Backend::Postgres).await;
    let one = start(&store, Some(&redis), &[]).await;
    let two = start(&store, Some(&redis), &[]).await;
    let statuses = race(200, |n| {
        let client = if n % 2 == 0 { one.client() } else { two.client() };
        async move { wrong_login(&client, &format!("user{n}@example.com")).await.status }
    })
    .await;
    let judged = statuses.iter().filter(|status| **status == 401).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(judged + refused, 200, "{statuses:?}");
    let mut in_memory = 0;
    for server in [&one, &two] {
        let metrics = server.client().get("/metrics").await.expect(200).text;
        in_memory += figure(&metrics, r#"authkit_limits_degraded_total{limit="login_ip"}"#);
    }
    println!("{judged} judged, {refused} refused, {in_memory} of them in memory");
    // A further one is free after 30 s. Where this machine was so busy that Redis missed its 100 ms, half in memory.
    let most = if in_memory == 0 { 21 } else { 40 };
    assert!((20..=most).contains(&judged), "{judged} judged, {in_memory} in memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_redis_dies_and_comes_back_under_load() {
    const LINE: &str = "authkit_limits_total{limit=\"fallback_ip\",outcome=";
    let redis = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let server = start(&store, Some(&redis), &[("RL_FALLBACK_IP_LIMIT", "200/1h")]).await;
    let client = server.client();
    let load = async |what: &str| {
        let statuses = race(400, |_| {
            let client = client.clone();
            async move { client.post("/v1/auth/logout", json!({"refresh_token": "x"})).await.status }
        })
        .await;
        let count = |status: u16| statuses.iter().filter(|s| **s == status).count();
        let ready = client.get("/ready").await.expect(200);
        println!("{what}: {} passed, {} limited, ready: {}", count(204), count(429), ready.text);
        assert_eq!(count(204) + count(429), 400, "{statuses:?}");
        (count(204), ready.str("/checks/redis").to_owned())
    };
    let (passed, ready) = load("Redis up").await;
    // Half as many in memory where this machine was so busy that Redis missed its 100 ms.
    assert!((200..=300).contains(&passed) && ready == "ok", "{passed}, {ready}");
    redis.stop();
    let (passed_dead, ready) = load("Redis dead").await;
    // What Redis missed before was counted then; some seconds give one back.
    let left = 300 - passed;
    assert!((left..=left + 2).contains(&passed_dead) && ready == "degraded", "{passed}, {passed_dead}");
    let (passed, ready) = load("Redis still dead").await;
    assert!(passed <= 2 && ready == "degraded", "{passed}, {ready}");
    redis.start_again();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while client.get("/ready").await.expect(200).str("/checks/redis") != "ok" {
        assert!(std::time::Instant::now() < end, "no recovery");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It came back empty.
    let (passed, ready) = load("Redis up again").await;
    assert!(passed == 200 && ready == "ok", "{passed}, {ready}");
    let metrics = client.get("/metrics").await.expect(200).text;
    let degraded = figure(&metrics, "authkit_limits_degraded_total{limit=\"fallback_ip\"}");
    println!(
        "in all: {} passed, {} limited, {degraded} of them judged in memory",
        figure(&metrics, &format!("{LINE}\"passed\"}}")),
        figure(&metrics, &format!("{LINE}\"limited\"}}"))
    );
    assert!(degraded >= 800, "{degraded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_where_redis_is_required_nothing_is_judged_without_it() {
    let redis = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let server = start(&store, Some(&redis), &[("REDIS_REQUIRED", "true")]).await;
    let client = server.client();
    wrong_login(&client, "a@example.com").await.assert_error(401, "INVALID_CREDENTIALS");
    redis.stop();
    for _ in 0..30 {
        wrong_login(&client, "a@example.com").await.assert_error(503, "UNAVAILABLE");
    }
    let ready = client.get("/ready").await;
    ready.assert_error(503, "UNAVAILABLE");
    assert_eq!(ready.str("/error/details/checks/redis"), "down");
    client.get("/health").await.expect(200);
    redis.start_again();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while client.get("/ready").await.status != 200 {
        assert!(std::time::Instant::now() < end, "no recovery");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wrong_login(&client, "a@example.com").await.assert_error(401, "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_guards_its_own_routes() {
    let store = Store::new(Backend::Sqlite).await;
    let test = kit(&store).await;
    let state = AuthState::new(test.kit.clone());
    let rate = Rate::new(2, Duration::from_hours(1));
    let by_tenant = RouteLimit::by(&state, Policy::new("tenant", rate), |parts| {
        Some(parts.headers.get("x-tenant")?.to_str().ok()?.to_owned())
    });
    let app = Router::new()
        .route("/export", get(|| async { "rows" }))
        .layer(RouteLimit::by_address(&state, Policy::new("exports", rate)).layer())
        .route("/tenant", get(|| async { "rows" }).layer(by_tenant.layer()))
        .route("/free", get(|| async { "rows" }))
        .layer(axum::middleware::from_fn_with_state(state, request_context));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, service).await });

    for left in [1, 0] {
        let answer = client.get("/export").await.expect(200);
        assert!(answer.header("ratelimit").starts_with(&format!("\"exports\";r={left};t=")));
        assert_eq!(answer.header("ratelimit-policy"), "\"exports\";q=2;w=3600");
    }
    let refused = client.get("/export").await;
    assert_eq!((refused.status, refused.error_code()), (429, "RATE_LIMITED"));
    assert_eq!(refused.header("retry-after"), "1800");
    assert_eq!(refused.header("ratelimit"), "\"exports\";r=0;t=1800");
    client.get("/free").await.expect(200);

    let tenant = |name: &str| client.header("x-tenant", name);
    for _ in 0..2 {
        tenant("a").get("/tenant").await.expect(200);
        client.get("/tenant").await.expect(200);
    }
    tenant("a").get("/tenant").await.expect(429);
    client.get("/tenant").await.expect(429);
    tenant("").get("/tenant").await.expect(200);
    tenant("b").get("/tenant").await.expect(200);
    test.clock.advance(Duration::from_mins(30));
    tenant("a").get("/tenant").await.expect(200);
    serving.abort();
}

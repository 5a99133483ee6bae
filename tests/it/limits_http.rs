//! Limits as clients see them, on one process and on two that share Redis (cases 35, 40, 42, 191).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

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
        if redis.is_some() {
            redis_is_used(&client).await;
        }
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

/// Waits until the server uses Redis: what is told by `/ready` is asked of Redis itself.
async fn redis_is_used(client: &Client) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let ready = client.get("/ready").await;
        if ready.status == 200 && ready.str("/checks/redis") == "ok" {
            return;
        }
        assert!(Instant::now() < end, "no recovery: {}", ready.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// 400 requests over 20 connections: how many passed, and what `/ready` says then. Nothing but 204 and 429 is good.
async fn load(client: &Client, what: &str) -> (usize, String) {
    let all = race(20, |_| {
        let client = client.clone();
        async move {
            let mut statuses = Vec::new();
            for _ in 0..20 {
                statuses.push(client.post("/v1/auth/logout", json!({"refresh_token": "x"})).await.status);
            }
            statuses
        }
    })
    .await
    .concat();
    let count = |status: u16| all.iter().filter(|s| **s == status).count();
    let ready = client.get("/ready").await.expect(200);
    let (passed, limited) = (count(204), count(429));
    println!("{what}: {passed} passed, {limited} limited, ready says {}", ready.text);
    assert_eq!(passed + limited, 400, "{all:?}");
    (passed, ready.str("/checks/redis").to_owned())
}

/// The full quota of 200. On a busy machine Redis may miss its 100 ms: then it is emptied, waited for, asked again.
async fn full_load(client: &Client, redis: &RedisServer, what: &str) {
    for _ in 0..5 {
        redis_is_used(client).await;
        redis.run(&["FLUSHALL"]);
        match load(client, what).await {
            (200, _) => return,
            (passed, _) => assert!(passed <= 300, "{passed}: the quota and what memory adds"),
        }
    }
    panic!("never the full quota");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_redis_dies_and_comes_back_under_load() {
    let redis = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let server = start(&store, Some(&redis), &[("RL_FALLBACK_IP_LIMIT", "200/1d")]).await;
    let client = server.client();
    let in_memory = async || {
        let metrics = client.get("/metrics").await.expect(200).text;
        figure(&metrics, "authkit_limits_degraded_total{limit=\"fallback_ip\"}")
    };
    full_load(&client, &redis, "Redis up").await;
    let before = in_memory().await;
    redis.stop();
    let (passed, ready) = load(&client, "Redis dead").await;
    let least = if before == 0 { 100 } else { 0 };
    assert!((least..=100).contains(&passed) && ready == "degraded", "{passed} {ready}");
    let (passed, ready) = load(&client, "Redis still dead").await;
    assert_eq!((passed, ready.as_str()), (0, "degraded"));
    assert_eq!(in_memory().await - before, 800);
    redis.start_again();
    full_load(&client, &redis, "Redis up again").await;
    println!("{} requests in all were judged in memory", in_memory().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_where_redis_is_required_nothing_is_judged_without_it() {
    let redis = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let server = start(&store, Some(&redis), &[("REDIS_REQUIRED", "true")]).await;
    let client = server.client();
    redis_is_used(&client).await;
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
    redis_is_used(&client).await;
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

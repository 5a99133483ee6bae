//! The store stops, freezes or crashes under a running server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use authkit_tests::postgres::Cluster;
use authkit_tests::{Answer, Client, Store};
use serde_json::{Value, json};

use crate::app::{
    PASSWORD, Tokens, count, credentials, me, newcomer, person, refresh, serve, sign_in, sign_up, within,
};

/// What case 181 allows, and what one request around it costs at most on a busy machine.
const REFUSED_IN: Duration = Duration::from_millis(2_000 + 300);
const BACK_IN: Duration = Duration::from_secs(10);

/// Method, path, body, needs a token.
fn routes(tokens: &Tokens) -> Vec<(&'static str, &'static str, Option<Value>, bool)> {
    let change = json!({"current_password": PASSWORD, "new_password": crate::app::OTHER});
    vec![
        ("POST", "/v1/auth/signup", Some(person("during@example.com")), false),
        ("POST", "/v1/auth/login", Some(credentials("outage@example.com", PASSWORD)), false),
        ("POST", "/v1/auth/login", Some(credentials("unknown@example.com", PASSWORD)), false),
        ("POST", "/v1/auth/refresh", Some(tokens.refresh_body()), false),
        ("POST", "/v1/auth/logout", Some(tokens.refresh_body()), false),
        ("POST", "/v1/auth/logout-all", None, true),
        ("GET", "/v1/auth/me", None, true),
        ("PATCH", "/v1/auth/me", Some(json!({"name": "Other"})), true),
        ("DELETE", "/v1/auth/me", None, true),
        ("POST", "/v1/auth/password", Some(change), true),
        ("POST", "/v1/auth/step-up", Some(json!({"password": PASSWORD})), true),
        ("GET", "/v1/auth/sessions", None, true),
    ]
}

async fn timed(client: &Client, method: &str, path: &str, body: Option<Value>) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = client.request(method, path, body.map(|b| b.to_string().into_bytes())).await;
    (answer, start.elapsed())
}

/// `break_it` takes the store away, `mend_it` gives it back.
async fn survive(break_it: fn(&Cluster), mend_it: fn(&Cluster)) {
    let cluster = Arc::new(Cluster::start_own());
    let store = Store::in_cluster(&cluster).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    let tokens = newcomer(&client, "outage@example.com").await;

    // Health is asked all the time, from before the outage until after it.
    let stop = Arc::new(AtomicBool::new(false));
    let watch = tokio::spawn({
        let (client, stop) = (server.client(), stop.clone());
        async move {
            let mut asked = 0_u32;
            while !stop.load(Ordering::SeqCst) {
                let (answer, took) = timed(&client, "GET", "/health", None).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                assert!(took < Duration::from_secs(1), "health took {took:?}");
                asked += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            asked
        }
    });

    on_thread(&cluster, break_it).await;
    // All at once: a route must not wait for its turn behind the others.
    let mut asked = tokio::task::JoinSet::new();
    for (method, path, body, bearer) in routes(&tokens) {
        let client = if bearer { client.bearer(&tokens.access) } else { client.clone() };
        asked.spawn(async move {
            let (answer, took) = timed(&client, method, path, body).await;
            (method, path, answer, took)
        });
    }
    while let Some(done) = asked.join_next().await {
        let (method, path, answer, took) = done.unwrap();
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text);
        answer.assert_error(503, "UNAVAILABLE");
        assert!(took <= REFUSED_IN, "{method} {path} took {took:?}");
    }
    let (ready, took) = timed(&client, "GET", "/ready", None).await;
    ready.assert_error(503, "UNAVAILABLE");
    assert_eq!(ready.body["error"]["details"]["checks"]["database"], "down", "{}", ready.text);
    assert!(took <= REFUSED_IN, "ready took {took:?}");
    // What is wrong with the request itself needs no store.
    me(&client, "rubbish").await.assert_error(401, "UNAUTHENTICATED");
    refresh(&client, "rubbish").await.assert_error(401, "REFRESH_INVALID");

    on_thread(&cluster, mend_it).await;
    let body = credentials("outage@example.com", PASSWORD);
    let took = within(BACK_IN, "sign-in after the outage", async || {
        client.post("/v1/auth/login", body.clone()).await.status == 200
    })
    .await;
    within(BACK_IN.saturating_sub(took), "readiness after the outage", async || {
        client.get("/ready").await.status == 200
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    assert!(watch.await.expect("health throughout") > 5);
    // Whatever was refused was not done; what was refused without an answer from the store may have been.
    client.post("/v1/auth/signup", person("later@example.com")).await.expect(201);
    let tokens = sign_in(&client, "outage@example.com").await;
    me(&client, &tokens.access).await.expect(200);
}

async fn on_thread(cluster: &Arc<Cluster>, what: fn(&Cluster)) {
    let cluster = cluster.clone();
    tokio::task::spawn_blocking(move || what(&cluster)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_181_a_stopped_store() {
    survive(Cluster::stop, Cluster::start).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_181_a_frozen_store() {
    survive(Cluster::pause, Cluster::resume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_181_a_crashed_store() {
    survive(Cluster::crash, Cluster::start).await;
}

/// A view of revocations that cannot be refreshed is trusted for ten seconds, never longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_181_no_token_is_trusted_on_an_old_view() {
    let cluster = Arc::new(Cluster::start_own());
    let store = Store::in_cluster(&cluster).await;
    let server = serve(&store, &[]).await;
    let client = server.client();
    let tokens = newcomer(&client, "view@example.com").await;
    on_thread(&cluster, Cluster::stop).await;
    within(Duration::from_secs(14), "the view is too old", async || {
        // Judged before the account is read, in either case no 200.
        let answer = me(&client, &tokens.access).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        client.get("/ready").await.body["error"]["details"]["checks"]["keys"] != "ok"
    })
    .await;
    on_thread(&cluster, Cluster::start).await;
    within(BACK_IN, "the view is young again", async || me(&client, &tokens.access).await.status == 200)
        .await;
}

/// The store crashes again and again under load; who got an answer keeps what it said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_in_crashes() {
    let cluster = Arc::new(Cluster::start_own());
    let store = Store::in_cluster(&cluster).await;
    let server = serve(&store, &[("REFRESH_REUSE_GRACE_SECONDS", "300")]).await;
    let client = server.client();
    let mut holders = Vec::new();
    for i in 0..4 {
        holders.push(newcomer(&client, &format!("rotating-{i}@example.com")).await.refresh);
    }
    let mut accounts: Vec<String> = Vec::new();
    for round in 0..5 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for (i, token) in holders.drain(..).enumerate() {
            let (client, stop) = (client.clone(), stop.clone());
            tasks.spawn(async move {
                let (mut token, mut made) = (token, Vec::new());
                let mut n = 0;
                while !stop.load(Ordering::SeqCst) {
                    let answer = refresh(&client, &token).await;
                    assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
                    if answer.status == 200 {
                        token = Tokens::of(&answer).refresh;
                    }
                    let email = format!("crash-{round}-{i}-{n}@example.com");
                    let answer = client.post("/v1/auth/signup", person(&email)).await;
                    assert!(matches!(answer.status, 201 | 503), "{}", answer.text);
                    if answer.status == 201 {
                        made.push(email);
                    }
                    n += 1;
                }
                (token, made)
            });
        }
        tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
        on_thread(&cluster, Cluster::crash).await;
        on_thread(&cluster, Cluster::start).await;
        within(BACK_IN, "the server is back", async || client.get("/ready").await.status == 200).await;
        stop.store(true, Ordering::SeqCst);
        for (token, made) in tasks.join_all().await {
            holders.push(token);
            accounts.extend(made);
        }
    }
    assert!(accounts.len() > 20, "only {} sign-ups", accounts.len());
    for email in &accounts {
        sign_in(&client, email).await;
    }
    for token in &holders {
        Tokens::of(&refresh(&client, token).await);
    }
    let orphans = "SELECT COUNT(*) FROM authkit_users u WHERE NOT EXISTS (SELECT 1 FROM authkit_passwords p WHERE p.user_id = u.id)";
    assert_eq!(count(&store, orphans).await, 0);
    sign_up(&client, "the-end@example.com").await;
}

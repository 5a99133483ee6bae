//! A running server and the people who use it, for the suites that speak HTTP.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use authkit_tests::{Answer, Backend, Client, Launch, ServerProcess, Store};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

/// The password of everybody who does not change it.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Another one that the policy takes.
pub(crate) const OTHER: &str = "seven green lanterns over water";

/// Hashes that cost nothing, many devices, no mail. `dev` only warns about the first.
const CHEAP: [(&str, &str); 5] = [
    ("ARGON2_MEMORY_KIB", "8"),
    ("ARGON2_ITERATIONS", "1"),
    ("ARGON2_PARALLELISM", "1"),
    ("SESSION_POLICY", "multi"),
    ("EMAIL_VERIFICATION", "optional"),
];

/// For suites that fail more often than people do, and are not about locks: as far as the settings go.
pub(crate) const PATIENT: [(&str, &str); 3] = [
    ("LOGIN_FAIL_EMAIL_THRESHOLD", "1000"),
    ("LOGIN_FAIL_IP_THRESHOLD", "100000"),
    ("STUFFING_PAIR_THRESHOLD", "1000"),
];

/// The store's settings, cheap hashes and `env`, of which a later one replaces an earlier one.
pub(crate) fn settings(store: &Store, env: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all = store.env();
    for (name, value) in CHEAP.iter().chain(env) {
        all.retain(|(n, _)| n != name);
        all.push(((*name).to_owned(), (*value).to_owned()));
    }
    all
}

/// A server to be started with cheap hashes and these settings.
pub(crate) fn launch(store: &Store, env: &[(&str, &str)]) -> Launch {
    Launch::server(store).envs(settings(store, env))
}

/// A server with cheap hashes and these settings.
pub(crate) async fn serve(store: &Store, env: &[(&str, &str)]) -> ServerProcess {
    launch(store, env).start().await
}

/// What a client keeps of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    /// Out of an answer "as login"; checks its whole shape.
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body = &answer.body;
        assert_eq!((&body["status"], &body["token_type"]), (&json!("authenticated"), &json!("Bearer")));
        assert!(body["expires_in"].as_u64().is_some_and(|n| n > 0), "{body}");
        assert!(body["refresh_expires_in"].as_u64().is_some_and(|n| n > 0), "{body}");
        assert_eq!(answer.header("cache-control"), "no-store");
        Self { access: answer.str("/access_token").into(), refresh: answer.str("/refresh_token").into() }
    }

    pub(crate) fn refresh_body(&self) -> Value {
        refresh_body(&self.refresh)
    }

    /// A claim of the access token.
    pub(crate) fn claim(&self, name: &str) -> Value {
        claims(&self.access)[name].clone()
    }
}

pub(crate) fn refresh_body(token: &str) -> Value {
    json!({"refresh_token": token})
}

pub(crate) fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

pub(crate) fn person(email: &str) -> Value {
    json!({"name": "Test Person", "email": email, "password": PASSWORD})
}

/// A new account; its `User`.
pub(crate) async fn sign_up(client: &Client, email: &str) -> Answer {
    client.post("/v1/auth/signup", person(email)).await.expect(201)
}

pub(crate) async fn sign_in(client: &Client, email: &str) -> Tokens {
    sign_in_with(client, email, PASSWORD).await
}

pub(crate) async fn sign_in_with(client: &Client, email: &str, password: &str) -> Tokens {
    Tokens::of(&client.post("/v1/auth/login", credentials(email, password)).await)
}

/// A new account that is signed in.
pub(crate) async fn newcomer(client: &Client, email: &str) -> Tokens {
    sign_up(client, email).await;
    sign_in(client, email).await
}

pub(crate) async fn refresh(client: &Client, token: &str) -> Answer {
    client.post("/v1/auth/refresh", refresh_body(token)).await
}

pub(crate) async fn me(client: &Client, access: &str) -> Answer {
    client.bearer(access).get("/v1/auth/me").await
}

/// One part of a JWT, read.
pub(crate) fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A JWT of these parts, signed by `sign`.
pub(crate) fn jwt(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

pub(crate) fn hs256(key: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    move |input| ring::hmac::sign(&key, input).as_ref().to_vec()
}

/// Asks again until it is so; panics after `patience`.
pub(crate) async fn within(patience: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

/// The server's log, with everything that it wrote before this call: a pipe and a reader lie between.
pub(crate) async fn settled_logs(server: &ServerProcess) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mark = format!("mark-of-the-log-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    server.client().header("x-request-id", &mark).get("/nothing-here").await.expect(404);
    within(Duration::from_secs(10), "the log arrives", async || server.logs().contains(&mark)).await;
    server.logs()
}

/// The same body but for the request id, which differs from answer to answer.
pub(crate) fn without_request_id(answer: &Answer) -> String {
    let id = answer.str("/error/request_id");
    answer.text.replace(id, "")
}

/// Runs a statement on the store, behind the server's back. Returns how many rows it changed.
pub(crate) async fn sql(store: &Store, statement: &str) -> u64 {
    let statement = AssertSqlSafe(statement.to_owned());
    match store.backend() {
        Backend::Sqlite => {
            let mut connection = sqlite(store).await;
            let done = sqlx::query(statement).execute(&mut connection).await.expect("run a statement");
            connection.close().await.expect("close");
            done.rows_affected()
        }
        Backend::Postgres => {
            let mut connection = PgConnection::connect(store.url()).await.expect("connect");
            let done = sqlx::query(statement).execute(&mut connection).await.expect("run a statement");
            connection.close().await.expect("close");
            done.rows_affected()
        }
    }
}

/// The one integer that a query answers.
pub(crate) async fn count(store: &Store, query: &str) -> i64 {
    let query = AssertSqlSafe(query.to_owned());
    match store.backend() {
        Backend::Sqlite => {
            let mut connection = sqlite(store).await;
            sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number")
        }
        Backend::Postgres => {
            let mut connection = PgConnection::connect(store.url()).await.expect("connect");
            sqlx::query_scalar(query).fetch_one(&mut connection).await.expect("a number")
        }
    }
}

/// The file of a SQLite store is whole.
pub(crate) async fn assert_sound(store: &Store) {
    if store.backend() == Backend::Sqlite {
        let mut connection = sqlite(store).await;
        let verdict: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("a verdict");
        assert_eq!(verdict, "ok");
        let broken: Vec<(String,)> = sqlx::query_as("SELECT \"table\" FROM pragma_foreign_key_check")
            .fetch_all(&mut connection)
            .await
            .expect("rows");
        assert!(broken.is_empty(), "{broken:?}");
    }
}

async fn sqlite(store: &Store) -> SqliteConnection {
    let options = SqliteConnectOptions::from_str(store.url()).expect("a URL");
    let options = options.busy_timeout(Duration::from_secs(10)).foreign_keys(true);
    SqliteConnection::connect_with(&options).await.expect("open the store")
}

//! A server of a few dozen lines that does only what nobody can leave out: the ceiling that figures are measured
//! against. No validation, no audit, no revocation, no limits, no log. Never use it for anything else.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use ring::{hmac, rand::SystemRandom};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

use super::hashing::{Hasher, cores};
use super::{PASSWORD, email};

type Answer = Result<Json<Value>, StatusCode>;
type Failure = Box<dyn std::error::Error>;

const OUTAGE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const REFUSED: StatusCode = StatusCode::UNAUTHORIZED;

enum Pools {
    Sqlite { read: SqlitePool, write: SqlitePool },
    Postgres(PgPool),
}

/// Runs a query on the pool of the engine: `on!(self.read, |pool| …)`.
macro_rules! on {
    ($pools:expr, $side:ident, |$pool:ident| $body:expr) => {
        match $pools {
            Pools::Sqlite { $side: $pool, .. } => $body,
            Pools::Postgres($pool) => $body,
        }
    };
}

struct Skeleton {
    pools: Pools,
    signing: Ed25519KeyPair,
    refresh: hmac::Key,
    hasher: Hasher,
}

/// Serves on `BIND_ADDR` with the store of `DATABASE_URL`, where it makes `SKELETON_ACCOUNTS` accounts.
///
/// # Errors
/// When a setting or the store cannot be used.
#[tokio::main]
pub async fn main() -> Result<(), Failure> {
    let pools = open(&std::env::var("DATABASE_URL")?).await?;
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| "no key")?;
    let skeleton = Skeleton {
        pools,
        signing: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| "no key")?,
        refresh: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| "no key")?,
        hasher: Hasher::new(cores()),
    };
    let accounts = std::env::var("SKELETON_ACCOUNTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    skeleton.prepare(accounts).await?;
    let app = Router::new()
        .route("/health", get(async || Json(json!({"status": "ok"}))))
        .route("/bare", get(async || "ok"))
        .route("/me", get(me))
        .route("/refresh", post(refresh))
        .route("/login", post(login))
        .route("/signup", post(signup))
        .with_state(Arc::new(skeleton));
    let listener = tokio::net::TcpListener::bind(std::env::var("BIND_ADDR")?).await?;
    axum::serve(listener.tap_io(|stream| drop(stream.set_nodelay(true))), app).await?;
    Ok(())
}

async fn me(State(skeleton): State<Arc<Skeleton>>, headers: HeaderMap) -> Answer {
    let header = headers.get("authorization").and_then(|h| h.to_str().ok());
    let token = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or(REFUSED)?;
    let user = skeleton.verify(token).ok_or(REFUSED)?;
    let sql = "SELECT email, name, created_at FROM users WHERE id = $1";
    let row: Option<(String, String, i64)> =
        on!(&skeleton.pools, read, |pool| sqlx::query_as(sql).bind(user).fetch_optional(pool).await)
            .map_err(|_| OUTAGE)?;
    let (email, name, created_at) = row.ok_or(REFUSED)?;
    Ok(Json(json!({"id": user, "email": email, "name": name, "created_at": created_at})))
}

async fn refresh(State(skeleton): State<Arc<Skeleton>>, Json(body): Json<Value>) -> Answer {
    let token = B64.decode(body["refresh_token"].as_str().ok_or(REFUSED)?).map_err(|_| REFUSED)?;
    let (message, mac) = token.split_at_checked(24).ok_or(REFUSED)?;
    hmac::verify(&skeleton.refresh, message, mac).map_err(|_| REFUSED)?;
    let session = Uuid::from_slice(&message[..16]).map_err(|_| REFUSED)?;
    let counter = i64::from_be_bytes(message[16..].try_into().map_err(|_| REFUSED)?);
    let sql = "UPDATE sessions SET counter = counter + 1, rotated_at = $3 \
               WHERE id = $1 AND counter = $2 RETURNING user_id";
    let row: Option<(Uuid,)> = on!(&skeleton.pools, write, |pool| {
        sqlx::query_as(sql).bind(session).bind(counter).bind(now()).fetch_optional(pool).await
    })
    .map_err(|_| OUTAGE)?;
    let (user,) = row.ok_or(REFUSED)?;
    Ok(Json(skeleton.tokens(user, session, counter + 1)))
}

async fn login(State(skeleton): State<Arc<Skeleton>>, Json(body): Json<Value>) -> Answer {
    let (email, password) = credentials(&body)?;
    let sql = "SELECT id, hash FROM users WHERE email = $1";
    let row: Option<(Uuid, Vec<u8>)> =
        on!(&skeleton.pools, read, |pool| sqlx::query_as(sql).bind(email).fetch_optional(pool).await)
            .map_err(|_| OUTAGE)?;
    let (user, hash) = row.ok_or(REFUSED)?;
    if skeleton.hasher.hash(password).await[..] != hash[..] {
        return Err(REFUSED);
    }
    let session = Uuid::now_v7();
    let sql = "INSERT INTO sessions (id, user_id, counter, rotated_at) VALUES ($1, $2, 0, $3)";
    on!(&skeleton.pools, write, |pool| {
        sqlx::query(sql).bind(session).bind(user).bind(now()).execute(pool).await.map(drop)
    })
    .map_err(|_| OUTAGE)?;
    Ok(Json(skeleton.tokens(user, session, 0)))
}

async fn signup(State(skeleton): State<Arc<Skeleton>>, Json(body): Json<Value>) -> Answer {
    let (email, password) = credentials(&body)?;
    let hash = skeleton.hasher.hash(password).await;
    skeleton.insert(&[(email.clone(), hash)]).await.map_err(|_| OUTAGE)?;
    Ok(Json(json!({"email": email})))
}

fn credentials(body: &Value) -> Result<(String, String), StatusCode> {
    let text = |name: &str| body[name].as_str().map(str::to_owned).ok_or(REFUSED);
    Ok((text("email")?, text("password")?))
}

impl Skeleton {
    async fn prepare(&self, accounts: usize) -> Result<(), Failure> {
        let (id, bytes) = match &self.pools {
            Pools::Sqlite { .. } => ("BLOB", "BLOB"),
            Pools::Postgres(_) => ("UUID", "BYTEA"),
        };
        let tables = [
            format!(
                "CREATE TABLE IF NOT EXISTS users (id {id} NOT NULL PRIMARY KEY, email TEXT NOT NULL UNIQUE, \
                 name TEXT NOT NULL, hash {bytes} NOT NULL, created_at BIGINT NOT NULL)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS sessions (id {id} NOT NULL PRIMARY KEY, \
                 user_id {id} NOT NULL REFERENCES users (id), counter BIGINT NOT NULL, rotated_at BIGINT NOT NULL)"
            ),
        ];
        for table in tables {
            let sql = sqlx::AssertSqlSafe(table);
            on!(&self.pools, write, |pool| sqlx::query(sql).execute(pool).await.map(drop))?;
        }
        let sql = "SELECT COUNT(*) FROM users";
        let (present,): (i64,) = on!(&self.pools, read, |pool| sqlx::query_as(sql).fetch_one(pool).await)?;
        if present == 0 {
            let hash = self.hasher.hash(PASSWORD.into()).await;
            let rows: Vec<_> = (0..accounts).map(|i| (email(i), hash)).collect();
            self.insert(&rows).await?;
        }
        Ok(())
    }

    async fn insert(&self, rows: &[(String, [u8; 32])]) -> sqlx::Result<()> {
        let sql = "INSERT INTO users (id, email, name, hash, created_at) VALUES ($1, $2, 'Load', $3, $4)";
        on!(&self.pools, write, |pool| {
            let mut tx = pool.begin().await?;
            for (email, hash) in rows {
                let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(email.clone()).bind(hash.to_vec());
                query.bind(now()).execute(&mut *tx).await?;
            }
            tx.commit().await
        })
    }

    fn tokens(&self, user: Uuid, session: Uuid, counter: i64) -> Value {
        let mut refresh = [session.as_bytes(), &counter.to_be_bytes()[..]].concat();
        refresh.extend_from_slice(hmac::sign(&self.refresh, &refresh).as_ref());
        let exp = now() / 1_000_000 + 3_600;
        let claims = json!({"iss": "skeleton", "aud": "load", "sub": user, "sid": session, "exp": exp});
        let mut access = format!("{}.{}", B64.encode(r#"{"alg":"EdDSA"}"#), B64.encode(claims.to_string()));
        let signature = self.signing.sign(access.as_bytes());
        access.push('.');
        B64.encode_string(signature, &mut access);
        json!({"access_token": access, "refresh_token": B64.encode(refresh)})
    }

    fn verify(&self, token: &str) -> Option<Uuid> {
        let (message, signature) = token.rsplit_once('.')?;
        let key = UnparsedPublicKey::new(&ED25519, self.signing.public_key());
        key.verify(message.as_bytes(), &B64.decode(signature).ok()?).ok()?;
        let claims: Value = serde_json::from_slice(&B64.decode(message.split_once('.')?.1).ok()?).ok()?;
        let live = claims["aud"] == "load" && claims["exp"].as_i64()? > now() / 1_000_000;
        live.then(|| claims["sub"].as_str()?.parse().ok())?
    }
}

/// The pools are those of the library, so that the figures differ by the work alone.
async fn open(url: &str) -> Result<Pools, Failure> {
    if url.starts_with("postgres") {
        let options: PgConnectOptions = url.parse()?;
        let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false);
        return Ok(Pools::Postgres(pool.connect_with(options).await?));
    }
    if !url.starts_with("sqlite:") {
        return Err("DATABASE_URL must start with sqlite: or postgres:".into());
    }
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5));
    let pool = |n: u32| SqlitePoolOptions::new().max_connections(n).test_before_acquire(false);
    let write = pool(1).connect_with(options.clone()).await?;
    Ok(Pools::Sqlite { write, read: pool(4).connect_with(options).await? })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

//! Micro-benchmarks: each figure beside a ceiling that does only the necessary work, in the same run.
//!
//! `cargo bench -p authkit --features testing`. Figure and ceiling take turns, so that noise hits both; medians.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a program that measures and prints"
)]

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use authkit::config::{Argon2Config, Config, Rate};
use authkit::secret::ExposeSecret as _;
use authkit::testing::{self, PASSWORD, TestKit};
use authkit::time::SystemClock;
use authkit::{AuthKit, Credentials, Db, Limits, Policy, RequestMeta, SignUp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};

const ROUNDS: usize = 9;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{:<44} {:>12} {:>12} {:>7}  ceiling", "operation", "figure", "ceiling", "ratio");
    runtime.block_on(async {
        limits().await;
        access_tokens().await;
        logins().await;
        refreshes().await;
    });
}

/// Rates are printed, so that a ratio of 1 is the ceiling and less is less.
fn print(operation: &str, figure: Duration, ceiling: Duration, what: &str) {
    let rate = |d: Duration| format!("{:.0}/s", 1.0 / d.as_secs_f64());
    let ratio = ceiling.as_secs_f64() / figure.as_secs_f64();
    println!("{operation:<44} {:>12} {:>12} {ratio:>7.2}  {what}", rate(figure), rate(ceiling));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Medians of two pieces of work that take turns.
async fn in_turn<A, B>(times: u32, mut a: impl FnMut() -> A, mut b: impl FnMut() -> B) -> (Duration, Duration)
where
    A: Future<Output = ()>,
    B: Future<Output = ()>,
{
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..times {
            a().await;
        }
        first.push(start.elapsed() / times);
        let start = Instant::now();
        for _ in 0..times {
            b().await;
        }
        second.push(start.elapsed() / times);
    }
    (median(first), median(second))
}

/// A decision in memory as a host makes it, keyed hash of its key included.
async fn limits() {
    const KEYS: usize = 10_000;
    const EACH: usize = 100_000;
    let test = TestKit::in_memory().await.unwrap();
    let limits = test.kit.limits();
    let keys: Arc<[String]> = (0..KEYS).map(|n| format!("user {n}")).collect();
    let next = Cell::new(0);
    let key = || {
        next.set((next.get() + 1) % KEYS);
        keys[next.get()].as_bytes()
    };
    let policy = Policy::new("bench", testing::GENEROUS);
    let decide = || {
        let (key, limits, policy) = (key(), &limits, &policy);
        async move { drop(limits.take(policy, key).await.unwrap()) }
    };
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 32]);
    let table = Mutex::new(HashMap::<[u8; 16], u64>::new());
    let bare = || {
        let tag = ring::hmac::sign(&hmac, key());
        *table.lock().unwrap().entry(*tag.as_ref().first_chunk().unwrap()).or_default() += 1;
        std::future::ready(())
    };
    let (figure, ceiling) = in_turn(200_000, decide, bare).await;
    print("limit in memory", figure, ceiling, "bare HMAC, lock, table");
    println!("{:<44} {:>9} ns (target: under 1000)", "limit in memory, median", figure.as_nanos());

    let work = |offset: usize| {
        let (limits, keys) = (limits.clone(), Arc::clone(&keys));
        tokio::spawn(async move {
            let policy = Policy::new("bench", testing::GENEROUS);
            for n in 0..EACH {
                drop(limits.take(&policy, &keys[(n + offset) % KEYS]).await.unwrap());
            }
        })
    };
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work(0).await.unwrap();
        alone.push(start.elapsed());
        let start = Instant::now();
        let (one, two) = (work(0), work(KEYS / 2));
        one.await.unwrap();
        two.await.unwrap();
        together.push(start.elapsed());
    }
    let gain = 2.0 * median(alone).as_secs_f64() / median(together).as_secs_f64();
    println!("{:<44} {gain:>9.2} times the rate of one", "limit in memory, two threads");

    let fresh = TestKit::in_memory().await.unwrap().kit.limits();
    let start = Instant::now();
    million(&fresh).await;
    let each = start.elapsed() / 1_000_000;
    println!("{:<44} {:>9} ns each", "limit in memory, 1,000,000 distinct keys", each.as_nanos());
}

async fn million(limits: &Limits) {
    let policy = Policy::new("bench", Rate::new(5, Duration::from_hours(1)));
    for n in 0..1_000_000_u32 {
        limits.take(&policy, n.to_be_bytes()).await.unwrap();
    }
}

async fn access_tokens() {
    let test = TestKit::in_memory().await.unwrap();
    let user = test.signed_in("ada@example.com").await.unwrap();
    let (kit, meta, token) = (&test.kit, RequestMeta::new(), user.access().to_owned());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = URL_SAFE_NO_PAD.decode(kit.jwks().keys()[0]["x"].as_str().unwrap()).unwrap();
    let verify = || async {
        UnparsedPublicKey::new(&ED25519, &public).verify(input.as_bytes(), &signature).unwrap();
    };
    let known = || async {
        kit.authenticate(&token, &meta).await.unwrap();
    };
    let (figure, ceiling) = in_turn(2_000, known, verify).await;
    print("authenticate, a token seen before", figure, ceiling, "bare EdDSA verification");
}

async fn logins() {
    let mut config = testing::config();
    config.passwords.argon2 = Argon2Config::default();
    let db = Db::connect("sqlite::memory:").await.unwrap();
    let test = TestKit::open(db, config).await.unwrap();
    test.sign_up("ada@example.com").await.unwrap();
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let memory = std::cell::RefCell::new(vec![argon2::Block::default(); params.block_count()]);
    let hash = || async {
        let mut out = [0; 32];
        let password = PASSWORD.as_bytes();
        argon
            .hash_password_into_with_memory(
                password,
                b"0123456789abcdef",
                &mut out,
                &mut memory.borrow_mut()[..],
            )
            .unwrap();
    };
    let login = || async {
        let credentials = Credentials::new("ada@example.com", PASSWORD);
        test.kit.login(credentials, &RequestMeta::new()).await.unwrap();
    };
    let (figure, ceiling) = in_turn(10, login, hash).await;
    print("login, one at a time", figure, ceiling, "bare Argon2id, buffer kept");
}

async fn refreshes() {
    for parallel in [1_usize, 16] {
        let folder = std::env::temp_dir().join(format!("authkit-micro-{}-{parallel}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("sqlite://{}/store.db", folder.display());
        let db = Db::connect(&url).await.unwrap();
        db.migrate(&SystemClock::new()).await.unwrap();
        let mut config: Config = testing::config();
        config.passwords.argon2 = Argon2Config::new(8, 1, 1);
        let kit = AuthKit::builder(db, testing::secrets()).config(config).build().await.unwrap();
        let mut tokens = Vec::new();
        for n in 0..parallel {
            let (email, meta) = (format!("user{n}@example.com"), RequestMeta::new());
            kit.signup(SignUp::new("User", &email, PASSWORD), &meta).await.unwrap();
            let authkit::Login::Complete(pair) =
                kit.login(Credentials::new(&email, PASSWORD), &meta).await.unwrap()
            else {
                continue;
            };
            tokens.push(std::cell::RefCell::new(pair.refresh_token.expose_secret().to_owned()));
        }
        let bare = bare_pool(&folder, parallel).await;
        let rotate = || async {
            let each = tokens.iter().map(|token| async {
                let old = token.borrow().clone();
                let pair = kit.refresh(&old, &RequestMeta::new()).await.unwrap();
                pair.refresh_token.expose_secret().clone_into(&mut token.borrow_mut());
            });
            futures_util::future::join_all(each).await;
        };
        let update = || async {
            let each = (0..parallel).map(|n| {
                let (pool, id) = (bare.clone(), i64::try_from(n).unwrap());
                async move {
                    let sql = "UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n";
                    sqlx::query(sql).bind(id).fetch_one(&pool).await.unwrap();
                }
            });
            futures_util::future::join_all(each).await;
        };
        let (figure, ceiling) = in_turn(50, rotate, update).await;
        let divisor = u32::try_from(parallel).unwrap();
        let name = format!("refresh on SQLite, {parallel} at a time");
        print(&name, figure / divisor, ceiling / divisor, "UPDATE … RETURNING, one commit each");
        kit.db().close().await;
        bare.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// One writer's connection with the same settings as ours, one commit a statement.
async fn bare_pool(folder: &std::path::Path, rows: usize) -> sqlx::SqlitePool {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
    let options = SqliteConnectOptions::new()
        .filename(folder.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT)").execute(&pool).await.unwrap();
    for id in 0..rows {
        let id = i64::try_from(id).unwrap();
        sqlx::query("INSERT INTO counters VALUES ($1, 0)").bind(id).execute(&pool).await.unwrap();
    }
    pool
}

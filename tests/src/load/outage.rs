//! Redis killed and started again while many refresh: what passed, what was limited, what readiness said, second by
//! second. Without Redis half the quota counts, in memory.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::http::{self, Connection};
use super::target::{ACCOUNTS, Kind};
use super::{accounts, drivers};
use crate::backends::{Backend, Store};
use crate::redis::RedisServer;

const USERS: usize = 16;
/// A burst of 50, then five a second for each user.
const LIMIT: &str = "50/10s";
const KILLED: u64 = 5;
const BACK: u64 = 10;
const SECONDS: u64 = 16;

/// What happened within one second.
#[derive(Debug, Clone, Default)]
struct Second {
    passed: u32,
    limited: u32,
    unavailable: u32,
    other: u32,
    ready: String,
}

/// The table.
pub(crate) async fn redis() -> String {
    let redis = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let launch = Kind::Server.launch(&store, ACCOUNTS).env("REDIS_URL", &redis.url());
    let process = launch.env("RL_REFRESH_USER_LIMIT", LIMIT).start().await;
    accounts::insert(&store, ACCOUNTS).await;
    let address: SocketAddr = process.address().parse().expect("an address");
    let mut tokens = Vec::new();
    for user in 0..USERS {
        let request = http::post(Kind::Server.login_path(), &drivers::credentials(user, None));
        let mut connection = Connection::open(address).await.expect("a connection");
        let (_, body) = connection.exchange(&request).await.expect("an answer");
        tokens.push(http::text(body, "refresh_token").expect("a token").to_owned());
    }
    let seconds = RefCell::new(vec![Second::default(); usize::try_from(SECONDS).expect("few")]);
    let (start, over) = (Instant::now(), Cell::new(false));
    let at = || start.elapsed().as_secs().min(SECONDS - 1);
    let clients = join_all(tokens.into_iter().map(|token| hammer(address, token, &seconds, &at, &over)));
    let events = async {
        for second in 0..SECONDS {
            match second {
                KILLED => redis.stop(),
                BACK => redis.start_again(),
                _ => {}
            }
            // In the middle of the second, when what happened at its beginning has been seen.
            until(start, second, 500).await;
            let said = readiness(address).await;
            seconds.borrow_mut()[usize::try_from(second).expect("few")].ready = said;
            until(start, second + 1, 0).await;
        }
        over.set(true);
    };
    let ((), _) = tokio::join!(events, clients);
    table(&seconds.into_inner())
}

async fn until(start: Instant, second: u64, millis: u64) {
    let moment = Duration::from_secs(second) + Duration::from_millis(millis);
    tokio::time::sleep(moment.saturating_sub(start.elapsed())).await;
}

async fn hammer(
    address: SocketAddr,
    mut token: String,
    seconds: &RefCell<Vec<Second>>,
    at: &impl Fn() -> u64,
    over: &Cell<bool>,
) {
    let mut connection = Connection::open(address).await.expect("a connection");
    while !over.get() {
        let request = http::post("/v1/auth/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#));
        let (status, body) = connection.exchange(&request).await.expect("an answer");
        if status == 200 {
            http::text(body, "refresh_token").expect("a token").clone_into(&mut token);
        }
        count(&mut seconds.borrow_mut()[usize::try_from(at()).expect("few")], status);
        // The generator must leave something of the machine to what it measures.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn count(second: &mut Second, status: u16) {
    let counter = match status {
        200 => &mut second.passed,
        429 => &mut second.limited,
        503 => &mut second.unavailable,
        _ => &mut second.other,
    };
    *counter += 1;
}

/// Status and what it says of Redis.
async fn readiness(address: SocketAddr) -> String {
    let mut connection = Connection::open(address).await.expect("a connection");
    let (status, body) = connection.exchange(&http::get("/ready", None)).await.expect("an answer");
    format!("{status}, redis {}", http::text(body, "redis").unwrap_or("?"))
}

fn table(seconds: &[Second]) -> String {
    let mut out = format!(
        "{USERS} users refresh as fast as they may, {LIMIT} each; Redis killed at {KILLED} s, back at {BACK} s\n\n\
         | second | passed | limited | 503 | other | readiness |\n\
         | ------ | ------ | ------- | --- | ----- | --------- |\n"
    );
    for (n, second) in seconds.iter().enumerate() {
        let Second { passed, limited, unavailable, other, ready } = second;
        let _ = writeln!(out, "| {n} | {passed} | {limited} | {unavailable} | {other} | {ready} |");
    }
    out
}

//! A check of a limit in Redis beside an `EVALSHA` that only counts: the same server, driver and depth, in turn.

use std::cell::Cell;
use std::time::{Duration, Instant};

use authkit::config::Rate;
use authkit::testing::LimiterTwins;
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;

use super::options::Options;
use super::report::{Bound, Row};
use crate::redis::RedisServer;

const COUNT: &str = "return redis.call('INCR', KEYS[1])";
/// As many keys as take turns on either side.
const KEYS: u64 = 10_000;
const RATE: Rate = Rate::new(1_000_000, Duration::from_secs(1));

/// Rows at 1, 16 and 64 questions at a time, and of two buckets in one round trip.
pub(crate) async fn redis(options: &Options, rows: &mut Vec<Row>) {
    let server = RedisServer::start();
    let twins = LimiterTwins::new(&server.url()).expect("an address");
    let client = redis::Client::open(server.url()).expect("an address");
    let connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let hash = redis::Script::new(COUNT).get_hash().to_owned();
    redis::cmd("SCRIPT").arg("LOAD").arg(COUNT).exec_async(&mut connection.clone()).await.expect("a script");
    let next = Cell::new(0);
    let key = || {
        next.set((next.get() + 1) % KEYS);
        next.get()
    };
    let one = async || assert!(twins.redis_one(key(), RATE).await.expect("Redis answers").0);
    let two = async || drop(twins.redis([key(), key()], RATE).await.expect("Redis answers"));
    let count = async || incr(connection.clone(), &hash, &[key()]).await;
    let count_two = async || incr(connection.clone(), &hash, &[key(), key()]).await;
    for depth in [1, 16, 64] {
        let row = measure(options, depth, &one, &count).await;
        rows.push(Row { operation: "limit in Redis, one bucket".into(), ..row });
    }
    let row = measure(options, 16, &two, &count_two).await;
    rows.push(Row { operation: "limit in Redis, two buckets".into(), ..row });
}

async fn incr(mut connection: MultiplexedConnection, hash: &str, keys: &[u64]) {
    let mut pipeline = redis::Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.cmd("EVALSHA").arg(hash).arg(1).arg(format!("count:{{{key:022}}}"));
    }
    let _: Vec<i64> = pipeline.query_async(&mut connection).await.expect("Redis answers");
}

async fn measure(options: &Options, depth: usize, ours: &impl AsyncFn(), bare: &impl AsyncFn()) -> Row {
    rate(depth, options.warm, ours).await;
    rate(depth, options.warm, bare).await;
    let (mut figures, mut ceilings) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds.max(4) {
        figures.push(rate(depth, options.time / 2, ours).await);
        ceilings.push(rate(depth, options.time / 2, bare).await);
    }
    let ratios: Vec<f64> = figures.iter().zip(&ceilings).map(|(figure, ceiling)| figure / ceiling).collect();
    let (figure, ceiling) = (mean(&figures), mean(&ceilings));
    Row {
        connections: Some(depth),
        engine: "redis",
        figure,
        unit: "/s",
        ceiling: Some((ceiling, "EVALSHA of INCR")),
        ratio: Some(figure / ceiling),
        spread: Some((
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        )),
        bounds: vec![Bound::Ratio(0.9)],
        ..Row::default()
    }
}

/// Calls a second, so many at a time.
async fn rate(depth: usize, time: Duration, call: &impl AsyncFn()) -> f64 {
    let start = Instant::now();
    let done = Cell::new(0_u32);
    let worker = async || {
        while start.elapsed() < time {
            call().await;
            done.set(done.get() + 1);
        }
    };
    join_all((0..depth).map(|_| worker())).await;
    f64::from(done.get()) / start.elapsed().as_secs_f64()
}

fn mean(figures: &[f64]) -> f64 {
    let (sum, count) = figures.iter().fold((0.0, 0.0), |(sum, count), figure| (sum + figure, count + 1.0));
    sum / count
}

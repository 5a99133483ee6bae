//! Redis that does not do its part: stopped, frozen, slow, read-only, out of memory, holding something else. Half the
//! quota in memory then, or 503 where Redis is required; never open; and back without a restart (case 42).

use std::time::{Duration, Instant};

use authkit::config::{Config, Rate};
use authkit::testing::TestKit;
use authkit::{Check, ErrorKind, Policy};
use authkit_tests::{Backend, RedisCluster, RedisServer, Store};

use crate::support::{kind, kit_with};

const BETWEEN_TRIES: Duration = Duration::from_millis(500);

fn policy() -> Policy {
    Policy::new("probe", Rate::new(9, Duration::from_hours(1)))
}

async fn open(urls: Vec<String>, change: impl FnOnce(&mut Config)) -> (Store, TestKit) {
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |config| {
        config.limits.redis.urls = urls;
        change(config);
    })
    .await;
    (store, test)
}

/// How many of 30 pass, and the limit that they were told.
async fn burst(test: &TestKit, key: &str) -> (usize, u32) {
    let (mut passed, mut limit) = (0, 0);
    for _ in 0..30 {
        let out = test.kit.limits().take(&policy(), key).await;
        passed += usize::from(out.is_ok());
        limit = match &out {
            Ok(state) => state.limit,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited, "{error:?}");
                error.limit().unwrap().limit
            }
        };
    }
    (passed, limit)
}

/// The full quota holds. On a busy machine Redis may miss its 100 ms: then it is waited for, and asked again.
async fn full(test: &TestKit, key: &str) {
    for n in 0..10 {
        match burst(test, &format!("{key} {n}")).await {
            (9, 9) => return,
            (passed, _) => assert!(passed <= 14, "{passed} of 9 passed"),
        }
        recovered(test).await;
    }
    panic!("never the full quota");
}

/// Waits until Redis is used again: real servers take their time, the kit's clock is moved past each pause.
async fn recovered(test: &TestKit) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        test.clock.advance(BETWEEN_TRIES);
        if test.kit.readiness().await.redis == Check::Ok {
            return;
        }
        assert!(Instant::now() < end, "no recovery");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One fault, in both modes: seen working, broken, mended.
async fn fault(server: &RedisServer, break_it: impl Fn(&RedisServer), mend: impl Fn(&RedisServer)) {
    let (_store, lenient) = open(vec![server.url()], |_| {}).await;
    full(&lenient, "before").await;
    break_it(server);
    let start = Instant::now();
    assert_eq!(burst(&lenient, "during").await, (5, 5), "half the quota, rounded up");
    assert!(start.elapsed() < Duration::from_secs(1), "each request waited: {:?}", start.elapsed());
    let readiness = lenient.kit.readiness().await;
    assert_eq!((readiness.redis, readiness.is_down()), (Check::Degraded, false));
    lenient.clock.advance(BETWEEN_TRIES);
    assert_eq!(lenient.kit.readiness().await.redis, Check::Degraded, "the next try failed, too");
    mend(server);
    recovered(&lenient).await;
    full(&lenient, "after").await;

    let (_store, strict) = open(vec![server.url()], |config| config.limits.redis.required = Some(true)).await;
    full(&strict, "before").await;
    break_it(server);
    for _ in 0..20 {
        let refused = strict.kit.limits().take(&policy(), "during").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.retry_after().is_some());
    }
    let readiness = strict.kit.readiness().await;
    assert_eq!((readiness.redis, readiness.is_down()), (Check::Down, true));
    mend(server);
    recovered(&strict).await;
    full(&strict, "after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_stopped() {
    fault(&RedisServer::start(), RedisServer::stop, RedisServer::start_again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_frozen() {
    fault(&RedisServer::start(), RedisServer::pause, RedisServer::resume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_slow() {
    let slow = |server: &RedisServer| drop(server.run(&["CLIENT", "PAUSE", "5000", "ALL"]));
    // It is its own end, after the 5 s.
    fault(&RedisServer::start(), slow, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_read_only() {
    let replica = |server: &RedisServer| drop(server.run(&["REPLICAOF", "127.0.0.1", "1"]));
    fault(&RedisServer::start(), replica, |server| drop(server.run(&["REPLICAOF", "NO", "ONE"]))).await;
    let alone = |least: &'static str| {
        move |server: &RedisServer| drop(server.run(&["CONFIG", "SET", "min-replicas-to-write", least]))
    };
    fault(&RedisServer::start(), alone("1"), alone("0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_out_of_memory() {
    let most = |bytes: &'static str| {
        move |server: &RedisServer| drop(server.run(&["CONFIG", "SET", "maxmemory", bytes]))
    };
    fault(&RedisServer::start_with(&["--maxmemory-policy", "noeviction"]), most("1"), most("0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_042_something_else_in_its_place() {
    type Put = fn(&RedisServer, &str);
    let puts: [Put; 3] = [
        |server, key| drop(server.run(&["HSET", key, "field", "1"])),
        |server, key| drop(server.run(&["RPUSH", key, "1"])),
        |server, key| drop(server.run(&["SET", key, "no number"])),
    ];
    for put in puts {
        let server = RedisServer::start();
        let (_store, test) = open(vec![server.url()], |_| {}).await;
        test.kit.limits().take(&policy(), "k").await.unwrap();
        for key in server.keys() {
            server.run(&["DEL", &key]);
            put(&server, &key);
        }
        assert_eq!(burst(&test, "k").await, (5, 5));
        assert_eq!(test.kit.readiness().await.redis, Check::Degraded);
        server.run(&["FLUSHALL"]);
        recovered(&test).await;
        full(&test, "k").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_were_forgotten_are_taught_again() {
    let server = RedisServer::start();
    let (_store, test) = open(vec![server.url()], |_| {}).await;
    for key in ["a", "b"] {
        server.run(&["SCRIPT", "FLUSH"]);
        full(&test, key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_redis_delays_no_start_and_is_found_later() {
    let server = RedisServer::start();
    server.stop();
    let start = Instant::now();
    let (_store, test) = open(vec![server.url()], |_| {}).await;
    let built = start.elapsed();
    assert_eq!(burst(&test, "during").await, (5, 5));
    server.start_again();
    recovered(&test).await;
    full(&test, "after").await;
    println!("built in {built:?} without Redis");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_a_fault_and_is_not_told() {
    let server = RedisServer::start_with(&["--requirepass", ""]);
    server.run(&["CONFIG", "SET", "requirepass", "the-right-one"]);
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let (_store, right) = open(vec![with("the-right-one")], |_| {}).await;
    full(&right, "k").await;
    let (_store, wrong) = open(vec![with("CANARY")], |_| {}).await;
    assert_eq!(burst(&wrong, "k").await, (5, 5));
    assert!(!format!("{:?}", wrong.kit.config()).contains("CANARY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_found_by_one_node_or_by_all() {
    let cluster = RedisCluster::start();
    let all: Vec<String> = cluster.urls().split(',').map(str::to_owned).collect();
    let (_store, one) = open(vec![all[2].clone()], |_| {}).await;
    let (_store, many) = open(all, |_| {}).await;
    for n in 0..30 {
        let key = format!("key {n}");
        full(&one, &key).await;
        full(&many, &key).await;
    }
    let used = cluster.nodes().iter().filter(|node| !node.keys().is_empty()).count();
    assert_eq!(used, 3, "keys do not spread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_of_a_cluster_opens_nothing() {
    let cluster = RedisCluster::start();
    let (_store, test) = open(vec![cluster.nodes()[0].url()], |_| {}).await;
    for n in 0..10 {
        full(&test, &format!("before {n}")).await;
    }
    cluster.nodes()[1].pause();
    for n in 0..20 {
        test.clock.advance(BETWEEN_TRIES);
        let (passed, _) = burst(&test, &format!("during {n}")).await;
        // Half in memory, and the whole where the node of the key lives: never more than both.
        assert!((5..=14).contains(&passed), "{passed}");
    }
    cluster.nodes()[1].resume();
    recovered(&test).await;
    for n in 0..10 {
        full(&test, &format!("after {n}")).await;
    }
}

#[tokio::test]
async fn what_is_no_redis_is_refused_before_the_start() {
    let store = Store::new(Backend::Sqlite).await;
    for url in ["http://127.0.0.1", "redis://", "CANARY", "redis://:CANARY@"] {
        let mut config = authkit::testing::config();
        config.limits.redis.urls = vec![url.into()];
        let db = crate::support::connect(&store).await;
        let out = TestKit::open(db, config).await;
        let text = format!("{:?}", out.as_ref().unwrap_err());
        assert!(text.contains("REDIS_URL") && !text.contains("CANARY"), "{text}");
        assert_eq!(kind(out), ErrorKind::Config);
    }
}

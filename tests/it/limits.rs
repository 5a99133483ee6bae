//! Limits, the same in memory, in Redis and in a Redis Cluster (cases 35, 40, 41, 45, 46, 191 of the limiter).

use std::time::Duration;

use authkit::admin::LimitSubject;
use authkit::config::{Config, Rate};
use authkit::testing::{LimiterTwins, PASSWORD, TestKit};
use authkit::{
    Check, Credentials, ErrorKind, PasswordChange, Policy, ProfileChange, RequestMeta, SignUp, StepUp,
};
use authkit_tests::{Backend, RedisCluster, RedisServer, Store, on_both, race};

use crate::support::{Raw, Texts as _, connect, from_ip, kind, kit_with, second_node};

const HOUR: Duration = Duration::from_hours(1);

/// These tests are not about how fast Redis answers on a machine that does much else.
const PATIENT: Duration = Duration::from_secs(5);

/// Where limits are kept.
pub(crate) enum Place {
    Memory,
    Redis(RedisServer),
    Cluster(RedisCluster),
}

impl Place {
    pub(crate) fn set(&self, config: &mut Config) {
        config.limits.redis.timeout = PATIENT;
        config.limits.redis.urls = match self {
            Self::Memory => Vec::new(),
            Self::Redis(server) => vec![server.url()],
            // One node is enough: it says that it is a cluster.
            Self::Cluster(cluster) => vec![cluster.nodes()[0].url()],
        };
    }
}

fn redis_at(server: &RedisServer, config: &mut Config) {
    config.limits.redis.timeout = PATIENT;
    config.limits.redis.urls = vec![server.url()];
}

/// Makes three tests of each function.
macro_rules! on_each_limiter {
    ($(async fn $name:ident($place:ident) $body:block)+) => {$(
        mod $name {
            use super::*;

            async fn body($place: Place) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                body(Place::Memory).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                body(Place::Redis(RedisServer::start())).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn cluster() {
                body(Place::Cluster(RedisCluster::start())).await;
            }
        }
    )+};
}

async fn wrong_login(kit: &TestKit, email: &str, ip: &str) -> ErrorKind {
    kind(kit.kit.login(Credentials::new(email, "not the password"), &from_ip(ip)).await)
}

async fn open(place: &Place, change: impl FnOnce(&mut Config)) -> (Store, TestKit) {
    let store = Store::new(Backend::Sqlite).await;
    let kit = kit_with(&store, |config| {
        place.set(config);
        change(config);
    })
    .await;
    let expected = if matches!(place, Place::Memory) { Check::Off } else { Check::Ok };
    assert_eq!(kit.kit.readiness().await.redis, expected);
    (store, kit)
}

on_each_limiter! {
    async fn s_040_of_200_parallel_requests_at_a_limit_of_20_at_most_20_pass(place) {
        let (_store, test) = open(&place, |_| {}).await;
        let policy = Policy::new("probe", Rate::new(20, HOUR));
        let passed = race(200, |_| {
            let (limits, policy) = (test.kit.limits(), policy.clone());
            async move { limits.take(&policy, "somebody").await.is_ok() }
        })
        .await;
        assert_eq!(passed.into_iter().filter(|passed| *passed).count(), 20);
        assert!(test.kit.limits().take(&policy, "somebody else").await.is_ok());
    }

    async fn s_035_what_is_left_is_told(place) {
        let (_store, test) = open(&place, |_| {}).await;
        let policy = Policy::new("probe", Rate::new(3, Duration::from_secs(3000)));
        for left in [2, 1, 0] {
            let state = test.kit.limits().take(&policy, "k").await.unwrap();
            assert_eq!((state.limit, state.remaining), (3, left));
            assert_eq!((&*state.policy, state.window), ("probe", Duration::from_secs(3000)));
        }
        let refused = test.kit.limits().take(&policy, "k").await.unwrap_err();
        let state = refused.limit().unwrap();
        assert_eq!((state.remaining, Some(state.reset)), (0, refused.retry_after()));
        let wait = refused.retry_after().unwrap();
        assert!(wait > Duration::from_secs(990) && wait <= Duration::from_secs(1000), "{wait:?}");
    }

    async fn s_045_a_refusal_at_one_axis_uses_up_no_other(place) {
        let (_store, test) = open(&place, |config| {
            config.limits.login_ip = Rate::new(3, HOUR);
            config.limits.login_email = Rate::new(5, HOUR);
        })
        .await;
        for _ in 0..3 {
            assert_eq!(wrong_login(&test, "ada@example.com", "192.0.2.1").await, ErrorKind::InvalidCredentials);
        }
        for _ in 0..20 {
            assert_eq!(wrong_login(&test, "ada@example.com", "192.0.2.1").await, ErrorKind::RateLimited);
        }
        // The e-mail has two left, in whatever spelling, from elsewhere.
        for (email, ip) in [("ADA@example.com", "192.0.2.2"), (" ada@EXAMPLE.com ", "192.0.2.3")] {
            assert_eq!(wrong_login(&test, email, ip).await, ErrorKind::InvalidCredentials);
        }
        for ip in ["192.0.2.4", "192.0.2.5", "192.0.2.5", "192.0.2.5", "192.0.2.5"] {
            assert_eq!(wrong_login(&test, "ada@example.com", ip).await, ErrorKind::RateLimited);
        }
        // What the e-mail refused has cost the address nothing.
        for email in ["b@example.com", "c@example.com", "d@example.com"] {
            assert_eq!(wrong_login(&test, email, "192.0.2.5").await, ErrorKind::InvalidCredentials);
        }
        assert_eq!(wrong_login(&test, "e@example.com", "192.0.2.5").await, ErrorKind::RateLimited);
    }

    async fn an_address_is_counted_by_its_network_and_never_skipped(place) {
        let (_store, test) = open(&place, |config| config.limits.login_ip = Rate::new(2, HOUR)).await;
        let pairs = [("2001:db8::1", "2001:db8::ffff"), ("192.0.2.7", "::ffff:192.0.2.7")];
        for (one, same) in pairs {
            assert_eq!(wrong_login(&test, "a@example.com", one).await, ErrorKind::InvalidCredentials);
            assert_eq!(wrong_login(&test, "b@example.com", same).await, ErrorKind::InvalidCredentials);
            assert_eq!(wrong_login(&test, "c@example.com", one).await, ErrorKind::RateLimited);
        }
        assert_eq!(wrong_login(&test, "a@example.com", "2001:db8:0:1::1").await, ErrorKind::InvalidCredentials);
        let nowhere = RequestMeta::new();
        for expected in [ErrorKind::InvalidCredentials, ErrorKind::InvalidCredentials, ErrorKind::RateLimited] {
            let out = test.kit.login(Credentials::new("x@example.com", "not the password"), &nowhere).await;
            assert_eq!(kind(out), expected);
        }
    }

    async fn an_operator_sees_and_resets(place) {
        let (store, test) = open(&place, |config| config.limits.login_email = Rate::new(2, HOUR)).await;
        let subject = LimitSubject::Email("Ada@Example.com".into());
        let admin = test.kit.admin(RequestMeta::new().with_operator("cli:test", None));
        let left = async || {
            let report = admin.limits(Some(&subject)).await.unwrap();
            assert_eq!(report.shared, !matches!(place, Place::Memory));
            report.items.iter().find(|item| item.name == "login_email").unwrap().remaining
        };
        assert_eq!(left().await, Some(2));
        assert!(!admin.reset_limits(&subject).await.unwrap().changed, "nothing was used");
        for _ in 0..2 {
            wrong_login(&test, "ada@example.com", "192.0.2.1").await;
        }
        assert_eq!(left().await, Some(0));
        assert_eq!(wrong_login(&test, "ada@example.com", "192.0.2.1").await, ErrorKind::RateLimited);
        let rehearsed = admin.clone().dry_run().reset_limits(&subject).await.unwrap();
        assert!(rehearsed.changed);
        assert_eq!(left().await, Some(0), "a dry run did it");
        assert!(admin.reset_limits(&subject).await.unwrap().changed);
        assert_eq!(left().await, Some(2));
        assert_eq!(wrong_login(&test, "ada@example.com", "192.0.2.1").await, ErrorKind::InvalidCredentials);
        assert_eq!(Raw::open(&store).await.audited("limits.reset").await, 1);
        let all = admin.limits(None).await.unwrap();
        assert!(all.items.iter().any(|item| item.name == "signup_ip" && item.remaining.is_none()));
    }
}

on_both! {
    async fn refreshes_are_counted_by_user_and_a_refusal_changes_nothing(store: Store) {
        let test = kit_with(&store, |config| config.limits.refresh_user = Rate::new(3, HOUR)).await;
        let ada = test.signed_in("ada@example.com").await.unwrap();
        let phone = test.sign_in("ada@example.com").await.unwrap();
        let bob = test.signed_in("bob@example.com").await.unwrap();
        let meta = from_ip("192.0.2.1");
        let refresh = |token: String| {
            let (kit, meta) = (test.kit.clone(), meta.clone());
            async move { kit.refresh(&token, &meta).await }
        };
        let laptop = refresh(ada.refresh().into()).await.unwrap();
        let laptop = refresh(laptop.refresh().into()).await.unwrap();
        let phone = refresh(phone.refresh().into()).await.unwrap();
        for token in [laptop.refresh(), phone.refresh()] {
            assert_eq!(kind(refresh(token.into()).await), ErrorKind::RateLimited);
        }
        // A process that has not seen the session asks the store whose it is; its memory is its own.
        let node = second_node(&store, &test).await;
        for n in 0..4 {
            let out = node.kit.refresh("akr_forged", &meta).await;
            assert_eq!(kind(out), ErrorKind::RefreshInvalid, "{n}: a forged token is no matter of limits");
        }
        assert!(refresh(bob.refresh().into()).await.is_ok(), "another user");
        test.clock.advance(HOUR / 3);
        let laptop = refresh(laptop.refresh().into()).await.unwrap();
        assert_eq!(kind(refresh(phone.refresh().into()).await), ErrorKind::RateLimited);
        test.clock.advance(HOUR);
        refresh(phone.refresh().into()).await.unwrap();
        refresh(laptop.refresh().into()).await.unwrap();
    }

    async fn a_node_that_never_saw_the_session_counts_by_user_too(store: Store) {
        let test = kit_with(&store, |config| config.limits.refresh_user = Rate::new(2, HOUR)).await;
        test.sign_up("ada@example.com").await.unwrap();
        let sessions = [test.sign_in("ada@example.com").await.unwrap(), test.sign_in("ada@example.com").await.unwrap()];
        let node = second_node(&store, &test).await;
        let meta = from_ip("192.0.2.1");
        let first = node.kit.refresh(sessions[0].refresh(), &meta).await.unwrap();
        node.kit.refresh(sessions[1].refresh(), &meta).await.unwrap();
        assert_eq!(kind(node.kit.refresh(first.refresh(), &meta).await), ErrorKind::RateLimited);
    }

    async fn every_other_door_has_the_fallback(store: Store) {
        let test = kit_with(&store, |config| config.limits.fallback_ip = Rate::new(1, HOUR)).await;
        let ada = test.signed_in("ada@example.com").await.unwrap();
        let (kit, auth) = (&test.kit, &ada.auth);
        let mut n = 0;
        let mut meta = || {
            n += 1;
            from_ip(&format!("192.0.2.{n}"))
        };
        macro_rules! limited {
            ($($what:literal: |$m:ident| $call:expr;)*) => {$({
                let $m = &meta();
                if let Err(error) = $call.await {
                    assert_ne!(error.kind(), ErrorKind::RateLimited, "{}: the first", $what);
                }
                assert_eq!(kind($call.await), ErrorKind::RateLimited, "{}: the second", $what);
            })*};
        }
        limited! {
            "profile": |m| kit.update_profile(auth, ProfileChange::new(Some("Ada".into()), None), m);
            "session": |m| kit.sessions().end_own(auth, ada.tokens.session_id, m);
            "logout": |m| kit.logout("akr_x", m);
            "administration": |m| kit.admin_as(auth, m.clone());
            "password": |m| kit.change_password(auth, PasswordChange::new("wrong", "a rather long sentence"), m);
            "step-up": |m| kit.step_up(auth, StepUp::Password("wrong".into()), m);
            "deletion": |m| kit.delete_account(auth, m);
            "logout of all": |m| kit.logout_all(auth, m);
        }
    }
}

#[tokio::test]
async fn sign_ups_are_counted_by_address() {
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |config| config.limits.signup_ip = Rate::new(2, HOUR)).await;
    let sign_up = |n: u8, ip: &'static str| {
        let input = SignUp::new("Test", format!("user{n}@example.com"), PASSWORD);
        let kit = test.kit.clone();
        async move { kit.signup(input, &from_ip(ip)).await }
    };
    sign_up(1, "192.0.2.1").await.unwrap();
    // What is not acceptable is judged before the limit, and costs none of it.
    let bad = SignUp::new("", "x", "y");
    assert_eq!(kind(test.kit.signup(bad, &from_ip("192.0.2.1")).await), ErrorKind::Validation);
    sign_up(2, "192.0.2.1").await.unwrap();
    assert_eq!(kind(sign_up(3, "192.0.2.1").await), ErrorKind::RateLimited);
    sign_up(3, "192.0.2.2").await.unwrap();
    assert!(test.kit.users().find_by_email("user3@example.com").await.unwrap().is_some());
}

#[tokio::test]
async fn s_041_no_second_burst_at_a_seam_and_no_step_of_the_clock_opens_or_shuts() {
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |_| {}).await;
    let policy = Policy::new("probe", Rate::new(20, Duration::from_mins(10)));
    let burst = async |key: &str| {
        let mut passed = 0;
        for _ in 0..30 {
            passed += u32::from(test.kit.limits().take(&policy, key).await.is_ok());
        }
        passed
    };
    test.clock.advance(Duration::from_secs(599));
    assert_eq!(burst("seam").await, 20);
    test.clock.advance(Duration::from_secs(2));
    assert_eq!(burst("seam").await, 0);
    for hour in [3600, -3600] {
        let key = format!("step {hour}");
        assert_eq!(burst(&key).await, 20);
        test.clock.step_wall(hour);
        assert_eq!(burst(&key).await, 0, "the step opened");
        test.clock.advance(Duration::from_mins(10));
        assert_eq!(burst(&key).await, 20, "the step shut");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_191_nodes_share_what_redis_holds() {
    for place in [Place::Redis(RedisServer::start()), Place::Cluster(RedisCluster::start())] {
        let (store, one) = open(&place, |_| {}).await;
        let two = second_node(&store, &one).await;
        let policy = Policy::new("probe", Rate::new(20, HOUR));
        let passed = race(200, |n| {
            let limits = if n % 2 == 0 { one.kit.limits() } else { two.kit.limits() };
            let policy = policy.clone();
            async move { limits.take(&policy, "somebody").await.is_ok() }
        })
        .await;
        assert_eq!(passed.into_iter().filter(|passed| *passed).count(), 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_020_memory_and_redis_give_the_same_numbers() {
    let server = RedisServer::start();
    let twins = LimiterTwins::new(&server.url()).unwrap();
    let mut state = 7_u64;
    let mut random = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let (mut compared, mut refused) = (0, 0);
    for n in 0..4_000 {
        let key = random(25);
        // Periods so short that buckets fill again between the questions. Now and then another rate for the same key,
        // as when a setting was changed.
        let changed = if random(20) == 0 { 3 } else { 0 };
        let limit = u32::try_from(1 + (key + changed) % 7).unwrap();
        let rate = Rate::new(limit, Duration::from_millis(2 + 3 * ((key + changed) % 11)));
        if let Some((redis, memory)) = twins.both(key, rate).await.unwrap() {
            assert_eq!(redis, memory, "question {n}, key {key}, {limit} in {:?}", rate.period);
            compared += 1;
            refused += u32::from(!redis.0);
        }
    }
    println!("{compared} of 4000 questions compared, {refused} refused");
    assert!(compared > 3_000 && refused > 300 && compared - refused > 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_the_server_s_clock_shuts_nobody_out() {
    let server = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |config| redis_at(&server, config)).await;
    let policy = Policy::new("probe", Rate::new(10, Duration::from_mins(10)));
    test.kit.limits().take(&policy, "k").await.unwrap();
    // What a clock that was set back by an hour leaves behind: a bucket that is full in an hour and ten minutes.
    let bucket = bucket_of(&server);
    let full_at = now_micros(&server) + 4_200_000_000;
    server.run(&["SET", &bucket, &full_at.to_string()]);
    let refused = test.kit.limits().take(&policy, "k").await.unwrap_err();
    assert!(refused.retry_after().unwrap() <= Duration::from_mins(1), "{refused:?}");
    let held: i64 = redis_number(&server, &["GET", &bucket]);
    assert!(held <= now_micros(&server) + 600_000_000, "the impossible time is still held");
    // A clock set forward: the bucket is full again, no more.
    server.run(&["SET", &bucket, "1"]);
    assert_eq!(test.kit.limits().take(&policy, "k").await.unwrap().remaining, 9);
}

/// The one bucket that is no probe.
fn bucket_of(server: &RedisServer) -> String {
    let mut keys = server.keys();
    keys.retain(|key| key != "authkit:{AAAAAAAAAAAAAAAAAAAAAA}");
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

fn redis_number(server: &RedisServer, command: &[&str]) -> i64 {
    redis::from_redis_value(server.run(command)).unwrap()
}

fn now_micros(server: &RedisServer) -> i64 {
    let (seconds, micros): (i64, i64) = redis::from_redis_value(server.run(&["TIME"])).unwrap();
    seconds * 1_000_000 + micros
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_tell_nothing_and_go_by_themselves() {
    let server = RedisServer::start();
    let store = Store::new(Backend::Sqlite).await;
    let test = kit_with(&store, |config| {
        redis_at(&server, config);
        config.limits.login_ip = Rate::new(20, HOUR);
        config.limits.login_email = Rate::new(20, HOUR);
    })
    .await;
    wrong_login(&test, "ada@example.com", "192.0.2.1").await;
    let keys = server.keys();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("authkit:{") && key.ends_with('}'), "{key}");
        assert!(!key.contains("ada") && !key.contains("192"), "{key}");
        let ttl = redis_number(&server, &["PTTL", &key]);
        assert!(
            (1_070_000..=1_080_001).contains(&ttl),
            "one of 20 in an hour is back after 3 minutes, and its key goes a quarter of the hour later, not {ttl} ms"
        );
    }
    drop(connect(&store).await);
}

//! Sign-in: one answer for whatever is wrong, at one cost, and never more hashes than there are slots.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use authkit::admin::NewUser;
use authkit::config::Argon2Config;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, Login, PasswordChange, SignUp};
use authkit_tests::stats::auc;
use authkit_tests::{Store, on_both, race};

use crate::support::{Raw, kind, kit, kit_with, meta, secret};

/// Accounts of the five classes of case 19; the password is tried that the third column says.
const CLASSES: [(&str, &str); 5] = [
    ("unknown@example.com", PASSWORD),
    ("wrong@example.com", "not the password at all"),
    ("passwordless@example.com", PASSWORD),
    ("disabled@example.com", PASSWORD),
    ("deleted@example.com", PASSWORD),
];

async fn make_classes(t: &TestKit) {
    let admin = t.kit.admin(meta());
    t.sign_up("wrong@example.com").await.unwrap();
    admin.create_user(NewUser::new("passwordless@example.com", "P")).await.unwrap();
    let disabled = t.sign_up("disabled@example.com").await.unwrap();
    admin.disable_user(disabled.id).await.unwrap();
    let deleted = t.sign_up("deleted@example.com").await.unwrap();
    admin.delete_user(deleted.id).await.unwrap();
}

async fn refused(t: &TestKit, class: usize) -> authkit::Error {
    let (email, password) = CLASSES[class];
    t.kit.login(Credentials::new(email, password), &meta()).await.unwrap_err()
}

on_both! {
    async fn s_019_whatever_is_wrong_the_answer_is_the_same(store: Store) {
        let t = kit(&store).await;
        make_classes(&t).await;
        let mut answers = Vec::new();
        for class in 0..CLASSES.len() {
            let error = refused(&t, class).await;
            assert!(error.fields().is_empty());
            answers.push((error.kind(), error.code(), error.public_message().to_owned(), error.retry_after()));
        }
        assert_eq!(answers[0].0, ErrorKind::InvalidCredentials);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        // The audit does tell, once each.
        let mut raw = Raw::open(&store).await;
        let details = raw.texts("SELECT details FROM authkit_audit WHERE action = 'login' ORDER BY id").await;
        let why: Vec<String> = details
            .iter()
            .map(|d| serde_json::from_str::<serde_json::Value>(d).unwrap()["why"].as_str().unwrap().to_owned())
            .collect();
        let mut sorted = why.clone();
        sorted.sort();
        assert_eq!(sorted, ["deleted", "disabled", "unknown", "wrong_password", "wrong_password"]);
        assert!(details.iter().all(|d| !d.contains('@')), "{details:?}");
    }

    async fn s_020_time_tells_no_class_from_another(store: Store) {
        const SAMPLES: usize = 240;
        // One slot, so that no sample shares the machine with its neighbour; enough memory that the hash is nearly
        // all of the time.
        let t = kit_with(&store, |c| {
            c.passwords.argon2 = Argon2Config::new(8192, 1, 1);
            c.passwords.max_concurrent = Some(NonZeroUsize::MIN);
            // Every sample is judged: what is locked is compared in a test of its own.
            c.lockout.email_threshold = 1000;
            c.lockout.ip_threshold = 100_000;
        })
        .await;
        make_classes(&t).await;
        let mut times = vec![Vec::with_capacity(SAMPLES); CLASSES.len()];
        for warm in 0..10 {
            refused(&t, warm % CLASSES.len()).await;
        }
        let mut state = 1_u64;
        for _ in 0..SAMPLES {
            // Another order each round, so that no class always follows the same one.
            let mut order = [0, 1, 2, 3, 4];
            for i in (1..order.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
            }
            for class in order {
                let begun = Instant::now();
                refused(&t, class).await;
                times[class].push(begun.elapsed().as_secs_f64());
            }
        }
        for a in 0..CLASSES.len() {
            for b in a + 1..CLASSES.len() {
                let area = auc(&times[a], &times[b]);
                let (a, b) = (CLASSES[a].0, CLASSES[b].0);
                assert!((0.35..=0.65).contains(&area), "{a} and {b} can be told apart: {area:.3}");
            }
        }
    }

    async fn s_007_what_is_too_long_is_refused_without_a_hash(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let (huge, before) = ("é".repeat(1 << 19), t.kit.stats().hashes.hashes);
        let begun = Instant::now();
        let email = format!("{huge}@example.com");
        assert_eq!(kind(t.kit.signup(SignUp::new("A", "a@example.com", huge.as_str()), &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(t.kit.signup(SignUp::new("A", email.as_str(), PASSWORD), &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(t.kit.signup(SignUp::new(huge.as_str(), "a@example.com", PASSWORD), &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(t.kit.login(Credentials::new("ann@example.com", huge.as_str()), &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(t.kit.login(Credentials::new(email.as_str(), PASSWORD), &meta()).await), ErrorKind::Validation);
        let change = PasswordChange::new(PASSWORD, huge.as_str());
        assert_eq!(kind(t.kit.change_password(&ann.auth, change, &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(t.kit.admin(meta()).set_password(ann.user.id, &secret(&huge)).await), ErrorKind::Validation);
        assert_eq!(t.kit.stats().hashes.hashes, before, "a hash was computed");
        // A present password of that length is wrong, at no cost.
        let change = PasswordChange::new(huge.as_str(), "another quite unrelated phrase");
        assert_eq!(kind(t.kit.change_password(&ann.auth, change, &meta()).await), ErrorKind::InvalidCredentials);
        assert_eq!(t.kit.stats().hashes.hashes, before, "a hash was computed");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    async fn s_186_five_hundred_parallel_logins_are_shed_beyond_the_slots(store: Store) {
        let t = kit_with(&store, |c| {
            c.passwords.argon2 = Argon2Config::default();
            c.passwords.max_concurrent = NonZeroUsize::new(2);
        })
        .await;
        t.sign_up("ann@example.com").await.unwrap();
        let before = resident_kib();
        let watched = t.kit.clone();
        let watch = tokio::spawn(async move {
            let mut peak = (0, 0, 0);
            loop {
                let stats = watched.stats().hashes;
                peak = (peak.0.max(stats.busy), peak.1.max(stats.queued), peak.2.max(resident_kib()));
                if stats.hashes >= 2 && stats.busy == 0 && stats.queued == 0 {
                    return peak;
                }
                tokio::task::yield_now().await;
            }
        });
        let out = race(500, |_| {
            let kit = t.kit.clone();
            async move { kit.login(Credentials::new("ann@example.com", PASSWORD), &meta()).await }
        })
        .await;
        let (busy, queued, resident) = watch.await.unwrap();
        let (granted, refused): (Vec<_>, Vec<_>) = out.into_iter().partition(Result::is_ok);
        for refusal in refused.into_iter().map(Result::unwrap_err) {
            assert_eq!(refusal.kind(), ErrorKind::Unavailable, "{refusal:?}");
            assert!(refusal.retry_after().is_some());
        }
        let stats = t.kit.stats().hashes;
        assert!(!granted.is_empty() && stats.shed > 0, "{stats:?}");
        assert!(granted.iter().all(|login| matches!(login, Ok(Login::Complete(_)))));
        assert!(busy <= 2 && queued <= 2 * 64, "{busy} at a time, {queued} waiting");
        // 500 hashes at a time would be 9.3 GiB, two are 38 MiB; other tests of this process have some, too.
        assert!(resident.saturating_sub(before) < 1 << 20, "{before} KiB grew to {resident} KiB");
        // And it goes on.
        t.sign_in("ann@example.com").await.unwrap();
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

//! Guesses at the same time, clients that hang up, processes that die: no more is judged than may fail, and nothing
//! that failed is forgotten.

use std::num::NonZeroUsize;
use std::time::Duration;

use authkit::config::Argon2Config;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, LockKind};
use authkit_tests::{Store, on_both, race};
use futures_util::FutureExt as _;

use crate::lockout::{ANN, TTL, WRONG, fail, guess, hashes, is_locked, lockouts, of_kind};
use crate::support::{Raw, connect, kit, kit_with, meta, second_node};

/// The slots are taken by work of nobody's: what is admitted now waits until they end.
async fn busy_kit(store: &Store, millis: u32) -> TestKit {
    kit_with(store, |c| {
        // About that long in an unoptimised build of the tests: the hash itself is optimised.
        c.passwords.argon2 = Argon2Config::new(1024 * millis, 1, 1);
        c.passwords.max_concurrent = Some(NonZeroUsize::MIN);
    })
    .await
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came true: {what}");
}

on_both! {
    async fn s_023_fifty_guesses_at_once_are_at_most_n_hashes(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 10_000).await;
        let other = second_node(&store, &t).await;
        for position in [0, 3, 8, 20, 49] {
            let email = format!("victim-{position}@example.com");
            t.sign_up(&email).await.unwrap();
            let before = hashes(&t) + hashes(&other);
            let out = race(50, |i| {
                let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
                let password = if i == position { PASSWORD } else { WRONG };
                let credentials = Credentials::new(email.as_str(), password);
                async move { kit.login(credentials, &meta()).await.map(|_| ()) }
            })
            .await;
            let judged = hashes(&t) + hashes(&other) - before;
            let wins = out.iter().filter(|o| o.is_ok()).count();
            // A success in between clears the count, so that more may be judged; without one never more than N.
            assert!(judged <= if wins == 0 { 8 } else { 16 }, "{judged} hashes, {wins} in");
            for refusal in out.into_iter().filter_map(Result::err) {
                match refusal.kind() {
                    ErrorKind::InvalidCredentials | ErrorKind::Locked => {}
                    ErrorKind::RateLimited => assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1))),
                    other => panic!("{other:?}: {refusal:?}"),
                }
            }
        }
    }

    async fn s_023_the_right_one_at_every_position_after_n_never_gets_in(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.email_threshold = 4;
            c.lockout.ip_threshold = 10_000;
        })
        .await;
        // Placed one after the other while all are being judged: whoever asks after the fourth is refused unjudged.
        for position in 4..12 {
            let email = format!("victim-{position}@example.com");
            t.sign_up(&email).await.unwrap();
            let before = hashes(&t);
            for i in 0..12 {
                let password = if i == position { PASSWORD } else { WRONG };
                let out = guess(&t, &email, password, &meta()).await;
                let expected = if i < 4 { ErrorKind::InvalidCredentials } else { ErrorKind::Locked };
                assert_eq!(out.unwrap_err().kind(), expected, "{i} of {position}");
            }
            assert_eq!(hashes(&t) - before, 4);
        }
    }

    async fn fifty_wrong_guesses_at_once_lock_once(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 10_000).await;
        for round in 0..5 {
            let email = format!("nobody-{round}@example.com");
            // Guess until it is locked: those refused for others come again.
            for _ in 0..20 {
                race(50, |_| {
                    let (kit, credentials) = (t.kit.clone(), Credentials::new(email.as_str(), WRONG));
                    async move { kit.login(credentials, &meta()).await.map(|_| ()).unwrap_err() }
                })
                .await;
            }
            is_locked(guess(&t, &email, WRONG, &meta()).await);
        }
        let rows = lockouts(&t, &of_kind(LockKind::Email)).await;
        assert_eq!(rows.iter().map(|r| (r.failures, r.lock_count)).collect::<Vec<_>>(), [(8, 1); 5]);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_audit WHERE action = 'lockout.lock'").await, 5);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_audit WHERE action = 'login'").await, 40);
        assert_eq!(raw.number("SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts").await, 0);
    }

    async fn twenty_failures_at_once_of_one_address_are_all_counted(store: Store) {
        let t = kit(&store).await;
        for round in 1..=5 {
            race(20, |i| {
                let email = format!("user-{round}-{i}@example.com");
                let kit = t.kit.clone();
                async move { kit.login(Credentials::new(email, WRONG), &meta()).await.map(|_| ()).unwrap_err() }
            })
            .await;
            if round == 1 {
                let rows = lockouts(&t, &of_kind(LockKind::Ip)).await;
                assert_eq!(rows.iter().map(|r| r.failures).collect::<Vec<_>>(), [20]);
            }
        }
        // The lock stops those that wait, too: at most those that were being judged when it fell come on top.
        let judged = Raw::open(&store).await.number("SELECT count(*) FROM authkit_audit WHERE action = 'login'").await;
        assert!((30..=40).contains(&judged), "{judged}");
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_audit WHERE action = 'lockout.lock' AND details LIKE '%\"ip\"%'").await, 1);
    }

    async fn only_those_being_judged_refuse_and_that_passes(store: Store) {
        let t = busy_kit(&store, 30).await;
        t.sign_up(ANN).await.unwrap();
        let out = race(30, |_| {
            let kit = t.kit.clone();
            async move { kit.login(Credentials::new(ANN, WRONG), &meta()).await.map(|_| ()).unwrap_err().kind() }
        })
        .await;
        // Of one slot two are admitted: they are never so many that they fill the budget. All are judged in turn.
        let count = |wanted| out.iter().filter(|kind| **kind == wanted).count();
        assert_eq!(count(ErrorKind::InvalidCredentials), 8, "{out:?}");
        assert_eq!(count(ErrorKind::Locked), 22, "{out:?}");
    }

    async fn a_client_that_hangs_up_in_mid_hash_is_counted(store: Store) {
        let t = busy_kit(&store, 60).await;
        t.sign_up(ANN).await.unwrap();
        let mut raw = Raw::open(&store).await;
        for n in 1..=8 {
            let before = hashes(&t);
            let from = meta();
            let mut login = Box::pin(guess(&t, ANN, WRONG, &from));
            until("the hash runs", async || {
                assert!((&mut login).now_or_never().is_none(), "it was over before it could be dropped");
                hashes(&t) > before
            })
            .await;
            drop(login);
            t.kit.db().drain().await;
            let audited = raw.number("SELECT count(*) FROM authkit_audit WHERE action = 'login'").await;
            assert_eq!(audited, n, "shutdown waits for it, and its audit row is there");
        }
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        assert_eq!(lockouts(&t, &of_kind(LockKind::Email)).await[0].failures, 8);
    }

    async fn sixty_four_clients_that_leave_in_mid_login_take_nothing_along(store: Store) {
        let t = busy_kit(&store, 20).await;
        t.sign_up(ANN).await.unwrap();
        let before = hashes(&t);
        let from = meta();
        let mut logins: Vec<_> = (0..64).map(|_| Box::pin(guess(&t, ANN, WRONG, &from))).collect();
        until("all but two wait", async || {
            for login in &mut logins {
                assert!(login.now_or_never().is_none());
            }
            t.kit.stats().hashes.queued >= 60
        })
        .await;
        drop(logins);
        t.kit.db().drain().await;
        until("the slot is free", async || t.kit.stats().hashes.busy == 0).await;
        // Those that had waited were skipped before they counted.
        assert!(hashes(&t) - before <= 4, "{}", hashes(&t) - before);
        t.sign_in(ANN).await.unwrap();
        let pending = "SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts";
        assert_eq!(Raw::open(&store).await.number(pending).await, 0);
    }

    async fn overload_leaves_nothing_behind(store: Store) {
        let t = kit_with(&store, |c| {
            c.passwords.argon2 = Argon2Config::new(8192, 1, 1);
            c.passwords.max_concurrent = Some(NonZeroUsize::MIN);
            c.lockout.email_threshold = 1000;
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        let out = race(200, |_| {
            let kit = t.kit.clone();
            async move { kit.login(Credentials::new(ANN, PASSWORD), &meta()).await.map(|_| ()) }
        })
        .await;
        let shed = out.iter().filter(|o| o.is_err()).count();
        assert!(shed > 0 && shed < 200);
        assert!(out.into_iter().filter_map(Result::err).all(|e| e.kind() == ErrorKind::Unavailable));
        assert_eq!(lockouts(&t, &of_kind(LockKind::Email)).await, []);
        let pending = "SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts";
        assert_eq!(Raw::open(&store).await.number(pending).await, 0);
    }

    async fn a_reservation_left_behind_becomes_a_failure_after_thirty_seconds(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        fail(&t, ANN, 1).await;
        // As a process leaves it that died in mid-hash.
        let mut raw = Raw::open(&store).await;
        raw.run("UPDATE authkit_lockouts SET pending = 7, version = version + 1 WHERE kind = 'email'").await;
        let error = guess(&t, ANN, PASSWORD, &meta()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(1))));
        t.clock.advance(Duration::from_micros(29_999_999));
        assert_eq!(guess(&t, ANN, PASSWORD, &meta()).await.unwrap_err().kind(), ErrorKind::RateLimited);
        t.clock.advance(Duration::from_micros(1));
        let before = hashes(&t);
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), TTL);
        assert_eq!(is_locked(guess(&t, ANN, PASSWORD, &meta()).await), TTL);
        assert_eq!(hashes(&t), before);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_audit WHERE action = 'lockout.lock'").await, 1);
        t.clock.advance(TTL);
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
    }

    async fn a_process_that_ends_while_hashing_waits_for_the_count(store: Store) {
        let t = busy_kit(&store, 60).await;
        t.sign_up(ANN).await.unwrap();
        let before = hashes(&t);
        let kit = t.kit.clone();
        let login = tokio::spawn(async move { kit.login(Credentials::new(ANN, WRONG), &meta()).await.map(|_| ()) });
        until("the hash runs", async || hashes(&t) > before).await;
        login.abort();
        t.kit.db().drain().await;
        t.kit.db().close().await;
        let next = second_node(&store, &t).await;
        assert_eq!(lockouts(&next, &of_kind(LockKind::Email)).await[0].failures, 1);
        drop(connect(&store).await);
    }

    async fn twenty_right_and_wrong_ones_at_once_leave_no_reservation(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.email_threshold = 1000;
            c.lockout.ip_threshold = 10_000;
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        for _ in 0..10 {
            race(20, |i| {
                let kit = t.kit.clone();
                let password = if i % 2 == 0 { PASSWORD } else { WRONG };
                async move { kit.login(Credentials::new(ANN, password), &meta()).await.is_ok() }
            })
            .await
            .into_iter()
            .enumerate()
            .for_each(|(i, won)| assert_eq!(won, i % 2 == 0));
        }
        let pending = "SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts";
        assert_eq!(Raw::open(&store).await.number(pending).await, 0);
    }
}

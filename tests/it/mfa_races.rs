//! The same factor given many times at once, and clients that hang up: 32 tasks, 500 rounds, two nodes.

use std::sync::Arc;
use std::time::Duration;

use authkit::secret::ExposeSecret as _;
use authkit::{ErrorKind, SecondFactor};
use authkit_tests::{Store, on_both, race};

use crate::mfa::{ANN, STEP, code, complete, enrolled, pending, seconds, wrong};
use crate::support::{Raw, kit_with, meta, second_node, secret};

const TASKS: usize = 32;
const ROUNDS: usize = 500;
/// Pending sign-ins of one round: several, and each is tried by several.
const TOKENS: usize = 4;

/// Refusals that a loser of a race may get; a winner is `Ok`.
#[track_caller]
fn wins<T: std::fmt::Debug>(out: Vec<authkit::Result<T>>) -> usize {
    let mut wins = 0;
    for one in out {
        match one {
            Ok(_) => wins += 1,
            // Refused unjudged because as many are being judged as may fail, or because that many did; or the machine is
            // too busy, and the outcome is unknown to the client.
            Err(refused) => assert!(
                [ErrorKind::MfaInvalid, ErrorKind::RateLimited, ErrorKind::Locked, ErrorKind::Unavailable]
                    .contains(&refused.kind()),
                "{refused:?}"
            ),
        }
    }
    wins
}

on_both! {
    async fn s_105_one_code_over_many_pending_tokens_at_once_opens_one_session(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 100_000).await;
        let other = second_node(&store, &t).await;
        let ann = enrolled(&t, ANN).await;
        let mut raw = Raw::open(&store).await;
        let logins = "SELECT count(*) FROM authkit_audit WHERE action = 'login' AND details LIKE '%totp%'";
        for round in 1..=ROUNDS {
            t.clock.advance(STEP);
            t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
            let mut tokens = Vec::new();
            for _ in 0..TOKENS {
                tokens.push(pending(&t, ANN).await.mfa_token);
            }
            let (tokens, right) = (Arc::new(tokens), ann.app.code_at(seconds(&t)));
            let out = race(TASKS, |i| {
                let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
                let (tokens, factor) = (Arc::clone(&tokens), code(&right));
                async move { kit.complete_mfa(&tokens[i % TOKENS], factor, &meta()).await }
            })
            .await;
            assert!(wins(out) <= 1, "round {round}");
            t.kit.db().drain().await;
            other.kit.db().drain().await;
            assert_eq!(raw.number(logins).await, i64::try_from(round).unwrap());
        }
    }

    async fn s_112_s_114_one_backup_code_at_once_in_many_spellings_opens_one_session(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.ip_threshold = 100_000;
            c.mfa.backup_codes = 50;
        })
        .await;
        let ann = enrolled(&t, ANN).await;
        let mut codes = ann.codes;
        let (mut raw, mut raced) = (Raw::open(&store).await, 0);
        for _ in 0..ROUNDS {
            let Some(backup) = codes.pop() else { panic!("too few codes") };
            if codes.is_empty() {
                let made = t.kit.admin(meta()).make_backup_codes(ann.id).await.unwrap().codes;
                codes = made.iter().map(|code| code.expose_secret().to_owned()).collect();
                // The old set is gone, the one in hand with it.
                continue;
            }
            t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
            let mut tokens = Vec::new();
            for _ in 0..TOKENS {
                tokens.push(pending(&t, ANN).await.mfa_token);
            }
            let tokens = Arc::new(tokens);
            let out = race(TASKS, |i| {
                let spelled = match i % 3 {
                    0 => backup.clone(),
                    1 => backup.to_lowercase(),
                    _ => backup.replace('-', " "),
                };
                let (kit, tokens) = (t.kit.clone(), Arc::clone(&tokens));
                async move { kit.complete_mfa(&tokens[i % TOKENS], code(&spelled), &meta()).await }
            })
            .await;
            assert!(wins(out) <= 1);
            t.kit.db().drain().await;
            raced += 1;
            assert_eq!(raw.audited("mfa.backup_code").await, raced);
        }
        assert!(raced > 480);
    }

    async fn s_111_one_pending_token_at_once_is_used_once(store: Store) {
        let t = kit_with(&store, |c| {
            c.lockout.ip_threshold = 100_000;
            c.mfa.backup_codes = 50;
        })
        .await;
        let ann = enrolled(&t, ANN).await;
        let mut raw = Raw::open(&store).await;
        // Another good factor each: only the token stands between them and so many sessions.
        for round in 0..4 {
            t.clock.advance(STEP);
            t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
            let token = Arc::new(pending(&t, ANN).await.mfa_token);
            let before = raw.audited("mfa.backup_code").await;
            let out = race(12, |i| {
                let backup = ann.codes[round * 12 + i].clone();
                let (kit, token) = (t.kit.clone(), Arc::clone(&token));
                async move { kit.complete_mfa(&token, code(&backup), &meta()).await }
            })
            .await;
            assert_eq!(wins(out), 1);
            // What lost was not used up: the token is claimed before a factor is judged.
            assert_eq!(raw.audited("mfa.backup_code").await, before + 1);
        }
    }

    async fn s_109_guesses_at_once_are_five_a_token_and_ten_an_account(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 100_000).await;
        let other = second_node(&store, &t).await;
        let ann = enrolled(&t, ANN).await;
        let mut raw = Raw::open(&store).await;
        let judged = "SELECT count(*) FROM authkit_audit WHERE action = 'mfa.refuse' AND details NOT LIKE '%sign_in_over%'";
        for round in 0..4 {
            t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
            t.clock.advance(STEP);
            let before = raw.number(judged).await;
            let token = Arc::new(pending(&t, ANN).await.mfa_token);
            let guess = wrong(&t, &ann.app);
            for _ in 0..4 {
                let out = race(TASKS, |i| {
                    let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
                    let (token, factor) = (Arc::clone(&token), code(&guess));
                    async move { kit.complete_mfa(&token, factor, &meta()).await }
                })
                .await;
                assert_eq!(wins(out), 0);
            }
            assert_eq!(raw.number(judged).await - before, 5, "of one token, round {round}");
            let tries = raw.number("SELECT CAST(MAX(tries) AS BIGINT) FROM authkit_mfa_pending").await;
            assert_eq!(tries, 5);
            let mut tokens = Vec::new();
            for _ in 0..TASKS {
                tokens.push(pending(&t, ANN).await.mfa_token);
            }
            let tokens = Arc::new(tokens);
            for _ in 0..4 {
                let out = race(TASKS, |i| {
                    let (kit, tokens, factor) = (t.kit.clone(), Arc::clone(&tokens), code(&guess));
                    async move { kit.complete_mfa(&tokens[i], factor, &meta()).await }
                })
                .await;
                assert_eq!(wins(out), 0);
            }
            assert_eq!(raw.number(judged).await - before, 10, "of the account, round {round}");
            let right = complete(&t, &pending(&t, ANN).await, &ann.app.code_at(seconds(&t))).await;
            assert_eq!(right.unwrap_err().kind(), ErrorKind::Locked);
        }
        assert_eq!(raw.number("SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts").await, 0);
    }

    async fn s_002_a_client_that_hangs_up_loses_no_count(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 100_000).await;
        let ann = enrolled(&t, ANN).await;
        let token = pending(&t, ANN).await.mfa_token;
        let guess = SecondFactor::Code(secret(&wrong(&t, &ann.app)));
        // Given up at another moment each time.
        for n in 0..40 {
            let meta = meta();
            let call = t.kit.complete_mfa(&token, guess.clone(), &meta);
            let _ = tokio::time::timeout(Duration::from_micros(n * 400), call).await;
        }
        t.kit.db().drain().await;
        let mut raw = Raw::open(&store).await;
        let failures = raw.number("SELECT failures FROM authkit_lockouts WHERE kind = 'second_factor'").await;
        let told = "SELECT count(*) FROM authkit_audit WHERE action = 'mfa.refuse' AND details NOT LIKE '%sign_in_over%'";
        assert_eq!(failures, raw.number(told).await, "each that was judged is counted and told");
        assert!(failures <= 5, "{failures}");
        assert_eq!(raw.number("SELECT CAST(SUM(pending + pending_before) AS BIGINT) FROM authkit_lockouts").await, 0);
    }

    async fn s_115_new_sets_at_once_leave_one_whole_set(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 100_000).await;
        let ann = enrolled(&t, ANN).await;
        let caller = Arc::new(ann.auth);
        let right = ann.app.code_at(seconds(&t));
        let out = race(TASKS, |_| {
            let (kit, caller, typed) = (t.kit.clone(), Arc::clone(&caller), secret(&right));
            async move { kit.mfa().regenerate_backup_codes(&*caller, typed, &meta()).await }
        })
        .await;
        let mut made = Vec::new();
        for one in out {
            match one {
                Ok(codes) => made.push(codes),
                Err(refused) => assert!(
                    [ErrorKind::MfaInvalid, ErrorKind::RateLimited, ErrorKind::Locked, ErrorKind::Unauthenticated]
                        .contains(&refused.kind()),
                    "{refused:?}"
                ),
            }
        }
        assert_eq!(made.len(), 1);
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_backup_codes").await, 10);
    }
}

//! Every door that takes a password counts on the same row; what is locked, known or unknown takes the same time.

use std::num::NonZeroUsize;
use std::time::Instant;

use authkit::config::Argon2Config;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{ErrorKind, LockKind, PasswordChange, StepUp};
use authkit_tests::stats::auc;
use authkit_tests::{Store, on_both};

use crate::lockout::{ANN, WRONG, fail, guess, hashes, is_locked, lockouts, of_kind};
use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, secret};

const NEW: &str = "seven green lanterns over water";

/// Signed in, and with a device that is none any more: what fails counts on the e-mail.
async fn without_device(t: &TestKit, store: &Store) -> authkit::Authenticated {
    let ann = t.signed_in(ANN).await.unwrap();
    Raw::open(store).await.run("DELETE FROM authkit_devices").await;
    ann.auth
}

on_both! {
    async fn s_017_a_wrong_present_password_counts_toward_the_lock(store: Store) {
        let t = kit(&store).await;
        let auth = without_device(&t, &store).await;
        for n in 0..8 {
            let out = match n % 3 {
                0 => t.kit.change_password(&auth, PasswordChange::new(WRONG, NEW), &meta()).await.map(|_| ()),
                1 => t.kit.step_up(&auth, StepUp::Password(secret(WRONG)), &meta()).await.map(|_| ()),
                _ => guess(&t, ANN, WRONG, &meta()).await,
            };
            assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        }
        let before = hashes(&t);
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        is_locked(t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await);
        is_locked(t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &meta()).await.map(|_| ()));
        assert_eq!(hashes(&t), before);
        let audited = "SELECT count(*) FROM authkit_audit WHERE outcome = 'failure'";
        assert_eq!(Raw::open(&store).await.number(audited).await, 8);
    }

    async fn a_changed_password_is_no_full_sign_in_a_step_up_is(store: Store) {
        let t = kit(&store).await;
        let auth = without_device(&t, &store).await;
        fail(&t, ANN, 5).await;
        t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
        assert_eq!(lockouts(&t, &of_kind(LockKind::Email)).await[0].failures, 5);
        t.sign_up("bob@example.com").await.unwrap();
        let tokens = t.sign_in("bob@example.com").await.unwrap();
        Raw::open(&store).await.run("DELETE FROM authkit_devices").await;
        let bob = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        fail(&t, "bob@example.com", 5).await;
        let stepped = t.kit.step_up(&bob, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        assert!(stepped.device_token.is_some(), "it had none any more");
        assert_eq!(lockouts(&t, &of_kind(LockKind::Email)).await.len(), 1);
    }

    async fn s_032_the_right_password_of_an_unverified_account_moves_no_counter(store: Store) {
        let t = kit_with(&store, |c| {
            c.accounts.email_verification = Some(authkit::config::EmailVerification::Required);
        })
        .await;
        let ann = t.sign_up(ANN).await.unwrap();
        fail(&t, ANN, 7).await;
        for _ in 0..20 {
            assert_eq!(kind(guess(&t, ANN, PASSWORD, &meta()).await), ErrorKind::EmailUnverified);
        }
        assert_eq!(lockouts(&t, &of_kind(LockKind::Email)).await[0].failures, 7, "neither reset nor counted");
        fail(&t, ANN, 1).await;
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
        t.kit.admin(meta()).verify_email(ann.id).await.unwrap();
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
    }

    async fn s_020_locked_ones_known_and_unknown_cannot_be_told_apart(store: Store) {
        const SAMPLES: usize = 240;
        let t = kit_with(&store, |c| {
            c.passwords.argon2 = Argon2Config::new(4096, 1, 1);
            c.passwords.max_concurrent = Some(NonZeroUsize::MIN);
            c.lockout.ip_threshold = 100_000;
            c.lockout.stuffing_threshold = 1000;
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        let emails = [ANN, "nobody@example.com"];
        for email in emails {
            fail(&t, email, 8).await;
        }
        let mut times = [Vec::new(), Vec::new()];
        for n in 0..SAMPLES * 2 + 20 {
            // Which comes first changes, so that neither always follows the other.
            let class = (n + n / 2) % 2;
            let begun = Instant::now();
            is_locked(guess(&t, emails[class], PASSWORD, &meta()).await);
            if n >= 20 {
                times[class].push(begun.elapsed().as_secs_f64());
            }
        }
        let area = auc(&times[0], &times[1]);
        assert!((0.35..=0.65).contains(&area), "locked ones can be told apart: {area:.3}");
    }

    async fn a_lock_that_cannot_be_audited_is_not_silently_there(store: Store) {
        let t = kit(&store).await;
        fail(&t, ANN, 7).await;
        let mut raw = Raw::open(&store).await;
        raw.run("ALTER TABLE authkit_audit RENAME TO authkit_audit_away").await;
        let error = guess(&t, ANN, WRONG, &meta()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Internal), "{error:?}");
        raw.run("ALTER TABLE authkit_audit_away RENAME TO authkit_audit").await;
        // The attempt is not forgotten either: its reservation is left behind.
        assert_eq!(guess(&t, ANN, WRONG, &meta()).await.unwrap_err().kind(), ErrorKind::RateLimited);
        t.clock.advance(std::time::Duration::from_secs(30));
        is_locked(guess(&t, ANN, WRONG, &meta()).await);
    }
}

//! The way out of a lock by mail, and what limits what is mailed.

use std::time::Duration;

use authkit::config::Rate;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, SignUp};
use authkit_tests::{Store, on_both, race};

use crate::links::{letters, new_password, one, proved, reset_letter};
use crate::support::{Raw, Texts as _, from_ip, kind, kit, kit_with, meta};

async fn guess(t: &TestKit, email: &str, password: &str) -> ErrorKind {
    kind(t.kit.login(Credentials::new(email, password), &from_ip("203.0.113.9")).await)
}

/// Wrong passwords by a stranger until the e-mail is locked.
async fn lock(t: &TestKit, email: &str) {
    for _ in 0..t.kit.config().lockout.email_threshold {
        assert_eq!(guess(t, email, "wrong").await, ErrorKind::InvalidCredentials);
    }
    assert_eq!(guess(t, email, PASSWORD).await, ErrorKind::Locked);
}

async fn signs_in(t: &TestKit, email: &str, password: &str) -> bool {
    t.kit.login(Credentials::new(email, password), &from_ip("198.51.100.4")).await.is_ok()
}

on_both! {
    async fn s_029_a_lock_is_told_once_and_its_link_ends_it(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let session = t.sign_in("ann@example.com").await.unwrap();
        lock(&t, "ann@example.com").await;
        let told = letters(&t).await;
        assert_eq!((told.len(), told[0].kind, told[0].to.as_str()), (1, "unlock", "ann@example.com"));
        assert!(told[0].link().starts_with("http://localhost:8000/unlock?token=akl_"));
        // Live sessions go on.
        t.kit.refresh(session.refresh(), &meta()).await.unwrap();
        assert!(!signs_in(&t, "ann@example.com", PASSWORD).await);
        let out = race(20, |_| {
            let (kit, proof) = (t.kit.clone(), told[0].proof());
            async move { kit.unlock(proof, &meta()).await }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1);
        assert!(signs_in(&t, "ann@example.com", PASSWORD).await);
        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("lockout.lock").await, raw.audited("lockout.unlock").await), (1, 1));
        // Locked again the same day: nobody fills a mailbox by guessing.
        lock(&t, "ann@example.com").await;
        assert!(letters(&t).await.iter().all(|letter| letter.kind != "unlock"));
    }

    async fn an_unlock_by_code_and_its_end(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        lock(&t, "ann@example.com").await;
        let letter = one(letters(&t).await, "unlock");
        t.kit.unlock(letter.code_proof(), &meta()).await.unwrap();
        assert!(signs_in(&t, "ann@example.com", PASSWORD).await);
        assert_eq!(kind(t.kit.unlock(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
        t.clock.advance(Duration::from_secs(25 * 3600));
        lock(&t, "ann@example.com").await;
        let letter = one(letters(&t).await, "unlock");
        t.clock.advance(Duration::from_secs(3600));
        assert_eq!(kind(t.kit.unlock(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
    }

    async fn an_unlock_leaves_the_lock_of_an_address(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 8).await;
        proved(&t, "ann@example.com").await;
        lock(&t, "ann@example.com").await;
        let letter = one(letters(&t).await, "unlock");
        t.kit.unlock(letter.proof(), &meta()).await.unwrap();
        assert_eq!(guess(&t, "ann@example.com", PASSWORD).await, ErrorKind::Locked, "the stranger's address");
        assert!(signs_in(&t, "ann@example.com", PASSWORD).await);
    }

    async fn s_029_a_reset_works_during_a_lock_and_ends_it(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        lock(&t, "ann@example.com").await;
        letters(&t).await;
        let letter = reset_letter(&t, "ann@example.com").await;
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
        assert!(signs_in(&t, "ann@example.com", "another quite unrelated phrase").await);
    }

    async fn s_025_an_e_mail_without_an_account_locks_at_the_same_cost(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let mut rows = Vec::new();
        for email in ["ann@example.com", "nobody@example.com"] {
            let before = raw.number("SELECT count(*) FROM authkit_links WHERE purpose = 'unlock'").await;
            lock(&t, email).await;
            rows.push(raw.number("SELECT count(*) FROM authkit_links WHERE purpose = 'unlock'").await - before);
        }
        assert_eq!(rows, [1, 1]);
        assert_eq!(letters(&t).await.len(), 1);
    }

    async fn s_045_what_is_mailed_is_limited_by_recipient_and_by_address(store: Store) {
        let five = Rate::new(5, Duration::from_secs(3600));
        let t = kit_with(&store, |c| c.limits.mail_recipient = five).await;
        proved(&t, "ann@example.com").await;
        // Over all doors that write to a recipient, from ever other addresses, and alike where nobody lives.
        for email in ["nobody@example.com", "ann@example.com"] {
            let spent = usize::from(email.starts_with("ann"));
            for i in 0..6 - spent {
                let from = from_ip(&format!("198.51.100.{i}"));
                let out = if i % 2 == 0 {
                    t.kit.request_password_reset(email, &from).await
                } else {
                    t.kit.resend_verification(&email.to_uppercase(), &from).await
                };
                if i < 5 - spent {
                    out.unwrap();
                } else {
                    assert_eq!(kind(out), ErrorKind::RateLimited, "{email}");
                }
            }
            let sign_up = t.kit.signup(SignUp::new("A", email, PASSWORD), &meta()).await;
            assert_eq!(kind(sign_up), ErrorKind::RateLimited);
        }
        let ann = t.signed_in("bob@example.com").await.unwrap();
        assert_eq!(kind(t.kit.request_email_change(&ann.auth, "ann@example.com", &meta()).await), ErrorKind::RateLimited);
        for i in 0..5 {
            t.kit.request_email_change(&ann.auth, &format!("b{i}@example.com"), &meta()).await.unwrap();
        }
        assert_eq!(kind(t.kit.request_email_change(&ann.auth, "b9@example.com", &meta()).await), ErrorKind::RateLimited);
    }

    async fn s_045_links_asked_for_and_used_are_limited_by_address(store: Store) {
        let two = Rate::new(2, Duration::from_secs(3600));
        let t = kit_with(&store, |c| {
            (c.limits.reset_ip, c.limits.link_ip) = (two, two);
        })
        .await;
        let here = from_ip("198.51.100.4");
        for i in 0..3 {
            let out = t.kit.request_password_reset(&format!("x{i}@example.com"), &here).await;
            assert_eq!(out.is_ok(), i < 2);
            let out = t.kit.verify_email(authkit::LinkProof::token("akl_x"), &here).await;
            assert_eq!(kind(out), if i < 2 { ErrorKind::LinkInvalid } else { ErrorKind::RateLimited });
        }
        t.kit.request_password_reset("x@example.com", &from_ip("198.51.100.5")).await.unwrap();
    }
}

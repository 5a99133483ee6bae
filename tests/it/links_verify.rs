//! Proving the address of a new account.

use std::time::Instant;

use authkit::config::EmailVerification;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, Login, SignUp, SignedUp};
use authkit_tests::stats::auc;
use authkit_tests::{Store, on_both, race};

use crate::links::{letters, one, without_mailer};
use crate::support::{Raw, kind, kit, kit_with, meta};

async fn required(store: &Store) -> TestKit {
    kit_with(store, |c| c.accounts.email_verification = Some(EmailVerification::Required)).await
}

async fn verified(t: &TestKit, email: &str) -> bool {
    t.kit.users().find_by_email(email).await.unwrap().unwrap().email_verified
}

on_both! {
    async fn s_001_a_known_address_is_told_by_mail_and_by_nothing_else(store: Store) {
        let t = required(&store).await;
        let sign_up = async |email: &str| t.kit.signup(SignUp::new("A", email, PASSWORD), &meta()).await.unwrap();
        assert_eq!(sign_up("Ann@Example.com").await, SignedUp::VerificationRequired);
        let letter = one(letters(&t).await, "verify_email");
        assert_eq!(letter.to, "Ann@example.com");
        assert_eq!(sign_up(" ANN@example.COM ").await, SignedUp::VerificationRequired);
        let told = letters(&t).await;
        assert_eq!((told.len(), told[0].kind, told[0].to.as_str()), (1, "signup_known", "Ann@example.com"));
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_user_roles").await, 1);

        assert_eq!(kind(t.sign_in("ann@example.com").await), ErrorKind::EmailUnverified);
        t.kit.verify_email(letter.proof(), &meta()).await.unwrap();
        assert!(t.sign_in("ann@example.com").await.is_ok());
        assert_eq!(raw.audited("email.verify").await, 1);
        // An account that may not sign in is told nothing.
        let id = t.kit.users().find_by_email("ann@example.com").await.unwrap().unwrap().id;
        t.kit.admin(meta()).delete_user(id).await.unwrap();
        letters(&t).await;
        assert_eq!(sign_up("ann@example.com").await, SignedUp::VerificationRequired);
        assert!(letters(&t).await.is_empty());
    }

    async fn s_001_a_known_address_costs_the_rows_and_the_time_of_a_new_one(store: Store) {
        const SAMPLES: usize = 220;
        let t = required(&store).await;
        t.sign_up("known@example.com").await.unwrap();
        let mut raw = Raw::open(&store).await;
        let mut before = [0_i64; 3];
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..SAMPLES {
            for class in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let email = if class == 0 { "known@example.com".to_owned() } else { format!("new-{round}@example.com") };
                let begun = Instant::now();
                let out = t.kit.signup(SignUp::new("A", email, PASSWORD), &meta()).await;
                times[class].push(begun.elapsed().as_secs_f64());
                assert_eq!(out.unwrap(), SignedUp::VerificationRequired);
                if round < 4 {
                    // Links are taken over, so that a second decoy makes no row.
                    for (at, table) in ["authkit_outbox", "authkit_audit"].into_iter().enumerate() {
                        let now = raw.number(&format!("SELECT count(*) FROM {table}")).await;
                        assert!(before[at] == 0 || now == before[at] + 1, "{table}");
                        before[at] = now;
                    }
                }
            }
        }
        let area = auc(&times[0], &times[1]);
        assert!((0.35..=0.65).contains(&area), "{area:.3}");
    }

    async fn optional_verification_mails_a_link_and_lets_in_before(store: Store) {
        let t = kit(&store).await;
        t.sign_up("ann@example.com").await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        t.sign_in("ann@example.com").await.unwrap();
        assert!(!verified(&t, "ann@example.com").await);
        t.kit.verify_email(letter.code_proof(), &meta()).await.unwrap();
        assert!(verified(&t, "ann@example.com").await);
        // The link of one's own account only verifies: password and sessions stay (contract 4.6).
        t.sign_in("ann@example.com").await.unwrap();
        // A taken address is told at once, and nobody is written to.
        let again = t.kit.signup(SignUp::new("A", "ann@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(again), ErrorKind::Conflict);
        assert!(letters(&t).await.is_empty());
    }

    async fn without_verification_nothing_is_mailed(store: Store) {
        let t = kit_with(&store, |c| c.accounts.email_verification = Some(EmailVerification::Off)).await;
        t.sign_up("ann@example.com").await.unwrap();
        t.kit.resend_verification("ann@example.com", &meta()).await.unwrap();
        assert!(letters(&t).await.is_empty());
        t.sign_in("ann@example.com").await.unwrap();
    }

    async fn without_a_mailer_a_sign_up_still_works(store: Store) {
        let t = required(&store).await;
        let silent = without_mailer(&store, &t).await;
        let out = silent.signup(SignUp::new("A", "ann@example.com", PASSWORD), &meta()).await;
        assert_eq!(out.unwrap(), SignedUp::VerificationRequired);
        let out = silent.signup(SignUp::new("A", "ann@example.com", PASSWORD), &meta()).await;
        assert_eq!(out.unwrap(), SignedUp::VerificationRequired);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_outbox").await, 0);
    }

    async fn a_resend_replaces_the_link_and_tells_nobody_who_waits(store: Store) {
        let t = required(&store).await;
        t.sign_up("ann@example.com").await.unwrap();
        let first = one(letters(&t).await, "verify_email");
        t.kit.resend_verification(" ANN@example.com", &meta()).await.unwrap();
        let second = one(letters(&t).await, "verify_email");
        assert_eq!(second.to, "ann@example.com");
        assert_eq!(kind(t.kit.verify_email(first.proof(), &meta()).await), ErrorKind::LinkInvalid);
        let mut raw = Raw::open(&store).await;
        let mut counts = async || {
            let links = raw.number("SELECT count(*) FROM authkit_links").await;
            let mails = raw.number("SELECT count(*) FROM authkit_outbox").await;
            (links, mails, raw.number("SELECT count(*) FROM authkit_audit").await)
        };
        t.kit.verify_email(second.proof(), &meta()).await.unwrap();
        // Verified and unknown: the rows of one that waits, and no mail.
        for email in ["ann@example.com", "nobody@example.com"] {
            let before = counts().await;
            t.kit.resend_verification(email, &meta()).await.unwrap();
            let after = counts().await;
            assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (1, 1, 1), "{email}");
        }
        assert!(letters(&t).await.is_empty());
    }

    async fn of_twenty_parallel_verifications_one_counts(store: Store) {
        let t = required(&store).await;
        t.sign_up("ann@example.com").await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        let out = race(20, |_| {
            let (kit, proof) = (t.kit.clone(), letter.proof());
            async move { kit.verify_email(proof, &meta()).await }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1);
        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("email.verify").await, raw.audited("link.refuse").await), (1, 19));
    }

    async fn an_operator_s_word_is_no_obstacle(store: Store) {
        let t = required(&store).await;
        let user = t.sign_up("ann@example.com").await.unwrap();
        let letter = one(letters(&t).await, "verify_email");
        t.kit.admin(meta()).verify_email(user.id).await.unwrap();
        t.kit.verify_email(letter.proof(), &meta()).await.unwrap();
        assert_eq!(Raw::open(&store).await.audited("email.verify").await, 1);
        let login = t.kit.login(Credentials::new("ann@example.com", PASSWORD), &meta()).await;
        assert!(matches!(login, Ok(Login::Complete(_))));
    }
}

//! Devices that signed in before: strangers who guess cannot keep the owner out, and he gets nothing else by it.

use authkit::secret::ExposeSecret as _;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, Error, ErrorKind, LockKind, Login, PasswordChange, RequestMeta, StepUp, Tokens};
use authkit_tests::{Store, on_both, race};

use crate::lockout::{ANN, TTL, WRONG, fail, guess, hashes, is_locked, lockouts, of_kind};
use crate::support::{Raw, Texts as _, from_ip, kind, kit, kit_with, meta, secret};

const NEW: &str = "seven green lanterns over water";

async fn by_device(
    t: &TestKit,
    email: &str,
    password: &str,
    token: &str,
    from: &RequestMeta,
) -> Result<Tokens, Error> {
    let credentials = Credentials::new(email, password).with_device_token(token);
    t.kit.login(credentials, from).await.map(|login| match login {
        Login::Complete(tokens) => tokens,
        other => panic!("{other:?}"),
    })
}

fn device(tokens: &Tokens) -> String {
    tokens.device_token.as_ref().expect("a device token").expose_secret().to_owned()
}

async fn devices(store: &Store) -> i64 {
    Raw::open(store).await.number("SELECT count(*) FROM authkit_devices").await
}

on_both! {
    async fn the_owner_gets_in_by_his_device_while_strangers_hold_the_lock(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = device(&ann.tokens);
        assert!(token.starts_with("akd_"));
        fail(&t, ANN, 8).await;
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        let again = by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
        assert_eq!(device(&again), token, "the device keeps its token");
        assert_eq!(devices(&store).await, 1);
        is_locked(guess(&t, ANN, PASSWORD, &meta()).await);
        // Its budget is its own and small; a success gives it back.
        for _ in 0..3 {
            for _ in 0..4 {
                assert_eq!(kind(by_device(&t, ANN, WRONG, &token, &meta()).await), ErrorKind::InvalidCredentials);
            }
            by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
        }
        for _ in 0..5 {
            assert_eq!(kind(by_device(&t, ANN, WRONG, &token, &meta()).await), ErrorKind::InvalidCredentials);
        }
        let before = hashes(&t);
        assert_eq!(is_locked(by_device(&t, ANN, PASSWORD, &token, &meta()).await.map(|_| ())), TTL);
        assert_eq!(hashes(&t), before);
        let rows = lockouts(&t, &of_kind(LockKind::Device)).await;
        assert_eq!((rows.len(), rows[0].failures, rows[0].user_id), (1, 5, Some(ann.user.id)));
        t.clock.advance(TTL);
        by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
    }

    async fn a_guess_by_a_device_does_not_count_for_the_e_mail_nor_the_other_way(store: Store) {
        let t = kit(&store).await;
        let token = device(&t.signed_in(ANN).await.unwrap().tokens);
        for _ in 0..5 {
            by_device(&t, ANN, WRONG, &token, &meta()).await.unwrap_err();
        }
        fail(&t, ANN, 7).await;
        guess(&t, ANN, PASSWORD, &meta()).await.unwrap();
        assert_eq!(kind(by_device(&t, ANN, PASSWORD, &token, &meta()).await), ErrorKind::Locked);
    }

    async fn unknown_and_foreign_tokens_count_as_absent(store: Store) {
        let t = kit_with(&store, |c| c.lockout.ip_threshold = 1000).await;
        let mine = device(&t.signed_in("mallory@example.com").await.unwrap().tokens);
        let anns = device(&t.signed_in(ANN).await.unwrap().tokens);
        let mut forged = anns.clone();
        forged.replace_range(60..61, if &anns[60..61] == "A" { "B" } else { "A" });
        for token in [mine.as_str(), &forged, "akd_", "", &"x".repeat(5000)] {
            fail(&t, ANN, 7).await;
            let before = lockouts(&t, &of_kind(LockKind::Device)).await.len();
            assert_eq!(kind(by_device(&t, ANN, WRONG, token, &meta()).await), ErrorKind::InvalidCredentials);
            is_locked(by_device(&t, ANN, PASSWORD, token, &meta()).await.map(|_| ()));
            assert_eq!(lockouts(&t, &of_kind(LockKind::Device)).await.len(), before);
            t.kit.admin(meta()).unlock_user(t.kit.users().find_by_email(ANN).await.unwrap().unwrap().id).await.unwrap();
            // The right password gets in, and the device a token of its own.
            let tokens = by_device(&t, ANN, PASSWORD, token, &meta()).await.unwrap();
            assert_ne!(device(&tokens), token);
        }
        // The right token for another one's e-mail is foreign, known or not: the same answers, the same locks.
        for email in ["nobody@example.com", ANN] {
            for _ in 0..8 {
                assert_eq!(kind(by_device(&t, email, WRONG, &mine, &meta()).await), ErrorKind::InvalidCredentials);
            }
            is_locked(by_device(&t, email, PASSWORD, &mine, &meta()).await.map(|_| ()));
        }
    }

    async fn a_device_skips_no_limit_of_addresses_and_no_gate(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = device(&ann.tokens);
        let from = from_ip("192.0.2.3");
        for n in 0..30 {
            guess(&t, &format!("user-{n}@example.com"), WRONG, &from).await.unwrap_err();
        }
        is_locked(by_device(&t, ANN, PASSWORD, &token, &from).await.map(|_| ()));
        let admin = t.kit.admin(meta());
        admin.disable_user(ann.user.id).await.unwrap();
        assert_eq!(kind(by_device(&t, ANN, PASSWORD, &token, &meta()).await), ErrorKind::InvalidCredentials);
        // A guess by a device counts for its address, too.
        admin.enable_user(ann.user.id).await.unwrap();
        let elsewhere = from_ip("192.0.2.4");
        for n in 0..30 {
            by_device(&t, ANN, WRONG, &token, &elsewhere).await.unwrap_err();
            if n % 4 == 3 {
                admin.unlock_user(ann.user.id).await.unwrap();
            }
        }
        is_locked(by_device(&t, ANN, PASSWORD, &token, &elsewhere).await.map(|_| ()));
    }

    async fn a_device_ends_with_the_epoch_and_by_its_user(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = device(&ann.tokens);
        // By a sign-out it does not end: that is what it is for.
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        let tokens = by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
        assert_eq!(device(&tokens), token);
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.logout_all(&auth, &meta()).await.unwrap();
        assert_eq!(devices(&store).await, 0);
        let tokens = by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
        let next = device(&tokens);
        assert_ne!(next, token);
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
        assert_eq!(devices(&store).await, 0);
        fail(&t, ANN, 8).await;
        is_locked(by_device(&t, ANN, NEW, &next, &meta()).await.map(|_| ()));
        // Also when the row still stands: everything ended from outside moves the epoch alone.
        t.clock.advance(TTL);
        let tokens = by_device(&t, ANN, NEW, &next, &meta()).await.unwrap();
        t.kit.admin(meta()).end_all_sessions().await.unwrap();
        assert_eq!(devices(&store).await, 1);
        fail(&t, ANN, 8).await;
        is_locked(by_device(&t, ANN, NEW, &device(&tokens), &meta()).await.map(|_| ()));
    }

    async fn a_user_has_twenty_devices_and_the_one_least_recently_used_goes(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        let mut tokens = Vec::new();
        for _ in 0..20 {
            tokens.push(device(&t.sign_in(ANN).await.unwrap()));
            t.clock.advance(std::time::Duration::from_secs(1));
        }
        // Uses are noted to the hour.
        t.clock.advance(std::time::Duration::from_secs(3600));
        by_device(&t, ANN, PASSWORD, &tokens[0], &meta()).await.unwrap();
        t.clock.advance(std::time::Duration::from_secs(1));
        t.sign_in(ANN).await.unwrap();
        assert_eq!(devices(&store).await, 20);
        fail(&t, ANN, 8).await;
        by_device(&t, ANN, PASSWORD, &tokens[0], &meta()).await.unwrap();
        is_locked(by_device(&t, ANN, PASSWORD, &tokens[1], &meta()).await.map(|_| ()));
        by_device(&t, ANN, PASSWORD, &tokens[2], &meta()).await.unwrap();
        t.clock.advance(TTL);
        race(20, |_| {
            let t = t.clone();
            async move { t.sign_in(ANN).await.unwrap() }
        })
        .await;
        assert_eq!(devices(&store).await, 20);
    }

    async fn a_session_remembers_its_device_while_strangers_hold_the_lock(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = device(&ann.tokens);
        fail(&t, ANN, 8).await;
        let stepped = t.kit.step_up(&ann.auth, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        assert!(stepped.device_token.is_none(), "it has one already");
        let auth = t.kit.authenticate(stepped.access(), &meta()).await.unwrap();
        // The device carries over, and what fails here counts on it, not on the e-mail.
        for _ in 0..5 {
            assert_eq!(kind(t.kit.step_up(&auth, StepUp::Password(secret(WRONG)), &meta()).await), ErrorKind::InvalidCredentials);
        }
        assert_eq!(kind(t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &meta()).await), ErrorKind::Locked);
        is_locked(by_device(&t, ANN, PASSWORD, &token, &meta()).await.map(|_| ()));
        t.clock.advance(TTL);
        fail(&t, ANN, 8).await;
        let tokens = by_device(&t, ANN, PASSWORD, &token, &meta()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
    }

    async fn a_device_token_is_in_the_store_as_a_hash_only(store: Store) {
        let t = kit(&store).await;
        let tokens = t.signed_in(ANN).await.unwrap().tokens;
        let token = device(&tokens);
        let dump = Raw::open(&store).await.dump().await;
        assert!(dump.contains("authkit_devices:"));
        assert!(!dump.contains(&token) && !dump.contains("akd_"));
        assert!(!format!("{tokens:?}").contains("akd_"));
    }
}

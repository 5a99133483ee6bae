//! A new password by mail: one answer for every address, one link, one winner, nobody signed in by it.

use std::time::Instant;

use authkit::admin::NewUser;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, LinkProof, PasswordChange, SignUp};
use authkit_tests::stats::{auc, percentile};
use authkit_tests::{Store, on_both, race};

use crate::links::{letters, new_password, one, proved, reset_letter};
use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, second_node, secret};

/// The classes that a request must not tell apart.
const CLASSES: [&str; 5] = [
    "known@example.com",
    "unknown@example.com",
    "disabled@example.com",
    "deleted@example.com",
    "fresh@example.com",
];

async fn make_classes(t: &TestKit) {
    proved(t, "known@example.com").await;
    let admin = t.kit.admin(meta());
    let disabled = t.sign_up("disabled@example.com").await.unwrap();
    admin.disable_user(disabled.id).await.unwrap();
    let deleted = t.sign_up("deleted@example.com").await.unwrap();
    admin.delete_user(deleted.id).await.unwrap();
    admin.create_user(NewUser::new("fresh@example.com", "F")).await.unwrap();
    letters(t).await;
}

async fn rows(raw: &mut Raw) -> [i64; 3] {
    let mut out = [0; 3];
    for (at, table) in ["authkit_links", "authkit_outbox", "authkit_audit"].into_iter().enumerate() {
        out[at] = raw.number(&format!("SELECT count(*) FROM {table}")).await;
    }
    out
}

async fn login(t: &TestKit, email: &str, password: &str) -> authkit::Result<()> {
    t.kit.login(Credentials::new(email, password), &meta()).await.map(|_| ())
}

const NEW: &str = "another quite unrelated phrase";

on_both! {
    async fn s_087_every_address_gets_the_same_answer_and_the_same_rows(store: Store) {
        let t = kit(&store).await;
        make_classes(&t).await;
        let mut raw = Raw::open(&store).await;
        for email in CLASSES {
            let mut before = rows(&mut raw).await;
            t.kit.request_password_reset(email, &meta()).await.unwrap();
            let mut first = rows(&mut raw).await;
            assert_eq!([first[0] - before[0], first[1] - before[1], first[2] - before[2]], [1, 1, 1], "{email}");
            // Once more: the link's row is taken over.
            before = first;
            t.kit.request_password_reset(email, &meta()).await.unwrap();
            first = rows(&mut raw).await;
            assert_eq!([first[0] - before[0], first[1] - before[1], first[2] - before[2]], [0, 1, 1], "{email}");
        }
        let mut to: Vec<String> = letters(&t).await.into_iter().map(|letter| letter.to).collect();
        to.sort();
        assert_eq!(to, ["fresh@example.com", "fresh@example.com", "known@example.com", "known@example.com"]);
        // Who asks has proved nothing, and an unknown address stands nowhere.
        let actors = raw.texts("SELECT actor FROM authkit_audit WHERE action = 'password.reset_request'").await;
        assert_eq!((actors.len(), actors.iter().all(|a| a == "anonymous")), (10, true), "{actors:?}");
        assert!(!raw.dump().await.contains("unknown@"), "an unknown address is kept");
        let malformed = t.kit.request_password_reset("no address", &meta()).await;
        assert_eq!(kind(malformed), ErrorKind::Validation);
    }

    async fn s_087_time_tells_no_class_from_another(store: Store) {
        const SAMPLES: usize = 260;
        let t = kit(&store).await;
        make_classes(&t).await;
        let classes = CLASSES.len();
        let mut times = vec![Vec::with_capacity(SAMPLES); classes];
        let mut state = 1_u64;
        for round in 0..SAMPLES + 20 {
            let mut order: Vec<usize> = (0..classes).collect();
            for i in (1..classes).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                order.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
            }
            for class in order {
                // An address that was never asked for, beside one that was: rows are made and taken over.
                let email = if class == 1 { format!("unknown-{}@example.com", round / 2) } else { CLASSES[class].into() };
                let begun = Instant::now();
                t.kit.request_password_reset(&email, &meta()).await.unwrap();
                if round >= 20 {
                    times[class].push(begun.elapsed().as_secs_f64());
                }
            }
        }
        for a in 0..classes {
            for b in a + 1..classes {
                let area = auc(&times[a], &times[b]);
                assert!((0.35..=0.65).contains(&area), "{} and {} can be told apart: {area:.3}", CLASSES[a], CLASSES[b]);
            }
        }
        let all: Vec<f64> = times.into_iter().flatten().map(|s| s * 1e3).collect();
        println!("{}: reset requests p50 {:.2} ms, p99 {:.2} ms", store.backend().name(), percentile(&all, 50.0), percentile(&all, 99.0));
    }

    async fn a_code_tells_no_known_address_from_an_unknown_one(store: Store) {
        const SAMPLES: usize = 240;
        let t = kit(&store).await;
        proved(&t, "known@example.com").await;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..SAMPLES {
            if round % 4 == 0 {
                for email in ["known@example.com", "unknown@example.com"] {
                    t.kit.request_password_reset(email, &meta()).await.unwrap();
                }
            }
            for class in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let email = ["known@example.com", "unknown@example.com"][class];
                let begun = Instant::now();
                let out = t.kit.reset_password(LinkProof::code(email, "00000000"), &new_password(), &meta()).await;
                times[class].push(begun.elapsed().as_secs_f64());
                assert_eq!(kind(out), ErrorKind::LinkInvalid);
            }
        }
        let area = auc(&times[0], &times[1]);
        assert!((0.35..=0.65).contains(&area), "{area:.3}");
        let mut raw = Raw::open(&store).await;
        let refusals = "SELECT count(*) FROM authkit_audit WHERE action = 'link.refuse'";
        assert_eq!(raw.number(refusals).await, 2 * i64::try_from(SAMPLES).unwrap(), "one row each");
    }

    async fn s_003_a_look_alike_gets_nothing_and_mail_goes_to_the_stored_address(store: Store) {
        let t = kit(&store).await;
        t.sign_up("Mike@Example.com").await.unwrap();
        letters(&t).await;
        // A dotless i and a Cyrillic letter are other addresses; a Kelvin sign is a K under NFC.
        for look_alike in ["m\u{131}ke@example.com", "mi\u{43a}e@example.com", "mike@ex\u{430}mple.com"] {
            let _ = t.kit.request_password_reset(look_alike, &meta()).await;
            assert!(letters(&t).await.is_empty(), "{look_alike}");
        }
        for spelling in [" MIKE@example.COM ", "mi\u{212a}e@example.com", "mike@\u{ff45}xample.com"] {
            let letter = reset_letter(&t, spelling).await;
            assert_eq!(letter.to, "Mike@example.com", "{spelling}");
        }
    }

    async fn s_083_of_twenty_parallel_resets_one_wins_and_its_password_is_stored(store: Store) {
        // All twenty passwords are tried afterwards.
        let t = kit_with(&store, |c| (c.lockout.email_threshold, c.lockout.ip_threshold) = (100, 100)).await;
        let other = second_node(&store, &t).await;
        proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let passwords: Vec<String> = (0..20).map(|i| format!("candidate number {i} over the river")).collect();
        let out = race(20, |i| {
            let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
            let proof = if i % 3 == 0 { letter.code_proof() } else { letter.proof() };
            let password = secret(&passwords[i]);
            async move { kit.reset_password(proof, &password, &meta()).await }
        })
        .await;
        let winners: Vec<usize> = (0..20).filter(|i| out[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{out:?}");
        for refused in out.into_iter().filter(Result::is_err) {
            assert_eq!(kind(refused), ErrorKind::LinkInvalid);
        }
        for (i, password) in passwords.iter().enumerate() {
            let answer = login(&t, "ann@example.com", password).await;
            assert_eq!(answer.is_ok(), i == winners[0], "{i}");
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("password.reset").await, 1);
    }

    async fn s_085_what_a_reset_ends(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let verify = one(letters(&t).await, "verify_email");
        t.kit.admin(meta()).verify_email(ann.user.id).await.unwrap();
        t.kit.request_email_change(&t.kit.authenticate(t.kit.refresh(ann.refresh(), &meta()).await.unwrap().access(), &meta()).await.unwrap(), "new@example.com", &meta()).await.unwrap();
        let change = one(letters(&t).await, "confirm_email");
        let older = reset_letter(&t, "ann@example.com").await;
        let newer = reset_letter(&t, "ann@example.com").await;
        // One live link a user.
        assert_eq!(kind(t.kit.reset_password(older.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        t.kit.reset_password(newer.proof(), &new_password(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.confirm_email_change(change.proof(), &meta()).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(t.kit.confirm_email_change(change.code_proof(), &meta()).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(t.kit.verify_email(verify.proof(), &meta()).await), ErrorKind::LinkInvalid);
        // Dead in the store, not by the epoch alone (contract 4.8).
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_links WHERE ended_at IS NULL AND user_id IS NOT NULL").await, 0);
    }

    async fn s_085_every_change_of_a_credential_ends_links(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        t.kit.admin(meta()).verify_email(ann.user.id).await.unwrap();
        letters(&t).await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let tokens = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.reset_password(letter.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        let letter = reset_letter(&t, "ann@example.com").await;
        t.kit.admin(meta()).set_password(ann.user.id, &secret(PASSWORD)).await.unwrap();
        assert_eq!(kind(t.kit.reset_password(letter.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        let letter = reset_letter(&t, "ann@example.com").await;
        let mut change = authkit::admin::UserChange::default();
        change.email = Some("other@example.com".into());
        t.kit.admin(meta()).update_user(ann.user.id, change).await.unwrap();
        assert_eq!(kind(t.kit.reset_password(letter.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        login(&t, "other@example.com", PASSWORD).await.unwrap();
    }

    async fn s_089_a_reset_begins_no_session_and_ends_all(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let second = t.sign_in("ann@example.com").await.unwrap();
        t.kit.admin(meta()).verify_email(ann.user.id).await.unwrap();
        letters(&t).await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let sessions = raw.number("SELECT count(*) FROM authkit_sessions").await;
        let () = t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_sessions").await, sessions, "a session began");
        assert_eq!(raw.number("SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL").await, 0);
        for refresh in [ann.refresh(), second.refresh()] {
            assert_eq!(kind(t.kit.refresh(refresh, &meta()).await), ErrorKind::RefreshInvalid);
        }
        assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(login(&t, "ann@example.com", PASSWORD).await), ErrorKind::InvalidCredentials);
        login(&t, "ann@example.com", NEW).await.unwrap();
    }

    async fn a_refused_password_leaves_the_link_alive(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let hashes = t.kit.stats().hashes.hashes;
        for bad in ["short", "password1", "authkit is nice to have", ""] {
            let out = t.kit.reset_password(letter.proof(), &secret(bad), &meta()).await;
            let error = out.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Validation, "{bad}");
            assert!(error.fields().iter().all(|f| f.pointer == "/new_password"));
        }
        // A bad link is found out before a hash is computed.
        let out = t.kit.reset_password(LinkProof::token("akl_x"), &new_password(), &meta()).await;
        assert_eq!(kind(out), ErrorKind::LinkInvalid);
        assert_eq!(t.kit.stats().hashes.hashes, hashes, "a hash was computed");
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
    }

    async fn a_link_of_an_account_that_may_not_sign_in_is_dead_and_not_used_up(store: Store) {
        let t = kit(&store).await;
        let ann = proved(&t, "ann@example.com").await;
        let letter = reset_letter(&t, "ann@example.com").await;
        let admin = t.kit.admin(meta());
        let refused = async || kind(t.kit.reset_password(letter.proof(), &new_password(), &meta()).await);
        admin.disable_user(ann.id).await.unwrap();
        assert_eq!(refused().await, ErrorKind::LinkInvalid);
        admin.enable_user(ann.id).await.unwrap();
        admin.delete_user(ann.id).await.unwrap();
        assert_eq!(refused().await, ErrorKind::LinkInvalid);
        admin.restore_user(ann.id).await.unwrap();
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
    }

    async fn s_097_who_proves_the_address_gets_the_account_and_who_made_it_loses_it(store: Store) {
        let t = kit(&store).await;
        // Somebody else signs up with the victim's address, stays signed in, and prepares a way back.
        let thief = t.signed_in("victim@example.com").await.unwrap();
        let verify = one(letters(&t).await, "verify_email");
        t.kit.request_email_change(&thief.auth, "thief@example.com", &meta()).await.unwrap();
        let change = one(letters(&t).await, "confirm_email");
        let letter = reset_letter(&t, "victim@example.com").await;
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();

        assert_eq!(kind(t.kit.refresh(thief.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(thief.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(login(&t, "victim@example.com", PASSWORD).await), ErrorKind::InvalidCredentials);
        for proof in [change.proof(), change.code_proof()] {
            assert_eq!(kind(t.kit.confirm_email_change(proof, &meta()).await), ErrorKind::LinkInvalid);
        }
        assert_eq!(kind(t.kit.verify_email(verify.proof(), &meta()).await), ErrorKind::LinkInvalid);
        let user = t.kit.users().get(thief.user.id).await.unwrap().unwrap();
        assert!(user.email_verified);
        login(&t, "victim@example.com", NEW).await.unwrap();
        // Audited once, told once.
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("address.prove").await, 1);
        one(letters(&t).await, "address_proved");
        // A second reset proves nothing new and takes nothing away.
        let letter = reset_letter(&t, "victim@example.com").await;
        t.kit.reset_password(letter.proof(), &secret(PASSWORD), &meta()).await.unwrap();
        assert_eq!(raw.audited("address.prove").await, 1);
    }

    async fn a_sign_in_that_was_under_way_when_the_password_was_reset_does_not_finish(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        for round in 0..20 {
            let old = if round == 0 { PASSWORD.to_owned() } else { format!("phrase number {round} in a row") };
            let new = secret(&format!("phrase number {} in a row", round + 1));
            let letter = reset_letter(&t, "ann@example.com").await;
            let out = race(8, |i| {
                let (kit, old, proof, new) = (t.kit.clone(), old.clone(), letter.proof(), new.clone());
                async move {
                    if i == 7 {
                        kit.reset_password(proof, &new, &meta()).await.unwrap();
                        return None;
                    }
                    kit.login(Credentials::new("ann@example.com", old.as_str()), &meta()).await.ok()
                }
            })
            .await;
            // Whoever got in with the old password got in before, and is out again.
            for login in out.into_iter().flatten() {
                let authkit::Login::Complete(tokens) = login else { panic!("a second factor?") };
                assert_eq!(kind(t.kit.refresh(tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
            }
            let mut raw = Raw::open(&store).await;
            assert_eq!(raw.number("SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL").await, 0, "{round}");
        }
    }

    async fn two_requests_at_once_leave_one_live_link(store: Store) {
        let t = kit(&store).await;
        proved(&t, "ann@example.com").await;
        let other = second_node(&store, &t).await;
        race(20, |i| {
            let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
            async move { kit.request_password_reset("ann@example.com", &meta()).await.unwrap() }
        })
        .await;
        let sent = letters(&t).await;
        assert_eq!(sent.len(), 20);
        let mut raw = Raw::open(&store).await;
        let live = "SELECT count(*) FROM authkit_links WHERE purpose = 'reset_password' AND ended_at IS NULL";
        assert_eq!(raw.number(live).await, 1);
        let mut worked = 0;
        for letter in sent {
            worked += i32::from(t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.is_ok());
        }
        assert_eq!(worked, 1);
    }

    async fn the_first_password_of_an_account_without_one(store: Store) {
        let t = kit(&store).await;
        let made = t.kit.admin(meta()).create_user(NewUser::new("eve@example.com", "Eve")).await.unwrap();
        let letter = reset_letter(&t, "eve@example.com").await;
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
        login(&t, "eve@example.com", NEW).await.unwrap();
        assert!(t.kit.users().get(made.resource.id).await.unwrap().unwrap().email_verified);
        // Nobody signs up over it.
        let again = t.kit.signup(SignUp::new("E", "eve@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(again), ErrorKind::Conflict);
    }
}

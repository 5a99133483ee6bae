//! Sessions: lifetimes, ends, caps, policies, networks.

use std::time::Duration;

use authkit::config::SessionPolicy;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, Login, PasswordChange, SessionId, StepUp};
use authkit_tests::{Store, on_both, race};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::refresh::{ANN, DAY, assert_dead, counter, end_reason, invalid, refresh, seconds};
use crate::support::{Raw, Texts as _, from_ip, kind, kit, kit_with, meta, second_node, secret};

on_both! {
    async fn s_067_absolute_and_idle_lifetimes_end_the_session_however_often_it_is_refreshed(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!((ann.tokens.expires_in, ann.tokens.refresh_expires_in), (900, 14 * 86_400));
        let mut token = ann.refresh().to_owned();
        for day in 1..=12 {
            t.clock.advance(DAY * 7);
            let next = refresh(&t, &token).await.unwrap();
            // The last tokens tell the absolute end, not their full lives.
            assert_eq!(next.refresh_expires_in, 86_400 * (90 - 7 * day).min(14));
            token = next.refresh().to_owned();
        }
        t.clock.advance(DAY * 6 - seconds(60));
        let last = refresh(&t, &token).await.unwrap();
        assert_eq!((last.expires_in, last.refresh_expires_in), (60, 60));
        t.clock.advance(seconds(59));
        t.kit.authenticate(last.access(), &meta()).await.unwrap();
        t.clock.advance(seconds(1));
        assert_dead(&t, &last).await;

        // At the instant of the idle end it is dead; a microsecond before, not (R6).
        let bob = t.signed_in("bob@example.com").await.unwrap();
        t.clock.advance(DAY * 14 - Duration::from_micros(1));
        let bob = refresh(&t, bob.refresh()).await.unwrap();
        t.clock.advance(DAY * 14);
        invalid(refresh(&t, bob.refresh()).await);
        assert!(t.kit.sessions().of(bob.user_id).await.unwrap().is_empty());
    }

    async fn s_072_logout_ends_one_session_logout_all_ends_all_and_again_is_fine(store: Store) {
        let t = kit(&store).await;
        let phone = t.signed_in(ANN).await.unwrap();
        let laptop = t.sign_in(ANN).await.unwrap();
        t.kit.logout(phone.refresh(), &meta()).await.unwrap();
        assert_dead(&t, &phone.tokens).await;
        t.kit.logout(phone.refresh(), &meta()).await.unwrap();
        let laptop_auth = t.kit.authenticate(laptop.access(), &meta()).await.unwrap();
        // An older token of a session ends it, too, and is no theft.
        let tablet = t.sign_in(ANN).await.unwrap();
        let next = refresh(&t, tablet.refresh()).await.unwrap();
        let next = refresh(&t, next.refresh()).await.unwrap();
        t.clock.advance(seconds(60));
        t.kit.logout(tablet.refresh(), &meta()).await.unwrap();
        assert_dead(&t, &next).await;
        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("logout").await, raw.audited("refresh.reuse").await), (2, 0));

        let desktop = t.sign_in(ANN).await.unwrap();
        assert_eq!(t.kit.logout_all(&laptop_auth, &meta()).await.unwrap(), 2);
        assert_dead(&t, &laptop).await;
        assert_dead(&t, &desktop).await;
        assert_eq!(raw.audited("logout_all").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL").await, 0);
    }

    async fn s_073_a_password_change_ends_all_other_sessions_and_moves_its_own(store: Store) {
        let t = kit(&store).await;
        let own = t.signed_in(ANN).await.unwrap();
        let other = t.sign_in(ANN).await.unwrap();
        let new = "another quite unrelated phrase";
        t.kit.change_password(&own.auth, PasswordChange::new(PASSWORD, new), &meta()).await.unwrap();
        assert_dead(&t, &other).await;
        // Its own access token dies with the rest, its refresh works (contract 4.8).
        assert_eq!(kind(t.kit.authenticate(own.access(), &meta()).await), ErrorKind::Unauthenticated);
        let next = refresh(&t, own.refresh()).await.unwrap();
        t.kit.authenticate(next.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::InvalidCredentials);
        t.kit.login(Credentials::new(ANN, new), &meta()).await.unwrap();

        // An operator's reset and a disable end all.
        let t2 = refresh(&t, next.refresh()).await.unwrap();
        t.kit.admin(meta()).set_password(own.user.id, &secret("yet another long phrase")).await.unwrap();
        assert_dead(&t, &t2).await;
        assert!(t.kit.sessions().of(own.user.id).await.unwrap().is_empty());
        let Login::Complete(t3) =
            t.kit.login(Credentials::new(ANN, "yet another long phrase"), &meta()).await.unwrap()
        else {
            panic!("a second factor?")
        };
        t.kit.admin(meta()).disable_user(own.user.id).await.unwrap();
        assert_dead(&t, &t3).await;
        t.kit.admin(meta()).enable_user(own.user.id).await.unwrap();
        assert_dead(&t, &t3).await;
    }

    async fn two_password_changes_at_once_leave_one_password_and_one_live_session(store: Store) {
        let t = kit(&store).await;
        for round in 0..10 {
            let email = format!("u{round}@example.com");
            let a = t.signed_in(&email).await.unwrap();
            let b = t.sign_in(&email).await.unwrap();
            let b_auth = t.kit.authenticate(b.access(), &meta()).await.unwrap();
            let auths = [a.auth.clone(), b_auth];
            let out = race(2, |i| {
                let (kit, auth) = (t.kit.clone(), auths[i].clone());
                let new = ["first of two new phrases", "second of two new phrases"][i];
                async move { kit.change_password(&auth, PasswordChange::new(PASSWORD, new), &meta()).await }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{out:?}");
            let winner = usize::from(out[1].is_ok());
            let tokens = [&a.tokens, &b];
            assert!(matches!(kind(out.into_iter().nth(1 - winner).unwrap()),
                ErrorKind::Unauthenticated | ErrorKind::InvalidCredentials));
            refresh(&t, tokens[winner].refresh()).await.unwrap();
            invalid(refresh(&t, tokens[1 - winner].refresh()).await);
            let new = ["first of two new phrases", "second of two new phrases"][winner];
            t.kit.login(Credentials::new(email.as_str(), new), &meta()).await.unwrap();
        }
    }

    async fn s_079_sign_in_and_step_up_each_begin_a_new_session(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let again = t.sign_in(ANN).await.unwrap();
        assert_ne!(again.session_id, ann.tokens.session_id);
        t.clock.advance(seconds(3600));
        let own = refresh(&t, ann.refresh()).await.unwrap();
        let auth = t.kit.authenticate(own.access(), &from_ip("192.0.2.1")).await.unwrap();
        let wrong = t.kit.step_up(&auth, StepUp::Password(secret("no")), &meta()).await;
        assert_eq!(kind(wrong), ErrorKind::InvalidCredentials);
        refresh(&t, own.refresh()).await.unwrap();
        let up = t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        assert_ne!(up.session_id, own.session_id);
        assert_dead(&t, &own).await;
        let fresh = t.kit.authenticate(up.access(), &meta()).await.unwrap();
        assert!(fresh.auth_time() > auth.auth_time());
        // The absolute end carries over: 90 days after the sign-in, not after the step-up.
        let mut raw = Raw::open(&store).await;
        let ends = raw.number("SELECT count(DISTINCT absolute_expires_at) FROM authkit_sessions").await;
        assert_eq!(ends, 1);
        // The other device is none of this.
        refresh(&t, again.refresh()).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(end_reason(&mut raw, own.session_id).await, "stepped_up");
    }

    async fn s_080_twenty_parallel_logins_stay_within_the_cap(store: Store) {
        let t = kit_with(&store, |c| c.sessions.max_per_user = 3).await;
        t.sign_up(ANN).await.unwrap();
        let second = second_node(&store, &t).await;
        let oldest = t.sign_in(ANN).await.unwrap();
        t.clock.advance(seconds(5));
        let kits = [t.kit.clone(), second.kit.clone()];
        let out = race(20, |i| {
            let kit = kits[i % 2].clone();
            async move { kit.login(Credentials::new(ANN, PASSWORD), &meta()).await }
        })
        .await;
        assert!(out.iter().all(Result::is_ok), "{out:?}");
        let live = t.kit.sessions().of(oldest.user_id).await.unwrap();
        assert_eq!(live.len(), 3);
        invalid(refresh(&t, oldest.refresh()).await);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("session.evict").await, 18);
        // The one least recently used goes: touch the oldest of the three.
        t.clock.advance(seconds(5));
        let kept = out.into_iter().filter_map(|o| match o {
            Ok(Login::Complete(tokens)) => Some(tokens),
            _ => None,
        }).find(|tokens| tokens.session_id == live[2].id).unwrap();
        let kept = refresh(&t, kept.refresh()).await.unwrap();
        t.clock.advance(seconds(5));
        t.sign_in(ANN).await.unwrap();
        refresh(&t, kept.refresh()).await.unwrap();
    }

    async fn session_policy_single_keeps_the_newest_only(store: Store) {
        let t = kit_with(&store, |c| c.sessions.policy = SessionPolicy::Single).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = t.sign_in(ANN).await.unwrap();
        assert_dead(&t, &first.tokens).await;
        t.kit.authenticate(second.access(), &meta()).await.unwrap();
        let out = race(10, |_| {
            let kit = t.kit.clone();
            async move { kit.login(Credentials::new(ANN, PASSWORD), &meta()).await }
        })
        .await;
        assert!(out.iter().all(Result::is_ok), "{out:?}");
        assert_eq!(t.kit.sessions().of(first.user.id).await.unwrap().len(), 1);
    }

    async fn s_081_users_list_and_end_their_own_sessions_only(store: Store) {
        let t = kit(&store).await;
        let agent = meta().with_user_agent("Phone\u{7}/1.0").with_ip("2001:db8::1".parse().unwrap());
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(seconds(5));
        let Login::Complete(phone) = t.kit.login(Credentials::new(ANN, PASSWORD), &agent).await.unwrap() else {
            panic!("a second factor?")
        };
        let bob = t.signed_in("bob@example.com").await.unwrap();
        let own = t.kit.sessions().own(&ann.auth).await.unwrap();
        assert_eq!(own.len(), 2);
        assert_eq!((own[0].id, own[0].current), (phone.session_id, false));
        assert_eq!((own[1].id, own[1].current), (ann.tokens.session_id, true));
        assert_eq!(own[0].user_agent.as_deref(), Some("Phone/1.0"));
        assert_eq!(own[0].ip, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(own[0].amr, ["pwd"]);
        let shown = serde_json::to_value(&own[0]).unwrap();
        let mut names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["amr", "created_at", "current", "expires_at", "id", "ip", "last_used_at", "user_agent"]);
        let foreign = t.kit.sessions().end_own(&ann.auth, bob.tokens.session_id, &meta()).await;
        assert_eq!(kind(foreign), ErrorKind::NotFound);
        let nobodys = SessionId::from_uuid(uuid::Uuid::from_u128(7));
        assert_eq!(kind(t.kit.sessions().end_own(&ann.auth, nobodys, &meta()).await), ErrorKind::NotFound);
        t.kit.authenticate(bob.access(), &meta()).await.unwrap();
        t.kit.sessions().end_own(&ann.auth, phone.session_id, &meta()).await.unwrap();
        assert_dead(&t, &phone).await;
        let again = t.kit.sessions().end_own(&ann.auth, phone.session_id, &meta()).await;
        assert_eq!(kind(again), ErrorKind::NotFound);
    }

    async fn a_bound_session_works_from_its_network_only(store: Store) {
        let t = kit_with(&store, |c| c.sessions.bind_ip = true).await;
        t.sign_up(ANN).await.unwrap();
        let home = from_ip("2001:db8:1:2:3::4");
        let Login::Complete(tokens) = t.kit.login(Credentials::new(ANN, PASSWORD), &home).await.unwrap() else {
            panic!("a second factor?")
        };
        let mut raw = Raw::open(&store).await;
        let before = counter(&mut raw, tokens.session_id).await;
        for elsewhere in [from_ip("2001:db8:1:3::4"), from_ip("203.0.113.9"), meta()] {
            assert_eq!(kind(t.kit.authenticate(tokens.access(), &elsewhere).await), ErrorKind::Unauthenticated);
            assert_eq!(kind(t.kit.refresh(tokens.refresh(), &elsewhere).await), ErrorKind::RefreshInvalid);
        }
        assert_eq!(counter(&mut raw, tokens.session_id).await, before);
        // IPv6 counts by /64.
        let room = from_ip("2001:db8:1:2:ffff::1");
        t.kit.authenticate(tokens.access(), &room).await.unwrap();
        let next = t.kit.refresh(tokens.refresh(), &room).await.unwrap();
        // A replay from elsewhere cannot even end it.
        t.clock.advance(seconds(60));
        assert_eq!(kind(t.kit.refresh(tokens.refresh(), &from_ip("203.0.113.9")).await), ErrorKind::RefreshInvalid);
        let auth = t.kit.authenticate(next.access(), &home).await.unwrap();
        let up = t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &home).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(up.access(), &meta()).await), ErrorKind::Unauthenticated);
        t.kit.authenticate(up.access(), &home).await.unwrap();
        // IPv4 in its IPv6 form is the same address.
        let Login::Complete(v4) =
            t.kit.login(Credentials::new(ANN, PASSWORD), &from_ip("192.0.2.7")).await.unwrap()
        else {
            panic!("a second factor?")
        };
        t.kit.authenticate(v4.access(), &from_ip("::ffff:192.0.2.7")).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(v4.access(), &from_ip("192.0.2.8")).await), ErrorKind::Unauthenticated);
        // Another node follows when the key behind the claim was replaced there (its ring is not read again yet).
        let node = second_node(&store, &t).await;
        t.kit.admin(meta()).rotate_key(authkit::KeyPurpose::Lookup).await.unwrap();
        let v4 = t.kit.refresh(v4.refresh(), &from_ip("192.0.2.7")).await.unwrap();
        node.kit.authenticate(v4.access(), &from_ip("192.0.2.7")).await.unwrap();
        // The addresses are hashed; the claim tells nothing.
        let claims = URL_SAFE_NO_PAD.decode(v4.access().split('.').nth(1).unwrap()).unwrap();
        assert!(!String::from_utf8(claims).unwrap().contains("192.0.2"));
    }

    async fn binding_affects_new_sessions_only(store: Store) {
        let t = kit(&store).await;
        let before = t.signed_in(ANN).await.unwrap();
        let mut config = t.kit.config().clone();
        config.sessions.bind_ip = true;
        let db = crate::support::connect(&store).await;
        let bound = TestKit::attach(db, config, t.clock.clone(), |b| b).await.unwrap();
        bound.kit.authenticate(before.access(), &from_ip("192.0.2.7")).await.unwrap();
        bound.kit.refresh(before.refresh(), &from_ip("203.0.113.9")).await.unwrap();
    }
}

//! Refresh tokens and sessions: rotation, grace, theft, lifetimes, policies.

use std::time::Duration;

use authkit::config::SessionPolicy;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, Login, PasswordChange, SessionId, StepUp, Tokens};
use authkit_tests::{Backend, Store, on_both, race};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Raw, Texts as _, from_ip, kind, kit, kit_with, meta, second_node, secret};

const ANN: &str = "ann@example.com";
const DAY: Duration = Duration::from_secs(86_400);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn refresh(t: &TestKit, token: &str) -> authkit::Result<Tokens> {
    t.kit.refresh(token, &meta()).await
}

#[track_caller]
fn invalid(out: authkit::Result<Tokens>) {
    assert_eq!(kind(out), ErrorKind::RefreshInvalid);
}

async fn counter(raw: &mut Raw, session: SessionId) -> i64 {
    let id = raw.id(session.as_uuid());
    raw.number(&format!("SELECT counter FROM authkit_sessions WHERE id = {id}")).await
}

async fn end_reason(raw: &mut Raw, session: SessionId) -> String {
    let id = raw.id(session.as_uuid());
    raw.texts(&format!("SELECT coalesce(end_reason, '') FROM authkit_sessions WHERE id = {id}"))
        .await
        .remove(0)
}

/// Whether neither of a session's tokens is of any more use.
async fn assert_dead(t: &TestKit, tokens: &Tokens) {
    invalid(refresh(t, tokens.refresh()).await);
    assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::Unauthenticated);
}

on_both! {
    async fn s_061_refresh_rotates_and_replay_kills_the_family(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = refresh(&t, first.refresh()).await.unwrap();
        assert_eq!(second.session_id, first.tokens.session_id);
        assert_ne!(second.refresh(), first.refresh());
        assert_ne!(second.access(), first.access());
        t.clock.advance(seconds(11));
        invalid(refresh(&t, first.refresh()).await);
        assert_dead(&t, &second).await;
        assert_eq!(kind(t.kit.authenticate(first.access(), &meta()).await), ErrorKind::Unauthenticated);
        let mut raw = Raw::open(&store).await;
        assert_eq!(end_reason(&mut raw, second.session_id).await, "reuse");
        assert_eq!(raw.audited("refresh.reuse").await, 1);
        // A routine rotation is no audit event (contract 4.9).
        assert_eq!(raw.number("SELECT count(*) FROM authkit_audit WHERE action LIKE 'refresh%' AND outcome = 'success'").await, 0);
    }

    async fn s_062_twenty_parallel_refreshes_within_the_grace_get_one_successor(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = ann.refresh().to_owned();
        let out = race(20, |_| {
            let (kit, token) = (t.kit.clone(), token.clone());
            async move { kit.refresh(&token, &meta()).await }
        })
        .await;
        let out: Vec<Tokens> = out.into_iter().map(Result::unwrap).collect();
        assert!(out.iter().all(|tokens| tokens.refresh() == out[0].refresh()), "two successors");
        for tokens in &out {
            t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(counter(&mut raw, out[0].session_id).await, 2);
        refresh(&t, out[0].refresh()).await.unwrap();
    }

    async fn s_063_twenty_parallel_refreshes_without_grace_leave_at_most_one_and_then_nothing(store: Store) {
        let t = kit_with(&store, |c| c.sessions.reuse_grace = Duration::ZERO).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = ann.refresh().to_owned();
        let out = race(20, |_| {
            let (kit, token) = (t.kit.clone(), token.clone());
            async move { kit.refresh(&token, &meta()).await }
        })
        .await;
        let granted: Vec<Tokens> = out.into_iter().filter_map(Result::ok).collect();
        assert_eq!(granted.len(), 1);
        assert_dead(&t, &granted[0]).await;
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("refresh.reuse").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL").await, 0);
    }

    async fn s_065_within_the_grace_a_grandparent_is_theft(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = refresh(&t, first.refresh()).await.unwrap();
        let third = refresh(&t, second.refresh()).await.unwrap();
        // The parent of the active one is within the grace, its own parent is not.
        assert_eq!(refresh(&t, second.refresh()).await.unwrap().refresh(), third.refresh());
        invalid(refresh(&t, first.refresh()).await);
        assert_dead(&t, &third).await;
        assert_eq!(Raw::open(&store).await.audited("refresh.reuse").await, 1);
    }

    async fn the_window_of_the_grace_does_not_slide_and_ends_on_its_instant(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = refresh(&t, first.refresh()).await.unwrap();
        for _ in 0..9 {
            t.clock.advance(seconds(1));
            let again = refresh(&t, first.refresh()).await.unwrap();
            assert_eq!(again.refresh(), second.refresh());
        }
        // Nothing moved: neither the counter nor the session's life.
        let mut raw = Raw::open(&store).await;
        assert_eq!(counter(&mut raw, second.session_id).await, 2);
        t.clock.advance(Duration::from_micros(999_999));
        refresh(&t, first.refresh()).await.unwrap();
        t.clock.advance(Duration::from_micros(1));
        invalid(refresh(&t, first.refresh()).await);
        assert_dead(&t, &second).await;
    }

    async fn a_repeat_within_the_grace_passes_the_same_gate_and_has_present_roles(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        refresh(&t, first.refresh()).await.unwrap();
        t.kit.admin(meta()).grant_role(first.user.id, "admin").await.unwrap();
        let again = refresh(&t, first.refresh()).await.unwrap();
        let auth = t.kit.authenticate(again.access(), &meta()).await.unwrap();
        assert_eq!(auth.roles(), ["admin", "user"]);
        t.kit.admin(meta()).disable_user(first.user.id).await.unwrap();
        invalid(refresh(&t, first.refresh()).await);
        // Disabled is no theft: the audit says what it was.
        assert_eq!(Raw::open(&store).await.audited("refresh.reuse").await, 0);
    }

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

    async fn s_068_unknown_truncated_and_edited_tokens_touch_nothing(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = ann.refresh();
        let mut raw = Raw::open(&store).await;
        let before = raw.dump().await;
        let mut bad: Vec<String> = vec![String::new(), "akr_".into(), "x".repeat(1 << 20), ann.access().into()];
        bad.extend((0..token.len()).map(|cut| token[..cut].to_owned()));
        for at in 0..token.len() {
            let other = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
            bad.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
        }
        bad.extend([format!(" {token}"), format!("{token} "), format!("{token}\n"), token.to_uppercase()]);
        // Another store's token: the same form, another key.
        let other = TestKit::in_memory().await.unwrap().signed_in(ANN).await.unwrap();
        bad.push(other.refresh().to_owned());
        // Edited where it counts, with a checksum that fits: counter, session, key.
        bad.extend([2, 12, 32].map(|at| forged(token, at)));
        for token in &bad {
            invalid(refresh(&t, token).await);
            t.kit.logout(token, &meta()).await.unwrap();
        }
        assert!(raw.dump().await == before, "a forged token left a trace");
        refresh(&t, token).await.unwrap();
    }

    async fn s_070_a_reply_that_got_lost_is_repeated_within_the_grace(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        // The rotation commits, nobody hears of it, and the process is gone.
        let lost = refresh(&t, ann.refresh()).await.unwrap();
        t.kit.db().close().await;
        let again = second_node(&store, &t).await;
        t.clock.advance(seconds(5));
        let found = refresh(&again, ann.refresh()).await.unwrap();
        assert_eq!(found.refresh(), lost.refresh());
        t.clock.advance(seconds(5));
        invalid(refresh(&again, ann.refresh()).await);
        assert_dead(&again, &found).await;
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

    async fn s_075_reuse_kills_its_family_only_with_one_event(store: Store) {
        let t = kit(&store).await;
        let stolen = t.signed_in(ANN).await.unwrap();
        let other = t.sign_in(ANN).await.unwrap();
        let mut events = t.kit.subscribe();
        let next = refresh(&t, stolen.refresh()).await.unwrap();
        t.clock.advance(seconds(30));
        let token = stolen.refresh().to_owned();
        let out = race(20, |_| {
            let (kit, token) = (t.kit.clone(), token.clone());
            async move { kit.refresh(&token, &from_ip("203.0.113.9")).await }
        })
        .await;
        out.into_iter().for_each(invalid);
        assert_dead(&t, &next).await;
        refresh(&t, other.refresh()).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("refresh.reuse").await, 1);
        let mut notices = 0;
        while let Ok(event) = events.try_recv() {
            notices += usize::from(event.action.name() == "refresh.reuse");
        }
        assert_eq!(notices, 1);
        let revoked = raw.id(next.session_id.as_uuid());
        let sql = format!("SELECT count(*) FROM authkit_revocations WHERE session_id = {revoked}");
        assert_eq!(raw.number(&sql).await, 1);
    }

    async fn s_076_the_store_holds_no_token_and_no_secret(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let next = refresh(&t, ann.refresh()).await.unwrap();
        let next = refresh(&t, next.refresh()).await.unwrap();
        let change = PasswordChange::new("a planted wrong password", "a planted new password");
        let auth = t.kit.authenticate(next.access(), &meta()).await.unwrap();
        let _ = t.kit.change_password(&auth, change, &meta()).await;
        let _ = t.kit.login(Credentials::new("planted-typo@example.com", "planted-unknown-password"), &meta()).await;
        let dump = Raw::open(&store).await.dump().await;
        assert!(dump.contains(ANN) && dump.contains("authkit_sessions:"), "the dump is empty");
        let lower = dump.to_lowercase();
        for tokens in [&ann.tokens, &next] {
            let body = URL_SAFE_NO_PAD.decode(&tokens.refresh()["akr_".len()..][..87]).unwrap();
            let mac = &body[33..];
            let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(mac.len(), 32);
            for planted in [tokens.refresh().to_owned(), URL_SAFE_NO_PAD.encode(mac), tokens.access().to_owned(),
                tokens.access().rsplit('.').next().unwrap().to_owned()]
            {
                assert!(!dump.contains(&planted), "a token is in the store");
            }
            assert!(!lower.contains(&hex), "the MAC of a token is in the store");
        }
        for planted in [PASSWORD, "planted wrong", "planted new", "planted-typo", "planted-unknown"] {
            assert!(!dump.contains(planted), "{planted} is in the store");
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

    async fn a_token_ahead_of_the_store_ends_the_session(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let next = refresh(&t, ann.refresh()).await.unwrap();
        let next = refresh(&t, next.refresh()).await.unwrap();
        let mut raw = Raw::open(&store).await;
        // Yesterday's backup: the counter is where it was.
        raw.run("UPDATE authkit_sessions SET counter = 1").await;
        invalid(refresh(&t, next.refresh()).await);
        assert_eq!((raw.audited("refresh.ahead").await, raw.audited("refresh.reuse").await), (1, 0));
        assert_eq!(end_reason(&mut raw, next.session_id).await, "ahead");
        assert_dead(&t, &ann.tokens).await;
    }

    async fn a_clock_that_is_set_back_revives_no_token(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = refresh(&t, first.refresh()).await.unwrap();
        t.clock.advance(seconds(60));
        // The grace of the first token was over; it stays over.
        t.clock.step_wall(-3_600);
        invalid(refresh(&t, first.refresh()).await);

        // A clock set back never moves a session's last use back (it would end too soon).
        let other = Store::new(store.backend()).await;
        let t = kit(&other).await;
        let _ = second;
        let ann = t.signed_in(ANN).await.unwrap();
        let used = t.kit.sessions().of(ann.user.id).await.unwrap()[0].last_used_at;
        t.clock.step_wall(-86_400);
        let next = refresh(&t, ann.refresh()).await.unwrap();
        assert!(t.kit.sessions().of(ann.user.id).await.unwrap()[0].last_used_at >= used);
        t.clock.step_wall(86_400);
        refresh(&t, next.refresh()).await.unwrap();
    }

    async fn a_session_refused_as_expired_stays_dead_when_the_clock_is_set_back(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(DAY * 15);
        invalid(refresh(&t, ann.refresh()).await);
        t.clock.step_wall(-86_400 * 3);
        invalid(refresh(&t, ann.refresh()).await);
        let mut raw = Raw::open(&store).await;
        assert_eq!(end_reason(&mut raw, ann.tokens.session_id).await, "expired");
    }

    async fn a_clock_that_is_set_back_revives_no_revoked_token(store: Store) {
        let t = kit(&store).await;
        let node = second_node(&store, &t).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
            assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        }
        // Set ahead so far that the revocation looks like an old one, and back again.
        t.clock.step_wall(7_200);
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
        }
        t.clock.step_wall(-7_200);
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
            assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        }
    }

    async fn the_freshness_of_a_sign_in_does_not_come_back_with_the_clock(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(seconds(3_600));
        let late = refresh(&t, ann.refresh()).await.unwrap();
        let auth = t.kit.authenticate(late.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
        t.clock.step_wall(-7_200);
        let back = refresh(&t, late.refresh()).await.unwrap();
        let auth = t.kit.authenticate(back.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
    }

    async fn five_hundred_rounds_of_twenty_refreshes_on_two_nodes_never_give_two_successors(store: Store) {
        let rounds = 500;
        let t = kit_with(&store, |c| c.sessions.max_per_user = 1000).await;
        let node = second_node(&store, &t).await;
        let kits = [t.kit.clone(), node.kit.clone()];
        let mut token = t.signed_in(ANN).await.unwrap().refresh().to_owned();
        for round in 0..rounds {
            // Each third round the session is ended in the middle of it.
            let ending = round % 3 == 2;
            let out = race(20 + usize::from(ending), |i| {
                let (kit, token) = (kits[i % 2].clone(), token.clone());
                async move {
                    if i == 20 {
                        kit.logout(&token, &meta()).await.unwrap();
                        return None;
                    }
                    Some(kit.refresh(&token, &meta()).await)
                }
            })
            .await;
            let granted: Vec<Tokens> = out.into_iter().flatten().filter_map(|out| match out {
                Ok(tokens) => Some(tokens),
                Err(error) => {
                    assert!(ending && error.kind() == ErrorKind::RefreshInvalid, "round {round}: {error:?}");
                    None
                }
            }).collect();
            assert!(granted.iter().all(|g| g.refresh() == granted[0].refresh()), "round {round}: two successors");
            if ending {
                for tokens in &granted {
                    invalid(t.kit.refresh(tokens.refresh(), &meta()).await);
                    for node in [&t, &node] {
                        node.kit.refresh_views().await.unwrap();
                        let out = node.kit.authenticate(tokens.access(), &meta()).await;
                        assert_eq!(kind(out), ErrorKind::Unauthenticated, "a live token in a revoked session");
                    }
                }
                token = t.sign_in(ANN).await.unwrap().refresh().to_owned();
            } else {
                token = granted[0].refresh().to_owned();
            }
        }
        assert_eq!(Raw::open(&store).await.audited("refresh.reuse").await, 0);
    }
}

/// The token with one byte of its body changed and a checksum that fits.
fn forged(token: &str, at: usize) -> String {
    let mut body = URL_SAFE_NO_PAD.decode(&token["akr_".len()..][..87]).unwrap();
    body[at] ^= 1;
    let start = format!("akr_{}", URL_SAFE_NO_PAD.encode(body));
    let sum = !start.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    });
    format!("{start}{}", URL_SAFE_NO_PAD.encode(sum.to_be_bytes()))
}

#[tokio::test]
async fn a_checksum_made_here_is_the_one_of_the_library() {
    let store = Store::new(Backend::Sqlite).await;
    let t = kit(&store).await;
    let ann = t.signed_in(ANN).await.unwrap();
    let mut same = forged(ann.refresh(), 40);
    same = forged(&same, 40);
    assert_eq!(same, ann.refresh());
}

//! Refresh tokens: rotation, grace, theft.

use std::time::Duration;

use authkit::testing::{PASSWORD, TestKit};
use authkit::{Credentials, ErrorKind, PasswordChange, SessionId, Tokens};
use authkit_tests::{Backend, Store, on_both, race};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Raw, Texts as _, from_ip, kind, kit, kit_with, meta, second_node};

pub(crate) const ANN: &str = "ann@example.com";
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) async fn refresh(t: &TestKit, token: &str) -> authkit::Result<Tokens> {
    t.kit.refresh(token, &meta()).await
}

#[track_caller]
pub(crate) fn invalid(out: authkit::Result<Tokens>) {
    assert_eq!(kind(out), ErrorKind::RefreshInvalid);
}

pub(crate) async fn counter(raw: &mut Raw, session: SessionId) -> i64 {
    let id = raw.id(session.as_uuid());
    raw.number(&format!("SELECT counter FROM authkit_sessions WHERE id = {id}")).await
}

pub(crate) async fn end_reason(raw: &mut Raw, session: SessionId) -> String {
    let id = raw.id(session.as_uuid());
    raw.texts(&format!("SELECT coalesce(end_reason, '') FROM authkit_sessions WHERE id = {id}"))
        .await
        .remove(0)
}

/// Whether neither of a session's tokens is of any more use.
pub(crate) async fn assert_dead(t: &TestKit, tokens: &Tokens) {
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

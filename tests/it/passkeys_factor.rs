//! Passkeys as second factors: completing a sign-in, stepping up, counting what is wrong.

use std::time::Duration;

use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    Assurance, Credentials, ErrorKind, FactorKind, Login, PasskeyFor, PasskeyOptions, PasskeyProof,
    PendingSignIn, SecondFactor, StepUp, Tokens,
};
use authkit_tests::{SoftKey, Store, on_both, race};
use serde_json::json;

use crate::passkeys::{Holder, ORIGIN, holder, proof, refreshed, register, sign_in, sorted, why};
use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, second_node, secret};

async fn pending(t: &TestKit, email: &str) -> PendingSignIn {
    match t.kit.login(Credentials::new(email, PASSWORD), &meta()).await.unwrap() {
        Login::SecondFactor(pending) => pending,
        other => panic!("{other:?}"),
    }
}

async fn ask(t: &TestKit, pending: &PendingSignIn) -> PasskeyOptions {
    t.kit.passkeys().begin(PasskeyFor::SecondFactor(&pending.mfa_token), &meta()).await.unwrap()
}

async fn complete(t: &TestKit, pending: &PendingSignIn, proof: PasskeyProof) -> authkit::Result<Tokens> {
    t.kit.complete_mfa(&pending.mfa_token, SecondFactor::Passkey(proof), &meta()).await
}

/// An answer whose counter is one higher than the one before.
fn next(h: &mut Holder, begun: &PasskeyOptions) -> PasskeyProof {
    h.key.count += 1;
    proof(begun, h.key.assert(&begun.options))
}

on_both! {
    async fn a_passkey_completes_a_sign_in_by_password(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let waiting = pending(&t, "ann@example.com").await;
        assert_eq!(waiting.factors, [FactorKind::Passkey]);
        let begun = ask(&t, &waiting).await;
        let allowed = begun.options["allowCredentials"].as_array().unwrap();
        assert_eq!((allowed.len(), &allowed[0]["type"]), (1, &json!("public-key")));
        let answer = next(&mut h, &begun);
        let tokens = complete(&t, &waiting, answer.clone()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(auth.amr(), ["pwd", "hwk", "user", "mfa"]);
        auth.require(Assurance::mfa().within_minutes(5)).unwrap();
        // Neither token nor challenge works twice.
        assert_eq!(kind(complete(&t, &waiting, answer.clone()).await), ErrorKind::MfaInvalid);
        let again = pending(&t, "ann@example.com").await;
        assert_eq!(kind(complete(&t, &again, answer).await), ErrorKind::MfaInvalid);
        let mut raw = Raw::open(&store).await;
        assert_eq!(why(&mut raw, "mfa.refuse").await, ["challenge_unknown", "sign_in_over"]);
        let listed = t.kit.mfa().status(&auth).await.unwrap();
        assert_eq!((listed.enabled, listed.factors.len(), listed.factors[0].kind), (true, 1, FactorKind::Passkey));
    }

    async fn a_challenge_is_for_one_sign_in_of_one_account(store: Store) {
        let t = kit(&store).await;
        let (mut ann, mut bob) = (holder(&t, "ann@example.com").await, holder(&t, "bob@example.com").await);
        let mut raw = Raw::open(&store).await;
        let (first, second) = (pending(&t, "ann@example.com").await, pending(&t, "ann@example.com").await);
        let bobs = pending(&t, "bob@example.com").await;
        let mut expected = Vec::new();
        // Of another sign-in of the same account, of another account, for a sign-in without a password.
        let begun = ask(&t, &second).await;
        assert_eq!(kind(complete(&t, &first, next(&mut ann, &begun)).await), ErrorKind::MfaInvalid);
        expected.push("challenge_of_another");
        let begun = ask(&t, &bobs).await;
        assert_eq!(kind(complete(&t, &first, next(&mut ann, &begun)).await), ErrorKind::MfaInvalid);
        expected.push("challenge_of_another");
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        assert_eq!(kind(complete(&t, &first, next(&mut ann, &begun)).await), ErrorKind::MfaInvalid);
        expected.push("challenge_of_another_purpose");
        // The wrong user's passkey, though the challenge is right.
        let begun = ask(&t, &first).await;
        assert_eq!(kind(complete(&t, &first, next(&mut bob, &begun)).await), ErrorKind::MfaInvalid);
        expected.push("passkey_unknown");
        assert_eq!(why(&mut raw, "mfa.refuse").await, sorted(expected));
        // And the challenge of a second factor signs nobody in alone.
        let begun = ask(&t, &first).await;
        let out = t.kit.passkeys().login(next(&mut ann, &begun), None, &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        // It was not used up by that; here it opens.
        let answer = next(&mut ann, &begun);
        complete(&t, &first, answer).await.unwrap();
    }

    async fn s_109_wrong_answers_end_the_token_and_lock_the_account(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let mut refused = 0;
        for _ in 0..2 {
            let waiting = pending(&t, "ann@example.com").await;
            for _ in 0..5 {
                let begun = ask(&t, &waiting).await;
                h.key.verified = false;
                assert_eq!(kind(complete(&t, &waiting, next(&mut h, &begun)).await), ErrorKind::MfaInvalid);
                refused += 1;
            }
            h.key.verified = true;
            let over = t.kit.passkeys().begin(PasskeyFor::SecondFactor(&waiting.mfa_token), &meta()).await;
            assert_eq!(kind(over), ErrorKind::MfaInvalid);
        }
        assert_eq!(why(&mut raw, "mfa.refuse").await, vec!["not_verified"; refused]);
        // Ten in all: the second factor is locked, also for the right one.
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        assert_eq!(kind(complete(&t, &waiting, next(&mut h, &begun)).await), ErrorKind::Locked);
        // Not at the door where a passkey is all there is: nothing there can be guessed.
        h.key.count += 1;
        sign_in(&t, &h.key).await.unwrap();
    }

    async fn s_125_what_is_wrong_with_an_answer_completes_nothing(store: Store) {
        let t = kit_with(&store, |c| c.lockout.email_threshold = 1000).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        type Spoil = (&'static str, fn(&mut SoftKey), fn(&mut SoftKey));
        let spoils: &[Spoil] = &[
            ("origin", |k| k.origin = "https://evil.example".into(), |k| k.origin = ORIGIN.into()),
            ("rp_id", |k| k.rp_id = Some("evil.example".into()), |k| k.rp_id = None),
            ("type", |k| k.kind = Some("webauthn.create".into()), |k| k.kind = None),
            ("challenge", |k| k.challenge = Some("A".repeat(43)), |k| k.challenge = None),
            ("not_verified", |k| k.verified = false, |k| k.verified = true),
            ("user_handle", |k| k.user_handle = Some(vec![7; 16]), |_| {}),
        ];
        let handle = h.key.user_handle.clone();
        for (flaw, spoil, mend) in spoils {
            let waiting = pending(&t, "ann@example.com").await;
            let begun = ask(&t, &waiting).await;
            spoil(&mut h.key);
            let bad = next(&mut h, &begun);
            mend(&mut h.key);
            h.key.user_handle = handle.clone();
            assert_eq!(kind(complete(&t, &waiting, bad).await), ErrorKind::MfaInvalid, "{flaw}");
            // One challenge, one answer.
            let good = next(&mut h, &begun);
            assert_eq!(kind(complete(&t, &waiting, good).await), ErrorKind::MfaInvalid, "{flaw}");
            let begun = ask(&t, &waiting).await;
            complete(&t, &waiting, next(&mut h, &begun)).await.unwrap();
        }
        let expected = spoils.iter().flat_map(|(flaw, ..)| [*flaw, "challenge_unknown"]);
        assert_eq!(why(&mut raw, "mfa.refuse").await, sorted(expected));
        // Browsers may leave the handle out where they were told which key to use.
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        h.key.user_handle = None;
        complete(&t, &waiting, next(&mut h, &begun)).await.unwrap();
        // s_127: the counter, here too.
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        h.key.count -= 1;
        assert_eq!(kind(complete(&t, &waiting, next(&mut h, &begun)).await), ErrorKind::MfaInvalid);
        assert_eq!(why(&mut raw, "passkey.clone").await, ["sign_count"]);
    }

    async fn s_124_a_step_up_takes_the_passkey_of_its_session(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        h.key.count += 1;
        let other = sign_in(&t, &h.key).await.unwrap();
        t.clock.advance(Duration::from_secs(600));
        let (tokens, auth) = refreshed(&t, &h.tokens).await;
        let (_, other) = refreshed(&t, &other).await;
        assert!(auth.require(Assurance::mfa().within_minutes(5)).is_err());
        let enrolling = (&other).into();
        let begun = t.kit.passkeys().begin(PasskeyFor::StepUp(&enrolling), &meta()).await.unwrap();
        let out = t.kit.step_up(&auth, StepUp::Passkey(next(&mut h, &begun)), &meta()).await;
        assert_eq!(kind(out), ErrorKind::MfaInvalid, "of another session");
        let enrolling = (&auth).into();
        let begun = t.kit.passkeys().begin(PasskeyFor::StepUp(&enrolling), &meta()).await.unwrap();
        let answer = next(&mut h, &begun);
        let risen = t.kit.step_up(&auth, StepUp::Passkey(answer.clone()), &meta()).await.unwrap();
        let fresh = t.kit.authenticate(risen.access(), &meta()).await.unwrap();
        assert_ne!(fresh.session_id(), auth.session_id());
        fresh.require(Assurance::mfa().within_minutes(5)).unwrap();
        assert_eq!(kind(t.kit.step_up(&fresh, StepUp::Passkey(answer), &meta()).await), ErrorKind::MfaInvalid);
        // The session that rose is over.
        assert_eq!(kind(t.kit.refresh(tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        // Now a passkey can be added; then what was begun before is void.
        let begun = t.kit.passkeys().begin(PasskeyFor::StepUp(&(&fresh).into()), &meta()).await.unwrap();
        let mut second = SoftKey::new(ORIGIN);
        register(&t, &fresh, &mut second).await.unwrap();
        let (_, auth) = refreshed(&t, &risen).await;
        let out = t.kit.step_up(&auth, StepUp::Passkey(next(&mut h, &begun)), &meta()).await;
        assert_eq!(kind(out), ErrorKind::MfaInvalid);
    }

    async fn a_removed_passkey_proves_nothing_to_who_still_waits(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut second = SoftKey::new(ORIGIN);
        register(&t, &h.auth, &mut second).await.unwrap();
        let (_, auth) = refreshed(&t, &h.tokens).await;
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        t.kit.passkeys().remove(&auth, h.passkey.id, &meta()).await.unwrap();
        let answer = next(&mut h, &begun);
        assert_eq!(kind(complete(&t, &waiting, answer).await), ErrorKind::MfaInvalid);
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        assert_eq!(kind(complete(&t, &waiting, next(&mut h, &begun)).await), ErrorKind::MfaInvalid);
        let begun = ask(&t, &waiting).await;
        second.count += 1;
        complete(&t, &waiting, proof(&begun, second.assert(&begun.options))).await.unwrap();
    }

    async fn one_challenge_answered_by_many_at_once_completes_one_sign_in(store: Store) {
        const TASKS: usize = 32;
        let t = kit_with(&store, |c| c.lockout.email_threshold = 1000).await;
        let other = second_node(&store, &t).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        for round in 0..10 {
            let waiting = pending(&t, "ann@example.com").await;
            let begun = ask(&t, &waiting).await;
            let answers: Vec<PasskeyProof> = (0..TASKS).map(|_| next(&mut h, &begun)).collect();
            let token = secret(authkit::secret::ExposeSecret::expose_secret(&waiting.mfa_token));
            let out = race(TASKS, |i| {
                let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
                let (answer, token) = (answers[i].clone(), token.clone());
                async move { kit.complete_mfa(&token, SecondFactor::Passkey(answer), &meta()).await.map(|_| ()) }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "round {round}: {out:?}");
            // Who lost may count as a wrong second factor: nobody else is to pay for it in the next round.
            raw.run("DELETE FROM authkit_lockouts").await;
        }
    }

    async fn without_a_judge_a_passkey_is_refused_and_never_skipped(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let waiting = pending(&t, "ann@example.com").await;
        let begun = ask(&t, &waiting).await;
        let mut config = t.kit.config().clone();
        config.server.public_url = "http://127.0.0.1:8000".into();
        let db = crate::support::connect(&store).await;
        let bare = TestKit::attach(db, config, t.clock.clone(), |b| b).await.unwrap();
        let answer = next(&mut h, &begun);
        assert_eq!(kind(complete(&bare, &waiting, answer.clone()).await), ErrorKind::Unavailable);
        // It was not used up: who can judge it takes it.
        complete(&t, &waiting, answer).await.unwrap();
    }
}

//! Passkeys of one's own and sign-in by them: what is asked of browsers, what is taken, what is refused.

use std::time::Duration;

use authkit::mail::Template;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    Assurance, Authenticated, Credentials, ErrorKind, Login, Passkey, PasskeyFor, PasskeyId, PasskeyOptions,
    PasskeyProof, Tokens, User,
};
use authkit_tests::{SoftKey, Store, on_both, race};
use serde_json::{Value, json};

use crate::links::{letters, new_password, one};
use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, second_node};

/// The page of the default settings.
pub(crate) const ORIGIN: &str = "http://localhost:8000";
pub(crate) const FOREIGN: &str = "http://localhost:9000";

/// Somebody with a passkey, who proved himself a moment ago.
pub(crate) struct Holder {
    pub(crate) user: User,
    pub(crate) key: SoftKey,
    pub(crate) passkey: Passkey,
    pub(crate) tokens: Tokens,
    pub(crate) auth: Authenticated,
}

pub(crate) fn proof(begun: &PasskeyOptions, credential: Value) -> PasskeyProof {
    PasskeyProof::new(begun.challenge_id.to_string(), credential)
}

pub(crate) async fn register(
    t: &TestKit,
    auth: &Authenticated,
    key: &mut SoftKey,
) -> authkit::Result<Passkey> {
    let begun = t.kit.passkeys().begin_registration(auth, Some("Key"), &meta()).await?;
    let credential = key.register(&begun.options);
    t.kit.passkeys().finish_registration(auth, proof(&begun, credential), &meta()).await
}

/// The caller of a session that goes on after its access token died.
pub(crate) async fn refreshed(t: &TestKit, tokens: &Tokens) -> (Tokens, Authenticated) {
    let tokens = t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
    let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
    (tokens, auth)
}

pub(crate) async fn sign_in(t: &TestKit, key: &SoftKey) -> authkit::Result<Tokens> {
    let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await?;
    answer(t, &begun, key.assert(&begun.options)).await
}

pub(crate) async fn answer(
    t: &TestKit,
    begun: &PasskeyOptions,
    credential: Value,
) -> authkit::Result<Tokens> {
    match t.kit.passkeys().login(proof(begun, credential), None, &meta()).await? {
        Login::Complete(tokens) => Ok(tokens),
        other => panic!("{other:?}"),
    }
}

/// An account with a password and a passkey, signed in by the passkey.
pub(crate) async fn holder(t: &TestKit, email: &str) -> Holder {
    holder_of(t, email, SoftKey::new(ORIGIN)).await
}

pub(crate) async fn holder_of(t: &TestKit, email: &str, mut key: SoftKey) -> Holder {
    let who = t.signed_in(email).await.unwrap();
    let passkey = register(t, &who.auth, &mut key).await.unwrap();
    key.count += 1;
    let tokens = sign_in(t, &key).await.unwrap();
    let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
    Holder { user: who.user, key, passkey, tokens, auth }
}

/// Why such things were refused, sorted: within a frozen millisecond ids have no order.
pub(crate) async fn why(raw: &mut Raw, action: &str) -> Vec<String> {
    let rows = raw
        .texts(&format!(
            "SELECT details FROM authkit_audit WHERE action = '{action}' AND outcome = 'failure'"
        ))
        .await;
    let why = |row: &String| serde_json::from_str::<Value>(row).unwrap()["why"].as_str().unwrap().to_owned();
    sorted(rows.iter().map(why))
}

pub(crate) fn sorted<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().map(Into::into).collect();
    words.sort();
    words
}

on_both! {
    async fn the_options_are_what_browsers_parse(store: Store) {
        let t = kit_with(&store, |c| {
            c.server.public_url = "https://login.example.com".into();
            c.webauthn.rp_id = Some("example.com".into());
            c.webauthn.rp_name = Some("Example".into());
        })
        .await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        let begun = t.kit.passkeys().begin_registration(&who.auth, None, &meta()).await.unwrap();
        let options = &begun.options;
        assert_eq!(options["rp"], json!({ "id": "example.com", "name": "Example" }));
        assert_eq!((&options["user"]["name"], &options["user"]["displayName"]), (&json!("ann@example.com"), &json!("Test")));
        assert_eq!(options["attestation"], "none");
        assert_eq!(
            options["authenticatorSelection"],
            json!({ "residentKey": "required", "requireResidentKey": true, "userVerification": "required" })
        );
        assert_eq!((&options["excludeCredentials"], &options["timeout"]), (&json!([]), &json!(300_000)));
        assert!(options["pubKeyCredParams"].as_array().unwrap().contains(&json!({ "type": "public-key", "alg": -7 })));
        assert!(options["extensions"].get("uvm").is_none(), "{options}");
        // Parsed by the types of another implementation, as a browser would.
        let parsed: passkey_types::webauthn::PublicKeyCredentialCreationOptions =
            serde_json::from_value(options.clone()).unwrap();
        assert_eq!((parsed.challenge.len(), parsed.user.id.len()), (32, 16));

        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        let mut options = begun.options.clone();
        let challenge = options.as_object_mut().unwrap().remove("challenge").unwrap();
        assert_eq!(challenge.as_str().unwrap().len(), 43);
        assert_eq!(
            options,
            json!({ "rpId": "example.com", "allowCredentials": [], "userVerification": "required", "timeout": 300_000 })
        );
        let _: passkey_types::webauthn::PublicKeyCredentialRequestOptions =
            serde_json::from_value(begun.options).unwrap();
    }

    async fn a_passkey_signs_in_alone_and_counts_as_two_factors(store: Store) {
        let t = kit(&store).await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        let other = t.sign_in("ann@example.com").await.unwrap();
        let mut key = SoftKey::new(ORIGIN);
        let passkey = register(&t, &who.auth, &mut key).await.unwrap();
        assert_eq!((passkey.name.as_str(), passkey.backup_eligible, passkey.last_used_at), ("Key", false, None));
        assert_eq!(passkey.transports, ["usb", "nfc"]);
        // s_073: all other sessions are dead; the own one goes on by refresh, its access token does not.
        assert_eq!(kind(t.kit.refresh(other.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(who.access(), &meta()).await), ErrorKind::Unauthenticated);
        refreshed(&t, &who.tokens).await;
        assert!(t.kit.users().get(who.user.id).await.unwrap().unwrap().mfa_enabled);

        t.clock.advance(Duration::from_secs(60));
        let tokens = sign_in(&t, &key).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!((auth.user_id(), auth.amr()), (who.user.id, &["hwk", "user", "mfa"].map(String::from)[..]));
        auth.require(Assurance::mfa().within_minutes(5)).unwrap();
        let own = t.kit.passkeys().own(&auth).await.unwrap();
        assert_eq!((own.len(), own[0].last_used_at), (1, Some(t.kit.now())));
        // The password alone no longer does.
        let login = t.kit.login(Credentials::new("ann@example.com", PASSWORD), &meta()).await.unwrap();
        assert!(matches!(login, Login::SecondFactor(_)), "{login:?}");

        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("passkey.add").await, raw.audited("login").await), (1, 3));
        t.deliver_all().await.unwrap();
        assert!(t.mailbox().newest(Template::FactorAdded, "ann@example.com").is_some());
        // Nothing of the key's challenges stays, and what does is public.
        assert_eq!(raw.number("SELECT count(*) FROM authkit_passkey_challenges").await, 0);
    }

    async fn a_synced_passkey_says_so_and_its_backup_state_is_kept(store: Store) {
        let t = kit(&store).await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        let mut key = SoftKey::new(ORIGIN);
        (key.backup_eligible, key.backed_up) = (true, false);
        let passkey = register(&t, &who.auth, &mut key).await.unwrap();
        assert!(passkey.backup_eligible && !passkey.backed_up);
        key.backed_up = true;
        let tokens = sign_in(&t, &key).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(auth.amr(), ["swk", "user", "mfa"]);
        assert!(t.kit.passkeys().own(&auth).await.unwrap()[0].backed_up);
        key.backed_up = false;
        sign_in(&t, &key).await.unwrap();
        assert!(!t.kit.passkeys().own(&auth).await.unwrap()[0].backed_up);
        // Whether it may be copied never changes (WebAuthn section 7.2, step 19), and what is backed up may be.
        key.backup_eligible = false;
        assert_eq!(kind(sign_in(&t, &key).await), ErrorKind::InvalidCredentials);
        key.backed_up = true;
        assert_eq!(kind(sign_in(&t, &key).await), ErrorKind::InvalidCredentials);
        let mut raw = Raw::open(&store).await;
        assert_eq!(why(&mut raw, "login").await, ["backup_flags", "backup_flags"]);
    }

    async fn s_125_what_is_wrong_with_an_answer_signs_nobody_in(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let before = why(&mut raw, "login").await.len();
        let mut count = h.key.count;
        let mut key = h.key;
        let mut refused = Vec::new();
        type Spoil = (&'static str, fn(&mut SoftKey));
        let spoils: &[Spoil] = &[
            ("origin", |k| k.origin = "http://localhost:8001".into()),
            ("origin", |k| k.origin = "https://localhost:8000".into()),
            ("origin", |k| k.origin = "http://sub.localhost:8000".into()),
            ("origin", |k| k.origin = "https://evil.example".into()),
            ("origin", |k| k.cross_origin = true),
            ("rp_id", |k| k.rp_id = Some("evil.example".into())),
            ("type", |k| k.kind = Some("webauthn.create".into())),
            ("type", |k| k.kind = Some("payment.get".into())),
            ("challenge", |k| k.challenge = Some("A".repeat(43))),
            ("not_present", |k| k.present = false),
            ("not_verified", |k| k.verified = false),
            ("user_handle", |k| k.user_handle = None),
            ("user_handle", |k| k.user_handle = Some(vec![7; 16])),
        ];
        for (expected, spoil) in spoils {
            count += 1;
            key.count = count;
            let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
            let good = key.assert(&begun.options);
            let saved = (key.origin.clone(), key.user_handle.clone());
            spoil(&mut key);
            let bad = key.assert(&begun.options);
            (key.origin, key.user_handle) = saved;
            (key.cross_origin, key.rp_id, key.kind, key.challenge) = (false, None, None, None);
            (key.present, key.verified) = (true, true);
            assert_eq!(kind(answer(&t, &begun, bad).await), ErrorKind::InvalidCredentials, "{expected}");
            refused.push((*expected).to_owned());
            // One challenge, one answer: the right one comes too late.
            assert_eq!(kind(answer(&t, &begun, good).await), ErrorKind::InvalidCredentials, "{expected}");
            refused.push("challenge_unknown".to_owned());
        }
        // Another key, registered by nobody; one that pretends to be this one; a signature of something else.
        for expected in ["passkey_unknown", "signature", "signature"] {
            let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
            let mut foreign = SoftKey::new(ORIGIN);
            foreign.user_handle = key.user_handle.clone();
            if expected == "signature" {
                foreign.id = key.id.clone();
            }
            let mut bad = foreign.assert(&begun.options);
            if refused.last().unwrap() == "signature" {
                key.count = count + 5;
                bad = key.assert(&begun.options);
                key.count = count;
                bad["response"]["authenticatorData"] = key.assert(&begun.options)["response"]["authenticatorData"].clone();
            }
            assert_eq!(kind(answer(&t, &begun, bad).await), ErrorKind::InvalidCredentials, "{expected}");
            refused.push(expected.to_owned());
        }
        assert_eq!((before, why(&mut raw, "login").await), (0, sorted(refused)));
        // A positive control: nothing of this harmed the key.
        key.count = count + 1;
        sign_in(&t, &key).await.unwrap();
    }

    async fn what_no_browser_says_is_refused_and_nothing_breaks(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let good = |options: &Value| h.key.assert(options);
        let without = |pointer: &'static str, name: &'static str| {
            move |mut credential: Value| {
                credential.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name);
                credential
            }
        };
        let with = |pointer: &'static str, value: Value| {
            move |mut credential: Value| {
                *credential.pointer_mut(pointer).unwrap() = value.clone();
                credential
            }
        };
        let spoils: Vec<Box<dyn Fn(Value) -> Value>> = vec![
            Box::new(without("", "id")),
            Box::new(without("", "rawId")),
            Box::new(without("", "type")),
            Box::new(without("", "response")),
            Box::new(without("/response", "signature")),
            Box::new(without("/response", "authenticatorData")),
            Box::new(without("/response", "clientDataJSON")),
            Box::new(with("/type", json!("password"))),
            Box::new(with("/id", json!("AAAA"))),
            Box::new(with("/rawId", json!(7))),
            Box::new(with("/response", json!([]))),
            Box::new(with("/response/signature", json!("!"))),
            Box::new(with("/response/signature", json!(""))),
            Box::new(with("/response/authenticatorData", json!("AA"))),
            Box::new(with("/response/clientDataJSON", json!("e30"))),
            Box::new(with("/response/clientDataJSON", json!("_w"))),
            Box::new(|_| json!({})),
            Box::new(|_| json!(null)),
            Box::new(|_| json!("text")),
        ];
        for (n, spoil) in spoils.iter().enumerate() {
            let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
            let bad = spoil(good(&begun.options));
            assert_eq!(kind(answer(&t, &begun, bad).await), ErrorKind::InvalidCredentials, "{n}");
        }
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        for id in ["", "x", "018f9f7e-0000-7000-8000-000000000000", &begun.challenge_id.to_string().replace('-', "")] {
            let out = t.kit.passkeys().login(PasskeyProof::new(id, good(&begun.options)), None, &meta()).await;
            assert_eq!(kind(out), ErrorKind::InvalidCredentials, "{id}");
        }
    }

    async fn s_125_a_challenge_is_short_for_one_use_and_one_purpose(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let mut next = || {
            h.key.count += 1;
            h.key.count
        };
        // At the exact instant it is dead, and a moment before it is not; no cleanup runs (R6).
        next();
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(300));
        assert_eq!(kind(answer(&t, &begun, h.key.assert(&begun.options)).await), ErrorKind::InvalidCredentials);
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        t.clock.advance(Duration::from_micros(299_999_999));
        let credential = h.key.assert(&begun.options);
        answer(&t, &begun, credential.clone()).await.unwrap();
        // Once.
        assert_eq!(kind(answer(&t, &begun, credential).await), ErrorKind::InvalidCredentials);

        // For a registration or a step-up it signs nobody in, and the other way round.
        h.key.count += 1;
        let tokens = sign_in(&t, &h.key).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        h.key.count += 1;
        let enrolling = (&auth).into();
        let step_up = t.kit.passkeys().begin(PasskeyFor::StepUp(&enrolling), &meta()).await.unwrap();
        assert_eq!(step_up.options["allowCredentials"].as_array().unwrap().len(), 1);
        let out = answer(&t, &step_up, h.key.assert(&step_up.options)).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        let registration = t.kit.passkeys().begin_registration(&auth, None, &meta()).await.unwrap();
        let options = json!({ "challenge": registration.options["challenge"], "rpId": "localhost" });
        let out = answer(&t, &registration, h.key.assert(&options)).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        let mut options = registration.options.clone();
        options["challenge"] = begun.options["challenge"].clone();
        let mut fresh = SoftKey::new(ORIGIN);
        let out = t.kit.passkeys().finish_registration(&auth, proof(&begun, fresh.register(&options)), &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidRequest);
        assert_eq!(
            why(&mut raw, "login").await,
            ["challenge_expired", "challenge_of_another_purpose", "challenge_of_another_purpose", "challenge_unknown"]
        );
        assert_eq!(why(&mut raw, "passkey.add").await, ["challenge_of_another_purpose"]);
        // None of the others was used up by that.
        answer(&t, &begun, h.key.assert(&begun.options)).await.unwrap();
    }

    async fn s_127_a_counter_that_does_not_rise_is_refused_and_audited(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        let mut key = SoftKey::new(ORIGIN);
        key.count = 10;
        let who = t.signed_in("ann@example.com").await.unwrap();
        register(&t, &who.auth, &mut key).await.unwrap();
        // Stored 10: as high, lower, none at all.
        for (count, fine) in [(10, false), (9, false), (0, false), (11, true), (11, false), (500, true), (12, false)] {
            key.count = count;
            let out = sign_in(&t, &key).await;
            assert_eq!(out.is_ok(), fine, "{count}");
            if let Err(error) = out {
                assert_eq!(error.kind(), ErrorKind::InvalidCredentials);
            }
        }
        assert_eq!(why(&mut raw, "passkey.clone").await, ["sign_count"; 5]);
        let owners = "SELECT count(*) FROM authkit_audit WHERE action = 'passkey.clone' AND user_id IS NOT NULL";
        assert_eq!(raw.number(owners).await, 5);
        assert_eq!(why(&mut raw, "login").await, [""; 0]);
        assert_eq!(raw.number("SELECT sign_count FROM authkit_passkeys").await, 500);

        // 0 and 0: a key that does not count.
        let mut still = SoftKey::new(ORIGIN);
        let who = t.signed_in("bob@example.com").await.unwrap();
        register(&t, &who.auth, &mut still).await.unwrap();
        for _ in 0..3 {
            sign_in(&t, &still).await.unwrap();
        }
        // One that begins to count goes on counting.
        still.count = 1;
        sign_in(&t, &still).await.unwrap();
        still.count = 0;
        assert_eq!(kind(sign_in(&t, &still).await), ErrorKind::InvalidCredentials);
    }

    async fn s_128_the_last_way_in_stays_and_foreign_ids_are_not_there(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let other = holder(&t, "bob@example.com").await;
        let passkeys = t.kit.passkeys();
        for id in [other.passkey.id, PasskeyId::from_uuid(uuid::Uuid::now_v7())] {
            assert_eq!(kind(passkeys.remove(&h.auth, id, &meta()).await), ErrorKind::NotFound);
        }
        // Without a password it is the only way in.
        let mut raw = Raw::open(&store).await;
        let id = raw.id(h.user.id.as_uuid());
        let hash = raw.texts(&format!("SELECT hash FROM authkit_passwords WHERE user_id = {id}")).await.remove(0);
        raw.run(&format!("DELETE FROM authkit_passwords WHERE user_id = {id}")).await;
        assert_eq!(kind(passkeys.remove(&h.auth, h.passkey.id, &meta()).await), ErrorKind::Conflict);
        assert_eq!(why(&mut raw, "passkey.remove").await, ["last_method"]);
        // With another passkey it is not.
        let mut second = SoftKey::new(ORIGIN);
        let begun = passkeys.begin_registration(&h.auth, Some("Second"), &meta()).await.unwrap();
        assert_eq!(begun.options["excludeCredentials"][0]["transports"], json!(["usb", "nfc"]));
        passkeys.finish_registration(&h.auth, proof(&begun, second.register(&begun.options)), &meta()).await.unwrap();
        let (tokens, auth) = refreshed(&t, &h.tokens).await;
        passkeys.remove(&auth, h.passkey.id, &meta()).await.unwrap();
        h.key.count += 1;
        assert_eq!(kind(sign_in(&t, &h.key).await), ErrorKind::InvalidCredentials, "the removed one");
        sign_in(&t, &second).await.unwrap();
        // With a password neither is the last.
        raw.run(&format!("INSERT INTO authkit_passwords (user_id, hash, changed_at) VALUES ({id}, '{hash}', 1)")).await;
        let (tokens, auth) = refreshed(&t, &tokens).await;
        let id = passkeys.own(&auth).await.unwrap()[0].id;
        passkeys.remove(&auth, id, &meta()).await.unwrap();
        assert_eq!(kind(sign_in(&t, &second).await), ErrorKind::InvalidCredentials);
        t.sign_in("ann@example.com").await.unwrap();
        refreshed(&t, &tokens).await;
        t.deliver_all().await.unwrap();
        assert!(t.mailbox().newest(Template::FactorRemoved, "ann@example.com").is_some());
    }

    async fn s_128_the_last_factor_that_is_required_stays(store: Store) {
        let t = kit_with(&store, |c| c.mfa.policy = authkit::config::MfaPolicy::Required).await;
        let who = t.sign_up("ann@example.com").await.unwrap();
        let tokens = t.sign_in("ann@example.com").await.unwrap();
        let enrolling = t.kit.authenticate_enrolling(tokens.access(), &meta()).await.unwrap();
        let begun = t.kit.passkeys().begin_registration(&enrolling, None, &meta()).await.unwrap();
        let mut key = SoftKey::new(ORIGIN);
        let credential = key.register(&begun.options);
        let passkey =
            t.kit.passkeys().finish_registration(&enrolling, proof(&begun, credential), &meta()).await.unwrap();
        let tokens = sign_in(&t, &key).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(auth.user_id(), who.id);
        assert_eq!(kind(t.kit.passkeys().remove(&auth, passkey.id, &meta()).await), ErrorKind::Conflict);
        let mut second = SoftKey::new(ORIGIN);
        register(&t, &auth, &mut second).await.unwrap();
        let (_, auth) = refreshed(&t, &tokens).await;
        t.kit.passkeys().remove(&auth, passkey.id, &meta()).await.unwrap();
    }

    async fn s_118_registering_and_removing_need_a_fresh_proof_of_both_factors(store: Store) {
        let t = kit(&store).await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        t.clock.advance(Duration::from_secs(300));
        let (_, auth) = refreshed(&t, &who.tokens).await;
        let out = t.kit.passkeys().begin_registration(&auth, None, &meta()).await.unwrap_err();
        assert_eq!((out.kind(), out.satisfied_by()), (ErrorKind::StepUpRequired, &["password"][..]));

        let h = holder(&t, "bob@example.com").await;
        let second = t.kit.passkeys().begin_registration(&h.auth, None, &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(299));
        let (tokens, auth) = refreshed(&t, &h.tokens).await;
        t.clock.advance(Duration::from_secs(1));
        let credential = SoftKey::new(ORIGIN).register(&second.options);
        let out = t.kit.passkeys().finish_registration(&auth, proof(&second, credential), &meta()).await.unwrap_err();
        assert_eq!((out.kind(), out.satisfied_by()), (ErrorKind::StepUpRequired, &["passkey"][..]));
        let out = t.kit.passkeys().remove(&auth, h.passkey.id, &meta()).await;
        assert_eq!(kind(out), ErrorKind::StepUpRequired);
        drop(tokens);
    }

    async fn who_is_disabled_deleted_or_unproved_gets_the_same_answer(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        let admin = t.kit.admin(meta());
        let (mut disabled, mut deleted) = (holder(&t, "a@example.com").await, holder(&t, "b@example.com").await);
        admin.disable_user(disabled.user.id).await.unwrap();
        admin.delete_user(deleted.user.id).await.unwrap();
        (disabled.key.count, deleted.key.count) = (9, 9);
        let wrong = sign_in(&t, &SoftKey::new(ORIGIN)).await.unwrap_err();
        for h in [&disabled, &deleted] {
            let error = sign_in(&t, &h.key).await.unwrap_err();
            assert_eq!((error.kind(), error.public_message()), (wrong.kind(), wrong.public_message()));
        }
        assert_eq!(why(&mut raw, "login").await, ["deleted", "disabled", "passkey_unknown"]);
        admin.enable_user(disabled.user.id).await.unwrap();
        sign_in(&t, &disabled.key).await.unwrap();
        // Disabled between the challenge and the answer, and between the answer's judgement and its session.
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        admin.disable_user(disabled.user.id).await.unwrap();
        disabled.key.count += 1;
        let out = answer(&t, &begun, disabled.key.assert(&begun.options)).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
    }

    async fn an_unproved_address_is_told_only_after_the_right_passkey(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let strict = second_kit(&store, &t).await;
        let mut key = h.key;
        key.count += 1;
        assert_eq!(kind(sign_in(&strict, &key).await), ErrorKind::EmailUnverified);
        key.verified = false;
        assert_eq!(kind(sign_in(&strict, &key).await), ErrorKind::InvalidCredentials);
        strict.kit.admin(meta()).verify_email(h.user.id).await.unwrap();
        key.verified = true;
        sign_in(&strict, &key).await.unwrap();
    }

    async fn what_is_wrong_with_a_new_key_is_one_answer(store: Store) {
        let t = kit(&store).await;
        let taken = holder(&t, "bob@example.com").await;
        let who = t.signed_in("ann@example.com").await.unwrap();
        let mut raw = Raw::open(&store).await;
        type Spoil = (&'static str, fn(&mut SoftKey));
        let spoils: &[Spoil] = &[
            ("origin", |k| k.origin = "https://evil.example".into()),
            ("rp_id", |k| k.rp_id = Some("evil.example".into())),
            ("type", |k| k.kind = Some("webauthn.get".into())),
            ("challenge", |k| k.challenge = Some("A".repeat(43))),
            ("not_present", |k| k.present = false),
            ("not_verified", |k| k.verified = false),
            ("backup_flags", |k| k.backed_up = true),
        ];
        let mut expected = Vec::new();
        for (flaw, spoil) in spoils {
            let mut key = SoftKey::new(ORIGIN);
            spoil(&mut key);
            assert_eq!(kind(register(&t, &who.auth, &mut key).await), ErrorKind::InvalidRequest, "{flaw}");
            expected.push(*flaw);
        }
        let mut stolen = SoftKey::new(ORIGIN);
        stolen.id = taken.key.id.clone();
        assert_eq!(kind(register(&t, &who.auth, &mut stolen).await), ErrorKind::InvalidRequest);
        expected.push("registered_already");
        // The challenge of another user's session.
        let other = t.signed_in("eve@example.com").await.unwrap();
        let begun = t.kit.passkeys().begin_registration(&other.auth, None, &meta()).await.unwrap();
        let credential = SoftKey::new(ORIGIN).register(&begun.options);
        let out = t.kit.passkeys().finish_registration(&who.auth, proof(&begun, credential.clone()), &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidRequest);
        expected.push("challenge_of_another");
        assert_eq!(why(&mut raw, "passkey.add").await, sorted(expected));
        // Which is still his, once.
        t.kit.passkeys().finish_registration(&other.auth, proof(&begun, credential.clone()), &meta()).await.unwrap();
        let (_, again) = refreshed(&t, &other.tokens).await;
        let out = t.kit.passkeys().finish_registration(&again, proof(&begun, credential), &meta()).await;
        assert_eq!(kind(out), ErrorKind::StepUpRequired, "a factor is there now");
        assert!(t.kit.passkeys().own(&who.auth).await.unwrap().is_empty());
        assert_eq!(kind(t.kit.passkeys().begin_registration(&who.auth, Some(&"x".repeat(101)), &meta()).await), ErrorKind::Validation);
    }

    async fn ten_passkeys_are_enough(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        for _ in 1..10 {
            let mut key = SoftKey::new(ORIGIN);
            register(&t, &h.auth, &mut key).await.unwrap();
            (h.tokens, h.auth) = refreshed(&t, &h.tokens).await;
        }
        assert_eq!(t.kit.passkeys().own(&h.auth).await.unwrap().len(), 10);
        let out = t.kit.passkeys().begin_registration(&h.auth, None, &meta()).await;
        assert_eq!(kind(out), ErrorKind::Conflict);
    }

    async fn s_097_a_change_of_credentials_ends_what_was_begun_and_a_proved_address_ends_foreign_keys(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let begun = t.kit.passkeys().begin_registration(&h.auth, None, &meta()).await.unwrap();
        let enrolling = (&h.auth).into();
        t.kit.passkeys().begin(PasskeyFor::StepUp(&enrolling), &meta()).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_passkey_challenges").await, 2);
        let mut second = SoftKey::new(ORIGIN);
        register(&t, &h.auth, &mut second).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM authkit_passkey_challenges").await, 0);
        let (_, auth) = refreshed(&t, &h.tokens).await;
        let credential = SoftKey::new(ORIGIN).register(&begun.options);
        let out = t.kit.passkeys().finish_registration(&auth, proof(&begun, credential), &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidRequest);
        // Somebody else proves the address: whoever made the account does not come back by his passkey.
        t.kit.request_password_reset("ann@example.com", &meta()).await.unwrap();
        let letter = one(letters(&t).await, "reset_password");
        t.kit.reset_password(letter.proof(), &new_password(), &meta()).await.unwrap();
        let mut key = h.key;
        key.count += 1;
        assert_eq!(kind(sign_in(&t, &key).await), ErrorKind::InvalidCredentials);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_passkeys").await, 0);
    }

    async fn s_125_one_challenge_used_by_many_at_once_begins_one_session(store: Store) {
        const ROUNDS: u32 = 25;
        const TASKS: usize = 32;
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        let sessions = "SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL";
        let mut before = raw.number(sessions).await;
        for _ in 0..ROUNDS {
            h.key.count += 1;
            let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
            // Each has an answer of its own: counters that would all be taken one after the other.
            let first = h.key.count;
            let answers: Vec<PasskeyProof> = (0..TASKS)
                .map(|i| {
                    h.key.count = first + u32::try_from(i).unwrap();
                    proof(&begun, h.key.assert(&begun.options))
                })
                .collect();
            let out = race(TASKS, |i| {
                let kit = if i % 2 == 0 { t.kit.clone() } else { other.kit.clone() };
                let answer = answers[i].clone();
                async move { kit.passkeys().login(answer, None, &meta()).await.map(|_| ()) }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{out:?}");
            assert!(out.into_iter().filter_map(Result::err).all(|e| e.kind() == ErrorKind::InvalidCredentials));
            let now = raw.number(sessions).await;
            assert!(now <= before + 1, "{now} sessions, {before} before");
            before = now;
        }
        let granted = "SELECT count(*) FROM authkit_audit WHERE action = 'login' AND outcome = 'success'";
        assert_eq!(raw.number(granted).await, i64::from(ROUNDS) + 2);
    }

    async fn one_key_that_answers_two_challenges_with_one_counter_is_taken_once(store: Store) {
        let t = kit(&store).await;
        let mut h = holder(&t, "ann@example.com").await;
        let mut raw = Raw::open(&store).await;
        for round in 1..=20 {
            h.key.count += 1;
            let mut answers = Vec::new();
            for _ in 0..8 {
                let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
                answers.push(proof(&begun, h.key.assert(&begun.options)));
            }
            let out = race(answers.len(), |i| {
                let (kit, answer) = (t.kit.clone(), answers[i].clone());
                async move { kit.passkeys().login(answer, None, &meta()).await.map(|_| ()) }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{out:?}");
            assert_eq!(raw.audited("passkey.clone").await, round * 7);
            assert_eq!(raw.number("SELECT count(*) FROM authkit_passkey_challenges").await, 0);
        }
    }

    async fn operators_see_and_remove_passkeys(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let admin = t.kit.admin(meta());
        let (owner, passkey) = admin.passkey(h.passkey.id).await.unwrap();
        assert_eq!((owner, passkey.name.as_str()), (h.user.id, "Key"));
        let rehearsed = admin.clone().dry_run().remove_passkey(h.passkey.id).await.unwrap();
        assert!(rehearsed.changed && admin.passkey(h.passkey.id).await.is_ok());
        assert!(admin.remove_passkey(h.passkey.id).await.unwrap().changed);
        assert_eq!(kind(admin.remove_passkey(h.passkey.id).await), ErrorKind::NotFound);
        assert_eq!(kind(t.kit.refresh(h.tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        t.sign_in("ann@example.com").await.unwrap();
        let bob = holder(&t, "bob@example.com").await;
        let removed = admin.remove_passkeys_of(bob.user.id).await.unwrap();
        assert_eq!((removed.changed, removed.resource.len()), (true, 1));
        assert!(!admin.remove_passkeys_of(bob.user.id).await.unwrap().changed);
        let nobody = authkit::UserId::from_uuid(uuid::Uuid::now_v7());
        assert_eq!(kind(admin.remove_passkeys_of(nobody).await), ErrorKind::NotFound);
        // What nobody answered goes once its time is over.
        t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        assert_eq!(admin.sweep_passkey_challenges().await.unwrap(), 0);
        t.clock.advance(Duration::from_secs(300));
        assert_eq!(admin.sweep_passkey_challenges().await.unwrap(), 1);
    }

    async fn without_a_domain_passkeys_are_refused_and_never_skipped(store: Store) {
        let t = kit(&store).await;
        let h = holder(&t, "ann@example.com").await;
        let mut config = t.kit.config().clone();
        config.server.public_url = "http://127.0.0.1:8000".into();
        let bare = TestKit::attach(crate::support::connect(&store).await, config, t.clock.clone(), |b| b).await.unwrap();
        assert_eq!(kind(bare.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await), ErrorKind::Unavailable);
        let login = bare.kit.login(Credentials::new("ann@example.com", PASSWORD), &meta()).await.unwrap();
        assert!(matches!(login, Login::SecondFactor(_)), "{login:?}");
        let begun = t.kit.passkeys().begin(PasskeyFor::SignIn, &meta()).await.unwrap();
        let mut key = h.key;
        key.count += 1;
        assert_eq!(kind(answer(&bare, &begun, key.assert(&begun.options)).await), ErrorKind::Unavailable);
    }

    async fn several_origins_are_named_and_each_works(store: Store) {
        let t = kit_with(&store, |c| {
            c.webauthn.origins = vec![ORIGIN.into(), FOREIGN.into()];
        })
        .await;
        let mut h = holder_of(&t, "ann@example.com", SoftKey::new(FOREIGN)).await;
        h.key.count += 1;
        h.key.origin = ORIGIN.into();
        sign_in(&t, &h.key).await.unwrap();
        h.key.count += 1;
        h.key.origin = "http://localhost:9001".into();
        assert_eq!(kind(sign_in(&t, &h.key).await), ErrorKind::InvalidCredentials);
    }
}

/// The same store, served with required verification.
async fn second_kit(store: &Store, first: &TestKit) -> TestKit {
    let mut config = first.kit.config().clone();
    config.accounts.email_verification = Some(authkit::config::EmailVerification::Required);
    TestKit::attach(crate::support::connect(store).await, config, first.clock.clone(), |b| b).await.unwrap()
}

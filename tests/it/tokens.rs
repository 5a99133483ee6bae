//! Access tokens and the keys that sign them.

use std::time::Duration;

use authkit::config::{JwtAlgorithm, Secrets};
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::{self, TestKit};
use authkit::{AuthKit, ErrorKind, KeyInfo, KeyPurpose, KeyState};
use authkit_tests::{Backend, Store, on_both};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Raw, Texts as _, build, connect, kind, kit, kit_with, meta, second_node, secret};

const ANN: &str = "ann@example.com";
const HS256_SECRET: &str = "Zk4vQ1nX8sB7tM2rY6wL0pC9dH3gJ5fK-uE_aRiOxTzV1bNq";

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn hs256(key: &[u8], header: &str, payload: &str) -> String {
    let input = format!("{header}.{payload}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A kit whose tokens a test can sign itself.
async fn hs256_kit(store: &Store) -> TestKit {
    let db = connect(store).await;
    let clock = testing::ManualClock::new();
    db.migrate(&clock).await.unwrap();
    let mut config = testing::config();
    config.tokens.algorithm = JwtAlgorithm::Hs256;
    let mut secrets = testing::secrets();
    secrets.jwt_secret = Some(secret(HS256_SECRET));
    let kit = AuthKit::builder(db, secrets).config(config).clock(clock.clone()).build().await.unwrap();
    TestKit { kit, clock, mailbox: authkit::testing::Mailbox::new() }
}

async fn refused(t: &TestKit, token: &str, what: &str) {
    match t.kit.authenticate(token, &meta()).await {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{what}"),
        Ok(_) => panic!("accepted: {what}"),
    }
}

fn keys_of(kit: &AuthKit, purpose: KeyPurpose) -> Vec<KeyInfo> {
    kit.keys().into_iter().filter(|key| key.purpose == purpose).collect()
}

fn states(kit: &AuthKit, purpose: KeyPurpose) -> Vec<KeyState> {
    keys_of(kit, purpose).into_iter().map(|key| key.state).collect()
}

on_both! {
    async fn s_047_no_algorithm_and_odd_ones_are_refused(store: Store) {
        let t = kit(&store).await;
        let token = t.signed_in(ANN).await.unwrap().access().to_owned();
        let (header, payload, signature) = {
            let mut parts = token.split('.');
            (part(&token, 0), parts.nth(1).unwrap().to_owned(), parts.next().unwrap().to_owned())
        };
        for alg in ["none", "None", "nOnE", "NONE", "", "eddsa", "EdDSA ", "HS256", "ES256", "RS256", "PS512"] {
            let mut with = header.clone();
            with["alg"] = json!(alg);
            for signature in ["", signature.as_str(), "AA"] {
                refused(&t, &format!("{}.{payload}.{signature}", encode(&with)), alg).await;
            }
        }
        for alg in [json!(null), json!(["EdDSA"]), json!(1), json!({"alg": "EdDSA"})] {
            let mut with = header.clone();
            with["alg"] = alg;
            refused(&t, &format!("{}.{payload}.{signature}", encode(&with)), "an alg of another type").await;
        }
        let mut without = header.clone();
        without.as_object_mut().unwrap().remove("alg");
        refused(&t, &format!("{}.{payload}.{signature}", encode(&without)), "no alg").await;
        refused(&t, &format!("{payload}.{signature}"), "no header").await;
        refused(&t, &format!("{}.{payload}", encode(&header)), "no signature").await;
        refused(&t, &format!("{token}."), "four parts").await;
        refused(&t, "", "nothing").await;
        t.kit.authenticate(&token, &meta()).await.unwrap();
    }

    async fn s_048_a_public_key_is_no_hmac_secret(store: Store) {
        for algorithm in [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256] {
            let store = Store::new(store.backend()).await;
            let t = kit_with(&store, |c| c.tokens.algorithm = algorithm).await;
            let token = t.signed_in(ANN).await.unwrap().access().to_owned();
            let jwk = t.kit.jwks().keys()[0].clone();
            let decode = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            let (raw, der) = match algorithm {
                JwtAlgorithm::EdDsa => {
                    // RFC 8410 section 4: a fixed prefix before the 32 bytes.
                    let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
                    (decode("x"), [prefix.as_slice(), &decode("x")].concat())
                }
                _ => {
                    let point = [[4].as_slice(), &decode("x"), &decode("y")].concat();
                    // RFC 5480 section 2.1.1: id-ecPublicKey, secp256r1.
                    let prefix = [
                        0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48,
                        0xce, 0x3d, 3, 1, 7, 3, 0x42, 0,
                    ];
                    let der = [prefix.as_slice(), &point].concat();
                    (point, der)
                }
            };
            let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
            let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": part(&token, 0)["kid"]});
            let payload = token.split('.').nth(1).unwrap();
            let text = jwk["x"].as_str().unwrap().as_bytes().to_vec();
            for key in [raw, der, pem.trim_end().into(), pem.into_bytes(), text, jwk.to_string().into_bytes()] {
                refused(&t, &hs256(&key, &encode(&header), payload), "HMAC with the public key").await;
            }
        }
    }

    async fn s_049_headers_that_bring_their_own_key_are_refused_unread(store: Store) {
        let t = hs256_kit(&store).await;
        let token = t.signed_in(ANN).await.unwrap().access().to_owned();
        let (good, payload) = (part(&token, 0), token.split('.').nth(1).unwrap());
        // The way of signing is right: what is refused below is refused for its header.
        let same = hs256(HS256_SECRET.as_bytes(), &encode(&good), payload);
        t.kit.authenticate(&same, &meta()).await.unwrap();
        let url = "http://127.0.0.1:9/keys";
        for (name, value) in [
            ("jwk", json!({"kty": "oct", "k": "AAAA"})), ("jku", json!(url)), ("x5u", json!(url)),
            ("x5c", json!(["AAAA"])), ("x5t", json!("AAAA")), ("crit", json!(["exp"])), ("b64", json!(false)),
            ("zip", json!("DEF")), ("cty", json!("JWT")), ("nonce", json!("x")),
        ] {
            let mut header = good.clone();
            header[name] = value;
            refused(&t, &hs256(HS256_SECRET.as_bytes(), &encode(&header), payload), name).await;
        }
        for kid in [
            json!("../../../../etc/passwd"), json!("/dev/null"), json!("' OR 1=1 --"), json!(""), json!(null),
            json!(7), json!("x".repeat(1 << 20)), json!("0000000000000000"), json!("\u{0}"), json!(["a"]),
        ] {
            let mut header = good.clone();
            header["kid"] = kid;
            refused(&t, &hs256(HS256_SECRET.as_bytes(), &encode(&header), payload), "a hostile kid").await;
        }
        // The same member twice: whichever a reader takes, somebody else takes the other.
        let twice = good.to_string().replacen('{', "{\"alg\":\"none\",", 1);
        let twice = URL_SAFE_NO_PAD.encode(twice);
        refused(&t, &hs256(HS256_SECRET.as_bytes(), &twice, payload), "alg twice").await;
    }

    async fn s_050_wrong_or_missing_claims_are_refused(store: Store) {
        let t = hs256_kit(&store).await;
        let token = t.signed_in(ANN).await.unwrap().access().to_owned();
        let (header, good) = (part(&token, 0), part(&token, 1));
        let sign = |claims: &Value| hs256(HS256_SECRET.as_bytes(), &encode(&header), &encode(claims));
        t.kit.authenticate(&sign(&good), &meta()).await.unwrap();
        for (name, values) in [
            ("iss", vec![json!("https://evil.example"), json!("http://localhost:8000/"), json!(["http://localhost:8000"])]),
            ("aud", vec![json!("other"), json!("authkit2"), json!(["authkit", "other"])]),
            ("sub", vec![json!(""), json!("ann"), json!(7)]),
            ("sid", vec![json!(""), json!("x")]),
            ("jti", vec![json!(""), json!(7)]),
            ("exp", vec![json!("9999999999"), json!(9_999_999_999.5), json!(true)]),
            ("iat", vec![json!("0")]),
            ("nbf", vec![json!({})]),
            ("ver", vec![json!("1"), json!(1.5)]),
            ("roles", vec![json!("super_admin"), json!([1])]),
            ("amr", vec![json!("pwd")]),
            ("auth_time", vec![json!(null)]),
        ] {
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(name);
            refused(&t, &sign(&without), &format!("no {name}")).await;
            for value in values {
                let mut with = good.clone();
                with[name] = value.clone();
                refused(&t, &sign(&with), &format!("{name} = {value}")).await;
            }
        }
        // Of another purpose: no other type of token passes here (R9).
        for typ in [json!("JWT"), json!("refresh+jwt"), json!("at+jwt;x"), json!(null), json!("")] {
            let mut with = header.clone();
            with["typ"] = typ.clone();
            let token = hs256(HS256_SECRET.as_bytes(), &encode(&with), &encode(&good));
            refused(&t, &token, &format!("typ {typ}")).await;
        }
        let other_secret = hs256(b"another secret of at least 32 bytes, surely", &encode(&header), &encode(&good));
        refused(&t, &other_secret, "another secret").await;
        let refresh = t.sign_in(ANN).await.unwrap();
        refused(&t, refresh.refresh(), "a refresh token").await;
    }

    async fn s_052_times_are_judged_with_little_leeway_and_none_for_exp(store: Store) {
        let t = hs256_kit(&store).await;
        let token = t.signed_in(ANN).await.unwrap().access().to_owned();
        let (header, good) = (part(&token, 0), part(&token, 1));
        let now = t.kit.now().as_secs();
        let with = |name: &str, at: i64| {
            let mut claims = good.clone();
            claims[name] = json!(at);
            hs256(HS256_SECRET.as_bytes(), &encode(&header), &encode(&claims))
        };
        refused(&t, &with("exp", now), "exp now").await;
        refused(&t, &with("exp", now - 1), "exp past").await;
        t.kit.authenticate(&with("exp", now + 1), &meta()).await.unwrap();
        for name in ["iat", "nbf"] {
            t.kit.authenticate(&with(name, now + 30), &meta()).await.unwrap();
            refused(&t, &with(name, now + 31), name).await;
        }
        assert_eq!(good["exp"].as_i64().unwrap() - good["iat"].as_i64().unwrap(), 15 * 60);
        t.clock.advance(Duration::from_secs(15 * 60 - 1));
        t.kit.authenticate(&token, &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(1));
        refused(&t, &token, "at its exp").await;
    }

    async fn a_token_says_what_it_must_and_no_more(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let token = ann.access();
        let header = part(token, 0);
        assert_eq!(header["typ"], "at+jwt");
        assert_eq!(header["alg"], "EdDSA");
        assert_eq!(header.as_object().unwrap().len(), 3);
        let claims = part(token, 1);
        let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected = ["amr", "aud", "auth_time", "exp", "iat", "iss", "jti", "nbf", "roles", "sid", "sub", "ver"];
        assert_eq!(names, expected);
        assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some("http://localhost:8000"), Some("authkit")));
        assert_eq!(claims["sub"], json!(ann.user.id.to_string()));
        assert!(!token.contains('@') && !claims.to_string().contains(ANN));
        assert_eq!(ann.auth.expires_at().since(ann.auth.auth_time().unwrap()), Duration::from_secs(15 * 60));
        let again = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        assert_ne!(part(again.access(), 1)["jti"], claims["jti"]);
    }

    async fn s_056_keys_change_hands_by_the_clock(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let purpose = KeyPurpose::Jwt;
        let ann = t.signed_in(ANN).await.unwrap();
        let old = part(ann.access(), 0)["kid"].clone();
        assert_eq!(states(&t.kit, purpose), [KeyState::Active]);
        let made = t.kit.admin(meta()).rotate_key(purpose).await.unwrap();
        assert_eq!(made.state, KeyState::Next);
        // Published a poll and the age of the JWKS before it signs anything.
        assert_eq!(made.activates_at.since(t.kit.now()), Duration::from_secs(301));
        assert_eq!(t.kit.jwks().keys().len(), 2);
        assert_eq!(part(t.sign_in(ANN).await.unwrap().access(), 0)["kid"], old);
        t.clock.advance(Duration::from_secs(301) - Duration::from_micros(1));
        let last = t.sign_in(ANN).await.unwrap();
        assert_eq!(part(last.access(), 0)["kid"], old);
        t.clock.advance(Duration::from_micros(1));
        assert_eq!(states(&t.kit, purpose), [KeyState::Retiring, KeyState::Active]);
        let new = t.sign_in(ANN).await.unwrap();
        assert_eq!(part(new.access(), 0)["kid"], json!(made.kid));
        // The last token of the old key lives its whole life; here and on the node that was not told.
        t.clock.advance(Duration::from_secs(15 * 60 - 2));
        for t in [&t, &other] {
            t.kit.authenticate(last.access(), &meta()).await.unwrap();
            t.kit.authenticate(new.access(), &meta()).await.unwrap();
        }
        t.clock.advance(Duration::from_secs(2 + 30 + 300) - Duration::from_micros(1));
        assert_eq!(states(&t.kit, purpose), [KeyState::Retiring, KeyState::Active]);
        assert_eq!(t.kit.jwks().keys().len(), 2);
        t.clock.advance(Duration::from_micros(1));
        assert_eq!(states(&t.kit, purpose), [KeyState::Gone, KeyState::Active]);
        assert_eq!(t.kit.jwks().keys().len(), 1);
        assert_eq!(t.kit.jwks().keys()[0]["kid"], json!(made.kid));
        // Sessions outlive signing keys.
        t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        assert_eq!(Raw::open(&store).await.audited("key.rotate").await, 1);
    }

    async fn s_056_a_token_of_a_key_that_is_gone_or_unknown_is_refused(store: Store) {
        // A long life, so that the key goes before the token does.
        let t = kit_with(&store, |c| c.tokens.access_ttl = Duration::from_secs(15 * 60)).await;
        let mut config = t.kit.config().clone();
        config.tokens.access_ttl = Duration::from_secs(86_400);
        let long = TestKit::attach(connect(&store).await, config, t.clock.clone(), |b| b).await.unwrap();
        t.sign_up(ANN).await.unwrap();
        let token = long.sign_in(ANN).await.unwrap();
        t.kit.admin(meta()).rotate_key(KeyPurpose::Jwt).await.unwrap();
        t.clock.advance(Duration::from_secs(301 + 15 * 60 + 330) - Duration::from_micros(1));
        t.kit.authenticate(token.access(), &meta()).await.unwrap();
        t.clock.advance(Duration::from_micros(1));
        refused(&t, token.access(), "its key is gone").await;
        // The other node never looked; it knows by the times alone once it has seen the ring.
        refused(&long, token.access(), "its key is gone").await;
        let elsewhere = TestKit::in_memory().await.unwrap().signed_in(ANN).await.unwrap();
        refused(&t, elsewhere.access(), "another store's key").await;
    }

    async fn two_rotations_in_a_row_leave_no_gap(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        t.kit.admin(meta()).rotate_key(KeyPurpose::Jwt).await.unwrap();
        t.clock.advance(Duration::from_secs(1));
        t.kit.admin(meta()).rotate_key(KeyPurpose::Jwt).await.unwrap();
        let mut kids = std::collections::HashSet::new();
        for _ in 0..700 {
            let tokens = t.sign_in(ANN).await.unwrap();
            kids.insert(part(tokens.access(), 0)["kid"].to_string());
            t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
            t.clock.advance(Duration::from_millis(500));
        }
        assert_eq!(kids.len(), 3, "each of the three keys had its time");
    }

    async fn data_keys_are_rotated_at_once_and_old_sessions_keep_theirs(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        let old = t.signed_in(ANN).await.unwrap();
        for purpose in [KeyPurpose::Token, KeyPurpose::Lookup, KeyPurpose::Cursor] {
            t.clock.advance(Duration::from_secs(1));
            let made = t.kit.admin(meta()).rotate_key(purpose).await.unwrap();
            assert_eq!((made.purpose, made.state), (purpose, KeyState::Active));
            assert_eq!(states(&t.kit, purpose), [KeyState::Retiring, KeyState::Active]);
        }
        t.clock.advance(Duration::from_secs(86_400));
        t.kit.refresh(old.refresh(), &meta()).await.unwrap();
        let new = t.sign_in(ANN).await.unwrap();
        // The other node has not read its ring since.
        other.kit.refresh(new.refresh(), &meta()).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(DISTINCT key_id) FROM authkit_sessions").await, 2);
    }

    async fn an_unknown_key_has_the_ring_read_again_at_most_once_a_second(store: Store) {
        let t = kit(&store).await;
        let other = second_node(&store, &t).await;
        t.sign_up(ANN).await.unwrap();
        // A key that nobody has: the other node reads its ring in vain.
        let elsewhere = TestKit::in_memory().await.unwrap().signed_in(ANN).await.unwrap();
        assert_eq!(kind(other.kit.refresh(elsewhere.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        t.kit.admin(meta()).rotate_key(KeyPurpose::Token).await.unwrap();
        let new = t.sign_in(ANN).await.unwrap();
        assert_eq!(kind(other.kit.refresh(new.refresh(), &meta()).await), ErrorKind::RefreshInvalid, "read twice in a second");
        t.clock.advance(Duration::from_millis(999));
        assert_eq!(kind(other.kit.refresh(new.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        t.clock.advance(Duration::from_millis(1));
        other.kit.refresh(new.refresh(), &meta()).await.unwrap();
    }

    async fn each_algorithm_signs_and_publishes_its_own_form(store: Store) {
        for (algorithm, kty, crv) in [(JwtAlgorithm::EdDsa, "OKP", "Ed25519"), (JwtAlgorithm::Es256, "EC", "P-256")] {
            let store = Store::new(store.backend()).await;
            let t = kit_with(&store, |c| c.tokens.algorithm = algorithm).await;
            let ann = t.signed_in(ANN).await.unwrap();
            assert_eq!(part(ann.access(), 0)["alg"], algorithm.name());
            let set = serde_json::to_value(t.kit.jwks()).unwrap();
            assert_eq!(set.as_object().unwrap().len(), 1);
            let jwk = &set["keys"][0];
            assert_eq!((jwk["kty"].as_str(), jwk["crv"].as_str()), (Some(kty), Some(crv)));
            assert_eq!((jwk["use"].as_str(), jwk["alg"].as_str()), (Some("sig"), Some(algorithm.name())));
            assert_eq!(jwk["kid"], part(ann.access(), 0)["kid"]);
            for private in ["d", "k", "p", "q"] {
                assert!(jwk.get(private).is_none(), "{jwk}");
            }
            let decode = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            assert_eq!(decode("x").len(), 32);
            // Anybody can verify with it.
            let (input, signature) = ann.access().rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let verified = match algorithm {
                JwtAlgorithm::EdDsa => ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, decode("x"))
                    .verify(input.as_bytes(), &signature),
                _ => {
                    let point = [[4].as_slice(), &decode("x"), &decode("y")].concat();
                    ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point)
                        .verify(input.as_bytes(), &signature)
                }
            };
            verified.unwrap();
        }
        let other = Store::new(store.backend()).await;
        let t = hs256_kit(&other).await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!(part(ann.access(), 0)["alg"], "HS256");
        assert!(t.kit.jwks().keys().is_empty());
        assert_eq!(t.kit.jwks_max_age(), Duration::from_secs(300));
    }

    async fn a_change_of_algorithm_is_a_rotation(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let mut config = t.kit.config().clone();
        config.tokens.algorithm = JwtAlgorithm::Es256;
        let es = TestKit::attach(connect(&store).await, config, t.clock.clone(), |b| b).await.unwrap();
        es.kit.authenticate(ann.access(), &meta()).await.unwrap();
        assert_eq!(part(es.sign_in(ANN).await.unwrap().access(), 0)["alg"], "EdDSA", "before it was published");
        t.clock.advance(Duration::from_secs(301));
        let new = es.sign_in(ANN).await.unwrap();
        assert_eq!(part(new.access(), 0)["alg"], "ES256");
        t.kit.authenticate(new.access(), &meta()).await.unwrap();
        es.kit.authenticate(es.kit.refresh(ann.refresh(), &meta()).await.unwrap().access(), &meta()).await.unwrap();
    }

    async fn custom_claims_come_back_as_they_were_made(store: Store) {
        let t = build(&store, |_| {}, |b| {
            b.claims(|context| async move {
                if context.roles.iter().any(|role| role == "admin") {
                    return Err(authkit::Error::unavailable("the host's own store is gone"));
                }
                Ok(json!({"tenant": "t-7", "roles_seen": context.roles, "of": context.user_id.to_string()}))
            })
        })
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        let claims: Value = ann.auth.claims().unwrap();
        assert_eq!(claims, json!({"tenant": "t-7", "roles_seen": ["user"], "of": ann.user.id.to_string()}));
        // They stand apart and cannot take the place of ours.
        assert_eq!(part(ann.access(), 1)["ext"], claims);
        assert_eq!(kind(ann.auth.claims::<u32>()), ErrorKind::Internal);
        // A source that fails gives no token.
        t.kit.admin(meta()).grant_role(ann.user.id, "admin").await.unwrap();
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::Unavailable);
        // A node without a source reads them all the same.
        let plain = second_node(&store, &t).await;
        t.kit.admin(meta()).revoke_role(ann.user.id, "admin").await.unwrap();
        let tokens = t.sign_in(ANN).await.unwrap();
        let auth = plain.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(auth.claims::<Value>().unwrap()["tenant"], "t-7");
        let none = plain.kit.authenticate(plain.sign_in(ANN).await.unwrap().access(), &meta()).await.unwrap();
        assert_eq!(kind(none.claims::<std::collections::HashMap<String, Value>>()), ErrorKind::Internal);
    }

    async fn claims_too_big_for_a_header_are_a_fault_of_the_host(store: Store) {
        let t = build(&store, |_| {}, |b| b.claims(|_| async { Ok("x".repeat(9_000)) })).await;
        t.sign_up(ANN).await.unwrap();
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::Internal);
    }

    async fn another_root_key_is_refused_and_changes_nothing(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let mut raw = Raw::open(&store).await;
        let before = raw.dump().await;
        let error = with_roots(&store, &t, &["Wv7cX2bN9mL4kJ1hG6fD3sA8pO5iU0yT-rE_wQzXcVbNm"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        let told = format!("{error} {error:?}");
        assert!(told.contains("TOKEN_PEPPER") && !told.contains("Wv7cX2bN"), "{told}");
        assert!(raw.dump().await == before);
        t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
    }

    async fn a_new_root_takes_over_and_invalidates_nothing(store: Store) {
        const NEW: &str = "Pn3xT8qL1vR6wK9zB4mC7yH2sD5jG0fU-eA_iOtZbXcVn";
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        let old = testing::secrets().token_pepper[0].expose_secret().to_owned();
        let sealed = "SELECT count(DISTINCT sealed) FROM authkit_keys";
        let mut raw = Raw::open(&store).await;
        let before = raw.dump().await;
        let both = with_roots(&store, &t, &[NEW, &old]).await.unwrap();
        let after = raw.dump().await;
        let keys = |dump: &str| dump.lines().filter(|l| l.starts_with("authkit_keys:")).map(str::to_owned).collect::<Vec<_>>();
        assert!(keys(&before).iter().all(|row| !keys(&after).contains(row)), "a key is still under the old root");
        assert_eq!(raw.number(sealed).await, i64::try_from(KeyPurpose::ALL.len()).unwrap());
        both.authenticate(ann.access(), &meta()).await.unwrap();
        let next = both.refresh(ann.refresh(), &meta()).await.unwrap();
        // The process that runs since before goes on with what it has.
        t.clock.advance(Duration::from_secs(1));
        t.kit.authenticate(next.access(), &meta()).await.unwrap();
        let next = t.kit.refresh(next.refresh(), &meta()).await.unwrap();
        // The old root is of no more use, the new one alone is.
        assert_eq!(kind(with_roots(&store, &t, &[&old]).await), ErrorKind::Schema);
        let new = with_roots(&store, &t, &[NEW]).await.unwrap();
        new.authenticate(next.access(), &meta()).await.unwrap();
        new.refresh(next.refresh(), &meta()).await.unwrap();
        // With the order wrong it is taken back, which is also a rotation.
        let back = with_roots(&store, &t, &[&old, NEW]).await.unwrap();
        back.authenticate(next.access(), &meta()).await.unwrap();
        assert_eq!(kind(with_roots(&store, &t, &[NEW]).await), ErrorKind::Schema);
    }

    async fn two_processes_that_start_at_once_share_one_ring(store: Store) {
        let clock = testing::ManualClock::new();
        connect(&store).await.migrate(&clock).await.unwrap();
        let url = store.url().to_owned();
        let kits = authkit_tests::race(6, |_| {
            let (url, clock) = (url.clone(), clock.clone());
            async move {
                let db = authkit::Db::connect(&url).await.unwrap();
                TestKit::attach(db, testing::config(), clock, |b| b).await.unwrap()
            }
        })
        .await;
        let mut raw = Raw::open(&store).await;
        let keys = raw.number("SELECT count(*) FROM authkit_keys").await;
        assert_eq!(keys, i64::try_from(KeyPurpose::ALL.len()).unwrap());
        let ann = kits[0].signed_in(ANN).await.unwrap();
        for t in &kits {
            t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        }
    }
}

async fn with_roots(store: &Store, t: &TestKit, roots: &[&str]) -> authkit::Result<AuthKit> {
    let mut secrets = Secrets::default();
    secrets.token_pepper = roots.iter().map(|root| SecretString::from(*root)).collect();
    let builder = AuthKit::builder(connect(store).await, secrets);
    builder.config(t.kit.config().clone()).clock(t.clock.clone()).build().await
}

#[tokio::test]
async fn s_058_weak_secrets_refuse_to_start_without_showing_them() {
    let store = Store::new(Backend::Sqlite).await;
    let t = kit(&store).await;
    let error = with_roots(&store, &t, &["hunter2-too-short"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(kind(with_roots(&store, &t, &[]).await), ErrorKind::Config);
    for bad in [None, Some("hunter2-too-short")] {
        let mut config = t.kit.config().clone();
        config.tokens.algorithm = JwtAlgorithm::Hs256;
        let mut secrets = testing::secrets();
        secrets.jwt_secret = bad.map(SecretString::from);
        let db = connect(&store).await;
        let error =
            AuthKit::builder(db, secrets).config(config).clock(t.clock.clone()).build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{bad:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn predictable_randomness_is_refused_in_production() {
    let store = Store::new(Backend::Sqlite).await;
    let t = kit(&store).await;
    let mut config = authkit::config::Config::default();
    config.env = authkit::config::Environment::Prod;
    let builder = AuthKit::builder(connect(&store).await, testing::secrets()).config(config);
    let built = builder.clock(t.clock.clone()).random(testing::SeededRandom::new(1)).build().await;
    assert_eq!(kind(built), ErrorKind::Config);
}

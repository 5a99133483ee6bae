//! Sign-up and what a password may be.

use std::time::{Duration, Instant};

use authkit::admin::NewUser;
use authkit::config::EmailVerification;
use authkit::error::FieldCode;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    BreachLookup, Credentials, Error, ErrorKind, Login, PasswordChange, ProfileChange, SignUp, SignedUp,
};
use authkit_tests::{Store, on_both, race};
use futures_util::future::BoxFuture;

use crate::support::{Raw, build, kind, kit, kit_with, meta, secret};

fn codes(error: &Error, pointer: &str) -> Vec<FieldCode> {
    error.fields().iter().filter(|f| f.pointer == pointer).map(|f| f.code).collect()
}

async fn signup_error(t: &TestKit, email: &str, password: &str) -> Vec<FieldCode> {
    let error = t.kit.signup(SignUp::new("Test", email, password), &meta()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Validation);
    assert!(
        !format!("{error} {error:?}").contains(password) || password.is_empty(),
        "an error repeats a password"
    );
    codes(&error, "/password")
}

async fn accepted(t: &TestKit, email: &str, password: &str) {
    let out = t.kit.signup(SignUp::new("Test", email, password), &meta()).await;
    assert!(matches!(out, Ok(SignedUp::Created(_))), "{password:?}: {out:?}");
    t.kit.login(Credentials::new(email, password), &meta()).await.unwrap();
}

/// Varied enough for any strength, of exactly `length` characters.
fn long(length: usize) -> String {
    let mut state = 7_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + u8::try_from((state >> 16) % 94).unwrap())
        })
        .collect()
}

on_both! {
    async fn s_001_with_required_verification_a_known_address_looks_like_a_new_one(store: Store) {
        let t = kit_with(&store, |c| c.accounts.email_verification = Some(EmailVerification::Required)).await;
        let first = t.kit.signup(SignUp::new("First", "Ann@Example.com", PASSWORD), &meta()).await;
        let other = "another quite unrelated phrase";
        let again = t.kit.signup(SignUp::new("Second", " ANN@example.COM ", other), &meta()).await;
        assert_eq!(first.unwrap(), SignedUp::VerificationRequired);
        assert_eq!(again.unwrap(), SignedUp::VerificationRequired);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_passwords").await, 1);
        assert_eq!(raw.audited("user.signup").await, 2);
        let user = t.kit.users().find_by_email("ann@example.com").await.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.email_verified), ("First", false));
        // Told only after the right password.
        assert_eq!(kind(t.sign_in("ann@example.com").await), ErrorKind::EmailUnverified);
        let wrong = t.kit.login(Credentials::new("ann@example.com", other), &meta()).await;
        assert_eq!(kind(wrong), ErrorKind::InvalidCredentials);
        t.kit.admin(meta()).verify_email(user.id).await.unwrap();
        t.sign_in("ann@example.com").await.unwrap();
    }

    async fn without_required_verification_a_taken_address_is_a_conflict_and_parallel_ones_make_one_account(store: Store) {
        let t = kit(&store).await;
        let out = race(20, |i| {
            let kit = t.kit.clone();
            async move {
                let email = if i % 2 == 0 { "bob@example.com" } else { "BOB@EXAMPLE.com" };
                kit.signup(SignUp::new(format!("Bob {i}"), email, PASSWORD), &meta()).await
            }
        })
        .await;
        let made = out.iter().filter(|o| o.is_ok()).count();
        assert_eq!(made, 1);
        for refused in out.into_iter().filter(Result::is_err) {
            assert_eq!(kind(refused), ErrorKind::Conflict);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users").await, 1);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_audit WHERE action = 'user.signup' AND outcome = 'success'").await, 1);
        // Nobody's address, and no other text, is in the audit of refused sign-ups (contract 4.3).
        let details = raw.texts("SELECT details FROM authkit_audit WHERE outcome = 'failure'").await;
        assert_eq!(details.len(), 19);
        for text in &details {
            let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
            let names: std::collections::BTreeSet<_> = members.keys().map(String::as_str).collect();
            assert_eq!(names, ["email_hash", "why"].into(), "{text}");
            assert_eq!(members["why"], "email_taken");
            let hash = members["email_hash"].as_str().unwrap();
            assert!(!hash.contains(['@', ' ']), "{text}");
        }
    }

    async fn s_005_lengths_at_their_edges(store: Store) {
        let t = kit(&store).await;
        assert!(signup_error(&t, "a@example.com", &long(7)).await.contains(&FieldCode::TooShort));
        for length in [8, 64, 128] {
            accepted(&t, &format!("l{length}@example.com"), &long(length)).await;
        }
        assert_eq!(signup_error(&t, "a@example.com", &long(129)).await, [FieldCode::TooLong]);
        // Every character counts, the last one too.
        let mut other = long(127);
        other.push(if long(128).ends_with('x') { 'y' } else { 'x' });
        let out = t.kit.login(Credentials::new("l128@example.com", other.as_str()), &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        // 128 code points of three bytes are within 512 bytes, of four bytes exactly at it.
        let wide: String = (0..128).map(|i| char::from_u32(0x1_F300 + (i * 37) % 500).unwrap()).collect();
        assert_eq!(wide.len(), 512);
        accepted(&t, "wide@example.com", &wide).await;
    }

    async fn s_008_common_passwords_are_refused_at_sign_up_and_at_change(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        for common in ["password1", "Qwertyuiop", "12345678"] {
            assert!(signup_error(&t, "b@example.com", common).await.contains(&FieldCode::TooCommon), "{common}");
            let out = t.kit.change_password(&ann.auth, PasswordChange::new(PASSWORD, common), &meta()).await;
            let error = out.unwrap_err();
            assert!(codes(&error, "/new_password").contains(&FieldCode::TooCommon), "{common}: {error:?}");
            let error = t.kit.admin(meta()).set_password(ann.user.id, &secret(common)).await.unwrap_err();
            assert!(codes(&error, "/password").contains(&FieldCode::TooCommon), "{common}");
            let new = NewUser::new("c@example.com", "C").with_password(common);
            let error = t.kit.admin(meta()).create_user(new).await.unwrap_err();
            assert!(codes(&error, "/password").contains(&FieldCode::TooCommon), "{common}");
        }
        t.sign_in("ann@example.com").await.unwrap();
        assert_eq!(serde_json::to_value(FieldCode::TooCommon).unwrap(), "too_common");
    }

    async fn s_010_breached_passwords_are_refused_and_a_lookup_that_fails_is_audited(store: Store) {
        let leaked = "seven purple elephants dancing";
        let t = build(&store, |_| {}, |b| b.breach_lookup(Lookup::Knows(leaked))).await;
        assert_eq!(signup_error(&t, "a@example.com", leaked).await, [FieldCode::Breached]);
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let out = t.kit.change_password(&ann.auth, PasswordChange::new(PASSWORD, leaked), &meta()).await;
        assert_eq!(codes(&out.unwrap_err(), "/new_password"), [FieldCode::Breached]);
        let out = t.kit.admin(meta()).set_password(ann.user.id, &secret(leaked)).await;
        assert_eq!(codes(&out.unwrap_err(), "/password"), [FieldCode::Breached]);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("password.breach_unknown").await, 0);

        for (i, lookup) in [Lookup::Down, Lookup::Hangs, Lookup::Garbage].into_iter().enumerate() {
            let config = t.kit.config().clone();
            let db = crate::support::connect(&store).await;
            let t = TestKit::attach(db, config, t.clock.clone(), |b| b.breach_lookup(lookup)).await.unwrap();
            let begun = Instant::now();
            // The local list is in force all the same.
            assert!(signup_error(&t, "b@example.com", "password1").await.contains(&FieldCode::TooCommon));
            accepted(&t, &format!("b{i}@example.com"), leaked).await;
            assert!(begun.elapsed() < Duration::from_secs(2), "the sign-up waited for the look-up");
            assert_eq!(raw.audited("password.breach_unknown").await, i64::try_from(i).unwrap() + 1);
        }
    }

    async fn s_011_there_is_no_composition_rule(store: Store) {
        let t = kit(&store).await;
        for (i, fine) in
            ["plain words and gaps", "kzqvwmtrhpxn", "снежный барс на горе", "木 漏れ日 の 庭 に 猫"].into_iter().enumerate()
        {
            accepted(&t, &format!("u{i}@example.com"), fine).await;
        }
        // Spaces at the ends are part of the password (contract 4.2).
        accepted(&t, "spaces@example.com", "  plain words and gaps ").await;
        let trimmed = t.kit.login(Credentials::new("spaces@example.com", "plain words and gaps"), &meta()).await;
        assert_eq!(kind(trimmed), ErrorKind::InvalidCredentials);
    }

    async fn s_012_words_of_the_context_are_refused(store: Store) {
        let t = kit_with(&store, |c| c.passwords.product_name = "Tidewater".into()).await;
        for context in ["7vx%q-MyAuthKit-qx7", "7vx%q-tideWATER-qx7", "7vx%q-Dora.kim-qx7"] {
            let found = signup_error(&t, "dora.kim@example.com", context).await;
            assert!(found.contains(&FieldCode::ContainsContext), "{context}");
        }
        let dora = t.signed_in("dora.kim@example.com").await.unwrap();
        let change = PasswordChange::new(PASSWORD, "7vx%q-dora.kim-qx7");
        let error = t.kit.change_password(&dora.auth, change, &meta()).await.unwrap_err();
        assert!(codes(&error, "/new_password").contains(&FieldCode::ContainsContext));
        accepted(&t, "kim@example.com", "7vx%q-Dora.kim-qx7").await;
    }

    async fn s_013_a_profile_is_data_and_moves_no_state(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        assert_eq!((ann.user.roles.as_slice(), ann.user.email_verified), (["user".to_owned()].as_slice(), false));
        let sly = serde_json::json!({
            "role": "super_admin", "roles": ["super_admin"], "email_verified": true, "id": "x", "org_id": "y",
            "mfa": false, "locked_until": 0, "status": "active", "email": "other@example.com",
        });
        let change = ProfileChange::new(None, Some(sly.clone()));
        let user = t.kit.update_profile(&ann.auth, change, &meta()).await.unwrap();
        assert_eq!(user.profile, sly);
        assert_eq!((user.id, user.email.as_str()), (ann.user.id, "ann@example.com"));
        assert_eq!((user.roles, user.email_verified), (vec!["user".to_owned()], false));
        let stored = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
        assert_eq!((stored.roles, stored.email_verified), (vec!["user".to_owned()], false));
    }

    async fn s_015_every_stored_hash_is_argon2id_with_the_configured_cost_and_its_own_salt(store: Store) {
        let t = kit_with(&store, |c| c.passwords.argon2 = authkit::config::Argon2Config::new(64, 2, 1)).await;
        for i in 0..6 {
            t.sign_up(&format!("u{i}@example.com")).await.unwrap();
        }
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let change = PasswordChange::new(PASSWORD, "another quite unrelated phrase");
        t.kit.change_password(&ann.auth, change, &meta()).await.unwrap();
        t.kit.admin(meta()).set_password(ann.user.id, &secret("yet another long phrase")).await.unwrap();
        let hashes = Raw::open(&store).await.texts("SELECT hash FROM authkit_passwords").await;
        assert_eq!(hashes.len(), 7);
        let mut salts = std::collections::HashSet::new();
        for hash in &hashes {
            let parts: Vec<&str> = hash.split('$').collect();
            assert_eq!(parts[..4], ["", "argon2id", "v=19", "m=64,t=2,p=1"], "{hash}");
            // Base64 without padding: 16 bytes are 22 characters, 32 are 43.
            assert!(parts[4].len() >= 22 && parts[5].len() == 43, "{hash}");
            salts.insert(parts[4]);
        }
        assert_eq!(salts.len(), hashes.len(), "a salt was used twice");
    }

    async fn s_016_weaker_hashes_are_upgraded_by_the_right_password_only(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        for (i, (password, old)) in FOREIGN.iter().enumerate() {
            let email = format!("u{i}@example.com");
            let new = NewUser::new(email.as_str(), "Old").with_password_hash(*old);
            let user = t.kit.admin(meta()).create_user(new).await.unwrap().resource;
            let sql = format!("SELECT hash FROM authkit_passwords WHERE user_id = {}", raw.id(user.id.as_uuid()));
            let wrong = t.kit.login(Credentials::new(email.as_str(), "not the password"), &meta()).await;
            assert_eq!(kind(wrong), ErrorKind::InvalidCredentials);
            assert_eq!(raw.texts(&sql).await, [*old], "a wrong password touched the hash");

            let out = race(20, |_| {
                let (kit, email) = (t.kit.clone(), email.clone());
                async move { kit.login(Credentials::new(email, *password), &meta()).await }
            })
            .await;
            for login in out {
                assert!(matches!(login, Ok(Login::Complete(_))), "{old}: {login:?}");
            }
            let now = raw.texts(&sql).await;
            assert!(now.len() == 1 && now[0].starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{now:?}");
            t.kit.login(Credentials::new(email.as_str(), *password), &meta()).await.unwrap();
            assert_eq!(raw.texts(&sql).await, now, "a hash that is good was made again");
        }
    }

    async fn s_016_a_hash_that_cannot_be_run_is_not_taken_in(store: Store) {
        let t = kit(&store).await;
        for bad in [
            "", "plain text", "$6$salt$hash", "$2b$31$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45K",
            "$argon2id$v=19$m=4194304,t=1,p=1$AAECAwQFBgcICQoLDA0ODw$By3WhQ/Wt+JLAsiQTDMz+4rkJ7J/c8xiTOK2nLi+9vs",
        ] {
            let new = NewUser::new("x@example.com", "X").with_password_hash(bad);
            assert_eq!(kind(t.kit.admin(meta()).create_user(new).await), ErrorKind::Validation, "{bad}");
        }
        // Two ways to set one password are one too many.
        let both = NewUser::new("x@example.com", "X").with_password(PASSWORD).with_password_hash(FOREIGN[0].1);
        assert_eq!(kind(t.kit.admin(meta()).create_user(both).await), ErrorKind::Validation);
    }

    async fn s_017_a_wrong_present_password_changes_nothing_and_is_audited(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let change = PasswordChange::new("not the password", "another quite unrelated phrase");
        let out = t.kit.change_password(&ann.auth, change, &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        t.sign_in("ann@example.com").await.unwrap();
        let mut raw = Raw::open(&store).await;
        let failed = "SELECT count(*) FROM authkit_audit WHERE action = 'password.change' AND outcome = 'failure'";
        assert_eq!(raw.number(failed).await, 1);
        assert_eq!(raw.audited("password.change").await, 1);
    }

    async fn s_018_nobody_can_sign_in_after_install(store: Store) {
        let t = kit(&store).await;
        let mut raw = Raw::open(&store).await;
        for table in ["authkit_users", "authkit_passwords", "authkit_sessions", "authkit_user_roles"] {
            assert_eq!(raw.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        for email in ["admin@example.com", "root@localhost.local", "authkit@example.com"] {
            for password in ["admin", "password", "authkit", "changeme", "admin123"] {
                let out = t.kit.login(Credentials::new(email, password), &meta()).await;
                assert_eq!(kind(out), ErrorKind::InvalidCredentials);
            }
        }
    }

    async fn u_0000_anywhere_is_refused_as_input_and_no_fault_of_the_store(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in("ann@example.com").await.unwrap();
        let (admin, nul) = (t.kit.admin(meta()), "a\0b");
        let out = t.kit.signup(SignUp::new(nul, "n@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Validation);
        let out = t.kit.signup(SignUp::new("N", "n\0@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Validation);
        let out = t.kit.login(Credentials::new("n\0@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Validation);
        let out = t.kit.login(Credentials::new("ann@example.com", nul), &meta()).await;
        assert_eq!(kind(out), ErrorKind::InvalidCredentials);
        assert_eq!(kind(t.kit.refresh(nul, &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(nul, &meta()).await), ErrorKind::Unauthenticated);
        assert!(t.kit.users().find_by_email("n\0@example.com").await.unwrap().is_none());
        assert_eq!(kind(admin.grant_role(ann.user.id, nul).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.revoke_role(ann.user.id, nul).await), ErrorKind::NotFound);
        assert!(t.kit.roles().get(nul).await.unwrap().is_none());
        let new = NewUser::new("n@example.com", "N").with_roles([nul]);
        assert_eq!(kind(admin.create_user(new).await), ErrorKind::NotFound);
        let mut filter = authkit::UserFilter::default();
        filter.role = Some(nul.into());
        assert!(t.kit.users().list(&filter, &authkit::Page::default()).await.unwrap().items.is_empty());
        let mut filter = authkit::UserFilter::default();
        filter.email_prefix = Some(nul.into());
        assert!(t.kit.users().list(&filter, &authkit::Page::default()).await.unwrap().items.is_empty());
        let mut role = authkit::config::RoleDefinition::new("R", ["a:b"]);
        role.description = nul.into();
        assert_eq!(kind(admin.define_role(role).await), ErrorKind::Validation);
        // What only describes a request must not be able to refuse it.
        let odd = meta().with_user_agent(nul).with_request_id(nul).with_operator(nul, Some(nul.into()));
        t.kit.login(Credentials::new("ann@example.com", PASSWORD), &odd).await.unwrap();
    }
}

/// Made with other tools; see the same in the unit tests of the hasher.
const FOREIGN: &[(&str, &str)] = &[
    ("correct horse battery", "$2b$05$gafXTJGDEqDYdvMz6IgbleMsdi5aUF7G2wTvT5ojK0axSUhMWA45K"),
    ("correct horse battery", "$2a$04$4p0zxtZ0m55HWENiVXJjvuIUkekRhAeCXNXc.TAMmZqv49D8khRFC"),
    ("pässwörd→鍵", "$2y$04$OwQGMEi/Bs/K5GykX4rPeu8ikH6a8m/nLEfEbHJRGpGGe2.ucju4G"),
    (
        "correct horse battery",
        "pbkdf2_sha256$1500$Xk3uQ9vB2mTz7LwPq0RsYe$dKoLZ0wZZB4WJqeFm4h54yUojkZ+rfddVBFS+xDDaDQ=",
    ),
    (
        "correct horse battery",
        "$pbkdf2-sha256$i=1000,l=32$AAECAwQFBgcICQoLDA0ODw$AhaeZ02AwPxykuhhDI8XvhQN8GKvmqM+qF6qvs/98I0",
    ),
    (
        "correct horse battery",
        "$scrypt$ln=8,r=8,p=1$SekdYwzhnPPem1PK+R9j7A$Gy9gd8UkgTRYrynl+eSLk/cOYVUi+lPz8V6RRmLXhxg",
    ),
    (
        "pässwörd→鍵",
        "$argon2i$v=19$m=64,t=2,p=2$PivvvRbX1xwEgnOjSF0lYw$jubEK28OKtLXlaE9i28QhHMm1L6aMNOvScqotXDZMpk",
    ),
    // A short tag of an old version, less than what is configured now.
    ("correct horse battery", "$argon2id$v=19$m=64,t=1,p=1$w3FXpof3d2U$jcXoln55aXNQ51MWzTrTfg"),
];

#[derive(Debug)]
enum Lookup {
    Knows(&'static str),
    Down,
    Hangs,
    Garbage,
}

impl BreachLookup for Lookup {
    fn range<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, authkit::Result<String>> {
        Box::pin(async move {
            match self {
                Self::Knows(password) => {
                    let digest =
                        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
                    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
                    let (known, suffix) = hex.split_at(5);
                    Ok(if known == prefix { format!("{suffix}:9\r\n") } else { String::new() })
                }
                Self::Down => Err(Error::unavailable("down")),
                Self::Hangs => std::future::pending().await,
                Self::Garbage => Ok("<html>busy</html>".into()),
            }
        })
    }

    fn time_out(&self) -> Duration {
        Duration::from_millis(20)
    }
}

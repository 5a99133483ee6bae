//! API keys: what they open, what they never open, and when they end.

use std::time::Duration;

use authkit::admin::NewUser;
use authkit::config::{Rate, RoleDefinition};
use authkit::mail::Template;
use authkit::secret::ExposeSecret as _;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    ApiKeyFilter, ApiKeyRequest, ApiKeyStatus, Assurance, Authenticated, Credential, ErrorKind, NewApiKey,
    Page, PasswordChange, Permission, ProfileChange, Role, StepUp, UserId,
};
use authkit_tests::{Store, on_both, race};

use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, second_node, secret};

const ANN: &str = "ann@example.com";
const DAY: Duration = Duration::from_secs(86_400);

/// A kit with a role to give scopes from.
async fn with_roles(store: &Store) -> TestKit {
    kit_with(store, |config| {
        config.accounts.roles.push(RoleDefinition::new("REVIEWER", ["documents:*", "notes:read"]));
    })
    .await
}

async fn reviewer(t: &TestKit, email: &str) -> UserId {
    let new =
        NewUser::new(email, "Person").with_password(PASSWORD).with_roles(["REVIEWER", "user"]).verified();
    t.kit.admin(meta()).create_user(new).await.unwrap().resource.id
}

/// Signed in at this moment.
async fn fresh(t: &TestKit, email: &str) -> Authenticated {
    let tokens = t.sign_in(email).await.unwrap();
    t.kit.authenticate(tokens.access(), &meta()).await.unwrap()
}

async fn make(t: &TestKit, email: &str, scopes: &[&str]) -> NewApiKey {
    let request = ApiKeyRequest::new("a script", scopes.iter().copied());
    t.kit.api_keys().create(&fresh(t, email).await, request, &meta()).await.unwrap()
}

async fn show(t: &TestKit, key: &NewApiKey) -> authkit::Result<Authenticated> {
    t.kit.authenticate(key.key.expose_secret(), &meta()).await
}

on_both! {
    async fn a_key_may_what_its_scopes_and_its_owner_may(store: Store) {
        let t = with_roles(&store).await;
        let node = second_node(&store, &t).await;
        let ann = reviewer(&t, ANN).await;
        let key = make(&t, ANN, &["documents:review", "notes:read"]).await;
        let caller = show(&t, &key).await.unwrap();
        assert_eq!(caller.user_id(), ann);
        assert_eq!(caller.credential(), Credential::ApiKey(key.api_key.id));
        assert_eq!((caller.session_id(), caller.auth_time()), (None, None));
        assert_eq!(caller.expires_at(), key.api_key.expires_at);
        assert!(caller.may("documents:review") && caller.may("notes:read"));
        // The owner may more than the key.
        assert!(!caller.may("documents:write") && !caller.may("*"));
        caller.require(Permission::new("documents:review")).unwrap();
        // A key holds no role and proves no person, however often one steps up.
        assert!(caller.roles().is_empty() && caller.amr().is_empty());
        for refused in [
            caller.require(Role::new("REVIEWER")).map(|_| ()),
            caller.require(Role::new("user")).map(|_| ()),
            caller.require(Assurance::any()).map(|_| ()),
            caller.require(Assurance::mfa().within_minutes(5)).map(|_| ()),
            caller.claims::<serde_json::Value>().map(|_| ()),
        ] {
            assert_eq!(kind(refused), ErrorKind::Forbidden);
        }
        // A demotion acts on the next use, on every node, without waiting for anything.
        assert!(show(&node, &key).await.unwrap().may("documents:review"));
        t.kit.admin(meta()).revoke_role(ann, "REVIEWER").await.unwrap();
        for kit in [&t, &node] {
            let caller = show(kit, &key).await.unwrap();
            assert!(!caller.may("documents:review") && !caller.may("notes:read"));
        }
        // So does another meaning of the role.
        t.kit.admin(meta()).grant_role(ann, "REVIEWER").await.unwrap();
        assert!(show(&node, &key).await.unwrap().may("documents:review"));
        t.kit.admin(meta()).define_role(RoleDefinition::new("REVIEWER", ["notes:read"])).await.unwrap();
        let caller = show(&node, &key).await.unwrap();
        assert!(!caller.may("documents:review") && caller.may("notes:read"));
    }

    async fn s_154_nobody_gives_a_key_more_than_he_has(store: Store) {
        let t = with_roles(&store).await;
        reviewer(&t, ANN).await;
        let ann = fresh(&t, ANN).await;
        for (scopes, beyond) in [
            (&["documents:review", "*"][..], "/scopes/1"),
            (&["notes:write"], "/scopes/0"),
            (&["notes:*"], "/scopes/0"),
            (&["users:read"], "/scopes/0"),
        ] {
            let request = ApiKeyRequest::new("greedy", scopes.iter().copied());
            let refused = t.kit.api_keys().create(&ann, request, &meta()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Forbidden);
            let pointers: Vec<_> = refused.fields().iter().map(|f| f.pointer.as_str()).collect();
            assert_eq!(pointers, [beyond]);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_api_keys").await, 0);
        assert_eq!(raw.audited("api_key.create").await, 4);
        // A part of what one has, a wildcard of it, nothing at all: fine.
        for scopes in [&["documents:review:deep", "documents:*"][..], &[]] {
            make(&t, ANN, scopes).await;
        }
        // A key of everything is for those who may do everything.
        let root = NewUser::new("root@example.com", "Root").with_password(PASSWORD).with_roles(["super_admin"]);
        t.kit.admin(meta()).create_user(root).await.unwrap();
        let all = make(&t, "root@example.com", &["*"]).await;
        assert!(show(&t, &all).await.unwrap().may("anything:at:all"));
        // An operator neither.
        let id = t.kit.users().find_by_email(ANN).await.unwrap().unwrap().id;
        let request = ApiKeyRequest::new("x", ["*"]);
        assert_eq!(kind(t.kit.admin(meta()).create_api_key(id, request).await), ErrorKind::Forbidden);
    }

    async fn bad_requests_are_told_all_at_once(store: Store) {
        let t = with_roles(&store).await;
        reviewer(&t, ANN).await;
        let ann = fresh(&t, ANN).await;
        let mut request = ApiKeyRequest::new("", ["documents review", "documents:review"]);
        request.expires_in = Some(Duration::from_secs(59));
        let refused = t.kit.api_keys().create(&ann, request, &meta()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Validation);
        let pointers: Vec<_> = refused.fields().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/scopes/0", "/expires_in_seconds"]);
        for (request, pointer) in [
            (ApiKeyRequest::new("x", vec!["a:b"; 51]), "/scopes"),
            (ApiKeyRequest::new("x", ["a:b"]).with_expires_in(365 * DAY + Duration::from_secs(1)), "/expires_in_seconds"),
            (ApiKeyRequest::new("x", ["a\0b"]), "/scopes/0"),
            (ApiKeyRequest::new("x\u{7}y", ["a:b"]), "/name"),
        ] {
            let refused = t.kit.api_keys().create(&ann, request, &meta()).await.unwrap_err();
            assert_eq!((refused.kind(), refused.fields()[0].pointer.as_str()), (ErrorKind::Validation, pointer));
        }
    }

    async fn a_key_lives_ninety_days_unless_told_otherwise_and_dies_on_the_dot(store: Store) {
        let t = with_roles(&store).await;
        reviewer(&t, ANN).await;
        let key = make(&t, ANN, &["notes:read"]).await;
        assert_eq!(key.api_key.expires_at.since(key.api_key.created_at), 90 * DAY);
        let short = ApiKeyRequest::new("short", ["notes:read"]).with_expires_in(Duration::from_secs(3600));
        let short = t.kit.api_keys().create(&fresh(&t, ANN).await, short, &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(3600) - Duration::from_micros(1));
        show(&t, &short).await.unwrap();
        t.clock.advance(Duration::from_micros(1));
        assert_eq!(kind(show(&t, &short).await), ErrorKind::Unauthenticated);
        show(&t, &key).await.unwrap();
        let ann = fresh(&t, ANN).await;
        let mine = t.kit.api_keys().own(&ann, &Page::default()).await.unwrap().items;
        assert_eq!(mine.iter().map(|k| k.id).collect::<Vec<_>>(), [key.api_key.id], "what is over is not listed");
        let mut filter = ApiKeyFilter::default();
        filter.ended = true;
        let all = t.kit.admin(meta()).api_keys(&filter, &Page::default()).await.unwrap().items;
        let status_of = |id| all.iter().find(|k| k.id == id).unwrap().status;
        assert_eq!(all.len(), 2);
        assert_eq!(status_of(key.api_key.id), ApiKeyStatus::Active);
        assert_eq!(status_of(short.api_key.id), ApiKeyStatus::Expired);
    }

    async fn a_revoked_key_is_dead_everywhere_at_once(store: Store) {
        let t = with_roles(&store).await;
        let node = second_node(&store, &t).await;
        reviewer(&t, ANN).await;
        reviewer(&t, "bob@example.com").await;
        let (key, kept) = (make(&t, ANN, &["notes:read"]).await, make(&t, ANN, &[]).await);
        show(&node, &key).await.unwrap();
        let (ann, bob) = (fresh(&t, ANN).await, fresh(&t, "bob@example.com").await);
        // Another's key, no key, a dead key: one answer.
        let id = key.api_key.id;
        assert_eq!(kind(t.kit.api_keys().revoke(&bob, id, &meta()).await), ErrorKind::NotFound);
        show(&node, &key).await.unwrap();
        t.kit.api_keys().revoke(&ann, id, &meta()).await.unwrap();
        for kit in [&t, &node] {
            assert_eq!(kind(show(kit, &key).await), ErrorKind::Unauthenticated);
            show(kit, &kept).await.unwrap();
        }
        assert_eq!(kind(t.kit.api_keys().revoke(&ann, id, &meta()).await), ErrorKind::NotFound);
        let none = authkit::ApiKeyId::from_uuid(uuid::Uuid::from_u128(7));
        assert_eq!(kind(t.kit.api_keys().revoke(&ann, none, &meta()).await), ErrorKind::NotFound);
        // An operator's word is news once.
        let admin = t.kit.admin(meta());
        assert!(admin.revoke_api_key(kept.api_key.id).await.unwrap().changed);
        assert!(!admin.revoke_api_key(kept.api_key.id).await.unwrap().changed);
        assert_eq!(admin.api_key(id).await.unwrap().status, ApiKeyStatus::Revoked);
        assert_eq!(Raw::open(&store).await.audited("api_key.revoke").await, 2);
    }

    async fn a_key_stands_and_falls_with_its_account(store: Store) {
        let t = with_roles(&store).await;
        let node = second_node(&store, &t).await;
        let ann = reviewer(&t, ANN).await;
        let admin = t.kit.admin(meta());
        let key = make(&t, ANN, &["notes:read"]).await;
        // Its owner's own change of password spares it; he can revoke it.
        let change = PasswordChange::new(PASSWORD, "another rather long sentence");
        t.kit.change_password(&fresh(&t, ANN).await, change, &meta()).await.unwrap();
        show(&node, &key).await.unwrap();
        // While the account is disabled it opens nothing.
        admin.disable_user(ann).await.unwrap();
        assert_eq!(kind(show(&node, &key).await), ErrorKind::Unauthenticated);
        admin.enable_user(ann).await.unwrap();
        show(&node, &key).await.unwrap();
        // A password that somebody else set: the account may have been in other hands.
        admin.set_password(ann, &secret(PASSWORD)).await.unwrap();
        assert_eq!(kind(show(&node, &key).await), ErrorKind::Unauthenticated);
        let key = make(&t, ANN, &["notes:read"]).await;
        admin.delete_user(ann).await.unwrap();
        assert_eq!(kind(show(&node, &key).await), ErrorKind::Unauthenticated);
        admin.restore_user(ann).await.unwrap();
        assert_eq!(kind(show(&node, &key).await), ErrorKind::Unauthenticated, "it does not come back");
        let key = make(&t, ANN, &["notes:read"]).await;
        // The first step after a restore from backup: no key that was made before opens anything.
        admin.end_all_sessions().await.unwrap();
        for kit in [&t, &node] {
            assert_eq!(kind(show(kit, &key).await), ErrorKind::Unauthenticated);
        }
        let key = make(&t, ANN, &["notes:read"]).await;
        show(&t, &key).await.unwrap();
        admin.delete_user(ann).await.unwrap();
        admin.purge_user(ann).await.unwrap();
        assert_eq!(kind(show(&t, &key).await), ErrorKind::Unauthenticated);
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_api_keys").await, 0);
    }

    async fn s_97_whoever_made_an_account_under_a_foreign_address_loses_its_keys(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        let key = make(&t, ANN, &[]).await;
        show(&t, &key).await.unwrap();
        t.kit.request_password_reset(ANN, &meta()).await.unwrap();
        t.deliver_all().await.unwrap();
        let mail = t.mailbox().newest(Template::ResetPassword, ANN).unwrap();
        let token = mail.link_token().unwrap();
        let proof = authkit::LinkProof::Token(secret(&token));
        t.kit.reset_password(proof, &secret("another rather long sentence"), &meta()).await.unwrap();
        assert_eq!(kind(show(&t, &key).await), ErrorKind::Unauthenticated);
    }

    async fn nothing_that_needs_a_sign_in_opens_to_a_key(store: Store) {
        let t = with_roles(&store).await;
        let root = NewUser::new("root@example.com", "Root").with_password(PASSWORD).with_roles(["super_admin"]);
        t.kit.admin(meta()).create_user(root).await.unwrap();
        let key = make(&t, "root@example.com", &["*"]).await;
        let (k, caller, m) = (&t.kit, show(&t, &key).await.unwrap(), meta());
        let session = t.kit.sessions().of(caller.user_id()).await.unwrap()[0].id;
        let change = PasswordChange::new(PASSWORD, "another rather long sentence");
        for (door, out) in [
            ("profile", kind(k.update_profile(&caller, ProfileChange::new(Some("X".into()), None), &m).await)),
            ("password", kind(k.change_password(&caller, change, &m).await)),
            ("step-up", kind(k.step_up(&caller, StepUp::Password(secret(PASSWORD)), &m).await)),
            ("delete", kind(k.delete_account(&caller, &m).await)),
            ("logout-all", kind(k.logout_all(&caller, &m).await)),
            ("email", kind(k.request_email_change(&caller, "new@example.com", &m).await)),
            ("second factors", kind(k.mfa().status(&caller).await)),
            ("passkeys", kind(k.passkeys().own(&caller).await)),
            ("sessions", kind(k.sessions().own(&caller).await)),
            ("sessions, paged", kind(k.sessions().own_page(&caller, &Page::default()).await)),
            ("end session", kind(k.sessions().end_own(&caller, session, &m).await)),
            ("mint", kind(k.api_keys().create(&caller, ApiKeyRequest::new("x", ["*"]), &m).await)),
            ("list keys", kind(k.api_keys().own(&caller, &Page::default()).await)),
            ("revoke", kind(k.api_keys().revoke(&caller, key.api_key.id, &m).await)),
            ("operate", kind(k.admin_as(&caller, m.clone()).await)),
            ("enrol", kind(k.authenticate_enrolling(key.key.expose_secret(), &m).await)),
        ] {
            assert_eq!(out, ErrorKind::Forbidden, "{door}");
        }
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_api_keys").await, 1);
        show(&t, &key).await.unwrap();
    }

    async fn a_key_is_made_by_who_just_signed_in(store: Store) {
        let t = with_roles(&store).await;
        reviewer(&t, ANN).await;
        let ann = t.sign_in(ANN).await.unwrap();
        t.clock.advance(Duration::from_secs(5 * 60));
        let stale = t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        let request = ApiKeyRequest::new("late", ["notes:read"]);
        assert_eq!(kind(t.kit.api_keys().create(&stale, request, &meta()).await), ErrorKind::StepUpRequired);
        // Listing and revoking need no more than a sign-in.
        let key = make(&t, ANN, &[]).await;
        let stale = t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        assert_eq!(t.kit.api_keys().own(&stale, &Page::default()).await.unwrap().items.len(), 1);
        t.kit.api_keys().revoke(&stale, key.api_key.id, &meta()).await.unwrap();
    }

    async fn forged_keys_cost_no_query_and_get_one_answer(store: Store) {
        let t = with_roles(&store).await;
        reviewer(&t, ANN).await;
        let key = make(&t, ANN, &["notes:read"]).await;
        let text = key.key.expose_secret().to_owned();
        let mut forged = vec!["akk_".to_owned(), format!("{text}A"), text[..text.len() - 1].to_owned()];
        for at in 4..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            forged.push(String::from_utf8(bytes).unwrap());
        }
        // A store that is gone shows who is asked of it.
        t.kit.db().close().await;
        let mut answers = std::collections::BTreeSet::new();
        for forged in forged {
            let refused = t.kit.authenticate(&forged, &meta()).await.unwrap_err();
            answers.insert(format!("{refused:?} {}", refused.public_message()));
        }
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers.first().unwrap().contains("Unauthenticated"));
        assert_eq!(kind(show(&t, &key).await), ErrorKind::Unavailable, "never trusted unasked");
    }

    async fn a_key_has_a_limit_of_its_own(store: Store) {
        let t = kit_with(&store, |config| {
            config.limits.api_key = Rate::new(3, Duration::from_secs(60));
        })
        .await;
        t.sign_up(ANN).await.unwrap();
        let (key, other) = (make(&t, ANN, &[]).await, make(&t, ANN, &[]).await);
        for _ in 0..3 {
            show(&t, &key).await.unwrap();
        }
        let refused = show(&t, &key).await.unwrap_err();
        assert_eq!((refused.kind(), refused.limit().map(|l| l.policy.as_ref())), (ErrorKind::RateLimited, Some("api_key")));
        show(&t, &other).await.unwrap();
        t.clock.advance(Duration::from_secs(20));
        show(&t, &key).await.unwrap();
    }

    async fn the_last_use_is_noted_once_a_minute(store: Store) {
        let t = kit(&store).await;
        let node = second_node(&store, &t).await;
        t.sign_up(ANN).await.unwrap();
        let key = make(&t, ANN, &[]).await;
        let used = async || {
            t.kit.db().drain().await;
            node.kit.db().drain().await;
            t.kit.admin(meta()).api_key(key.api_key.id).await.unwrap().last_used_at
        };
        assert_eq!(used().await, None);
        show(&t, &key).await.unwrap();
        let first = used().await;
        assert_eq!(first, Some(t.kit.now()));
        t.clock.advance(Duration::from_secs(59));
        for kit in [&t, &node] {
            show(kit, &key).await.unwrap();
        }
        assert_eq!(used().await, first);
        t.clock.advance(Duration::from_secs(1));
        show(&node, &key).await.unwrap();
        assert_eq!(used().await, Some(t.kit.now()));
    }

    async fn s_76_the_store_has_no_key_and_the_owner_is_told(store: Store) {
        let t = kit(&store).await;
        t.sign_up(ANN).await.unwrap();
        let key = make(&t, ANN, &[]).await;
        let text = key.key.expose_secret();
        assert!(text.starts_with("akk_") && text.len() == 108, "{}", text.len());
        assert!(!format!("{key:?}").contains(&text[20..]));
        // The middle is nothing but the secret, whichever way its bits fall.
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&text[4..102]).unwrap();
        let hex: String = bytes[25..57].iter().map(|b| format!("{b:02x}")).collect();
        let dump = Raw::open(&store).await.dump().await;
        assert!(dump.contains("authkit_api_keys"));
        for part in [&text[40..80], &hex, &hex.to_uppercase()] {
            assert!(!dump.contains(part));
        }
        t.deliver_all().await.unwrap();
        assert!(t.mailbox().newest(Template::ApiKeyCreated, ANN).is_some());
    }

    async fn a_hundred_keys_and_no_more_under_races(store: Store) {
        let t = kit(&store).await;
        let node = second_node(&store, &t).await;
        t.sign_up(ANN).await.unwrap();
        let ann = fresh(&t, ANN).await;
        for _ in 0..95 {
            t.kit.api_keys().create(&ann, ApiKeyRequest::new("k", [""; 0]), &meta()).await.unwrap();
        }
        let kits = [t.kit.clone(), node.kit.clone()];
        let out = race(20, |i| {
            let (kit, ann) = (kits[i % 2].clone(), ann.clone());
            async move { kit.api_keys().create(&ann, ApiKeyRequest::new("k", [""; 0]), &meta()).await.map(|_| ()) }
        })
        .await;
        assert_eq!(out.iter().filter(|out| out.is_ok()).count(), 5);
        for refused in out.into_iter().filter_map(Result::err) {
            assert_eq!(refused.kind(), ErrorKind::Conflict);
        }
        let page = t.kit.api_keys().own(&ann, &Page::new(60, None).unwrap()).await.unwrap();
        let rest = Page::new(60, page.next_cursor).unwrap();
        assert_eq!((page.items.len(), t.kit.api_keys().own(&ann, &rest).await.unwrap().items.len()), (60, 40));
    }

    async fn a_service_account_has_keys_and_no_password(store: Store) {
        let t = with_roles(&store).await;
        let new = NewUser::new("robot@example.com", "Robot").with_roles(["REVIEWER"]).verified();
        let robot = t.kit.admin(meta()).create_user(new).await.unwrap().resource.id;
        let admin = t.kit.admin(meta().with_operator("cli:root@host", Some("nightly export".into())));
        let made = admin.create_api_key(robot, ApiKeyRequest::new("export", ["notes:read"])).await.unwrap();
        assert!(show(&t, &made.resource).await.unwrap().may("notes:read"));
        let none = UserId::from_uuid(uuid::Uuid::from_u128(7));
        let request = ApiKeyRequest::new("x", ["notes:read"]);
        assert_eq!(kind(admin.create_api_key(none, request.clone()).await), ErrorKind::NotFound);
        admin.disable_user(robot).await.unwrap();
        assert_eq!(kind(admin.create_api_key(robot, request).await), ErrorKind::Conflict);
        // A rehearsal leaves no key behind.
        admin.enable_user(robot).await.unwrap();
        let rehearsed = admin.clone().dry_run().create_api_key(robot, ApiKeyRequest::new("x", [""; 0])).await.unwrap();
        assert_eq!(kind(show(&t, &rehearsed.resource).await), ErrorKind::Unauthenticated);
    }
}

//! What every event leaves behind in the audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use authkit::admin::NewUser;
use authkit::audit::AuditFilter;
use authkit::config::RoleDefinition;
use authkit::events::{Action, Outcome};
use authkit::testing::PASSWORD;
use authkit::{Credentials, KeyPurpose, Page, PasswordChange, ProfileChange, SignUp, StepUp};
use authkit_tests::{Store, on_both};

use crate::support::{Raw, Texts as _, build, change, kit, meta, secret};

const ANN: &str = "ann@example.com";

on_both! {
    async fn s_171_each_event_is_audited_exactly_once(store: Store) {
        let t = kit(&store).await;
        let here = meta().with_request_id("request-77").with_ip("203.0.113.7".parse().unwrap());
        let by = meta().with_request_id("request-77").with_operator("cli:root@host", Some("a ticket".into()));
        let (kit, admin) = (t.kit.clone(), t.kit.admin(by));
        let mut expected: Vec<(&str, &str, String)> = Vec::new();
        let (op, anonymous) = ("cli:root@host".to_owned(), "anonymous".to_owned());

        let authkit::SignedUp::Created(ann) = kit.signup(SignUp::new("Ann", ANN, PASSWORD), &here).await.unwrap() else {
            panic!("not created")
        };
        let me = format!("user:{}", ann.id);
        expected.push(("user.signup", "success", me.clone()));
        let _ = kit.signup(SignUp::new("Ann", ANN, PASSWORD), &here).await;
        expected.push(("user.signup", "failure", anonymous.clone()));
        let _ = kit.login(Credentials::new(ANN, "wrong"), &here).await;
        expected.push(("login", "failure", anonymous.clone()));
        let authkit::Login::Complete(tokens) = kit.login(Credentials::new(ANN, PASSWORD), &here).await.unwrap() else {
            panic!("a second factor?")
        };
        expected.push(("login", "success", me.clone()));
        // Neither a refresh nor a look is an event.
        let tokens = kit.refresh(tokens.refresh(), &here).await.unwrap();
        let auth = kit.authenticate(tokens.access(), &here).await.unwrap();
        kit.sessions().own(&auth).await.unwrap();
        kit.update_profile(&auth, ProfileChange::new(Some("Ann B".into()), None), &here).await.unwrap();
        expected.push(("user.update", "success", me.clone()));
        let _ = kit.step_up(&auth, StepUp::Password(secret("wrong")), &here).await;
        expected.push(("step_up", "failure", me.clone()));
        let _ = kit.change_password(&auth, PasswordChange::new("wrong", "another long phrase here"), &here).await;
        expected.push(("password.change", "failure", me.clone()));
        let tokens = kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &here).await.unwrap();
        expected.push(("step_up", "success", me.clone()));
        let auth = kit.authenticate(tokens.access(), &here).await.unwrap();
        kit.change_password(&auth, PasswordChange::new(PASSWORD, "another long phrase here"), &here).await.unwrap();
        expected.push(("password.change", "success", me.clone()));
        kit.logout(tokens.refresh(), &here).await.unwrap();
        expected.push(("logout", "success", me.clone()));
        kit.logout(tokens.refresh(), &here).await.unwrap();
        let _ = kit.refresh(tokens.refresh(), &here).await;
        expected.push(("refresh.refused", "failure", anonymous.clone()));

        for twice in 0..2 {
            admin.verify_email(ann.id).await.unwrap();
            admin.grant_role(ann.id, "admin").await.unwrap();
            admin.update_user(ann.id, change(Some("Ann C"), None)).await.unwrap();
            admin.disable_user(ann.id).await.unwrap();
            if twice == 0 {
                for action in ["email.verify", "role.grant", "user.update", "user.disable"] {
                    expected.push((action, "success", op.clone()));
                }
            }
        }
        admin.enable_user(ann.id).await.unwrap();
        admin.revoke_role(ann.id, "admin").await.unwrap();
        admin.set_password(ann.id, &secret("yet another long phrase")).await.unwrap();
        admin.delete_user(ann.id).await.unwrap();
        admin.restore_user(ann.id).await.unwrap();
        for action in ["user.enable", "role.revoke", "password.set", "user.delete", "user.restore"] {
            expected.push((action, "success", op.clone()));
        }
        let made = admin.create_user(NewUser::new("b@example.com", "B")).await.unwrap().resource.id;
        admin.define_role(RoleDefinition::new("R", ["a:b"])).await.unwrap();
        admin.rotate_key(KeyPurpose::Lookup).await.unwrap();
        admin.delete_user(made).await.unwrap();
        admin.purge_user(made).await.unwrap();
        for action in ["user.create", "role.define", "key.rotate", "user.delete", "user.purge"] {
            expected.push((action, "success", op.clone()));
        }

        let mut page = Page::new(200, None).unwrap();
        page.cursor = None;
        let mut events = kit.audit(&AuditFilter::default(), &page).await.unwrap().items;
        events.reverse();
        let found: Vec<(&str, &str, String)> =
            events.iter().map(|e| (e.action.name(), e.outcome.name(), e.actor.clone())).collect();
        let mut sorted = (found.clone(), expected.clone());
        sorted.0.sort();
        sorted.1.sort();
        assert_eq!(sorted.0, sorted.1);
        for event in &events {
            assert_eq!(event.request_id.as_deref(), Some("request-77"), "{event:?}");
            let operators = event.actor == op;
            assert_eq!(event.reason.as_deref(), operators.then_some("a ticket"), "{event:?}");
            let nobody = matches!(event.action, Action::RoleDefine | Action::KeyRotate)
                || (event.action == Action::UserSignUp && event.outcome == Outcome::Failure);
            assert_eq!(event.user_id.is_none(), nobody, "{event:?}");
            assert_eq!(event.ip.is_some(), !operators, "{event:?}");
            let line = serde_json::to_string(event).unwrap();
            assert!(!line.contains('\n') && !line.contains("phrase") && !line.contains(PASSWORD), "{line}");
        }
    }

    async fn s_176_what_cannot_be_audited_is_refused(store: Store) {
        let published = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&published);
        let t = build(&store, |_| {}, |b| b.on_event(move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
        }))
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        let old = t.signed_in("old@example.com").await.unwrap();
        t.kit.refresh(old.refresh(), &meta()).await.unwrap();
        let admin = t.kit.admin(meta());
        let gone = t.sign_up("gone@example.com").await.unwrap().id;
        admin.delete_user(gone).await.unwrap();
        t.clock.advance(Duration::from_secs(60));
        t.kit.refresh_views().await.unwrap();
        let mut raw = Raw::open(&store).await;
        let rest = |dump: String| dump.lines().filter(|l| !l.contains("authkit_audit")).map(str::to_owned).collect::<Vec<_>>();
        let before = rest(raw.dump().await);
        let count = published.load(Ordering::SeqCst);
        raw.run("ALTER TABLE authkit_audit RENAME TO authkit_audit_gone").await;
        let id = ann.user.id;
        assert!(t.kit.signup(SignUp::new("N", "n@example.com", PASSWORD), &meta()).await.is_err());
        assert!(t.kit.login(Credentials::new(ANN, PASSWORD), &meta()).await.is_err());
        assert!(t.kit.login(Credentials::new(ANN, "wrong"), &meta()).await.is_err());
        assert!(t.kit.logout(ann.refresh(), &meta()).await.is_err());
        assert!(t.kit.logout_all(&ann.auth, &meta()).await.is_err());
        assert!(t.kit.change_password(&ann.auth, PasswordChange::new(PASSWORD, "another long phrase"), &meta()).await.is_err());
        assert!(t.kit.step_up(&ann.auth, StepUp::Password(secret(PASSWORD)), &meta()).await.is_err());
        assert!(t.kit.update_profile(&ann.auth, ProfileChange::new(Some("X".into()), None), &meta()).await.is_err());
        assert!(t.kit.delete_account(&ann.auth, &meta()).await.is_err());
        assert!(t.kit.sessions().end_own(&ann.auth, ann.tokens.session_id, &meta()).await.is_err());
        assert!(t.kit.refresh(old.refresh(), &meta()).await.is_err(), "a replay");
        assert!(admin.create_user(NewUser::new("n@example.com", "N")).await.is_err());
        assert!(admin.update_user(id, change(Some("X"), Some("x@example.com"))).await.is_err());
        assert!(admin.disable_user(id).await.is_err());
        assert!(admin.delete_user(id).await.is_err());
        assert!(admin.restore_user(gone).await.is_err());
        assert!(admin.purge_user(gone).await.is_err());
        assert!(admin.set_password(id, &secret("another long phrase")).await.is_err());
        assert!(admin.verify_email(id).await.is_err());
        assert!(admin.grant_role(id, "admin").await.is_err());
        assert!(admin.revoke_role(id, "user").await.is_err());
        assert!(admin.define_role(RoleDefinition::new("R", ["a:b"])).await.is_err());
        assert!(admin.end_session(ann.tokens.session_id).await.is_err());
        assert!(admin.end_sessions_of(id).await.is_err());
        assert!(admin.end_all_sessions().await.is_err());
        assert!(admin.rotate_key(KeyPurpose::Jwt).await.is_err());
        raw.run("ALTER TABLE authkit_audit_gone RENAME TO authkit_audit").await;
        assert_eq!(rest(raw.dump().await), before, "something was done silently");
        assert_eq!(published.load(Ordering::SeqCst), count, "an event went out for what was undone");
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
    }
}

//! What operators do, and what every event leaves behind: audit, hooks, messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use authkit::admin::{NewUser, UserChange};
use authkit::audit::AuditFilter;
use authkit::config::RoleDefinition;
use authkit::events::{Action, Outcome};
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    AnyRole, Assurance, Credentials, ErrorKind, Event, Hook, KeyPurpose, Page, PasswordChange, Permission,
    ProfileChange, Role, SessionId, SignUp, StepUp, Tx, UserFilter, UserId, UserStatus,
};
use authkit_tests::{Backend, Store, on_both, race};
use futures_util::future::BoxFuture;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Raw, Texts as _, build, kind, kit, kit_with, meta, second_node, secret};

const ANN: &str = "ann@example.com";

fn change(name: Option<&str>, email: Option<&str>) -> UserChange {
    let mut change = UserChange::default();
    change.name = name.map(Into::into);
    change.email = email.map(Into::into);
    change
}

/// Makes an account with these roles and the password of tests.
async fn person(t: &TestKit, email: &str, roles: &[&str]) -> UserId {
    let new = NewUser::new(email, "Person").with_password(PASSWORD).with_roles(roles.iter().copied());
    t.kit.admin(meta()).create_user(new).await.unwrap().resource.id
}

on_both! {
    async fn each_operation_tells_whether_it_changed_something(store: Store) {
        let t = kit(&store).await;
        let admin = t.kit.admin(meta());
        let made = admin.create_user(NewUser::new(ANN, "Ann").with_password(PASSWORD)).await.unwrap();
        let id = made.resource.id;
        assert!(made.changed);
        assert_eq!((made.resource.roles.as_slice(), made.resource.status), (["user".to_owned()].as_slice(), UserStatus::Active));
        assert_eq!(kind(admin.create_user(NewUser::new(" ANN@example.com", "Ann")).await), ErrorKind::Conflict);

        let out = admin.update_user(id, change(Some("Ann B."), None)).await.unwrap();
        assert_eq!((out.changed, out.resource.name.as_str()), (true, "Ann B."));
        assert!(!admin.update_user(id, change(Some("Ann B."), Some(ANN))).await.unwrap().changed);
        let mut profile = UserChange::default();
        profile.profile = Some(json!({"team": 7}));
        assert!(admin.update_user(id, profile.clone()).await.unwrap().changed);
        assert!(!admin.update_user(id, profile).await.unwrap().changed);
        let mut bad = change(Some(""), Some("no address"));
        bad.profile = Some(json!([]));
        assert_eq!(admin.update_user(id, bad).await.unwrap_err().fields().len(), 3, "all faults at once");

        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.verify_email(id).await.unwrap();
            assert_eq!((out.changed, out.resource.email_verified), (expected, true), "verify {n}");
        }
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.disable_user(id).await.unwrap();
            assert_eq!((out.changed, out.resource.status), (expected, UserStatus::Disabled), "disable {n}");
        }
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.enable_user(id).await.unwrap();
            assert_eq!((out.changed, out.resource.status), (expected, UserStatus::Active), "enable {n}");
        }
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.grant_role(id, "admin").await.unwrap();
            assert_eq!((out.changed, out.resource.roles.len()), (expected, 2), "grant {n}");
        }
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.revoke_role(id, "admin").await.unwrap();
            assert_eq!((out.changed, out.resource.roles.len()), (expected, 1), "revoke {n}");
        }
        assert_eq!(kind(admin.grant_role(id, "nobody").await), ErrorKind::NotFound);
        assert_eq!(kind(admin.revoke_role(id, "nobody").await), ErrorKind::NotFound);
        assert!(admin.set_password(id, &secret("another quite unrelated phrase")).await.unwrap().changed);

        let tokens = t.kit.login(Credentials::new(ANN, "another quite unrelated phrase"), &meta()).await;
        let authkit::Login::Complete(tokens) = tokens.unwrap() else { panic!("a second factor?") };
        assert!(admin.end_session(tokens.session_id).await.unwrap().changed);
        assert!(!admin.end_session(tokens.session_id).await.unwrap().changed);
        let nobodys = SessionId::from_uuid(Uuid::from_u128(9));
        assert_eq!(kind(admin.end_session(nobodys).await), ErrorKind::NotFound);
        t.kit.login(Credentials::new(ANN, "another quite unrelated phrase"), &meta()).await.unwrap();
        assert_eq!(admin.end_sessions_of(id).await.unwrap(), 1);
        assert_eq!(admin.end_sessions_of(id).await.unwrap(), 0);

        assert_eq!(kind(admin.purge_user(id).await), ErrorKind::Conflict, "only what was deleted is purged");
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.delete_user(id).await.unwrap();
            assert_eq!((out.changed, out.resource.status), (expected, UserStatus::Deleted), "delete {n}");
        }
        assert_eq!(kind(admin.disable_user(id).await), ErrorKind::Conflict);
        assert_eq!(kind(admin.enable_user(id).await), ErrorKind::Conflict);
        assert_eq!(kind(admin.update_user(id, change(Some("New"), None)).await), ErrorKind::Conflict);
        for (n, expected) in [(1, true), (2, false)] {
            let out = admin.restore_user(id).await.unwrap();
            assert_eq!((out.changed, out.resource.status), (expected, UserStatus::Active), "restore {n}");
        }
        t.kit.login(Credentials::new(ANN, "another quite unrelated phrase"), &meta()).await.unwrap();

        let nobody = UserId::from_uuid(Uuid::from_u128(9));
        assert_eq!(kind(admin.update_user(nobody, change(Some("X"), None)).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.disable_user(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.enable_user(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.delete_user(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.restore_user(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.purge_user(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.verify_email(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.grant_role(nobody, "user").await), ErrorKind::NotFound);
        assert_eq!(kind(admin.revoke_role(nobody, "user").await), ErrorKind::NotFound);
        assert_eq!(kind(admin.set_password(nobody, &secret("some long new phrase")).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.end_sessions_of(nobody).await), ErrorKind::NotFound);
    }

    async fn restoring_a_disabled_account_does_not_enable_it(store: Store) {
        let t = kit(&store).await;
        let ann = t.sign_up(ANN).await.unwrap();
        let admin = t.kit.admin(meta());
        admin.disable_user(ann.id).await.unwrap();
        admin.delete_user(ann.id).await.unwrap();
        let restored = admin.restore_user(ann.id).await.unwrap();
        assert_eq!((restored.changed, restored.resource.status), (true, UserStatus::Disabled));
        assert!(!admin.restore_user(ann.id).await.unwrap().changed);
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::InvalidCredentials);
        admin.enable_user(ann.id).await.unwrap();
        t.sign_in(ANN).await.unwrap();
    }

    async fn a_deleted_account_is_out_of_sight_until_it_is_restored(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(Duration::from_secs(301));
        let tokens = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
        let up = t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        let auth = t.kit.authenticate(up.access(), &meta()).await.unwrap();
        t.kit.delete_account(&auth, &meta()).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(up.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.kit.refresh(up.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::InvalidCredentials);
        // The address is still taken.
        let again = t.kit.signup(SignUp::new("Ann", ANN, PASSWORD), &meta()).await;
        assert_eq!(kind(again), ErrorKind::Conflict);
        let listed = t.kit.users().list(&UserFilter::default(), &Page::default()).await.unwrap();
        assert!(listed.items.is_empty());
        assert_eq!(t.kit.users().get(ann.user.id).await.unwrap().unwrap().status, UserStatus::Deleted);
        t.kit.admin(meta()).restore_user(ann.user.id).await.unwrap();
        // Sessions do not come back.
        assert_eq!(kind(t.kit.refresh(up.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        t.sign_in(ANN).await.unwrap();
    }

    async fn a_purge_leaves_nothing_of_the_person(store: Store) {
        let t = kit(&store).await;
        let here = meta().with_ip("203.0.113.77".parse().unwrap()).with_user_agent("Peculiar/7.7");
        let new = NewUser::new("peculiar@example.com", "Peculiar Person").with_password(PASSWORD);
        let id = t.kit.admin(here.clone()).create_user(new).await.unwrap().resource.id;
        let mut facts = UserChange::default();
        facts.profile = Some(json!({"hobby": "peculiar-hobby"}));
        t.kit.admin(meta()).update_user(id, facts).await.unwrap();
        t.kit.admin(meta()).grant_role(id, "admin").await.unwrap();
        for _ in 0..2 {
            t.kit.login(Credentials::new("peculiar@example.com", PASSWORD), &here).await.unwrap();
        }
        let wrong = t.kit.login(Credentials::new("peculiar@example.com", "wrong"), &here).await;
        assert_eq!(kind(wrong), ErrorKind::InvalidCredentials);
        let other = t.signed_in("other@example.com").await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert!(raw.dump().await.to_lowercase().contains("peculiar"));
        t.kit.admin(meta()).delete_user(id).await.unwrap();
        t.kit.admin(meta()).purge_user(id).await.unwrap();

        let (dump, literal) = (raw.dump().await, raw.id(id.as_uuid()));
        assert!(!dump.to_lowercase().contains("peculiar"), "personal data stayed");
        assert!(!dump.contains("203.0.113.77"), "an address stayed");
        let mut checked = Vec::new();
        for table in raw.tables().await {
            for column in raw.columns(&table).await {
                if column != "user_id" && !(table == "authkit_users" && column == "id") {
                    continue;
                }
                let count = raw.number(&format!("SELECT count(*) FROM {table} WHERE {column} = {literal}")).await;
                match table.as_str() {
                    // A token of the account may still be unexpired; events stay, without personal data.
                    "authkit_revocations" | "authkit_audit" => assert!(count > 0, "{table}"),
                    _ => assert_eq!(count, 0, "{table} keeps an orphan"),
                }
                checked.push(table.clone());
            }
        }
        assert!(checked.len() >= 6, "{checked:?}");
        if let Raw::Sqlite(_) = raw {
            assert!(raw.texts("SELECT \"table\" FROM pragma_foreign_key_check").await.is_empty());
        }
        t.kit.authenticate(other.access(), &meta()).await.unwrap();
        // The address is free again, for another account.
        let again = t.sign_up("peculiar@example.com").await.unwrap();
        assert_ne!(again.id, id);
    }

    async fn the_last_super_admin_stays(store: Store) {
        let t = kit(&store).await;
        let admin = t.kit.admin(meta());
        let root = person(&t, "root@example.com", &["super_admin", "user"]).await;
        assert_eq!(kind(admin.revoke_role(root, "super_admin").await), ErrorKind::Conflict);
        assert_eq!(kind(admin.disable_user(root).await), ErrorKind::Conflict);
        assert_eq!(kind(admin.delete_user(root).await), ErrorKind::Conflict);
        let tokens = t.sign_in("root@example.com").await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::Conflict);
        // Refused means untouched.
        t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
        // One who cannot sign in does not count.
        let second = person(&t, "second@example.com", &["super_admin"]).await;
        admin.disable_user(second).await.unwrap();
        assert_eq!(kind(admin.revoke_role(root, "super_admin").await), ErrorKind::Conflict);
        admin.enable_user(second).await.unwrap();
        assert!(admin.revoke_role(root, "super_admin").await.unwrap().changed);
        assert_eq!(kind(admin.delete_user(second).await), ErrorKind::Conflict);
        // Other roles are nobody's concern.
        assert!(admin.revoke_role(root, "user").await.unwrap().changed);
        admin.delete_user(root).await.unwrap();
    }

    async fn two_operators_who_depose_each_other_never_both_succeed(store: Store) {
        let t = kit(&store).await;
        let node = second_node(&store, &t).await;
        let ids = [
            person(&t, "a@example.com", &["super_admin"]).await,
            person(&t, "b@example.com", &["super_admin"]).await,
        ];
        let mut raw = Raw::open(&store).await;
        for round in 0..200 {
            let kits = [t.kit.clone(), node.kit.clone()];
            let out = race(2, |i| {
                let (admin, id) = (kits[i].admin(meta()), ids[1 - i]);
                async move {
                    match (round + i) % 3 {
                        0 => admin.revoke_role(id, "super_admin").await.map(|out| out.changed),
                        1 => admin.disable_user(id).await.map(|out| out.changed),
                        _ => admin.delete_user(id).await.map(|out| out.changed),
                    }
                }
            })
            .await;
            let done = out.iter().filter(|o| matches!(o, Ok(true))).count();
            assert_eq!(done, 1, "round {round}: {out:?}");
            for refused in out.into_iter().filter(Result::is_err) {
                assert_eq!(kind(refused), ErrorKind::Conflict);
            }
            let able = "SELECT count(*) FROM authkit_user_roles r JOIN authkit_users u ON u.id = r.user_id
                WHERE r.role = 'super_admin' AND u.status = 'active'";
            assert_eq!(raw.number(able).await, 1, "round {round}");
            for id in ids {
                let admin = t.kit.admin(meta());
                admin.restore_user(id).await.unwrap();
                admin.enable_user(id).await.unwrap();
                admin.grant_role(id, "super_admin").await.unwrap();
            }
        }
    }

    async fn roles_and_permissions_are_checked_as_values(store: Store) {
        let reviewer = RoleDefinition::new("REVIEWER", ["documents:review", "exams:*"]);
        let t = kit_with(&store, |c| {
            c.accounts.roles.push(reviewer.clone());
            c.accounts.default_roles.push("REVIEWER".into());
        })
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!(ann.auth.roles(), ["REVIEWER", "user"]);
        ann.auth.require(Role::new("REVIEWER")).unwrap().require(AnyRole::new(["admin", "user"])).unwrap();
        ann.auth.require(Permission::new("exams:grade:all")).unwrap();
        ann.auth.require(Assurance::any().within_minutes(5)).unwrap();
        for refused in [
            ann.auth.require(Role::new("super_admin")),
            ann.auth.require(Role::new("reviewer")),
            ann.auth.require(AnyRole::new(["admin", "super_admin"])),
            ann.auth.require(AnyRole::new(Vec::<String>::new())),
            ann.auth.require(Permission::new("documents:delete")),
            ann.auth.require(Permission::new("documents:*")),
        ] {
            assert_eq!(kind(refused.cloned()), ErrorKind::Forbidden);
        }
        let root = person(&t, "root@example.com", &["super_admin"]).await;
        let tokens = t.sign_in("root@example.com").await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        assert_eq!(auth.user_id(), root);
        auth.require(Permission::new("anything:at:all")).unwrap();
        assert_eq!(kind(auth.require(Role::new("REVIEWER")).cloned()), ErrorKind::Forbidden);

        let admin = t.kit.admin(meta());
        assert!(!admin.define_role(reviewer).await.unwrap().changed);
        assert!(admin.define_role(RoleDefinition::new("REVIEWER", ["documents:read"])).await.unwrap().changed);
        for built_in in ["super_admin", "admin", "user"] {
            let out = admin.define_role(RoleDefinition::new(built_in, ["*"])).await;
            assert_eq!(kind(out), ErrorKind::Conflict);
        }
        assert_eq!(kind(admin.define_role(RoleDefinition::new("a b", ["x:y"])).await), ErrorKind::Validation);
        assert_eq!(kind(admin.define_role(RoleDefinition::new("X", ["a b", "*a"])).await), ErrorKind::Validation);
        let names: Vec<String> = t.kit.roles().list().await.unwrap().into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["REVIEWER", "admin", "super_admin", "user"]);
    }

    async fn a_default_role_that_nobody_defined_is_a_fault_of_the_settings(store: Store) {
        let t = kit(&store).await;
        let mut config = t.kit.config().clone();
        config.accounts.default_roles = vec!["GHOST".into()];
        let db = crate::support::connect(&store).await;
        let built = TestKit::attach(db, config, t.clock.clone(), |b| b).await;
        assert_eq!(kind(built), ErrorKind::Config);
    }

    async fn a_new_address_is_unproved_and_ends_all_sessions(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.sign_up("taken@example.com").await.unwrap();
        let admin = t.kit.admin(meta());
        admin.verify_email(ann.user.id).await.unwrap();
        let taken = admin.update_user(ann.user.id, change(None, Some("TAKEN@example.com"))).await;
        assert_eq!(kind(taken), ErrorKind::Conflict);
        let kept = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        let out = admin.update_user(ann.user.id, change(None, Some("new@example.com"))).await.unwrap();
        assert_eq!((out.changed, out.resource.email.as_str(), out.resource.email_verified), (true, "new@example.com", false));
        assert_eq!(kind(t.kit.refresh(kept.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(kept.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.sign_in(ANN).await), ErrorKind::InvalidCredentials);
        t.sign_in("new@example.com").await.unwrap();
        t.sign_up(ANN).await.unwrap();
    }

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
        // A counter may move: an attempt that could not be settled is still one.
        let counters = ["authkit_audit", "authkit_lockouts"];
        let rest = |dump: String| {
            let lines = dump.lines().filter(|l| !counters.iter().any(|table| l.contains(table)));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
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

    async fn a_hook_writes_in_the_transaction_and_its_error_undoes_the_effect_alone(store: Store) {
        let (t, calls) = hooked(&store, |event| match event.action {
            Action::RoleGrant => Answer::Refuse,
            Action::RoleRevoke => Answer::BadStatement,
            Action::EmailVerify => Answer::Panic,
            _ => Answer::Write,
        })
        .await;
        let mut events = t.kit.subscribe();
        let ann = t.signed_in(ANN).await.unwrap();
        let mut raw = Raw::open(&store).await;
        // Sign-up and sign-in, each in its own transaction.
        assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2);
        // A refusal is no granted effect.
        assert_eq!(kind(t.kit.login(Credentials::new(ANN, "wrong"), &meta()).await), ErrorKind::InvalidCredentials);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        while events.try_recv().is_ok() {}

        let admin = t.kit.admin(meta());
        for (n, (action, expected)) in
            [("role.grant", ErrorKind::Forbidden), ("role.revoke", ErrorKind::Internal), ("email.verify", ErrorKind::Internal)]
                .into_iter()
                .enumerate()
        {
            let out = match n {
                0 => admin.grant_role(ann.user.id, "admin").await,
                1 => admin.revoke_role(ann.user.id, "user").await,
                _ => admin.verify_email(ann.user.id).await,
            };
            assert_eq!(kind(out), expected, "{action}");
            let user = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
            assert_eq!((user.roles.as_slice(), user.email_verified), (["user".to_owned()].as_slice(), false), "{action}");
            // What the hook wrote before its error went, too; the refusal is audited and told.
            assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2, "{action}");
            let sql = format!("SELECT outcome FROM authkit_audit WHERE action = '{action}'");
            assert_eq!(raw.texts(&sql).await, ["failure"], "{action}");
            let event = events.try_recv().unwrap();
            assert_eq!((event.action.name(), event.outcome), (action, Outcome::Failure));
            assert!(events.try_recv().is_err(), "{action}: an event of what was undone went out");
        }
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        // What authkit itself refuses is none of the hook's doing.
        let unknown = UserId::from_uuid(Uuid::from_u128(3));
        assert_eq!(kind(admin.delete_user(unknown).await), ErrorKind::NotFound);
        assert_eq!(raw.audited("user.delete").await, 0);
        // Nothing hangs over from all this.
        admin.disable_user(ann.user.id).await.unwrap();
        assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 3);
    }

    async fn sinks_see_what_is_durable_and_a_panicking_one_harms_nobody(store: Store) {
        let seen: Arc<Mutex<Vec<(Action, Outcome)>>> = Arc::default();
        let log = Arc::clone(&seen);
        let t = build(&store, |_| {}, |b| {
            b.on_event(|_| panic!("a sink of the host")).on_event(move |event| {
                log.lock().unwrap().push((event.action, event.outcome));
            })
        })
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        assert_eq!(kind(t.kit.login(Credentials::new(ANN, "wrong"), &meta()).await), ErrorKind::InvalidCredentials);
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        let seen = seen.lock().unwrap();
        let expected = [
            (Action::UserSignUp, Outcome::Success),
            (Action::Login, Outcome::Success),
            (Action::Login, Outcome::Failure),
            (Action::Logout, Outcome::Success),
        ];
        assert_eq!(*seen, expected);
    }

    async fn lists_come_in_pages_whose_cursors_fit_their_list_only(store: Store) {
        let t = kit(&store).await;
        for i in 0..7 {
            t.clock.advance(Duration::from_secs(1));
            t.signed_in(&format!("{}{i}@example.com", ["ann", "bob"][i % 2])).await.unwrap();
        }
        let users = t.kit.users();
        let all = UserFilter::default();
        let mut found = Vec::new();
        let mut page = Page::new(3, None).unwrap();
        loop {
            let listing = users.list(&all, &page).await.unwrap();
            assert!(listing.items.len() <= 3);
            found.extend(listing.items.into_iter().map(|u| u.email));
            let Some(cursor) = listing.next_cursor else { break };
            page.cursor = Some(cursor);
        }
        let expected: Vec<String> = (0..7).map(|i| format!("{}{i}@example.com", ["ann", "bob"][i % 2])).collect();
        assert_eq!(found, expected, "oldest first, each once");

        let cursor = users.list(&all, &Page::new(2, None).unwrap()).await.unwrap().next_cursor.unwrap();
        let at = |cursor: &str| Page::new(2, Some(cursor.to_owned())).unwrap();
        let mut bobs = UserFilter::default();
        bobs.email_prefix = Some("BOB".into());
        assert_eq!(kind(users.list(&bobs, &at(&cursor)).await), ErrorKind::InvalidRequest, "another filter");
        assert_eq!(kind(t.kit.audit(&AuditFilter::default(), &at(&cursor)).await), ErrorKind::InvalidRequest);
        assert_eq!(kind(t.kit.sessions().list(&at(&cursor)).await), ErrorKind::InvalidRequest);
        for n in 0..cursor.len() {
            let other = if cursor.as_bytes()[n] == b'A' { 'B' } else { 'A' };
            let edited = format!("{}{other}{}", &cursor[..n], &cursor[n + 1..]);
            assert_eq!(kind(users.list(&all, &at(&edited)).await), ErrorKind::InvalidRequest, "{n}");
        }
        for bad in ["", "x", &cursor[1..], &format!("{cursor}="), &"A".repeat(1 << 16), "\0"] {
            assert_eq!(kind(users.list(&all, &at(bad)).await), ErrorKind::InvalidRequest);
        }
        // Another node of the same store takes it.
        second_node(&store, &t).await.kit.users().list(&all, &at(&cursor)).await.unwrap();
        assert_eq!(kind(Page::new(0, None)), ErrorKind::Validation);
        assert_eq!(kind(Page::new(201, None)), ErrorKind::Validation);

        assert_eq!(users.list(&bobs, &Page::default()).await.unwrap().items.len(), 3);
        bobs.email_prefix = Some("bo_".into());
        assert!(users.list(&bobs, &Page::default()).await.unwrap().items.is_empty(), "no wildcard");
        let mut admins = UserFilter::default();
        admins.role = Some("admin".into());
        assert!(users.list(&admins, &Page::default()).await.unwrap().items.is_empty());

        let mut filter = AuditFilter::default();
        filter.action = Some(Action::Login);
        let events = t.kit.audit(&filter, &Page::new(4, None).unwrap()).await.unwrap();
        assert!(events.items.windows(2).all(|w| w[0].at >= w[1].at), "newest first");
        let rest = t.kit.audit(&filter, &Page::new(4, events.next_cursor.clone()).unwrap()).await.unwrap();
        assert_eq!((events.items.len(), rest.items.len(), rest.next_cursor), (4, 3, None));
        filter.from = Some(events.items[3].at);
        filter.to = Some(events.items[0].at);
        assert_eq!(t.kit.audit(&filter, &Page::default()).await.unwrap().items.len(), 3, "from is in, to is out");
        let sessions = t.kit.sessions().list(&Page::new(5, None).unwrap()).await.unwrap();
        let more = t.kit.sessions().list(&Page::new(5, sessions.next_cursor.clone()).unwrap()).await.unwrap();
        assert_eq!((sessions.items.len(), more.items.len(), more.next_cursor), (5, 2, None));
    }
}

/// What a hook answers.
enum Answer {
    Write,
    Refuse,
    BadStatement,
    Panic,
    Hang,
    /// PostgreSQL says that two transactions met; the second time they do not.
    MeetOnce,
}

type Rule = fn(&Event) -> Answer;

struct HostHook {
    rule: Rule,
    calls: Arc<AtomicUsize>,
}

impl Hook for HostHook {
    fn on<'a>(&'a self, event: &'a Event, tx: &'a mut Tx<'_>) -> BoxFuture<'a, authkit::Result<()>> {
        Box::pin(async move {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            run(tx, "INSERT INTO host_rows (n) VALUES (1)").await?;
            match (self.rule)(event) {
                Answer::Write => Ok(()),
                Answer::Refuse => Err(ErrorKind::Forbidden.into()),
                Answer::BadStatement => run(tx, "INSERT INTO no_such_table (n) VALUES (1)").await,
                Answer::Panic => panic!("a hook of the host"),
                Answer::Hang => {
                    let _resume = PausedTime::new();
                    std::future::pending().await
                }
                Answer::MeetOnce if call == 0 => {
                    run(tx, "DO $$ BEGIN RAISE EXCEPTION 'they met' USING ERRCODE = '40P01'; END $$").await
                }
                Answer::MeetOnce => Ok(()),
            }
        })
    }
}

/// Stands still for as long as it lives, so that a time-out comes at once.
struct PausedTime;

impl PausedTime {
    fn new() -> Self {
        tokio::time::pause();
        Self
    }
}

impl Drop for PausedTime {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

async fn run(tx: &mut Tx<'_>, sql: &'static str) -> authkit::Result<()> {
    let conn = tx.conn();
    if let Some(conn) = conn.as_sqlite() {
        sqlx::raw_sql(sql).execute(&mut *conn).await?;
        return Ok(());
    }
    if let Some(conn) = conn.as_postgres() {
        sqlx::raw_sql(sql).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn hooked(store: &Store, rule: Rule) -> (TestKit, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let hook = HostHook { rule, calls: Arc::clone(&calls) };
    // The host's table first: hooks run from the first event on.
    Raw::open_new(store).await.run("CREATE TABLE host_rows (n BIGINT NOT NULL)").await;
    (build(store, |_| {}, |b| b.hook(hook)).await, calls)
}

/// Paused time needs a runtime of one thread.
async fn a_hook_that_hangs(store: Store) {
    let (t, _) = hooked(&store, |event| match event.action {
        Action::RoleGrant => Answer::Hang,
        _ => Answer::Write,
    })
    .await;
    let ann = t.signed_in(ANN).await.unwrap();
    let out = t.kit.admin(meta()).grant_role(ann.user.id, "admin").await;
    assert_eq!(kind(out), ErrorKind::Unavailable);
    let user = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
    assert_eq!(user.roles, ["user"]);
    let mut raw = Raw::open(&store).await;
    assert_eq!(raw.texts("SELECT outcome FROM authkit_audit WHERE action = 'role.grant'").await, ["failure"]);
    assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 2);
    t.sign_in(ANN).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_hangs_is_given_up_after_a_second_on_sqlite() {
    a_hook_that_hangs(Store::new(Backend::Sqlite).await).await;
}

#[tokio::test]
async fn a_hook_that_hangs_is_given_up_after_a_second_on_postgres() {
    a_hook_that_hangs(Store::new(Backend::Postgres).await).await;
}

#[tokio::test]
async fn a_hook_runs_again_when_its_transaction_does() {
    let store = Store::new(Backend::Postgres).await;
    let (t, calls) = hooked(&store, |_| Answer::MeetOnce).await;
    let mut events = t.kit.subscribe();
    t.sign_up(ANN).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let mut raw = Raw::open(&store).await;
    assert_eq!(raw.number("SELECT count(*) FROM host_rows").await, 1);
    assert_eq!(raw.audited("user.signup").await, 1);
    events.try_recv().unwrap();
    assert!(events.try_recv().is_err(), "an event went out twice");
}

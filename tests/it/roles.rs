//! Roles: what they permit, and that somebody is always left to give them.

use authkit::admin::NewUser;
use authkit::config::RoleDefinition;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{AnyRole, Assurance, ErrorKind, Permission, Role, UserId};
use authkit_tests::{Store, on_both, race};

use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, second_node};

const ANN: &str = "ann@example.com";

/// Makes an account with these roles and the password of tests.
async fn person(t: &TestKit, email: &str, roles: &[&str]) -> UserId {
    let new = NewUser::new(email, "Person").with_password(PASSWORD).with_roles(roles.iter().copied());
    t.kit.admin(meta()).create_user(new).await.unwrap().resource.id
}

on_both! {
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
}

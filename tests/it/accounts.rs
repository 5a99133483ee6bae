//! What operators do to accounts, and lists of them.

use std::time::Duration;

use authkit::admin::{NewUser, UserChange};
use authkit::audit::AuditFilter;
use authkit::events::Action;
use authkit::testing::PASSWORD;
use authkit::{Credentials, ErrorKind, Page, SessionId, SignUp, StepUp, UserFilter, UserId, UserStatus};
use authkit_tests::{Store, on_both};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Raw, Texts as _, change, kind, kit, meta, second_node, secret};

const ANN: &str = "ann@example.com";

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

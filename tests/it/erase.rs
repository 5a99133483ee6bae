//! Everything held on one account: read out, handed over, removed.

use authkit::{ErrorKind, NewInvitation, Page, Resource};
use authkit_tests::{Store, on_both};

use crate::authz::{again, join, org, person, project, tenants};
use crate::support::{Raw, kind, meta};

on_both! {
    async fn an_export_has_every_table_that_names_the_account_and_no_secret(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let made = org(&t, "Clinic", &ann).await;
        let to = NewInvitation::new("new@example.com", "member").to(Resource::org(made.id));
        t.kit.invitations().create(&ann.auth, to, &meta()).await.unwrap();
        t.kit.request_password_reset("ann@example.com", &meta()).await.unwrap();
        let held = t.kit.admin(meta()).export_user(ann.user.id).await.unwrap();
        let mut raw = Raw::open(&store).await;
        for table in raw.tables().await {
            let columns = raw.columns(&table).await;
            if !columns.iter().any(|column| column == "user_id") {
                continue;
            }
            let name = match table.trim_start_matches("authkit_") {
                "user_roles" => "roles",
                "outbox" => "mails",
                "invitations" => "invitations_made",
                name => name,
            };
            assert!(held[name].is_array(), "{table} is not in the export: {held}");
        }
        for (name, least) in [("memberships", 1), ("invitations_made", 1), ("sessions", 1), ("links", 1), ("audit", 3), ("roles", 1)] {
            assert!(held[name].as_array().unwrap().len() >= least, "{name}: {held}");
        }
        assert_eq!(held["user"]["email"], "ann@example.com");
        let text = held.to_string();
        for word in ["$argon2", "hash", "sealed", "akl_", "akr_", "secret", "key_id"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(raw.audited("user.export").await, 1);
    }

    async fn an_erased_account_leaves_a_tombstone_and_nothing_else(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob) = (person(&t, "peculiar@example.com").await, person(&t, "bob@example.com").await);
        let made = org(&t, "Clinic", &ann).await;
        join(&t, made.id, bob.user.id, "member").await;
        let here = meta().with_ip("203.0.113.77".parse().unwrap());
        let to = NewInvitation::new("new@example.com", "member").to(Resource::org(made.id));
        t.kit.invitations().create(&ann.auth, to, &here).await.unwrap();
        t.kit.organisations().change_member(&ann.auth, made.id, (bob.user.id, "admin"), &here).await.unwrap();
        let admin = t.kit.admin(meta());
        admin.invite(NewInvitation::new("Peculiar@example.com", "viewer").to(project("p"))).await.unwrap();
        t.deliver_all().await.unwrap();
        // The last owner of an organisation is not erased before somebody else is one.
        assert_eq!(kind(admin.erase_user(ann.user.id).await), ErrorKind::Conflict);
        t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        admin.erase_user_handing_over(ann.user.id, bob.user.id).await.unwrap();
        let bob = again(&t, "bob@example.com").await;
        bob.auth.require_on(&Resource::org(made.id), "delete").await.unwrap();
        let invited = t.kit.invitations().list(&bob.auth, Some(&Resource::org(made.id)), &Page::default()).await.unwrap();
        assert!(invited.items.is_empty(), "they went with who made them");

        assert!(t.kit.users().get(ann.user.id).await.unwrap().is_none());
        let mut raw = Raw::open(&store).await;
        let dump = raw.dump().await;
        assert!(!dump.to_lowercase().contains("peculiar"), "personal data stayed");
        assert!(!dump.contains("203.0.113.77"), "an address stayed");
        let literal = raw.id(ann.user.id.as_uuid());
        for table in raw.tables().await {
            if !raw.columns(&table).await.iter().any(|column| column == "user_id") {
                continue;
            }
            let count = raw.number(&format!("SELECT count(*) FROM {table} WHERE user_id = {literal}")).await;
            match table.as_str() {
                "authkit_revocations" | "authkit_audit" => assert!(count > 0, "{table}"),
                _ => assert_eq!(count, 0, "{table} keeps an orphan"),
            }
        }
        assert_eq!(raw.audited("user.erase").await, 1);
        t.sign_up("peculiar@example.com").await.unwrap();
    }

    async fn a_deleted_account_gives_up_its_roles_and_restored_has_none(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob) = (person(&t, "ann@example.com").await, person(&t, "bob@example.com").await);
        let made = org(&t, "Clinic", &ann).await;
        let member = join(&t, made.id, bob.user.id, "admin").await;
        let admin = t.kit.admin(meta());
        admin.create_resource(&project("p"), None, Some((bob.user.id, "owner"))).await.unwrap();
        let to = NewInvitation::new("new@example.com", "member").to(Resource::org(made.id));
        t.kit.invitations().create(&bob.auth, to, &meta()).await.unwrap();
        t.kit.delete_account(&bob.auth, &meta()).await.unwrap();
        let left = t.kit.organisations().members(&ann.auth, made.id, &Page::default()).await.unwrap();
        assert!(left.items.iter().all(|m| m.id != member.id));
        let asked = t.kit.invitations().list(&ann.auth, Some(&Resource::org(made.id)), &Page::default()).await.unwrap();
        assert_eq!(asked.items[0].state.name(), "void");
        admin.restore_user(bob.user.id).await.unwrap();
        let bob = again(&t, "bob@example.com").await;
        assert_eq!(kind(bob.auth.require_on(&Resource::org(made.id), "read").await), ErrorKind::NotFound);
        assert_eq!(kind(bob.auth.require_on(&project("p"), "read").await), ErrorKind::NotFound);
        // Nothing is handed to who cannot have it.
        assert_eq!(kind(admin.hand_over(ann.user.id, ann.user.id).await), ErrorKind::Conflict);
        assert_eq!(admin.hand_over(ann.user.id, bob.user.id).await.unwrap(), 1);
        assert_eq!(admin.hand_over(ann.user.id, bob.user.id).await.unwrap(), 0);
        t.kit.delete_account(&ann.auth, &meta()).await.unwrap();
    }
}

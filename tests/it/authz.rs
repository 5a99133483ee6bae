//! Organisations and roles on resources: who may do what, by which row, and what nobody can take away.

use std::time::Duration;

use authkit::config::{Config, ResourceType};
use authkit::testing::{PASSWORD, SignedIn, TestKit};
use authkit::{
    Conn, DecidedBy, Decision, ErrorKind, Membership, NewOrganisation, OrgId, OrgStatus, Organisation,
    OrganisationChange, Page, Resource, Tx, UserId,
};
use authkit_tests::{Store, on_both, race};

use crate::support::{Raw, Texts as _, build, kind, kit_with, meta, second_node};

/// Projects of a labelling platform; things of a clinic's organisation.
pub(crate) fn declare(config: &mut Config) {
    config.authz.resource_types = vec![
        ResourceType::new("project")
            .role("owner", ["*"])
            .role("reviewer", ["read", "review"])
            .role("viewer", ["read"])
            .from_org("owner", "owner")
            .from_org("member", "viewer"),
        ResourceType::new("org").role("clinician", ["read", "patients:read"]),
    ];
}

pub(crate) async fn tenants(store: &Store) -> TestKit {
    kit_with(store, declare).await
}

/// An account whose address is proved, signed in.
pub(crate) async fn person(t: &TestKit, email: &str) -> SignedIn {
    let user = t.sign_up(email).await.unwrap();
    t.kit.admin(meta()).verify_email(user.id).await.unwrap();
    again(t, email).await
}

/// The same account with a fresh token.
pub(crate) async fn again(t: &TestKit, email: &str) -> SignedIn {
    let tokens = t.sign_in(email).await.unwrap();
    let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
    let user = t.kit.users().get(auth.user_id()).await.unwrap().unwrap();
    SignedIn { user, tokens, auth }
}

pub(crate) async fn root(t: &TestKit) -> SignedIn {
    let root = t.sign_up("root@example.com").await.unwrap();
    let admin = t.kit.admin(meta());
    admin.verify_email(root.id).await.unwrap();
    admin.grant_role(root.id, "super_admin").await.unwrap();
    again(t, "root@example.com").await
}

/// An organisation that `owner` owns.
pub(crate) async fn org(t: &TestKit, name: &str, owner: &SignedIn) -> Organisation {
    let new = NewOrganisation::new(name).with_admin(&owner.user.email);
    t.kit.admin(meta()).create_org(new).await.unwrap().resource.organisation
}

pub(crate) async fn join(t: &TestKit, org: OrgId, user: UserId, role: &str) -> Membership {
    t.kit.admin(meta()).grant_membership(user, &Resource::org(org), role).await.unwrap().resource
}

pub(crate) fn project(id: &str) -> Resource {
    Resource::new("project", id).unwrap()
}

async fn can(t: &TestKit, user: UserId, permission: &str, resource: &Resource) -> Decision {
    t.kit.authz().can(user, permission, resource).await.unwrap()
}

fn changed(set: impl FnOnce(&mut OrganisationChange)) -> OrganisationChange {
    let mut change = OrganisationChange::default();
    set(&mut change);
    change
}

fn page(limit: u32) -> Page {
    Page::new(limit, None).unwrap()
}

on_both! {
    async fn an_organisation_from_its_making_to_its_end(store: Store) {
        let t = tenants(&store).await;
        let (root, ann, bob, eve) = (
            root(&t).await,
            person(&t, "ann@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "eve@example.com").await,
        );
        let orgs = t.kit.organisations();
        let mut new = NewOrganisation::new(" The Clinic ").with_admin("ANN@example.com").with_seats(3);
        new.domain = Some("Clinic.example.com".into());
        assert_eq!(kind(orgs.create(&ann.auth, new.clone(), &meta()).await), ErrorKind::Forbidden);
        let clinic = orgs.create(&root.auth, new, &meta()).await.unwrap();
        assert_eq!((clinic.name.as_str(), clinic.domain.as_deref(), clinic.seat_limit), ("The Clinic", Some("clinic.example.com"), Some(3)));
        assert_eq!(clinic.status, OrgStatus::Active);
        let members = orgs.members(&ann.auth, clinic.id, &page(10)).await.unwrap().items;
        assert_eq!(members.iter().map(|m| (m.user_id, m.role.as_str())).collect::<Vec<_>>(), [(ann.user.id, "owner")]);

        let bobs = orgs.add_member(&ann.auth, clinic.id, (bob.user.id, "member"), &meta()).await.unwrap();
        assert_eq!(kind(orgs.add_member(&ann.auth, clinic.id, (bob.user.id, "admin"), &meta()).await), ErrorKind::Conflict);
        let renamed = changed(|c| c.name = Some("Clinic".into()));
        // 404 for strangers, 403 in the own organisation (s_152).
        for (who, expected) in [(&eve, ErrorKind::NotFound), (&bob, ErrorKind::Forbidden)] {
            assert_eq!(kind(orgs.update(&who.auth, clinic.id, renamed.clone(), &meta()).await), expected);
            assert_eq!(kind(orgs.delete(&who.auth, clinic.id, &meta()).await), expected);
            assert_eq!(kind(orgs.members(&who.auth, clinic.id, &page(10)).await), expected);
            assert_eq!(kind(orgs.add_member(&who.auth, clinic.id, (eve.user.id, "member"), &meta()).await), expected);
            assert_eq!(kind(orgs.change_member(&who.auth, clinic.id, (ann.user.id, "member"), &meta()).await), expected);
            assert_eq!(kind(orgs.remove_member(&who.auth, clinic.id, ann.user.id, &meta()).await), expected);
        }
        assert_eq!(kind(orgs.get(&eve.auth, clinic.id).await), ErrorKind::NotFound);
        assert_eq!(orgs.get(&bob.auth, clinic.id).await.unwrap().id, clinic.id);
        assert_eq!(orgs.update(&ann.auth, clinic.id, renamed, &meta()).await.unwrap().name, "Clinic");
        let more = changed(|c| c.seat_limit = Some(Some(9)));
        assert_eq!(kind(orgs.update(&ann.auth, clinic.id, more.clone(), &meta()).await), ErrorKind::Forbidden);
        assert_eq!(orgs.update(&root.auth, clinic.id, more, &meta()).await.unwrap().seat_limit, Some(9));
        assert_eq!(orgs.list(&bob.auth, &page(10)).await.unwrap().items.len(), 1);
        assert!(orgs.list(&eve.auth, &page(10)).await.unwrap().items.is_empty());
        assert_eq!(orgs.list(&root.auth, &page(10)).await.unwrap().items.len(), 1);

        // A disabled organisation permits its members nothing, until an operator enables it.
        let off = |status| changed(|c| c.status = Some(status));
        orgs.update(&root.auth, clinic.id, off(OrgStatus::Disabled), &meta()).await.unwrap();
        assert_eq!(kind(orgs.get(&ann.auth, clinic.id).await), ErrorKind::Forbidden);
        orgs.update(&root.auth, clinic.id, off(OrgStatus::Active), &meta()).await.unwrap();

        let admin = t.kit.admin(meta());
        admin.create_resource(&project("p1"), Some(clinic.id), Some((bob.user.id, "reviewer"))).await.unwrap();
        orgs.delete(&ann.auth, clinic.id, &meta()).await.unwrap();
        assert_eq!(kind(orgs.get(&ann.auth, clinic.id).await), ErrorKind::NotFound);
        assert!(!can(&t, bob.user.id, "review", &project("p1")).await.allowed);
        let mut raw = Raw::open(&store).await;
        for table in ["authkit_memberships", "authkit_organisations"] {
            assert_eq!(raw.number(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        assert_eq!(raw.number("SELECT count(*) FROM authkit_resources").await, 1, "but for the platform");
        assert!(t.kit.users().get(ann.user.id).await.unwrap().is_some());
        let id = bobs.id;
        assert_eq!(kind(t.kit.memberships().revoke(&ann.auth, id, &meta()).await), ErrorKind::NotFound);
        for action in ["org.create", "org.delete", "resource.create"] {
            assert_eq!(raw.audited(action).await, 1, "{action}");
        }
        let by = "SELECT actor FROM authkit_audit WHERE action = 'org.delete'".to_string();
        assert_eq!(raw.texts(&by).await, [format!("user:{}", ann.user.id)]);
    }

    async fn anybody_makes_one_where_that_is_allowed(store: Store) {
        let t = kit_with(&store, |c| {
            declare(c);
            c.authz.org_self_service = true;
        })
        .await;
        let ann = person(&t, "ann@example.com").await;
        let own = t.kit.organisations().create(&ann.auth, NewOrganisation::new("Ann's"), &meta()).await.unwrap();
        assert!(can(&t, ann.user.id, "anything", &Resource::org(own.id)).await.allowed);
        // Whom a founder names is asked, and not told by whether he has an account.
        let bob = person(&t, "bob@example.com").await;
        let new = NewOrganisation::new("Both").with_admin("bob@example.com");
        let both = t.kit.organisations().create(&ann.auth, new, &meta()).await.unwrap();
        assert!(!can(&t, bob.user.id, "read", &Resource::org(both.id)).await.allowed);
        let asked = t.kit.invitations().list(&ann.auth, Some(&Resource::org(both.id)), &page(5)).await.unwrap();
        assert_eq!((asked.items.len(), asked.items[0].role.as_str()), (1, "owner"));
        // Nor does he get any hold of accounts that he only adds.
        t.kit.organisations().add_member(&ann.auth, own.id, (bob.user.id, "member"), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.authz().require_admin_over(&ann.auth, bob.user.id).await), ErrorKind::Forbidden);
        for bad in ["", "a\nb", &"x".repeat(201)] {
            let out = t.kit.organisations().create(&ann.auth, NewOrganisation::new(bad), &meta()).await;
            assert_eq!(kind(out), ErrorKind::Validation);
        }
    }

    async fn s_154_nobody_gives_above_his_own_or_edits_his_own(store: Store) {
        let t = tenants(&store).await;
        let (ann, adam, bob, carl) = (
            person(&t, "ann@example.com").await,
            person(&t, "adam@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "carl@example.com").await,
        );
        let clinic = org(&t, "Clinic", &ann).await;
        join(&t, clinic.id, adam.user.id, "admin").await;
        join(&t, clinic.id, bob.user.id, "member").await;
        let orgs = t.kit.organisations();
        for (who, member, role, expected) in [
            // An admin makes nobody an owner, and touches none.
            (&adam, &bob, "owner", ErrorKind::Forbidden),
            (&adam, &ann, "member", ErrorKind::Forbidden),
            // Nor does he give what only others are permitted.
            (&adam, &bob, "clinician", ErrorKind::Forbidden),
            // Nobody edits his own role: neither up nor down.
            (&adam, &adam, "owner", ErrorKind::Forbidden),
            (&adam, &adam, "member", ErrorKind::Forbidden),
            (&ann, &ann, "member", ErrorKind::Forbidden),
            (&bob, &bob, "admin", ErrorKind::Forbidden),
            (&bob, &adam, "member", ErrorKind::Forbidden),
            (&ann, &bob, "ghost", ErrorKind::Validation),
            (&carl, &bob, "ghost", ErrorKind::NotFound),
            (&ann, &carl, "admin", ErrorKind::NotFound),
        ] {
            let out = orgs.change_member(&who.auth, clinic.id, (member.user.id, role), &meta()).await;
            assert_eq!(kind(out), expected, "{} makes {} {role}", who.user.email, member.user.email);
        }
        assert_eq!(kind(orgs.remove_member(&adam.auth, clinic.id, ann.user.id, &meta()).await), ErrorKind::Forbidden);
        orgs.change_member(&adam.auth, clinic.id, (bob.user.id, "admin"), &meta()).await.unwrap();
        orgs.change_member(&ann.auth, clinic.id, (bob.user.id, "clinician"), &meta()).await.unwrap();
        assert!(can(&t, bob.user.id, "patients:read", &Resource::org(clinic.id)).await.allowed);
        // Adding is giving, too.
        let out = orgs.add_member(&adam.auth, clinic.id, (carl.user.id, "owner"), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Forbidden);
        // What was refused is in the audit, by whom.
        let mut raw = Raw::open(&store).await;
        let refused = format!(
            "SELECT count(*) FROM authkit_audit WHERE outcome = 'failure' AND action = 'membership.grant' AND actor = 'user:{}'",
            adam.user.id
        );
        assert!(raw.number(&refused).await >= 6);
        // The last owner neither leaves nor is deleted; a second one may.
        assert_eq!(kind(orgs.remove_member(&ann.auth, clinic.id, ann.user.id, &meta()).await), ErrorKind::Conflict);
        assert_eq!(kind(t.kit.delete_account(&ann.auth, &meta()).await), ErrorKind::Conflict);
        orgs.change_member(&ann.auth, clinic.id, (adam.user.id, "owner"), &meta()).await.unwrap();
        orgs.remove_member(&ann.auth, clinic.id, ann.user.id, &meta()).await.unwrap();
    }

    async fn s_156_a_demotion_acts_at_once(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob) = (person(&t, "ann@example.com").await, person(&t, "bob@example.com").await);
        let clinic = org(&t, "Clinic", &ann).await;
        join(&t, clinic.id, bob.user.id, "admin").await;
        let orgs = t.kit.organisations();
        let renamed = changed(|c| c.name = Some("C".into()));
        orgs.update(&bob.auth, clinic.id, renamed.clone(), &meta()).await.unwrap();
        orgs.change_member(&ann.auth, clinic.id, (bob.user.id, "member"), &meta()).await.unwrap();
        // What was granted is read from the store, whoever judged the token.
        assert_eq!(kind(bob.auth.require_on(&Resource::org(clinic.id), "update").await), ErrorKind::Forbidden);
        assert_eq!(kind(t.kit.authenticate(bob.access(), &meta()).await), ErrorKind::Unauthenticated, "claims may repeat it");
        let bob = again(&t, "bob@example.com").await;
        assert_eq!(kind(orgs.update(&bob.auth, clinic.id, renamed, &meta()).await), ErrorKind::Forbidden);
        // A gain needs no new token.
        orgs.change_member(&ann.auth, clinic.id, (bob.user.id, "owner"), &meta()).await.unwrap();
        t.kit.authenticate(bob.access(), &meta()).await.unwrap();
        bob.auth.require_on(&Resource::org(clinic.id), "delete").await.unwrap();
        // Nor is anything left to who is disabled.
        t.kit.admin(meta()).disable_user(bob.user.id).await.unwrap();
        assert_eq!(kind(bob.auth.require_on(&Resource::org(clinic.id), "read").await), ErrorKind::NotFound);
        assert!(!can(&t, bob.user.id, "read", &Resource::org(clinic.id)).await.allowed);
    }

    async fn a_role_on_a_thing_or_in_its_organisation_decides(store: Store) {
        let t = tenants(&store).await;
        let (root, ann, bob, carl, eve) = (
            root(&t).await,
            person(&t, "ann@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "carl@example.com").await,
            person(&t, "eve@example.com").await,
        );
        let clinic = org(&t, "Clinic", &ann).await;
        join(&t, clinic.id, bob.user.id, "member").await;
        let admin = t.kit.admin(meta());
        let thing = project("42");
        assert!(admin.create_resource(&thing, Some(clinic.id), None).await.unwrap());
        assert!(!admin.create_resource(&thing, Some(clinic.id), None).await.unwrap(), "it is known");
        let decision = can(&t, bob.user.id, "read", &thing).await;
        let Some(DecidedBy::Inherited { org_role, role, .. }) = decision.row.clone() else { panic!("{decision:?}") };
        assert_eq!((decision.allowed, org_role.as_str(), role.as_str()), (true, "member", "viewer"));
        assert!(decision.why.contains("org:"), "{}", decision.why);
        let decision = can(&t, bob.user.id, "review", &thing).await;
        assert_eq!((decision.allowed, decision.visible), (false, true));
        // A guest of another tenant on one thing.
        let made = t.kit.memberships().grant(&ann.auth, (carl.user.id, thing.clone(), "reviewer"), &meta()).await.unwrap();
        let decision = carl.auth.require_on(&thing, "review").await.unwrap();
        assert_eq!(decision.row, Some(DecidedBy::Membership { id: made.id, role: "reviewer".into() }));
        assert_eq!(kind(carl.auth.require_on(&thing, "delete").await), ErrorKind::Forbidden);
        assert_eq!(kind(carl.auth.require_on(&project("43"), "read").await), ErrorKind::NotFound);
        assert_eq!(kind(carl.auth.require_on(&Resource::org(clinic.id), "read").await), ErrorKind::NotFound);
        for permission in ["read", "review", "*", ""] {
            let decision = can(&t, eve.user.id, permission, &thing).await;
            assert_eq!((decision.allowed, decision.visible), (false, false), "{permission}");
        }
        let decision = can(&t, root.user.id, "review", &thing).await;
        assert_eq!(decision.row, Some(DecidedBy::Role { role: "super_admin".into() }));
        // Whoever has no say there gives nothing, and another role on the same thing takes the place of the first.
        let memberships = t.kit.memberships();
        for (who, expected) in [(&bob, ErrorKind::Forbidden), (&eve, ErrorKind::NotFound), (&carl, ErrorKind::Forbidden)] {
            let grant = (eve.user.id, thing.clone(), "viewer");
            assert_eq!(kind(memberships.grant(&who.auth, grant, &meta()).await), expected);
            assert_eq!(kind(memberships.of_resource(&who.auth, &thing, &page(5)).await), expected);
        }
        let changed = memberships.grant(&ann.auth, (carl.user.id, thing.clone(), "viewer"), &meta()).await.unwrap();
        assert_eq!((changed.id, changed.role.as_str()), (made.id, "viewer"));
        assert!(!can(&t, carl.user.id, "review", &thing).await.allowed);
        assert_eq!(kind(memberships.grant(&root.auth, (eve.user.id, Resource::new("ghost", "1").unwrap(), "viewer"), &meta()).await), ErrorKind::Validation);
        // What authkit makes itself is made by nobody else.
        for (kind_of, id) in [("org", "no-id"), ("org", "018f9f7e-0000-7000-8000-000000000000")] {
            let fake = Resource::new(kind_of, id).unwrap();
            assert_eq!(kind(memberships.grant(&root.auth, (eve.user.id, fake.clone(), "owner"), &meta()).await), ErrorKind::NotFound);
            assert_eq!(kind(admin.create_resource(&fake, None, None).await), ErrorKind::Validation);
            assert_eq!(kind(admin.resource_deleted(&fake).await), ErrorKind::Validation);
        }
        let platform = Resource::new("platform", "platform").unwrap();
        assert_eq!(kind(memberships.grant(&root.auth, (eve.user.id, platform.clone(), "owner"), &meta()).await), ErrorKind::Validation);
        assert_eq!(kind(memberships.of_resource(&ann.auth, &platform, &page(5)).await), ErrorKind::NotFound);
        // Only an operator makes a thing known by naming it.
        assert_eq!(kind(memberships.grant(&ann.auth, (eve.user.id, project("new"), "viewer"), &meta()).await), ErrorKind::NotFound);
        memberships.grant(&root.auth, (eve.user.id, project("new"), "viewer"), &meta()).await.unwrap();
        assert!(can(&t, eve.user.id, "read", &project("new")).await.allowed);
        let carl = again(&t, "carl@example.com").await;
        memberships.revoke(&carl.auth, made.id, &meta()).await.unwrap();
        assert_eq!(kind(carl.auth.require_on(&thing, "read").await), ErrorKind::NotFound);
    }

    async fn two_owners_who_remove_each_other_never_both_succeed(store: Store) {
        let t = tenants(&store).await;
        let node = second_node(&store, &t).await;
        let (ann, bob) = (person(&t, "ann@example.com").await, person(&t, "bob@example.com").await);
        let clinic = org(&t, "Clinic", &ann).await;
        join(&t, clinic.id, bob.user.id, "owner").await;
        let kits = [t.kit.clone(), node.kit.clone()];
        let mut pair = [ann, bob];
        let mut raw = Raw::open(&store).await;
        let owners = format!(
            "SELECT count(*) FROM authkit_memberships WHERE resource_id = '{}' AND role = 'owner'",
            clinic.id
        );
        for round in 0..200 {
            let out = race(2, |i| {
                let (kit, auth, other) = (kits[i].clone(), pair[i].auth.clone(), pair[1 - i].user.id);
                async move {
                    let orgs = kit.organisations();
                    if (round + i) % 2 == 0 {
                        orgs.remove_member(&auth, clinic.id, other, &meta()).await
                    } else {
                        orgs.change_member(&auth, clinic.id, (other, "member"), &meta()).await.map(|_| ())
                    }
                }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "round {round}: {out:?}");
            assert_eq!(raw.number(&owners).await, 1, "round {round}");
            for (i, email) in ["ann@example.com", "bob@example.com"].into_iter().enumerate() {
                join(&t, clinic.id, pair[i].user.id, "owner").await;
                if out[i].is_err() {
                    pair[i] = again(&t, email).await;
                }
            }
        }
    }

    async fn seats_are_exact_under_a_race(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let new = NewOrganisation::new("Clinic").with_admin("ann@example.com").with_seats(5);
        let clinic = t.kit.admin(meta()).create_org(new).await.unwrap().resource.organisation;
        let mut ids = Vec::new();
        for i in 0..10 {
            ids.push(t.sign_up(&format!("m{i}@example.com")).await.unwrap().id);
        }
        let out = race(10, |i| {
            let (kit, auth, id) = (t.kit.clone(), ann.auth.clone(), ids[i]);
            async move { kit.organisations().add_member(&auth, clinic.id, (id, "member"), &meta()).await }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 4);
        for refused in out.into_iter().filter(Result::is_err) {
            assert_eq!(kind(refused), ErrorKind::Conflict);
        }
        let members = t.kit.organisations().members(&ann.auth, clinic.id, &page(50)).await.unwrap();
        assert_eq!(members.items.len(), 5);
    }

    async fn s_158_who_leaves_takes_nothing_along(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob) = (person(&t, "ann@example.com").await, person(&t, "bob@example.com").await);
        let clinic = org(&t, "Clinic", &ann).await;
        join(&t, clinic.id, bob.user.id, "admin").await;
        let admin = t.kit.admin(meta());
        admin.create_resource(&project("in"), Some(clinic.id), Some((bob.user.id, "owner"))).await.unwrap();
        admin.create_resource(&project("out"), None, Some((bob.user.id, "owner"))).await.unwrap();
        let orgs = t.kit.organisations();
        let invited = authkit::NewInvitation::new("new@example.com", "member").to(Resource::org(clinic.id));
        let invited = t.kit.invitations().create(&bob.auth, invited, &meta()).await.unwrap();
        let elsewhere = authkit::NewInvitation::new("new@example.com", "viewer").to(project("out"));
        t.kit.invitations().create(&bob.auth, elsewhere, &meta()).await.unwrap();
        orgs.remove_member(&ann.auth, clinic.id, bob.user.id, &meta()).await.unwrap();
        let state = t.kit.invitations().list(&ann.auth, Some(&Resource::org(clinic.id)), &page(5)).await.unwrap();
        assert_eq!((state.items[0].id, state.items[0].state.name()), (invited.id, "void"));
        assert!(!can(&t, bob.user.id, "read", &project("in")).await.allowed);
        assert!(can(&t, bob.user.id, "read", &project("out")).await.allowed, "which is not the organisation's");
        let bob = again(&t, "bob@example.com").await;
        let own = t.kit.invitations().list(&bob.auth, None, &page(5)).await.unwrap();
        assert_eq!(own.items.iter().filter(|i| i.state.name() == "pending").count(), 1);
    }

    async fn lists_go_in_both_directions_in_pages(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let clinic = org(&t, "Clinic", &ann).await;
        let admin = t.kit.admin(meta());
        for i in 0..7 {
            t.clock.advance(Duration::from_millis(5));
            admin.create_resource(&project(&format!("p{i}")), Some(clinic.id), Some((ann.user.id, "owner"))).await.unwrap();
            let other = t.sign_up(&format!("m{i}@example.com")).await.unwrap();
            join(&t, clinic.id, other.id, "member").await;
        }
        let (mut seen, mut at) = (Vec::new(), page(3));
        loop {
            let part = t.kit.memberships().own(&ann.auth, Some("project"), &at).await.unwrap();
            seen.extend(part.items.into_iter().map(|m| m.resource.id().to_owned()));
            let Some(cursor) = part.next_cursor else { break };
            // A cursor fits its own list only.
            let other = Page::new(3, Some(cursor.clone())).unwrap();
            assert_eq!(kind(t.kit.memberships().own(&ann.auth, None, &other).await), ErrorKind::InvalidRequest);
            at = Page::new(3, Some(cursor)).unwrap();
        }
        assert_eq!(seen, (0..7).map(|i| format!("p{i}")).collect::<Vec<_>>());
        assert_eq!(t.kit.memberships().own(&ann.auth, None, &page(50)).await.unwrap().items.len(), 8);
        let (mut count, mut at) = (0, page(3));
        loop {
            let part = t.kit.organisations().members(&ann.auth, clinic.id, &at).await.unwrap();
            count += part.items.len();
            let Some(cursor) = part.next_cursor else { break };
            at = Page::new(3, Some(cursor)).unwrap();
        }
        assert_eq!(count, 8);
        let bob = again(&t, "m0@example.com").await;
        assert_eq!(kind(t.kit.memberships().of_user(&bob.auth, ann.user.id, None, &page(5)).await), ErrorKind::Forbidden);
    }

    async fn admins_act_on_the_accounts_of_their_organisation_only(store: Store) {
        let t = tenants(&store).await;
        let root = root(&t).await;
        let (ann, adam, bob, eve) = (
            person(&t, "ann@example.com").await,
            person(&t, "adam@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "eve@example.com").await,
        );
        let (clinic, other) = (org(&t, "Clinic", &ann).await, org(&t, "Other", &eve).await);
        join(&t, clinic.id, adam.user.id, "admin").await;
        join(&t, clinic.id, bob.user.id, "member").await;
        let over = async |who: &SignedIn, user: UserId| t.kit.authz().require_admin_over(&who.auth, user).await.map_err(|e| e.kind());
        assert_eq!(over(&ann, bob.user.id).await, Ok(()));
        assert_eq!(over(&adam, bob.user.id).await, Ok(()));
        assert_eq!(over(&root, eve.user.id).await, Ok(()));
        assert_eq!(over(&adam, ann.user.id).await, Err(ErrorKind::Forbidden), "an owner is above an admin");
        assert_eq!(over(&adam, adam.user.id).await, Err(ErrorKind::Forbidden));
        assert_eq!(over(&bob, ann.user.id).await, Err(ErrorKind::Forbidden));
        assert_eq!(over(&ann, eve.user.id).await, Err(ErrorKind::NotFound));
        assert_eq!(over(&ann, root.user.id).await, Err(ErrorKind::NotFound));
        assert_eq!(over(&ann, UserId::from_uuid(uuid::Uuid::from_u128(7))).await, Err(ErrorKind::NotFound));
        // Whoever is also another tenant's, or may more than his admin, is not his to act on.
        join(&t, other.id, bob.user.id, "member").await;
        assert_eq!(over(&ann, bob.user.id).await, Err(ErrorKind::Forbidden));
        t.kit.admin(meta()).remove_member(bob.user.id, &Resource::org(other.id)).await.unwrap();
        assert_eq!(over(&ann, bob.user.id).await, Ok(()));
        t.kit.admin(meta()).grant_role(bob.user.id, "super_admin").await.unwrap();
        assert_eq!(over(&ann, bob.user.id).await, Err(ErrorKind::Forbidden));
        t.kit.admin(meta()).revoke_role(bob.user.id, "super_admin").await.unwrap();
        // The account role `admin` makes one in the own organisation, and nowhere else.
        let carl = person(&t, "carl@example.com").await;
        join(&t, clinic.id, carl.user.id, "member").await;
        assert_eq!(over(&carl, bob.user.id).await, Err(ErrorKind::Forbidden));
        t.kit.admin(meta()).grant_role(carl.user.id, "admin").await.unwrap();
        assert_eq!(over(&carl, bob.user.id).await, Ok(()));
        assert_eq!(over(&carl, ann.user.id).await, Err(ErrorKind::Forbidden));
        assert_eq!(over(&carl, eve.user.id).await, Err(ErrorKind::NotFound));
    }

    async fn a_thing_lives_and_dies_in_the_hosts_transaction(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let thing = project("host");
        for (commit, expected) in [(false, false), (true, true)] {
            in_host(&store, commit, async |tx| {
                let admin = t.kit.admin(meta());
                let mut within = admin.within(tx);
                assert!(within.create_resource(&thing, None, Some((ann.user.id, "owner"))).await.unwrap());
                assert!(within.explain(ann.user.id, "read", &thing).await.unwrap().allowed);
            })
            .await;
            assert_eq!(can(&t, ann.user.id, "read", &thing).await.allowed, expected);
        }
        let invitation = authkit::NewInvitation::new("new@example.com", "viewer").to(thing.clone());
        t.kit.invitations().create(&ann.auth, invitation, &meta()).await.unwrap();
        in_host(&store, true, async |tx| {
            assert!(t.kit.admin(meta()).within(tx).resource_deleted(&thing).await.unwrap());
        })
        .await;
        assert_eq!(kind(ann.auth.require_on(&thing, "read").await), ErrorKind::NotFound);
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_memberships").await, 0);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_invitations").await, 0);
        assert!(!t.kit.admin(meta()).resource_deleted(&thing).await.unwrap(), "it is gone");
    }

    async fn a_hook_that_fails_undoes_the_role(store: Store) {
        let t = build(&store, declare, |builder| builder.hook(Refuses)).await;
        let ann = person(&t, "ann@example.com").await;
        let admin = t.kit.admin(meta());
        let out = admin.grant_membership(ann.user.id, &project("1"), "viewer").await;
        assert_eq!(kind(out), ErrorKind::Forbidden);
        assert!(!can(&t, ann.user.id, "read", &project("1")).await.allowed);
        let mut raw = Raw::open(&store).await;
        let failed = "SELECT count(*) FROM authkit_audit WHERE action = 'membership.grant' AND outcome = 'failure'";
        assert_eq!(raw.number(failed).await, 1);
    }

    async fn a_password_does_not_hold_the_name_of_the_organisation(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let change = |text: &str| authkit::PasswordChange::new(PASSWORD, text);
        org(&t, "Zebrafish", &ann).await;
        let out = t.kit.change_password(&ann.auth, change("my zebrafish sings at dawn"), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Validation);
        t.kit.change_password(&ann.auth, change("my canary sings at dawn"), &meta()).await.unwrap();
    }
}

struct Refuses;

impl authkit::Hook for Refuses {
    fn on<'a>(
        &'a self,
        event: &'a authkit::Event,
        _tx: &'a mut Tx<'_>,
    ) -> futures_util::future::BoxFuture<'a, authkit::Result<()>> {
        Box::pin(async move {
            match event.action {
                authkit::events::Action::MembershipGrant => Err(ErrorKind::Forbidden.into()),
                _ => Ok(()),
            }
        })
    }
}

/// Runs `work` in a transaction of the host's own.
async fn in_host(store: &Store, commit: bool, work: impl AsyncFnOnce(&mut Tx<'_>)) {
    use sqlx::{Connection as _, Executor as _};
    let mut raw = Raw::open(store).await;
    let end = if commit { "COMMIT" } else { "ROLLBACK" };
    match &mut raw {
        Raw::Sqlite(c) => {
            c.execute("PRAGMA foreign_keys = ON").await.unwrap();
            c.execute("BEGIN IMMEDIATE").await.unwrap();
            work(&mut Tx::of_host(Conn::sqlite(c))).await;
            c.execute(end).await.unwrap();
        }
        Raw::Postgres(c) => {
            let mut host = c.begin().await.unwrap();
            work(&mut Tx::of_host(Conn::postgres(&mut host))).await;
            if commit { host.commit().await.unwrap() } else { host.rollback().await.unwrap() }
        }
    }
}

//! Invitations: whom they let in, how often, and what makes them void.

use std::time::Duration;

use authkit::secret::ExposeSecret as _;
use authkit::testing::{PASSWORD, SignedIn, TestKit};
use authkit::{
    AcceptInvitation, Credentials, ErrorKind, Invitation, Login, NewInvitation, NewOrganisation, Page,
    Resource, Tokens,
};
use authkit_tests::{Store, on_both, race};

use crate::authz::{again, declare, join, org, person, project, root, tenants};
use crate::links::{letters, one};
use crate::support::{Raw, Texts as _, kind, kit_with, meta};

const NEW: &str = "new@example.com";
const OTHER: &str = "another quite unrelated phrase";

/// Invites, and reads the mail: the invitation and the secret of its link.
async fn invite(t: &TestKit, by: &SignedIn, email: &str, role: &str, to: &Resource) -> (Invitation, String) {
    let new = NewInvitation::new(email, role).to(to.clone());
    let made = t.kit.invitations().create(&by.auth, new, &meta()).await.unwrap();
    (made, newest(t).await)
}

async fn newest(t: &TestKit) -> String {
    one(letters(t).await, "invitation").token().to_owned()
}

async fn anew(t: &TestKit, token: &str) -> authkit::Result<Tokens> {
    let input = AcceptInvitation::new_account(token, "New Person", PASSWORD);
    complete(t.kit.invitations().accept(None, input, &meta()).await)
}

async fn signed_in(t: &TestKit, who: &SignedIn, token: &str) -> authkit::Result<Tokens> {
    let input = AcceptInvitation::signed_in(token);
    complete(t.kit.invitations().accept(Some(&who.auth), input, &meta()).await)
}

fn complete(login: authkit::Result<Login>) -> authkit::Result<Tokens> {
    match login? {
        Login::Complete(tokens) => Ok(tokens),
        other => panic!("{other:?}"),
    }
}

fn page() -> Page {
    Page::new(50, None).unwrap()
}

async fn states(t: &TestKit, by: &SignedIn, to: &Resource) -> Vec<&'static str> {
    let listed = t.kit.invitations().list(&by.auth, Some(to), &page()).await.unwrap();
    listed.items.into_iter().map(|invitation| invitation.state.name()).collect()
}

on_both! {
    async fn s_099_a_new_account_by_an_invitation_which_works_once(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let clinic = Resource::org(org(&t, "Clinic", &ann).await.id);
        let (made, token) = invite(&t, &ann, " NEW@Example.com", "member", &clinic).await;
        assert_eq!((made.email.as_str(), made.inviter_id, made.state.name()), ("NEW@example.com", Some(ann.user.id), "pending"));
        assert!(token.starts_with("akl_"));
        let weak = AcceptInvitation::new_account(&*token, "New", "clinic clinic 12");
        assert_eq!(kind(t.kit.invitations().accept(None, weak, &meta()).await), ErrorKind::Validation, "and not used up");
        let tokens = anew(&t, &token).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        let user = t.kit.users().get(auth.user_id()).await.unwrap().unwrap();
        assert_eq!((user.email.as_str(), user.email_verified, user.name.as_str()), ("NEW@example.com", true, "New Person"));
        auth.require_on(&clinic, "read").await.unwrap();
        t.kit.login(Credentials::new(NEW, PASSWORD), &meta()).await.unwrap();
        // Its account is the organisation's: its admins may act on it.
        t.kit.authz().require_admin_over(&ann.auth, user.id).await.unwrap();
        for _ in 0..2 {
            assert_eq!(kind(anew(&t, &token).await), ErrorKind::LinkInvalid);
        }
        assert_eq!(states(&t, &ann, &clinic).await, ["accepted"]);
        let mut raw = Raw::open(&store).await;
        for (action, count) in [("invitation.create", 1), ("invitation.accept", 1), ("user.signup", 2), ("link.refuse", 2)] {
            assert_eq!(raw.audited(action).await, count, "{action}");
        }
        // The store has keyed hashes, and the audit no address of who may never come.
        let dump = raw.dump().await;
        assert!(!dump.contains(&token[10..40]), "the secret is in the store");
        let audit: Vec<&str> = dump.lines().filter(|line| line.starts_with("authkit_audit")).collect();
        assert!(audit.iter().all(|line| !line.to_lowercase().contains("new@example.com")), "{audit:?}");
    }

    async fn an_account_accepts_in_the_session_that_it_has(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob, eve) = (
            person(&t, "ann@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "eve@example.com").await,
        );
        letters(&t).await;
        let clinic = Resource::org(org(&t, "Clinic", &ann).await.id);
        let (_, token) = invite(&t, &ann, "BOB@example.com", "admin", &clinic).await;
        // Only who has that address; the link stays as it was (s_101).
        assert_eq!(kind(signed_in(&t, &eve, &token).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(signed_in(&t, &ann, &token).await), ErrorKind::LinkInvalid);
        // Without a sign-in an account that is there is not taken, and the link is not used up.
        assert_eq!(kind(anew(&t, &token).await), ErrorKind::Conflict);
        t.clock.advance(Duration::from_secs(400));
        let tokens = signed_in(&t, &bob, &token).await.unwrap();
        assert_eq!(tokens.session_id, bob.tokens.session_id);
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        auth.require_on(&clinic, "update").await.unwrap();
        // To accept is no proof of who one is: the sign-in is as old as before.
        assert_eq!(auth.auth_time(), bob.auth.auth_time());
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
        t.kit.refresh(bob.refresh(), &meta()).await.unwrap();
        t.kit.login(Credentials::new("bob@example.com", PASSWORD), &meta()).await.unwrap();
        // His account stays his own.
        assert_eq!(kind(t.kit.authz().require_admin_over(&ann.auth, bob.user.id).await), ErrorKind::Forbidden);
        let both = AcceptInvitation::new_account(&*token, "X", PASSWORD);
        assert_eq!(kind(t.kit.invitations().accept(Some(&bob.auth), both, &meta()).await), ErrorKind::InvalidRequest);
    }

    async fn s_102_whoever_made_an_unproved_account_loses_it(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let clinic = Resource::org(org(&t, "Clinic", &ann).await.id);
        // Somebody signs up with the address of who will be invited, and stays signed in.
        let thief = t.signed_in(NEW).await.unwrap();
        letters(&t).await;
        let (_, token) = invite(&t, &ann, NEW, "member", &clinic).await;
        let input = AcceptInvitation::new_account(&*token, "Owner", OTHER);
        let tokens = complete(t.kit.invitations().accept(None, input, &meta()).await).unwrap();
        assert_eq!(tokens.user_id, thief.user.id, "one account an address");
        assert_eq!(kind(t.kit.refresh(thief.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(thief.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.sign_in(NEW).await), ErrorKind::InvalidCredentials);
        t.kit.login(Credentials::new(NEW, OTHER), &meta()).await.unwrap();
        let user = t.kit.users().get(tokens.user_id).await.unwrap().unwrap();
        assert_eq!((user.email_verified, user.name.as_str()), (true, "Owner"));
        one(letters(&t).await, "address_proved");
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("address.prove").await, 1);

        // The same when that account accepts by itself: all that was set up before is over, its session, too.
        let trojan = t.signed_in("second@example.com").await.unwrap();
        letters(&t).await;
        let (_, token) = invite(&t, &ann, "second@example.com", "member", &clinic).await;
        let tokens = signed_in(&t, &trojan, &token).await.unwrap();
        assert_ne!(tokens.session_id, trojan.tokens.session_id);
        assert_eq!(kind(t.kit.refresh(trojan.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.sign_in("second@example.com").await), ErrorKind::InvalidCredentials);
    }

    async fn twenty_at_once_make_one_membership(store: Store) {
        let t = tenants(&store).await;
        let (ann, bob) = (person(&t, "ann@example.com").await, person(&t, "bob@example.com").await);
        letters(&t).await;
        let clinic = Resource::org(org(&t, "Clinic", &ann).await.id);
        let mut raw = Raw::open(&store).await;
        for (who, email) in [(None, NEW), (Some(&bob), "bob@example.com")] {
            let (_, token) = invite(&t, &ann, email, "member", &clinic).await;
            let before = raw.number("SELECT count(*) FROM authkit_memberships").await;
            let out = race(20, |_| {
                let (t, token, who) = (t.clone(), token.clone(), who.map(|who| who.auth.clone()));
                async move {
                    let input = match &who {
                        Some(_) => AcceptInvitation::signed_in(&*token),
                        None => AcceptInvitation::new_account(&*token, "N", PASSWORD),
                    };
                    t.kit.invitations().accept(who.as_ref(), input, &meta()).await
                }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{email}: {out:?}");
            for refused in out.into_iter().filter(Result::is_err) {
                assert_eq!(kind(refused), ErrorKind::LinkInvalid, "{email}");
            }
            assert_eq!(raw.number("SELECT count(*) FROM authkit_memberships").await, before + 1);
        }
        // To the platform nothing is held that all of them would wait for.
        let root = root(&t).await;
        let new = NewInvitation::new("third@example.com", "user");
        t.kit.invitations().create(&root.auth, new, &meta()).await.unwrap();
        let token = newest(&t).await;
        let out = race(20, |_| {
            let (t, token) = (t.clone(), token.clone());
            async move { anew(&t, &token).await.map(|tokens| tokens.user_id) }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{out:?}");
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users WHERE email = 'third@example.com'").await, 1);
    }

    async fn seats_hold_when_many_accept_at_once(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let new = NewOrganisation::new("Clinic").with_admin("ann@example.com").with_seats(3);
        let made = t.kit.admin(meta()).create_org(new).await.unwrap().resource.organisation;
        let clinic = Resource::org(made.id);
        let mut tokens = Vec::new();
        for i in 0..8 {
            tokens.push(invite(&t, &ann, &format!("m{i}@example.com"), "member", &clinic).await.1);
        }
        let out = race(8, |i| {
            let (t, token) = (t.clone(), tokens[i].clone());
            async move { anew(&t, &token).await.map(|tokens| tokens.user_id) }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 2, "{out:?}");
        for refused in out.iter().filter_map(|o| o.as_ref().err()) {
            assert_eq!(refused.kind(), ErrorKind::Conflict);
        }
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_memberships").await, 3);
        assert_eq!(raw.number("SELECT count(*) FROM authkit_users WHERE email LIKE 'm%'").await, 2, "nobody half way");
        // A full organisation invites nobody; when a seat is free, a link that was refused works.
        let more = NewInvitation::new("late@example.com", "member").to(clinic.clone());
        assert_eq!(kind(t.kit.invitations().create(&ann.auth, more, &meta()).await), ErrorKind::Conflict);
        let (lost, gained) = (out.iter().position(Result::is_err).unwrap(), out.iter().find_map(|o| o.as_ref().ok()).unwrap());
        t.kit.organisations().remove_member(&ann.auth, made.id, *gained, &meta()).await.unwrap();
        anew(&t, &tokens[lost]).await.unwrap();
    }

    async fn what_its_maker_may_not_any_more_is_void(store: Store) {
        let t = tenants(&store).await;
        let ann = person(&t, "ann@example.com").await;
        let made = org(&t, "Clinic", &ann).await;
        let clinic = Resource::org(made.id);
        let admin = t.kit.admin(meta());
        for (n, what) in ["demoted", "removed", "disabled", "deleted", "purged"].into_iter().enumerate() {
            let email = format!("adam{n}@example.com");
            let adam = person(&t, &email).await;
            join(&t, made.id, adam.user.id, "admin").await;
            letters(&t).await;
            let (_, token) = invite(&t, &adam, &format!("n{n}@example.com"), "member", &clinic).await;
            match what {
                "demoted" => drop(join(&t, made.id, adam.user.id, "member").await),
                "removed" => drop(admin.remove_member(adam.user.id, &clinic).await.unwrap()),
                "disabled" => drop(admin.disable_user(adam.user.id).await.unwrap()),
                _ => drop(admin.delete_user(adam.user.id).await.unwrap()),
            }
            if what == "purged" {
                admin.purge_user(adam.user.id).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(kind(anew(&t, &token).await), ErrorKind::LinkInvalid, "{what}");
            }
            assert!(t.kit.users().find_by_email(&format!("n{n}@example.com")).await.unwrap().is_none());
        }
        assert!(states(&t, &ann, &clinic).await.iter().all(|state| *state == "void"));
        // A role above the present role of its maker.
        let bob = person(&t, "bob@example.com").await;
        join(&t, made.id, bob.user.id, "owner").await;
        letters(&t).await;
        let (_, token) = invite(&t, &bob, NEW, "owner", &clinic).await;
        join(&t, made.id, bob.user.id, "admin").await;
        assert_eq!(kind(anew(&t, &token).await), ErrorKind::LinkInvalid);
        // A target that is gone.
        admin.create_resource(&project("p"), Some(made.id), None).await.unwrap();
        let (_, to_project) = invite(&t, &ann, NEW, "viewer", &project("p")).await;
        admin.resource_deleted(&project("p")).await.unwrap();
        assert_eq!(kind(anew(&t, &to_project).await), ErrorKind::LinkInvalid);
        let (_, to_org) = invite(&t, &ann, "x@example.com", "member", &clinic).await;
        admin.delete_org(made.id).await.unwrap();
        assert_eq!(kind(anew(&t, &to_org).await), ErrorKind::LinkInvalid);
    }

    async fn it_ends_at_its_instant_by_its_maker_and_by_its_successor(store: Store) {
        let t = kit_with(&store, |c| {
            declare(c);
            c.authz.invite_ttl = Duration::from_secs(86_400);
        })
        .await;
        let ann = person(&t, "ann@example.com").await;
        let made = org(&t, "Clinic", &ann).await;
        let clinic = Resource::org(made.id);
        let (first, old) = invite(&t, &ann, NEW, "member", &clinic).await;
        let again_there = NewInvitation::new("New@example.com", "admin").to(clinic.clone());
        assert_eq!(kind(t.kit.invitations().create(&ann.auth, again_there.clone(), &meta()).await), ErrorKind::Conflict);
        t.kit.invitations().resend(&ann.auth, first.id, &meta()).await.unwrap();
        let sent = newest(&t).await;
        assert_ne!(old, sent);
        assert_eq!(kind(anew(&t, &old).await), ErrorKind::LinkInvalid, "the link before is dead");
        // At the exact instant it is over (R6); sent again it is alive.
        t.clock.advance(Duration::from_secs(86_400));
        let ann = again(&t, "ann@example.com").await;
        letters(&t).await;
        assert_eq!(kind(anew(&t, &sent).await), ErrorKind::LinkInvalid);
        assert_eq!(states(&t, &ann, &clinic).await, ["expired"]);
        t.kit.invitations().resend(&ann.auth, first.id, &meta()).await.unwrap();
        let alive = newest(&t).await;
        t.kit.invitations().revoke(&ann.auth, first.id, &meta()).await.unwrap();
        assert_eq!(kind(anew(&t, &alive).await), ErrorKind::LinkInvalid);
        for out in [
            t.kit.invitations().revoke(&ann.auth, first.id, &meta()).await,
            t.kit.invitations().resend(&ann.auth, first.id, &meta()).await,
        ] {
            assert_eq!(kind(out), ErrorKind::Conflict);
        }
        // Another one may follow, also one that only ran out.
        t.kit.invitations().create(&ann.auth, again_there.clone(), &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(86_401));
        let ann = again(&t, "ann@example.com").await;
        letters(&t).await;
        t.kit.invitations().create(&ann.auth, again_there, &meta()).await.unwrap();
        let token = newest(&t).await;
        // A link of another purpose opens nothing here, and this one nothing elsewhere (R9).
        t.kit.request_password_reset("ann@example.com", &meta()).await.unwrap();
        let reset = one(letters(&t).await, "reset_password");
        assert_eq!(kind(anew(&t, reset.token()).await), ErrorKind::LinkInvalid);
        let proof = authkit::LinkProof::token(&*token);
        let new = authkit::secret::SecretString::from(OTHER);
        assert_eq!(kind(t.kit.reset_password(proof, &new, &meta()).await), ErrorKind::LinkInvalid);
        for bad in ["", "akl_", "x", &token[..token.len() - 1], &token.replace("akl_", "akr_")] {
            assert_eq!(kind(anew(&t, bad).await), ErrorKind::LinkInvalid, "{bad}");
        }
        anew(&t, &token).await.unwrap();
    }

    async fn nobody_invites_where_he_may_not(store: Store) {
        let t = tenants(&store).await;
        let (root, ann, adam, bob, eve) = (
            root(&t).await,
            person(&t, "ann@example.com").await,
            person(&t, "adam@example.com").await,
            person(&t, "bob@example.com").await,
            person(&t, "eve@example.com").await,
        );
        let made = org(&t, "Clinic", &ann).await;
        let clinic = Resource::org(made.id);
        join(&t, made.id, adam.user.id, "admin").await;
        join(&t, made.id, bob.user.id, "member").await;
        letters(&t).await;
        let to = |role: &str| NewInvitation::new(NEW, role).to(clinic.clone());
        let platform = |role: &str| NewInvitation::new(NEW, role);
        for (who, new, expected) in [
            (&eve, to("member"), ErrorKind::NotFound),
            (&bob, to("member"), ErrorKind::Forbidden),
            (&adam, to("owner"), ErrorKind::Forbidden),
            (&adam, to("ghost"), ErrorKind::Validation),
            (&ann, NewInvitation::new("bob@example.com", "member").to(clinic.clone()), ErrorKind::Conflict),
            (&ann, NewInvitation::new("ann@example.com", "member").to(clinic.clone()), ErrorKind::Forbidden),
            (&ann, NewInvitation::new("no address", "member").to(clinic.clone()), ErrorKind::Validation),
            (&ann, platform("user"), ErrorKind::Forbidden),
            (&adam, platform("super_admin"), ErrorKind::Forbidden),
            (&root, platform("ghost"), ErrorKind::Validation),
            (&ann, NewInvitation::new(NEW, "viewer").to(project("unknown")), ErrorKind::NotFound),
        ] {
            let out = t.kit.invitations().create(&who.auth, new.clone(), &meta()).await;
            assert_eq!(kind(out), expected, "{} {new:?}", who.user.email);
        }
        assert!(letters(&t).await.is_empty());
        let (made, _) = invite(&t, &ann, NEW, "member", &clinic).await;
        for (who, expected) in [(&eve, ErrorKind::NotFound), (&bob, ErrorKind::Forbidden)] {
            assert_eq!(kind(t.kit.invitations().resend(&who.auth, made.id, &meta()).await), expected);
            assert_eq!(kind(t.kit.invitations().revoke(&who.auth, made.id, &meta()).await), expected);
            assert_eq!(kind(t.kit.invitations().list(&who.auth, Some(&clinic), &page()).await), expected);
        }
        t.kit.invitations().revoke(&adam.auth, made.id, &meta()).await.unwrap();
        // To the platform: the role comes with the account.
        t.kit.invitations().create(&root.auth, platform("admin"), &meta()).await.unwrap();
        let tokens = anew(&t, &newest(&t).await).await.unwrap();
        let user = t.kit.users().get(tokens.user_id).await.unwrap().unwrap();
        assert_eq!(user.roles, ["admin", "user"]);
        assert_eq!(t.kit.invitations().list(&root.auth, None, &page()).await.unwrap().items.len(), 2);
    }

    async fn operators_get_the_link_where_no_mail_is_sent(store: Store) {
        let t = crate::support::build(&store, declare, authkit::AuthKitBuilder::without_mailer).await;
        let ann = person(&t, "ann@example.com").await;
        let clinic = Resource::org(org(&t, "Clinic", &ann).await.id);
        let to = NewInvitation::new(NEW, "member").to(clinic.clone());
        assert_eq!(kind(t.kit.invitations().create(&ann.auth, to.clone(), &meta()).await), ErrorKind::Unavailable);
        let sent = t.kit.admin(meta()).invite(to).await.unwrap().resource;
        assert!(!sent.mailed);
        let link = sent.link.unwrap();
        let link = link.expose_secret();
        assert!(link.starts_with("http://localhost:8000/accept-invitation?token=akl_"), "{link}");
        anew(&t, link.split_once("?token=").unwrap().1).await.unwrap();
    }
}

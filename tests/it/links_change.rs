//! Another address for one's account, and the way back.

use std::time::Duration;

use authkit::admin::NewUser;
use authkit::testing::{PASSWORD, SignedIn, TestKit};
use authkit::{Credentials, ErrorKind, PasswordChange, SignUp, StepUp};
use authkit_tests::{Store, on_both, race};

use crate::links::{Letter, letters, new_password, one, reset_letter};
use crate::support::{Raw, Texts as _, kind, kit, meta, secret};

/// Somebody signed in with a proved address.
async fn ann(t: &TestKit) -> SignedIn {
    let user = t.sign_up("ann@example.com").await.unwrap();
    t.kit.admin(meta()).verify_email(user.id).await.unwrap();
    letters(t).await;
    signed_in(t, "ann@example.com").await
}

async fn signed_in(t: &TestKit, email: &str) -> SignedIn {
    let user = t.kit.users().find_by_email(email).await.unwrap().unwrap();
    let tokens = t.sign_in(email).await.unwrap();
    let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
    SignedIn { user, tokens, auth }
}

/// Asks for the address and gives what arrives there.
async fn asked(t: &TestKit, who: &SignedIn, new: &str) -> Letter {
    t.kit.request_email_change(&who.auth, new, &meta()).await.unwrap();
    one(letters(t).await, "confirm_email")
}

/// The whole change; the letter that undoes it.
async fn changed(t: &TestKit, who: &SignedIn, new: &str) -> Letter {
    let letter = asked(t, who, new).await;
    t.kit.confirm_email_change(letter.proof(), &meta()).await.unwrap();
    one(letters(t).await, "undo_email")
}

async fn can_sign_in(t: &TestKit, email: &str, password: &str) -> bool {
    t.kit.login(Credentials::new(email, password), &meta()).await.is_ok()
}

const NEW: &str = "another quite unrelated phrase";
const DAY: Duration = Duration::from_secs(86_400);

on_both! {
    async fn s_094_step_up_confirmation_at_the_new_and_notice_to_the_old_address(store: Store) {
        let t = kit(&store).await;
        let ann = ann(&t).await;
        t.clock.advance(Duration::from_secs(5 * 60));
        let stale = t.kit.request_email_change(&ann.auth, "new@example.com", &meta()).await;
        // Judged by the token; an old one is judged anew.
        let auth = t.kit.authenticate(ann.access(), &meta()).await.unwrap();
        assert_eq!(kind(stale), ErrorKind::StepUpRequired);
        let stale = t.kit.request_email_change(&auth, "new@example.com", &meta()).await;
        assert_eq!(kind(stale), ErrorKind::StepUpRequired);
        letters(&t).await;
        let tokens = t.kit.step_up(&auth, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        let other = t.sign_in("ann@example.com").await.unwrap();

        t.kit.request_email_change(&auth, " New@Example.COM ", &meta()).await.unwrap();
        let letter = one(letters(&t).await, "confirm_email");
        assert_eq!(letter.to, "New@example.com");
        assert!(letter.link().starts_with("http://localhost:8000/confirm-email?token="));
        // Until then nothing has changed.
        assert!(can_sign_in(&t, "ann@example.com", PASSWORD).await);
        assert!(!can_sign_in(&t, "new@example.com", PASSWORD).await);

        t.kit.confirm_email_change(letter.proof(), &meta()).await.unwrap();
        let user = t.kit.users().get(ann.user.id).await.unwrap().unwrap();
        assert_eq!((user.email.as_str(), user.email_verified), ("New@example.com", true));
        assert!(!can_sign_in(&t, "ann@example.com", PASSWORD).await);
        assert!(can_sign_in(&t, "new@example.com", PASSWORD).await);
        let told = letters(&t).await;
        assert_eq!((told.len(), told[0].kind, told[0].to.as_str()), (1, "undo_email", "ann@example.com"));
        assert!(told[0].link().starts_with("http://localhost:8000/undo-email?token="));
        // The session that asked goes on by refresh; the others are over.
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::Unauthenticated);
        t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.refresh(other.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("email.change").await, raw.audited("email.change_request").await), (1, 1));
        assert_eq!(kind(t.kit.confirm_email_change(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
    }

    async fn a_confirmation_works_when_the_asking_session_is_over_and_ends_at_an_hour(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let letter = asked(&t, &who, "new@example.com").await;
        t.kit.logout(who.refresh(), &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(3600));
        assert_eq!(kind(t.kit.confirm_email_change(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
        let who = signed_in(&t, "ann@example.com").await;
        let letter = asked(&t, &who, "new@example.com").await;
        t.kit.logout(who.refresh(), &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(3600) - Duration::from_micros(1));
        t.kit.confirm_email_change(letter.proof(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.refresh(who.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
    }

    async fn a_code_is_typed_with_the_address_that_it_went_to(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let letter = asked(&t, &who, "new@example.com").await;
        let by_old = authkit::LinkProof::code("ann@example.com", letter.code());
        assert_eq!(kind(t.kit.confirm_email_change(by_old, &meta()).await), ErrorKind::LinkInvalid);
        t.kit.confirm_email_change(letter.code_proof(), &meta()).await.unwrap();
        assert!(can_sign_in(&t, "new@example.com", PASSWORD).await);
        // The notice carries no code.
        let undo = one(letters(&t).await, "undo_email");
        assert!(!undo.text.contains("type"));
    }

    async fn a_taken_address_is_not_told_and_gets_no_mail(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        t.sign_up("taken@example.com").await.unwrap();
        letters(&t).await;
        let free = asked(&t, &who, "mine@example.com").await;
        let mut raw = Raw::open(&store).await;
        let mut counts = async || {
            let links = raw.number("SELECT count(*) FROM authkit_links").await;
            let mails = raw.number("SELECT count(*) FROM authkit_outbox").await;
            (links, mails, raw.number("SELECT count(*) FROM authkit_audit").await)
        };
        let before = counts().await;
        t.kit.request_email_change(&who.auth, "TAKEN@example.com", &meta()).await.unwrap();
        let after = counts().await;
        assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (0, 1, 1));
        assert!(letters(&t).await.is_empty());
        // The link before it is gone, as it would be had the address been free: nothing tells.
        assert_eq!(kind(t.kit.confirm_email_change(free.proof(), &meta()).await), ErrorKind::LinkInvalid);
        // Taken between asking and confirming: one answer, and the link may still work later.
        let letter = asked(&t, &who, "soon@example.com").await;
        let soon = t.sign_up("soon@example.com").await.unwrap();
        assert_eq!(kind(t.kit.confirm_email_change(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
        t.kit.admin(meta()).delete_user(soon.id).await.unwrap();
        assert_eq!(kind(t.kit.confirm_email_change(letter.proof(), &meta()).await), ErrorKind::LinkInvalid);
        t.kit.admin(meta()).purge_user(soon.id).await.unwrap();
        t.kit.confirm_email_change(letter.proof(), &meta()).await.unwrap();
        // One's own present address is no change; another spelling of it is one.
        let who = signed_in(&t, "soon@example.com").await;
        assert_eq!(kind(t.kit.request_email_change(&who.auth, "soon@example.com", &meta()).await), ErrorKind::Validation);
        letters(&t).await;
        changed(&t, &who, "Soon@example.com").await;
        assert_eq!(t.kit.users().get(who.user.id).await.unwrap().unwrap().email, "Soon@example.com");
    }

    async fn s_085_a_confirmed_change_ends_reset_links(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let change = asked(&t, &who, "new@example.com").await;
        let reset = reset_letter(&t, "ann@example.com").await;
        t.kit.confirm_email_change(change.proof(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.reset_password(reset.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        let mut raw = Raw::open(&store).await;
        let live = raw.texts("SELECT purpose FROM authkit_links WHERE ended_at IS NULL").await;
        assert_eq!(live, ["undo_email"]);
    }

    async fn an_undo_throws_out_whoever_changed_the_address(store: Store) {
        let t = kit(&store).await;
        let thief = ann(&t).await;
        let undo = changed(&t, &thief, "thief@example.com").await;
        // What somebody does who wants to stay: a new password, a second change, a link in reserve.
        let tokens = t.kit.refresh(thief.refresh(), &meta()).await.unwrap();
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.change_password(&auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
        let who = t.kit.login(Credentials::new("thief@example.com", NEW), &meta()).await.unwrap();
        let authkit::Login::Complete(tokens) = who else { panic!("a second factor?") };
        let auth = t.kit.authenticate(tokens.access(), &meta()).await.unwrap();
        t.kit.request_email_change(&auth, "second@example.com", &meta()).await.unwrap();
        t.clock.advance(Duration::from_secs(1));
        let letter = one(letters(&t).await, "confirm_email");
        t.kit.confirm_email_change(letter.proof(), &meta()).await.unwrap();
        let second_undo = one(letters(&t).await, "undo_email");
        assert_eq!(second_undo.to, "thief@example.com");
        let reserve = reset_letter(&t, "second@example.com").await;
        let tokens = t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();

        t.kit.undo_email_change(undo.proof(), &meta()).await.unwrap();
        let user = t.kit.users().get(thief.user.id).await.unwrap().unwrap();
        assert_eq!((user.email.as_str(), user.email_verified), ("ann@example.com", true));
        assert_eq!(kind(t.kit.refresh(tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::Unauthenticated);
        for email in ["ann@example.com", "thief@example.com", "second@example.com"] {
            for password in [PASSWORD, NEW] {
                assert!(!can_sign_in(&t, email, password).await, "{email}");
            }
        }
        assert_eq!(kind(t.kit.reset_password(reserve.proof(), &new_password(), &meta()).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(t.kit.undo_email_change(second_undo.proof(), &meta()).await), ErrorKind::LinkInvalid);
        assert_eq!(kind(t.kit.undo_email_change(undo.proof(), &meta()).await), ErrorKind::LinkInvalid);
        // The owner goes on by the mail that came along.
        let letter = one(letters(&t).await, "reset_password");
        assert_eq!(letter.to, "ann@example.com");
        t.kit.reset_password(letter.proof(), &secret("the owner's own new phrase"), &meta()).await.unwrap();
        assert!(can_sign_in(&t, "ann@example.com", "the owner's own new phrase").await);
        assert_eq!(Raw::open(&store).await.audited("email.undo").await, 1);
    }

    async fn an_undo_by_the_thief_s_own_mailbox_leaves_the_owner_s(store: Store) {
        let t = kit(&store).await;
        let thief = ann(&t).await;
        let owners = changed(&t, &thief, "thief@example.com").await;
        t.clock.advance(Duration::from_secs(1));
        let who = signed_in(&t, "thief@example.com").await;
        let thiefs = changed(&t, &who, "second@example.com").await;
        t.kit.undo_email_change(thiefs.proof(), &meta()).await.unwrap();
        letters(&t).await;
        t.kit.undo_email_change(owners.proof(), &meta()).await.unwrap();
        assert_eq!(t.kit.users().get(thief.user.id).await.unwrap().unwrap().email, "ann@example.com");
    }

    async fn an_undo_works_for_seven_days(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let undo = changed(&t, &who, "new@example.com").await;
        t.clock.advance(7 * DAY);
        assert_eq!(kind(t.kit.undo_email_change(undo.proof(), &meta()).await), ErrorKind::LinkInvalid);
        let who = signed_in(&t, "new@example.com").await;
        let undo = changed(&t, &who, "newer@example.com").await;
        t.clock.advance(7 * DAY - Duration::from_micros(1));
        t.kit.undo_email_change(undo.proof(), &meta()).await.unwrap();
        assert_eq!(t.kit.users().get(who.user.id).await.unwrap().unwrap().email, "new@example.com");
    }

    async fn a_former_address_is_kept_for_its_owner_while_it_can_be_given_back(store: Store) {
        let t = kit(&store).await;
        let thief = ann(&t).await;
        let undo = changed(&t, &thief, "thief@example.com").await;
        // Nobody takes the address, to stand in the way of the undo.
        let out = t.kit.signup(SignUp::new("X", "ANN@example.com", PASSWORD), &meta()).await;
        assert_eq!(kind(out), ErrorKind::Conflict);
        let out = t.kit.admin(meta()).create_user(NewUser::new("ann@example.com", "X")).await;
        assert_eq!(kind(out), ErrorKind::Conflict);
        let bob = t.signed_in("bob@example.com").await.unwrap();
        letters(&t).await;
        t.kit.request_email_change(&bob.auth, "ann@example.com", &meta()).await.unwrap();
        assert!(letters(&t).await.is_empty());
        t.kit.undo_email_change(undo.proof(), &meta()).await.unwrap();
        // Its owner may go back by himself.
        letters(&t).await;
        let letter = reset_letter(&t, "ann@example.com").await;
        t.kit.reset_password(letter.proof(), &secret(PASSWORD), &meta()).await.unwrap();
        let who = signed_in(&t, "ann@example.com").await;
        letters(&t).await;
        changed(&t, &who, "new@example.com").await;
        let who = signed_in(&t, "new@example.com").await;
        changed(&t, &who, "ann@example.com").await;
        // When the week is over it is anybody's.
        let who = signed_in(&t, "ann@example.com").await;
        changed(&t, &who, "last@example.com").await;
        t.clock.advance(7 * DAY);
        t.sign_up("ann@example.com").await.unwrap();
    }

    async fn of_twenty_parallel_confirmations_one_counts(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let letter = asked(&t, &who, "new@example.com").await;
        let out = race(20, |_| {
            let (kit, proof) = (t.kit.clone(), letter.proof());
            async move { kit.confirm_email_change(proof, &meta()).await }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1);
        let undo = one(letters(&t).await, "undo_email");
        let out = race(20, |_| {
            let (kit, proof) = (t.kit.clone(), undo.proof());
            async move { kit.undo_email_change(proof, &meta()).await }
        })
        .await;
        assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1);
        one(letters(&t).await, "reset_password");
        let mut raw = Raw::open(&store).await;
        assert_eq!((raw.audited("email.change").await, raw.audited("email.undo").await), (1, 1));
    }

    async fn two_accounts_that_confirm_one_address_at_once_never_both_get_it(store: Store) {
        let t = kit(&store).await;
        for round in 0..10 {
            let new = format!("prize-{round}@example.com");
            let mut proofs = Vec::new();
            for i in 0..2 {
                let who = t.signed_in(&format!("p{round}-{i}@example.com")).await.unwrap();
                letters(&t).await;
                proofs.push(asked(&t, &who, &new).await.proof());
            }
            let out = race(2, |i| {
                let (kit, proof) = (t.kit.clone(), proofs[i].clone());
                async move { kit.confirm_email_change(proof, &meta()).await }
            })
            .await;
            assert_eq!(out.iter().filter(|o| o.is_ok()).count(), 1, "{out:?}");
            for refused in out.into_iter().filter(Result::is_err) {
                assert_eq!(kind(refused), ErrorKind::LinkInvalid);
            }
        }
    }

    async fn an_operator_s_change_of_address_is_the_last_word(store: Store) {
        let t = kit(&store).await;
        let who = ann(&t).await;
        let undo = changed(&t, &who, "new@example.com").await;
        let mut change = authkit::admin::UserChange::default();
        change.email = Some("ann@example.com".into());
        t.kit.admin(meta()).update_user(who.user.id, change).await.unwrap();
        assert_eq!(kind(t.kit.undo_email_change(undo.proof(), &meta()).await), ErrorKind::LinkInvalid);
    }
}

//! Second factors at the doors of who is signed in: step-up, what needs one, what removes them.

use std::time::Duration;

use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    Assurance, Authenticated, DisableProof, Enrolling, ErrorKind, PasskeyProof, PasswordChange, StepUp,
};
use authkit_tests::{Store, on_both};

use crate::links::letters;
use crate::mfa::{
    ANN, BOB, MINUTE, STEP, add_app, auth, complete, enrolled, now, pending, refreshed, seconds, sign_in,
    wrong,
};
use crate::support::{Raw, Texts as _, kind, kit, meta, secret};

const NEW: &str = "another horse battery staple";

/// Every door of contract 4.14 that takes no proof of its own beside a password, and what it says.
async fn at_every_door(t: &TestKit, caller: &Authenticated) -> Vec<(&'static str, authkit::Error)> {
    let kit = &t.kit;
    let mut out = Vec::new();
    let mut say = |door, result: authkit::Result<()>| out.push((door, result.unwrap_err()));
    say("password", kit.change_password(caller, PasswordChange::new(PASSWORD, NEW), &meta()).await);
    say("email/change", kit.request_email_change(caller, "new@example.com", &meta()).await);
    say("mfa/totp", kit.mfa().add_totp(caller, None, &meta()).await.map(|_| ()));
    let code = secret("123456");
    say("mfa/totp/confirm", kit.mfa().confirm_totp(caller, &code, None, &meta()).await.map(|_| ()));
    let password = DisableProof::Password(secret(PASSWORD));
    say("mfa/disable", kit.mfa().disable(caller, password, &meta()).await);
    say("step-up", kit.step_up(caller, StepUp::Password(secret(PASSWORD)), &meta()).await.map(|_| ()));
    say("me", kit.delete_account(caller, &meta()).await);
    out
}

on_both! {
    async fn s_118_without_a_fresh_second_factor_every_door_asks_for_a_step_up(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        // A session that began before there was a factor, fresh by its password; and one whose factor is 5 minutes old.
        let young = ann.auth;
        let check = async |caller: &Authenticated| {
            for (door, refused) in at_every_door(&t, caller).await {
                assert_eq!(refused.kind(), ErrorKind::StepUpRequired, "{door}");
                assert_eq!(refused.satisfied_by(), ["totp", "backup_code"], "{door}");
            }
        };
        check(&young).await;
        let (_, auth) = sign_in(&t, ANN, &ann.app).await;
        t.clock.advance(5 * MINUTE);
        check(&auth).await;
        assert!(t.kit.users().find_by_email("new@example.com").await.unwrap().is_none());
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_totp").await, 1);
        // One microsecond younger, all of them open. The last is the one that ends the account.
        let (_, auth) = sign_in(&t, ANN, &ann.app).await;
        t.clock.advance(5 * MINUTE - Duration::from_micros(1));
        t.kit.request_email_change(&auth, "new@example.com", &meta()).await.unwrap();
        t.kit.mfa().add_totp(&auth, None, &meta()).await.unwrap();
        t.kit.delete_account(&auth, &meta()).await.unwrap();
    }

    async fn s_118_the_password_counts_beside_a_fresh_factor_and_makes_it_no_younger(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (_, first) = sign_in(&t, ANN, &ann.app).await;
        t.clock.advance(3 * MINUTE);
        let tokens = t.kit.step_up(&first, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        let second = auth(&t, &tokens).await;
        assert_ne!(second.session_id(), first.session_id());
        assert_eq!((second.auth_time(), second.amr()), (first.auth_time(), first.amr()));
        t.clock.advance(2 * MINUTE);
        for (door, refused) in at_every_door(&t, &second).await {
            assert_eq!(refused.kind(), ErrorKind::StepUpRequired, "{door}");
        }
        let tokens = t.kit.step_up(&second, StepUp::Code(now(&t, &ann.app)), &meta()).await.unwrap();
        let third = auth(&t, &tokens).await;
        t.kit.change_password(&third, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
    }

    async fn s_118_a_first_factor_needs_a_fresh_sign_in(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        t.clock.advance(5 * MINUTE);
        let refused = t.kit.mfa().add_totp(&person.auth, None, &meta()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.satisfied_by()), (ErrorKind::StepUpRequired, &["password"][..]));
        // While there is none, the password alone changes itself.
        t.kit.change_password(&person.auth, PasswordChange::new(PASSWORD, NEW), &meta()).await.unwrap();
    }

    async fn s_124_a_step_up_ages_and_belongs_to_its_session(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (other, _) = sign_in(&t, ANN, &ann.app).await;
        t.clock.advance(6 * MINUTE);
        let other = auth(&t, &other).await;
        let (old_tokens, old) = refreshed(&t, &ann.tokens).await;
        let tokens = t.kit.step_up(&old, StepUp::Code(now(&t, &ann.app)), &meta()).await.unwrap();
        let up = auth(&t, &tokens).await;
        // A new session id and new tokens (case 79); what was there before is over.
        assert_ne!(up.session_id(), old.session_id());
        assert_eq!(up.amr(), ["pwd", "otp", "mfa"]);
        assert_eq!(kind(t.kit.refresh(old_tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(old_tokens.access(), &meta()).await), ErrorKind::Unauthenticated);
        let fresh = Assurance::mfa().within_minutes(5);
        up.require(fresh).unwrap();
        assert_eq!(kind(other.require(fresh).map(|_| ())), ErrorKind::StepUpRequired);
        assert_eq!(kind(old.require(Assurance::mfa()).map(|_| ())), ErrorKind::StepUpRequired);
        t.clock.advance(5 * MINUTE);
        let later = auth(&t, &tokens).await;
        let refused = later.require(fresh).map(|_| ()).unwrap_err();
        assert_eq!(refused.satisfied_by(), ["totp", "backup_code", "passkey"]);
        later.require(Assurance::mfa()).unwrap();
        // A refresh makes nothing younger.
        let (_, refreshed) = refreshed(&t, &tokens).await;
        assert_eq!(refreshed.auth_time(), up.auth_time());
    }

    async fn a_step_up_takes_any_factor_once_and_no_wrong_one(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let step = async |proof| t.kit.step_up(&ann.auth, proof, &meta()).await;
        assert_eq!(kind(step(StepUp::Code(secret(&wrong(&t, &ann.app)))).await), ErrorKind::MfaInvalid);
        let nobody = PasskeyProof::new("x", serde_json::json!({}));
        assert_eq!(kind(step(StepUp::Passkey(nobody)).await), ErrorKind::MfaInvalid);
        let used = now(&t, &ann.app);
        let tokens = step(StepUp::Code(used.clone())).await.unwrap();
        let up = auth(&t, &tokens).await;
        assert_eq!(kind(t.kit.step_up(&up, StepUp::Code(used.clone()), &meta()).await), ErrorKind::MfaInvalid);
        assert_eq!(kind(complete(&t, &pending(&t, ANN).await, used.expose_secret()).await), ErrorKind::MfaInvalid);
        let tokens = t.kit.step_up(&up, StepUp::Code(secret(&ann.codes[0])), &meta()).await.unwrap();
        let up = auth(&t, &tokens).await;
        assert_eq!(kind(t.kit.step_up(&up, StepUp::Code(secret(&ann.codes[0])), &meta()).await), ErrorKind::MfaInvalid);
        // Another user's code is a wrong one.
        let bob = enrolled(&t, BOB).await;
        assert_eq!(kind(t.kit.step_up(&up, StepUp::Code(now(&t, &bob.app)), &meta()).await), ErrorKind::MfaInvalid);
        assert_eq!(kind(t.kit.step_up(&up, StepUp::Code(secret(&bob.codes[0])), &meta()).await), ErrorKind::MfaInvalid);
        assert!(t.kit.step_up(&bob.auth, StepUp::Code(secret(&bob.codes[0])), &meta()).await.is_ok());
        // Who has none cannot step up by one.
        let carl = t.signed_in("carl@example.com").await.unwrap();
        let out = t.kit.step_up(&carl.auth, StepUp::Code(secret("123456")), &meta()).await;
        assert_eq!(kind(out), ErrorKind::MfaInvalid);
    }

    async fn s_115_a_new_set_of_backup_codes_ends_the_old_one(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let make = async |caller: &Authenticated, code: SecretString| {
            t.kit.mfa().regenerate_backup_codes(caller, code, &meta()).await
        };
        assert_eq!(kind(make(&ann.auth, secret(&wrong(&t, &ann.app))).await), ErrorKind::MfaInvalid);
        let fresh: Vec<String> =
            make(&ann.auth, now(&t, &ann.app)).await.unwrap().codes.iter().map(|c| c.expose_secret().to_owned()).collect();
        assert_eq!(fresh.len(), 10);
        assert!(fresh.iter().all(|code| !ann.codes.contains(code)));
        for old in &ann.codes[..3] {
            assert_eq!(kind(complete(&t, &pending(&t, ANN).await, old).await), ErrorKind::MfaInvalid);
        }
        complete(&t, &pending(&t, ANN).await, &fresh[0]).await.unwrap();
        // It is a change of credentials: the caller goes on by a refresh.
        assert_eq!(kind(make(&ann.auth, secret(&fresh[1])).await), ErrorKind::Unauthenticated);
        let (_, auth) = refreshed(&t, &ann.tokens).await;
        make(&auth, secret(&fresh[1])).await.unwrap();
        assert_eq!(Raw::open(&store).await.audited("mfa.backup_codes").await, 2);
    }

    async fn s_073_disabling_ends_everything_but_the_own_session(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (other, _) = sign_in(&t, ANN, &ann.app).await;
        letters(&t).await;
        let off = async |caller: &Authenticated, proof| t.kit.mfa().disable(caller, proof, &meta()).await;
        assert_eq!(kind(off(&ann.auth, DisableProof::Code(secret(&wrong(&t, &ann.app)))).await), ErrorKind::MfaInvalid);
        t.clock.advance(STEP);
        let waiting = pending(&t, ANN).await;
        off(&ann.auth, DisableProof::Code(now(&t, &ann.app))).await.unwrap();
        assert_eq!(kind(t.kit.refresh(other.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        t.clock.advance(STEP);
        assert_eq!(kind(complete(&t, &waiting, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        let (_, auth) = refreshed(&t, &ann.tokens).await;
        let status = t.kit.mfa().status(&auth).await.unwrap();
        assert!(!status.enabled && status.factors.is_empty() && status.backup_codes_remaining == 0);
        assert!(letters(&t).await.iter().any(|letter| letter.kind == "factor_removed"));
        assert!(t.sign_in(ANN).await.is_ok(), "a password will do again");
        // Nothing is left to remove: no fault, and no code of old is good.
        off(&auth, DisableProof::Password(secret(PASSWORD))).await.unwrap();
        assert_eq!(kind(off(&auth, DisableProof::Code(secret(&ann.codes[0]))).await), ErrorKind::MfaInvalid);
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_backup_codes").await, 0);
    }

    async fn disabling_by_password_needs_a_fresh_factor_and_the_right_password(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (tokens, auth) = sign_in(&t, ANN, &ann.app).await;
        let by = |text: &str| DisableProof::Password(secret(text));
        assert_eq!(kind(t.kit.mfa().disable(&auth, by("wrong wrong wrong"), &meta()).await), ErrorKind::InvalidCredentials);
        t.kit.mfa().disable(&auth, by(PASSWORD), &meta()).await.unwrap();
        refreshed(&t, &tokens).await;
        assert_eq!(Raw::open(&store).await.audited("mfa.disable").await, 2);
    }

    async fn a_factor_can_be_set_up_again_after_it_was_removed(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        t.kit.mfa().disable(&ann.auth, DisableProof::Code(secret(&ann.codes[0])), &meta()).await.unwrap();
        let (_, auth) = refreshed(&t, &ann.tokens).await;
        let (app, codes) = add_app(&t, &auth).await;
        assert_eq!(codes.len(), 10);
        sign_in(&t, ANN, &app).await;
    }

    async fn an_operator_removes_all_factors_and_the_lock(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        for _ in 0..2 {
            let waiting = pending(&t, ANN).await;
            for _ in 0..5 {
                assert_eq!(kind(complete(&t, &waiting, &wrong(&t, &ann.app)).await), ErrorKind::MfaInvalid);
            }
        }
        letters(&t).await;
        let admin = t.kit.admin(meta());
        assert!(admin.dry_run().reset_mfa(ann.id).await.unwrap().changed);
        assert!(t.kit.users().get(ann.id).await.unwrap().unwrap().mfa_enabled);
        let admin = t.kit.admin(meta());
        let reset = admin.reset_mfa(ann.id).await.unwrap();
        assert!(reset.changed && !reset.resource.mfa_enabled);
        assert!(!admin.reset_mfa(ann.id).await.unwrap().changed);
        assert_eq!(kind(t.kit.refresh(ann.tokens.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        let tokens = t.sign_in(ANN).await.unwrap();
        let (app, _) = add_app(&t, &auth(&t, &tokens).await).await;
        sign_in(&t, ANN, &app).await;
        assert!(letters(&t).await.iter().any(|letter| letter.kind == "factor_removed"));
        let nobody = authkit::UserId::from_uuid(uuid::Uuid::nil());
        assert_eq!(kind(admin.reset_mfa(nobody).await), ErrorKind::NotFound);
        assert_eq!(kind(admin.make_backup_codes(nobody).await), ErrorKind::NotFound);
    }

    async fn an_operator_makes_backup_codes_for_who_has_a_factor(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let codes = t.kit.admin(meta()).make_backup_codes(ann.id).await.unwrap().codes;
        assert_eq!(kind(complete(&t, &pending(&t, ANN).await, &ann.codes[0]).await), ErrorKind::MfaInvalid);
        complete(&t, &pending(&t, ANN).await, codes[0].expose_secret()).await.unwrap();
        let bob = t.sign_up(BOB).await.unwrap();
        assert_eq!(kind(t.kit.admin(meta()).make_backup_codes(bob.id).await), ErrorKind::Conflict);
    }

    async fn s_097_the_owner_of_an_unproved_address_is_rid_of_a_strangers_factor(store: Store) {
        let t = kit(&store).await;
        enrolled(&t, ANN).await;
        letters(&t).await;
        t.kit.request_password_reset(ANN, &meta()).await.unwrap();
        let mail = letters(&t).await.into_iter().find(|letter| letter.kind == "reset_password").unwrap();
        t.kit.reset_password(mail.proof(), &secret(PASSWORD), &meta()).await.unwrap();
        t.sign_in(ANN).await.unwrap();
    }

    async fn s_089_a_reset_skips_no_factor(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        t.kit.admin(meta()).verify_email(ann.id).await.unwrap();
        letters(&t).await;
        t.kit.request_password_reset(ANN, &meta()).await.unwrap();
        let mail = letters(&t).await.into_iter().find(|letter| letter.kind == "reset_password").unwrap();
        t.kit.reset_password(mail.proof(), &secret(PASSWORD), &meta()).await.unwrap();
        sign_in(&t, ANN, &ann.app).await;
    }

    async fn ten_apps_are_the_most(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let mut caller = sign_in(&t, ANN, &ann.app).await;
        for _ in 1..10 {
            add_app(&t, &caller.1).await;
            caller = refreshed(&t, &caller.0).await;
        }
        let full = t.kit.mfa().add_totp(Enrolling::from(&caller.1), None, &meta()).await;
        assert_eq!(kind(full), ErrorKind::Conflict);
    }
}

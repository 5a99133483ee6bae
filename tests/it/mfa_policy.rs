//! What the policy asks: off, optional, required for all or for roles.

use authkit::config::MfaPolicy;
use authkit::testing::{PASSWORD, TestKit};
use authkit::{Authenticated, DisableProof, Enrolling, ErrorKind, MfaStatus, StepUp, Tokens};
use authkit_tests::factors::App;
use authkit_tests::{Store, on_both};

use authkit::secret::ExposeSecret as _;

use crate::mfa::{ANN, BOB, STEP, enrolled, now, pending, sign_in};
use crate::support::{Texts as _, kind, kit_with, meta, second_node, secret};

async fn enrolling(t: &TestKit, tokens: &Tokens) -> Enrolling {
    t.kit.authenticate_enrolling(tokens.access(), &meta()).await.unwrap()
}

/// Sets up an app in a session that may do nothing else; the session is over when this returns, but for a refresh.
async fn first_app(t: &TestKit, tokens: &Tokens) -> App {
    let caller = enrolling(t, tokens).await;
    let made = t.kit.mfa().add_totp(&caller, None, &meta()).await.unwrap();
    let app = App::new(made.secret.expose_secret());
    t.kit.mfa().confirm_totp(&caller, &now(t, &app), None, &meta()).await.unwrap();
    app
}

on_both! {
    async fn who_needs_a_factor_and_has_none_can_only_set_one_up(store: Store) {
        let t = kit_with(&store, |c| c.mfa.policy = MfaPolicy::Required).await;
        t.sign_up(ANN).await.unwrap();
        let tokens = t.sign_in(ANN).await.unwrap();
        let refused = t.kit.authenticate(tokens.access(), &meta()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.satisfied_by()), (ErrorKind::StepUpRequired, &["enrol"][..]));
        let caller = enrolling(&t, &tokens).await;
        let status: MfaStatus = t.kit.mfa().status(&caller).await.unwrap();
        assert!(!status.enabled);
        // A refresh of it gives the same kind of session; a step-up by password, too.
        let tokens = t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::StepUpRequired);
        let tokens = t.kit.step_up(&enrolling(&t, &tokens).await, StepUp::Password(secret(PASSWORD)), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::StepUpRequired);
        let app = first_app(&t, &tokens).await;
        // It proved no second factor: still nothing else, until it gives one.
        let tokens = t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
        let refused = t.kit.authenticate(tokens.access(), &meta()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.satisfied_by()), (ErrorKind::StepUpRequired, &["totp", "backup_code"][..]));
        t.clock.advance(STEP);
        let up = t.kit.step_up(&enrolling(&t, &tokens).await, StepUp::Code(now(&t, &app)), &meta()).await.unwrap();
        t.kit.authenticate(up.access(), &meta()).await.unwrap();
        sign_in(&t, ANN, &app).await;
    }

    async fn the_last_factor_that_is_needed_cannot_be_removed(store: Store) {
        let t = kit_with(&store, |c| c.mfa.required_roles = vec!["admin".into()]).await;
        let ann = enrolled(&t, ANN).await;
        t.kit.admin(meta()).grant_role(ann.id, "admin").await.unwrap();
        let (_, auth) = sign_in(&t, ANN, &ann.app).await;
        let off = async |caller: &Authenticated, proof| t.kit.mfa().disable(caller, proof, &meta()).await;
        assert_eq!(kind(off(&auth, DisableProof::Password(secret(PASSWORD))).await), ErrorKind::Conflict);
        assert_eq!(kind(off(&auth, DisableProof::Code(secret(&ann.codes[0]))).await), ErrorKind::Conflict);
        assert!(t.kit.mfa().status(&auth).await.unwrap().enabled);
        // The role decides at that moment, as the store has it.
        t.kit.admin(meta()).revoke_role(ann.id, "admin").await.unwrap();
        let (_, auth) = sign_in(&t, ANN, &ann.app).await;
        off(&auth, DisableProof::Code(secret(&ann.codes[1]))).await.unwrap();
    }

    async fn roles_decide_who_needs_a_factor_at_once(store: Store) {
        let t = kit_with(&store, |c| {
            c.mfa.policy = MfaPolicy::Required;
            c.mfa.required_roles = vec!["admin".into(), "super_admin".into()];
        })
        .await;
        let ann = t.signed_in(ANN).await.unwrap();
        let bob = t.signed_in(BOB).await.unwrap();
        t.kit.admin(meta()).grant_role(ann.user.id, "admin").await.unwrap();
        t.kit.authenticate(bob.access(), &meta()).await.unwrap();
        // Her token is void with the change of roles, and the next one may do nothing but set up a factor.
        assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        let tokens = t.kit.refresh(ann.refresh(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::StepUpRequired);
        let report = t.kit.admin(meta()).mfa_report().await.unwrap();
        assert_eq!((report.policy, report.accounts, report.with_factor, report.lacking), ("required", 2, 0, 1));
        first_app(&t, &tokens).await;
        let report = t.kit.admin(meta()).mfa_report().await.unwrap();
        assert_eq!((report.with_factor, report.lacking), (1, 0));
    }

    async fn an_operator_without_the_factor_he_needs_is_no_operator(store: Store) {
        let t = kit_with(&store, |c| c.mfa.required_roles = vec!["super_admin".into()]).await;
        let ann = t.sign_up(ANN).await.unwrap();
        t.kit.admin(meta()).grant_role(ann.id, "super_admin").await.unwrap();
        let tokens = t.sign_in(ANN).await.unwrap();
        assert_eq!(kind(t.kit.authenticate(tokens.access(), &meta()).await), ErrorKind::StepUpRequired);
        let app = first_app(&t, &tokens).await;
        let (_, auth) = sign_in(&t, ANN, &app).await;
        t.kit.admin_as(&auth, meta()).await.unwrap();
    }

    async fn off_lets_nobody_set_one_up_and_skips_none_that_is_there(store: Store) {
        let t = kit_with(&store, |_| {}).await;
        let ann = enrolled(&t, ANN).await;
        let mut config = t.kit.config().clone();
        config.mfa.policy = MfaPolicy::Off;
        config.mfa.required_roles = vec!["user".into()];
        let off = TestKit::attach(t.kit.db().clone(), config, t.clock.clone(), |b| b).await.unwrap();
        let bob = off.signed_in(BOB).await.unwrap();
        assert_eq!(kind(off.kit.mfa().add_totp(&bob.auth, None, &meta()).await), ErrorKind::Forbidden);
        pending(&off, ANN).await;
        let (_, auth) = sign_in(&off, ANN, &ann.app).await;
        off.kit.mfa().disable(&auth, DisableProof::Password(secret(PASSWORD)), &meta()).await.unwrap();
        assert_eq!(off.kit.admin(meta()).mfa_report().await.unwrap().lacking, 0);
    }

    async fn another_node_asks_for_a_factor_at_once(store: Store) {
        let t = kit_with(&store, |_| {}).await;
        let other = second_node(&store, &t).await;
        let ann = enrolled(&t, ANN).await;
        let waiting = pending(&other, ANN).await;
        crate::mfa::complete(&t, &waiting, &ann.app.code_at(crate::mfa::seconds(&t))).await.unwrap();
    }
}

//! Second factors at sign-in: codes, backup codes, the pending token.

use std::time::Duration;

use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::{PASSWORD, TestKit};
use authkit::{
    Acr, Authenticated, Credentials, ErrorKind, FactorKind, LockKind, Login, PendingSignIn, SecondFactor,
    Tokens,
};
use authkit_tests::factors::App;
use authkit_tests::{Store, on_both};

use crate::links::letters;
use crate::lockout::{lockouts, of_kind};
use crate::support::{Raw, Texts as _, kind, kit, kit_with, meta, secret};

pub(crate) const ANN: &str = "ann@example.com";
pub(crate) const BOB: &str = "bob@example.com";
pub(crate) const STEP: Duration = Duration::from_secs(30);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

pub(crate) fn seconds(t: &TestKit) -> i64 {
    t.kit.now().as_micros() / 1_000_000
}

pub(crate) fn now(t: &TestKit, app: &App) -> SecretString {
    secret(&app.code_at(seconds(t)))
}

pub(crate) fn code(text: &str) -> SecondFactor {
    SecondFactor::Code(secret(text))
}

pub(crate) async fn auth(t: &TestKit, tokens: &Tokens) -> Authenticated {
    t.kit.authenticate(tokens.access(), &meta()).await.unwrap()
}

pub(crate) async fn refreshed(t: &TestKit, tokens: &Tokens) -> (Tokens, Authenticated) {
    let tokens = t.kit.refresh(tokens.refresh(), &meta()).await.unwrap();
    let auth = auth(t, &tokens).await;
    (tokens, auth)
}

/// Sets up an authenticator app for a caller who may. The step of its first code is over when this returns.
pub(crate) async fn add_app(t: &TestKit, caller: &Authenticated) -> (App, Vec<String>) {
    let made = t.kit.mfa().add_totp(caller, Some("phone"), &meta()).await.unwrap();
    let app = App::new(made.secret.expose_secret());
    let codes = t.kit.mfa().confirm_totp(caller, &now(t, &app), Some(made.id), &meta()).await.unwrap().codes;
    t.clock.advance(STEP);
    (app, codes.iter().map(|code| code.expose_secret().to_owned()).collect())
}

/// An account with an authenticator app, whose session is the one that set it up.
pub(crate) struct Enrolled {
    pub(crate) id: authkit::UserId,
    pub(crate) app: App,
    pub(crate) codes: Vec<String>,
    pub(crate) tokens: Tokens,
    pub(crate) auth: Authenticated,
}

pub(crate) async fn enrolled(t: &TestKit, email: &str) -> Enrolled {
    let person = t.signed_in(email).await.unwrap();
    let (app, codes) = add_app(t, &person.auth).await;
    let (tokens, auth) = refreshed(t, &person.tokens).await;
    Enrolled { id: person.user.id, app, codes, tokens, auth }
}

pub(crate) async fn login(t: &TestKit, email: &str) -> Login {
    t.kit.login(Credentials::new(email, PASSWORD), &meta()).await.unwrap()
}

pub(crate) async fn pending(t: &TestKit, email: &str) -> PendingSignIn {
    match login(t, email).await {
        Login::SecondFactor(pending) => pending,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn complete(t: &TestKit, pending: &PendingSignIn, text: &str) -> authkit::Result<Tokens> {
    t.kit.complete_mfa(&pending.mfa_token, code(text), &meta()).await
}

/// Signs in with both factors, one step later.
pub(crate) async fn sign_in(t: &TestKit, email: &str, app: &App) -> (Tokens, Authenticated) {
    t.clock.advance(STEP);
    let pending = pending(t, email).await;
    let tokens = complete(t, &pending, &app.code_at(seconds(t))).await.unwrap();
    let auth = auth(t, &tokens).await;
    (tokens, auth)
}

/// A code that is wrong for every step near now.
pub(crate) fn wrong(t: &TestKit, app: &App) -> String {
    let near: Vec<String> = (-2..=2).map(|step| app.code_at(seconds(t) + 30 * step)).collect();
    let mut codes = (0..).map(|n| format!("{n:06}"));
    codes.find(|code| !near.contains(code)).unwrap()
}

on_both! {
    async fn a_sign_in_asks_for_the_second_factor_and_takes_it(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let first = pending(&t, ANN).await;
        assert_eq!(first.factors, [FactorKind::Totp, FactorKind::BackupCode]);
        assert_eq!(first.expires_in, 300);
        let tokens = complete(&t, &first, &ann.app.code_at(seconds(&t))).await.unwrap();
        let auth = auth(&t, &tokens).await;
        assert_eq!((auth.amr(), auth.acr()), (&["pwd", "otp", "mfa"].map(str::to_owned)[..], Acr::Aal2));
        assert!(tokens.device_token.is_some(), "a new device is told its token");
        assert!(t.kit.users().get(ann.id).await.unwrap().unwrap().mfa_enabled);
        t.sign_up(BOB).await.unwrap();
        assert!(!t.kit.users().find_by_email(BOB).await.unwrap().unwrap().mfa_enabled);
        assert!(matches!(login(&t, BOB).await, Login::Complete(_)));
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.audited("mfa.pending").await, 1);
        let logins = raw.texts("SELECT details FROM authkit_audit WHERE action = 'login' AND details LIKE '%totp%'").await;
        assert_eq!(logins.len(), 1, "{logins:?}");
    }

    async fn the_app_agrees_with_oathtool(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        let made = t.kit.mfa().add_totp(&person.auth, None, &meta()).await.unwrap();
        let app = App::new(made.secret.expose_secret());
        assert_eq!(app.secret().len(), 32, "160 bits");
        let uri = made.otpauth_uri.expose_secret();
        assert!(uri.starts_with("otpauth://totp/authkit:ann%40example.com?secret=") && uri.contains(app.secret()), "{uri}");
        assert!(made.qr_svg.expose_secret().starts_with("<svg "));
        for at in [0, 59, 1_111_111_111, seconds(&t)] {
            assert_eq!(app.code_at(at), app.by_oathtool(at));
        }
        t.kit.mfa().confirm_totp(&person.auth, &secret(&app.by_oathtool(seconds(&t))), None, &meta()).await.unwrap();
        t.clock.advance(STEP);
        let first = pending(&t, ANN).await;
        complete(&t, &first, &app.by_oathtool(seconds(&t))).await.unwrap();
    }

    async fn s_104_a_code_is_taken_once(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let now = ann.app.code_at(seconds(&t));
        complete(&t, &pending(&t, ANN).await, &now).await.unwrap();
        let second = pending(&t, ANN).await;
        assert_eq!(kind(complete(&t, &second, &now).await), ErrorKind::MfaInvalid);
        // Nor one of a step before it, though that one was never used.
        let before = ann.app.code_at(seconds(&t) - 30);
        assert_eq!(kind(complete(&t, &second, &before).await), ErrorKind::MfaInvalid);
        let why = Raw::open(&store).await.texts("SELECT details FROM authkit_audit WHERE action = 'mfa.refuse'").await;
        assert!(why.len() == 2 && why.iter().all(|why| why.contains("\"used_before\"")), "{why:?}");
        t.clock.advance(STEP);
        complete(&t, &second, &ann.app.code_at(seconds(&t))).await.unwrap();
    }

    async fn s_104_the_code_that_confirmed_an_app_opens_nothing_any_more(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        let made = t.kit.mfa().add_totp(&person.auth, None, &meta()).await.unwrap();
        let app = App::new(made.secret.expose_secret());
        let first = now(&t, &app);
        t.kit.mfa().confirm_totp(&person.auth, &first, None, &meta()).await.unwrap();
        let waiting = pending(&t, ANN).await;
        assert_eq!(kind(complete(&t, &waiting, first.expose_secret()).await), ErrorKind::MfaInvalid);
    }

    async fn s_108_one_step_of_drift_either_way(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        for (offset, taken) in [(-2, false), (2, false), (-1, true), (0, true), (1, true)] {
            t.clock.advance(5 * STEP);
            let waiting = pending(&t, ANN).await;
            let out = complete(&t, &waiting, &ann.app.code_at(seconds(&t) + 30 * offset)).await;
            assert_eq!(out.is_ok(), taken, "{offset}");
        }
    }

    async fn s_018_a_clock_set_back_does_not_give_a_code_back(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        t.clock.advance(10 * STEP);
        let used = ann.app.code_at(seconds(&t));
        complete(&t, &pending(&t, ANN).await, &used).await.unwrap();
        let at = seconds(&t);
        t.clock.step_wall(-150);
        let waiting = pending(&t, ANN).await;
        for code in [&used, &ann.app.code_at(seconds(&t))] {
            assert_eq!(kind(complete(&t, &waiting, code).await), ErrorKind::MfaInvalid);
        }
        assert!(seconds(&t) < at);
    }

    async fn s_109_five_wrong_codes_end_the_pending_token_and_ten_lock_the_account(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let first = pending(&t, ANN).await;
        for _ in 0..5 {
            assert_eq!(kind(complete(&t, &first, &wrong(&t, &ann.app)).await), ErrorKind::MfaInvalid);
        }
        // Dead: the right one is not judged any more, and not counted.
        assert_eq!(kind(complete(&t, &first, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        let second = pending(&t, ANN).await;
        for _ in 0..5 {
            assert_eq!(kind(complete(&t, &second, &wrong(&t, &ann.app)).await), ErrorKind::MfaInvalid);
        }
        let third = pending(&t, ANN).await;
        let locked = complete(&t, &third, &ann.app.code_at(seconds(&t))).await.unwrap_err();
        assert_eq!((locked.kind(), locked.retry_after()), (ErrorKind::Locked, Some(15 * MINUTE)));
        // Not by a backup code either, nor at another door; the password and the session still work.
        assert_eq!(kind(complete(&t, &third, &ann.codes[0]).await), ErrorKind::Locked);
        let disable = authkit::DisableProof::Code(now(&t, &ann.app));
        assert_eq!(kind(t.kit.mfa().disable(&ann.auth, disable, &meta()).await), ErrorKind::Locked);
        let (_, auth) = refreshed(&t, &ann.tokens).await;
        assert_eq!(t.kit.mfa().status(&auth).await.unwrap().backup_codes_remaining, 10);
        let rows = lockouts(&t, &of_kind(LockKind::SecondFactor)).await;
        assert_eq!(rows.iter().map(|r| (r.user_id, r.failures)).collect::<Vec<_>>(), [(Some(ann.id), 10)]);
        assert_eq!(Raw::open(&store).await.audited("lockout.lock").await, 1);
        assert!(letters(&t).await.iter().any(|letter| letter.kind == "account_locked"));
        t.clock.advance(15 * MINUTE);
        sign_in(&t, ANN, &ann.app).await;
        assert_eq!(lockouts(&t, &of_kind(LockKind::SecondFactor)).await, [], "a full sign-in forgets them");
    }

    async fn s_032_an_unfinished_sign_in_forgets_no_failure(store: Store) {
        let t = kit_with(&store, |c| c.lockout.email_threshold = 4).await;
        let ann = enrolled(&t, ANN).await;
        let guess = || async {
            kind(t.kit.login(Credentials::new(ANN, "wrong wrong wrong"), &meta()).await)
        };
        for _ in 0..3 {
            assert_eq!(guess().await, ErrorKind::InvalidCredentials);
            let waiting = pending(&t, ANN).await;
            assert_eq!(kind(complete(&t, &waiting, &wrong(&t, &ann.app)).await), ErrorKind::MfaInvalid);
        }
        let failures = async |kind| lockouts(&t, &of_kind(kind)).await.iter().map(|r| r.failures).collect::<Vec<_>>();
        assert_eq!((failures(LockKind::Email).await, failures(LockKind::SecondFactor).await), (vec![3], vec![3]));
        // Both are forgotten by the full sign-in, and only by it.
        sign_in(&t, ANN, &ann.app).await;
        assert_eq!((failures(LockKind::Email).await, failures(LockKind::SecondFactor).await), (vec![], vec![]));
        for _ in 0..4 {
            assert_eq!(guess().await, ErrorKind::InvalidCredentials);
        }
        assert_eq!(guess().await, ErrorKind::Locked);
    }

    async fn s_111_the_pending_token_opens_nothing_else_and_ends(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let first = pending(&t, ANN).await;
        let text = first.mfa_token.expose_secret();
        assert!(text.starts_with("akm_") && !format!("{first:?}").contains(text));
        let mut raw = Raw::open(&store).await;
        let live = "SELECT count(*) FROM authkit_sessions WHERE ended_at IS NULL";
        let before = raw.number(live).await;
        assert_eq!(kind(t.kit.authenticate(text, &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.kit.authenticate_enrolling(text, &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.kit.refresh(text, &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.verify_email(authkit::LinkProof::token(text), &meta()).await), ErrorKind::LinkInvalid);
        // And nothing else stands in for it.
        let right = code(&ann.app.code_at(seconds(&t)));
        for other in [ann.tokens.refresh(), ann.tokens.access(), "", "akm_", &"A".repeat(108)] {
            let out = t.kit.complete_mfa(&secret(other), right.clone(), &meta()).await;
            assert_eq!(kind(out), ErrorKind::MfaInvalid);
        }
        assert_eq!(raw.number(live).await, before, "no session exists yet");
        assert!(!raw.dump().await.contains(text), "the token is not in the store");
        // Single use.
        complete(&t, &first, &ann.app.code_at(seconds(&t))).await.unwrap();
        t.clock.advance(STEP);
        assert_eq!(kind(complete(&t, &first, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        // Short: alive a microsecond before its end, dead at it.
        let micro = Duration::from_micros(1);
        let second = pending(&t, ANN).await;
        t.clock.advance(5 * MINUTE);
        assert_eq!(kind(complete(&t, &second, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        let third = pending(&t, ANN).await;
        t.clock.advance(5 * MINUTE - micro);
        complete(&t, &third, &ann.app.code_at(seconds(&t))).await.unwrap();
    }

    async fn s_008_a_change_of_credentials_ends_pending_sign_ins(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let password = authkit::secret::SecretString::from("another horse battery staple");
        let first = pending(&t, ANN).await;
        t.kit.admin(meta()).set_password(ann.id, &password).await.unwrap();
        assert_eq!(kind(complete(&t, &first, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        let again = t.kit.login(Credentials::new(ANN, password), &meta()).await.unwrap();
        let Login::SecondFactor(second) = again else { panic!("{again:?}") };
        t.kit.admin(meta()).disable_user(ann.id).await.unwrap();
        assert_eq!(kind(complete(&t, &second, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        t.kit.admin(meta()).enable_user(ann.id).await.unwrap();
        t.kit.admin(meta()).end_all_sessions().await.unwrap();
        t.clock.advance(STEP);
        assert_eq!(kind(complete(&t, &second, &ann.app.code_at(seconds(&t))).await), ErrorKind::MfaInvalid);
        assert_eq!(Raw::open(&store).await.number("SELECT count(*) FROM authkit_mfa_pending WHERE ended_at IS NULL").await, 0);
    }

    async fn s_192_after_a_restore_no_code_from_before_is_taken(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        t.clock.advance(5 * STEP);
        // As a thief saw it, in a store that does not know of its use.
        let (before, at) = (ann.app.code_at(seconds(&t) - 30), ann.app.code_at(seconds(&t)));
        t.kit.admin(meta()).end_all_sessions().await.unwrap();
        let waiting = pending(&t, ANN).await;
        for old in [before, at] {
            assert_eq!(kind(complete(&t, &waiting, &old).await), ErrorKind::MfaInvalid);
        }
        sign_in(&t, ANN, &ann.app).await;
    }

    async fn s_112_a_backup_code_works_once_and_few_left_are_told(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        assert_eq!(ann.codes.len(), 10);
        letters(&t).await;
        for (n, backup) in ann.codes.iter().enumerate() {
            // Each in another spelling (case 114).
            let typed = match n % 4 {
                0 => backup.clone(),
                1 => backup.to_lowercase(),
                2 => backup.replace('-', ""),
                _ => format!(" {} ", backup.replace('-', " ").to_lowercase()),
            };
            let first = pending(&t, ANN).await;
            complete(&t, &first, &typed).await.unwrap();
            for again in [backup, &typed, &backup.replace('-', "").to_lowercase()] {
                let again = complete(&t, &pending(&t, ANN).await, again).await;
                assert_eq!(kind(again), ErrorKind::MfaInvalid);
            }
            let told = letters(&t).await.iter().filter(|l| l.kind == "backup_codes_low").count();
            assert_eq!(told, usize::from(n >= 6), "{n}");
            t.clock.advance(16 * MINUTE);
        }
        let waiting = pending(&t, ANN).await;
        assert_eq!(waiting.factors, [FactorKind::Totp]);
        let dump = Raw::open(&store).await.dump().await.to_uppercase();
        for backup in &ann.codes {
            assert!(!dump.contains(backup.as_str()) && !dump.contains(&backup.replace('-', "")), "{backup}");
        }
        assert!(!dump.contains(ann.app.secret()), "the secret is in the store");
    }

    async fn s_116_an_app_counts_for_nothing_before_it_is_confirmed(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        let made = t.kit.mfa().add_totp(&person.auth, Some("phone"), &meta()).await.unwrap();
        let app = App::new(made.secret.expose_secret());
        assert!(matches!(login(&t, ANN).await, Login::Complete(_)));
        let status = t.kit.mfa().status(&person.auth).await.unwrap();
        assert!(!status.enabled && status.backup_codes_remaining == 0);
        let shown = serde_json::to_string(&status).unwrap();
        assert!(!shown.contains(app.secret()), "the secret cannot be read again");
        assert_eq!(status.factors.iter().map(|f| (f.id, f.confirmed, f.name.as_str())).collect::<Vec<_>>(), [(made.id, false, "phone")]);
        let confirm = async |code: &str, id| t.kit.mfa().confirm_totp(&person.auth, &secret(code), id, &meta()).await;
        assert_eq!(kind(confirm(&wrong(&t, &app), None).await), ErrorKind::MfaInvalid);
        assert_eq!(kind(confirm("abc", None).await), ErrorKind::MfaInvalid);
        let stranger = authkit::FactorId::from_uuid(uuid::Uuid::nil());
        assert_eq!(kind(confirm(&app.code_at(seconds(&t)), Some(stranger)).await), ErrorKind::NotFound);
        assert_eq!(confirm(&app.code_at(seconds(&t)), Some(made.id)).await.unwrap().codes.len(), 10);
        assert!(letters(&t).await.iter().any(|letter| letter.kind == "factor_added"));
    }

    async fn s_073_a_new_factor_ends_the_other_sessions(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        let other = t.sign_in(ANN).await.unwrap();
        add_app(&t, &person.auth).await;
        assert_eq!(kind(t.kit.authenticate(other.access(), &meta()).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(t.kit.refresh(other.refresh(), &meta()).await), ErrorKind::RefreshInvalid);
        assert_eq!(kind(t.kit.authenticate(person.access(), &meta()).await), ErrorKind::Unauthenticated);
        refreshed(&t, &person.tokens).await;
    }

    async fn several_apps_stand_side_by_side(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (_, auth) = sign_in(&t, ANN, &ann.app).await;
        let made = t.kit.mfa().add_totp(&auth, Some("tablet"), &meta()).await.unwrap();
        let tablet = App::new(made.secret.expose_secret());
        let codes = t.kit.mfa().confirm_totp(&auth, &now(&t, &tablet), None, &meta()).await.unwrap().codes;
        assert!(codes.is_empty(), "those from before are still good");
        let (_, auth) = sign_in(&t, ANN, &tablet).await;
        sign_in(&t, ANN, &ann.app).await;
        complete(&t, &pending(&t, ANN).await, &ann.codes[3]).await.unwrap();
        let status = t.kit.mfa().status(&auth).await.unwrap();
        let names: Vec<&str> = status.factors.iter().map(|factor| factor.name.as_str()).collect();
        assert_eq!((names, status.backup_codes_remaining), (vec!["phone", "tablet"], 9));
    }

    async fn a_new_app_waits_an_hour_and_few_wait_at_once(store: Store) {
        let t = kit(&store).await;
        let person = t.signed_in(ANN).await.unwrap();
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(t.kit.mfa().add_totp(&person.auth, None, &meta()).await.unwrap());
            t.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(t.kit.mfa().status(&person.auth).await.unwrap().factors.len(), 5);
        let app = App::new(made[0].secret.expose_secret());
        let gone = t.kit.mfa().confirm_totp(&person.auth, &now(&t, &app), Some(made[0].id), &meta()).await;
        assert_eq!(kind(gone), ErrorKind::NotFound);
        t.clock.advance(60 * MINUTE);
        let again = t.sign_in(ANN).await.unwrap();
        let auth = auth(&t, &again).await;
        let late = App::new(made[6].secret.expose_secret());
        let out = t.kit.mfa().confirm_totp(&auth, &now(&t, &late), None, &meta()).await;
        assert_eq!(kind(out), ErrorKind::NotFound);
    }

    async fn the_limit_of_second_factors_is_the_users(store: Store) {
        let t = kit_with(&store, |c| c.limits.mfa_user = authkit::config::Rate::new(3, 15 * MINUTE)).await;
        let ann = enrolled(&t, ANN).await;
        let waiting = pending(&t, ANN).await;
        for _ in 0..2 {
            assert_eq!(kind(complete(&t, &waiting, &wrong(&t, &ann.app)).await), ErrorKind::MfaInvalid);
        }
        // The confirmation was the first.
        let refused = complete(&t, &waiting, &ann.app.code_at(seconds(&t))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RateLimited);
        assert!(refused.limit().is_some_and(|limit| limit.policy == "mfa_user"));
    }

    async fn a_device_that_signed_in_before_goes_on(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let (tokens, _) = sign_in(&t, ANN, &ann.app).await;
        let device = tokens.device_token.unwrap();
        let again = Credentials::new(ANN, PASSWORD).with_device_token(device.clone());
        let Login::SecondFactor(waiting) = t.kit.login(again, &meta()).await.unwrap() else { panic!("no factor") };
        t.clock.advance(STEP);
        complete(&t, &waiting, &ann.app.code_at(seconds(&t))).await.unwrap();
        let mut raw = Raw::open(&store).await;
        assert_eq!(raw.number("SELECT count(*) FROM authkit_devices").await, 1, "no further device");
    }

    async fn bounded_and_odd_input_is_refused_without_a_fault(store: Store) {
        let t = kit(&store).await;
        let ann = enrolled(&t, ANN).await;
        let waiting = pending(&t, ANN).await;
        for odd in ["", " ", "\u{0}", "12345", "1234567890", "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}", &"1".repeat(100_000), "é"] {
            t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
            let out = complete(&t, &pending(&t, ANN).await, odd).await;
            assert_eq!(kind(out), ErrorKind::MfaInvalid);
        }
        t.kit.admin(meta()).unlock_user(ann.id).await.unwrap();
        complete(&t, &waiting, &format!(" {}\u{2011}{}\n", &ann.app.code_at(seconds(&t))[..3], &ann.app.code_at(seconds(&t))[3..])).await.unwrap();
    }
}

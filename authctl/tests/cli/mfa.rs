//! Second factors, seen and removed; their seals under another key.

use authctl::Exit;
use authkit::secret::{ExposeSecret as _, SecretString};
use authkit::testing::totp_code;
use authkit::{AuthKit, Credentials, Login, RequestMeta, SecondFactor};
use serde_json::json;

use crate::bench::Bench;

const STUDENT: &str = "student@example.com";
const PASSWORD: &str = "Student123!";
const OLD: &str = "Xb7rTq2LwYd0Ns5vKz8mGh1cPf4jAe6uRo9iWt3xSgM=";
const NEW: &str = "hN2vQx7Lr0YtWd5cKz9mJb3sPf8gAe1uRo6iGn4xTqM=";

async fn bench() -> Bench {
    let bench = Bench::empty().set("MFA_ENCRYPTION_KEY", OLD);
    bench.run(&["seed", "--demo"]).await.is(Exit::Done);
    bench
}

/// Sets up an authenticator app for the student.
async fn enrol(kit: &AuthKit) {
    let meta = RequestMeta::new();
    let Login::Complete(tokens) = kit.login(Credentials::new(STUDENT, PASSWORD), &meta).await.unwrap() else {
        panic!("a second factor?");
    };
    let caller = kit.authenticate(tokens.access_token.expose_secret(), &meta).await.unwrap();
    let made = kit.mfa().add_totp(&caller, Some("phone"), &meta).await.unwrap();
    let code = totp_code(made.secret.expose_secret(), kit.now()).unwrap();
    kit.mfa().confirm_totp(&caller, &SecretString::from(code), None, &meta).await.unwrap();
}

async fn opens(kit: &AuthKit, code: &str) -> bool {
    let meta = RequestMeta::new();
    let Login::SecondFactor(pending) = kit.login(Credentials::new(STUDENT, PASSWORD), &meta).await.unwrap()
    else {
        panic!("no second factor");
    };
    kit.complete_mfa(&pending.mfa_token, SecondFactor::Code(SecretString::from(code)), &meta).await.is_ok()
}

#[tokio::test]
async fn factors_are_shown_replaced_and_removed() {
    let bench = bench().await;
    let kit = bench.kit().await;
    bench.run(&["mfa", "status", "nobody@example.com"]).await.is(Exit::NotFound);
    let none = bench.run(&["mfa", "status", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&none["enabled"], &none["factors"]), (&json!(false), &json!([])));
    bench.run(&["-y", "mfa", "backup-codes", STUDENT, "--generate"]).await.is(Exit::Refused);

    enrol(&kit).await;
    let status = bench.run(&["mfa", "status", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&status["enabled"], &status["backup_codes_remaining"]), (&json!(true), &json!(10)));
    assert_eq!(status["factors"][0]["name"], "phone");
    let policy = bench.run(&["mfa", "policy", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(
        (&policy["policy"], &policy["with_factor"], &policy["lacking"]),
        (&json!("optional"), &json!(1), &json!(0))
    );

    // Without a yes nothing happens; a rehearsal shows no code.
    bench.run(&["--no-input", "mfa", "backup-codes", STUDENT, "--generate"]).await.is(Exit::Usage);
    let rehearsed =
        bench.run(&["-n", "mfa", "backup-codes", STUDENT, "--generate", "-o", "json"]).await.is(Exit::Done);
    assert!(rehearsed.json().get("backup_codes").is_none(), "{}", rehearsed.out);
    let made = bench
        .run(&["-y", "mfa", "backup-codes", STUDENT, "--generate", "-o", "json"])
        .await
        .is(Exit::Done)
        .json();
    let codes: Vec<&str> = made["backup_codes"].as_str().unwrap().split(' ').collect();
    assert_eq!(codes.len(), 10);
    assert!(opens(&kit, codes[0]).await && !opens(&kit, codes[0]).await);

    bench.run(&["--no-input", "mfa", "reset", STUDENT]).await.is(Exit::Usage);
    let done = bench.run(&["-y", "mfa", "reset", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&done["changed"], &done["resource"]["mfa_enabled"]), (&json!(true), &json!(false)));
    let again = bench.run(&["-y", "mfa", "reset", STUDENT, "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(again["changed"], false);
    let bench = bench.set("MFA_POLICY", "required");
    let policy = bench.run(&["mfa", "policy", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(
        (&policy["accounts"], &policy["with_factor"], &policy["lacking"]),
        (&json!(2), &json!(0), &json!(2))
    );
}

#[tokio::test]
async fn seals_move_to_a_new_key() {
    let bench = bench().await;
    enrol(&bench.kit().await).await;
    let both = bench.set("MFA_ENCRYPTION_KEY", &format!("{NEW},{OLD}"));
    let found = both.run(&["doctor", "-o", "json"]).await;
    assert!(found.out.contains("older MFA_ENCRYPTION_KEY"), "{}", found.out);
    let dry = both.run(&["-n", "key", "reencrypt", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!(dry["resource"], json!({"looked_at": 2, "resealed": 2, "unreadable": 0}));
    let done = both.run(&["key", "reencrypt", "--batch", "1", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&done["changed"], &done["resource"]["resealed"]), (&json!(true), &json!(2)));
    let again = both.run(&["key", "reencrypt", "-o", "json"]).await.is(Exit::Done).json();
    assert_eq!((&again["changed"], &again["resource"]["looked_at"]), (&json!(false), &json!(2)));
    let only_old = both.set("MFA_ENCRYPTION_KEY", OLD);
    only_old.run(&["doctor"]).await.is(Exit::Bad);
    only_old.run(&["key", "reencrypt"]).await.is(Exit::Partial);
    let new = only_old.set("MFA_ENCRYPTION_KEY", NEW);
    let found = new.run(&["doctor", "-o", "json"]).await;
    assert!(found.out.contains("all under the newest key"), "{}", found.out);
}

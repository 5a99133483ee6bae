//! The own account in a real browser: sign in by password, code and passkey; set factors up and remove them; see and end
//! sessions.

use std::time::{SystemTime, UNIX_EPOCH};

use authkit_tests::browser::{Browser, Traits};
use authkit_tests::factors::App;
use serde_json::json;

use crate::app::{PASSWORD, newcomer, refresh, sign_up};
use crate::pages_browser::{World, assert_accessible};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

async fn press(browser: &Browser, form: &str) {
    browser.find(&format!("form:has(input[name=do][value={form}]) button")).await.click().await;
}

async fn fill(browser: &Browser, form: &str, field: &str, text: &str) {
    let found = browser.find(&format!("form:has(input[name=do][value={form}]) input[name={field}]")).await;
    found.clear().await;
    found.type_text(text).await;
}

/// Opens the part of the page that holds a form.
async fn unfold(browser: &Browser, form: &str) {
    browser.find(&format!("details:has(input[name=do][value={form}]) summary")).await.click().await;
}

async fn sign_in(browser: &Browser, email: &str) {
    fill(browser, "sign-in", "email", email).await;
    fill(browser, "sign-in", "password", PASSWORD).await;
    press(browser, "sign-in").await;
}

async fn sign_out(browser: &Browser) {
    press(browser, "sign-out").await;
    browser.find("form:has(input[name=do][value=sign-in])").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_set_up_used_and_removed_without_script() {
    let world = World::start(&[]).await;
    let (client, browser, url) =
        (world.client(), &world.browser, format!("{}/account", world.server.local_url()));
    sign_up(&client, "ada@example.com").await;
    browser.allow_scripts(false).await;
    browser.open(&url).await;
    assert_accessible(browser, "sign in").await;
    browser.set_size(780, 700).await;
    browser.photograph("account-sign-in").await;
    fill(browser, "sign-in", "email", "ada@example.com").await;
    fill(browser, "sign-in", "password", "not this one").await;
    press(browser, "sign-in").await;
    browser.wait_for_text("E-mail or password is wrong.").await;
    browser.photograph("account-sign-in-refused").await;
    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Your account").await;
    let cookie = browser.cookie("__Host-authkit_access").await.unwrap();
    assert_eq!(
        (&cookie["httpOnly"], &cookie["secure"], &cookie["sameSite"]),
        (&json!(true), &json!(true), &json!("Strict"))
    );

    unfold(browser, "app-add").await;
    press(browser, "app-add").await;
    let app = App::new(browser.find(".key").await.text().await.replace(' ', ""));
    assert_accessible(browser, "set up").await;
    browser.set_size(780, 700).await;
    browser.photograph("account-app").await;
    fill(browser, "app-confirm", "code", "000000").await;
    press(browser, "app-confirm").await;
    browser.wait_for_text("This code is wrong").await;
    let first = now();
    fill(browser, "app-confirm", "code", &app.by_oathtool(first)).await;
    press(browser, "app-confirm").await;
    browser.wait_for_text("Keep these backup codes").await;
    browser.photograph("account-backup-codes").await;
    let mut codes = Vec::new();
    for code in browser.find_all(".codes code").await {
        codes.push(code.text().await);
    }
    assert_eq!(codes.len(), 10);
    // The change ended the access token; the session goes on.
    browser.open(&url).await;
    browser.wait_for_text("10 backup codes left.").await;
    sign_out(browser).await;

    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Second step").await;
    assert!(browser.cookie("__Host-authkit_access").await.is_none());
    assert_accessible(browser, "second step").await;
    browser.set_size(780, 700).await;
    browser.photograph("account-second-step").await;
    for wrong in ["000000", &app.by_oathtool(first)] {
        fill(browser, "second-factor", "code", wrong).await;
        press(browser, "second-factor").await;
        browser.wait_for_text("The second factor was not accepted.").await;
    }
    fill(browser, "second-factor", "code", &app.by_oathtool(first + 30)).await;
    press(browser, "second-factor").await;
    browser.wait_for_text("Where you are signed in").await;
    sign_out(browser).await;
    sign_in(browser, "ada@example.com").await;
    fill(browser, "second-factor", "code", &codes[0]).await;
    press(browser, "second-factor").await;
    browser.wait_for_text("9 backup codes left.").await;
    browser.photograph("account").await;

    unfold(browser, "codes").await;
    fill(browser, "codes", "code", &codes[1]).await;
    press(browser, "codes").await;
    browser.wait_for_text("Your new backup codes").await;
    let fresh = browser.find(".codes code").await.text().await;
    assert!(!codes.contains(&fresh));
    browser.open(&url).await;
    unfold(browser, "apps-remove").await;
    fill(browser, "apps-remove", "code", &codes[2]).await;
    press(browser, "apps-remove").await;
    browser.wait_for_text("The second factor was not accepted.").await;
    browser.open(&url).await;
    unfold(browser, "apps-remove").await;
    fill(browser, "apps-remove", "code", &fresh).await;
    press(browser, "apps-remove").await;
    browser.wait_for_text("Authenticator apps and backup codes are removed.").await;
    sign_out(browser).await;
    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Where you are signed in").await;
    world.assert_no_fault().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passkeys_are_added_used_both_ways_and_removed() {
    let world = World::start(&[]).await;
    let (client, browser, url) =
        (world.client(), &world.browser, format!("{}/account", world.server.local_url()));
    let elsewhere = newcomer(&client, "ada@example.com").await;
    browser.open(&url).await;
    let authenticator = browser.add_authenticator(Traits::default()).await;
    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Your account").await;
    fill(browser, "passkey-add", "name", "Laptop").await;
    press(browser, "passkey-add").await;
    browser.wait_for_text("The passkey is added.").await;
    assert_eq!(authenticator.credentials().await.len(), 1);
    assert_accessible(browser, "account").await;
    browser.set_size(780, 700).await;
    browser.photograph("account-passkey").await;
    browser.set_size(360, 740).await;
    browser.set_dark(true).await;
    browser.photograph("account-phone-dark").await;
    browser.set_dark(false).await;
    browser.set_size(780, 700).await;
    // Whoever was signed in elsewhere is out (contract 4.8).
    refresh(&client, &elsewhere.refresh).await.assert_error(401, "REFRESH_INVALID");
    sign_out(browser).await;

    press(browser, "sign-in-passkey").await;
    browser.wait_for_text("Where you are signed in").await;
    sign_out(browser).await;

    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Second step").await;
    press(browser, "second-factor").await;
    browser.wait_for_text("Where you are signed in").await;
    sign_out(browser).await;

    // The wrong person holds it: the browser says so, and nothing is sent.
    authenticator.set_verified(false).await;
    press(browser, "sign-in-passkey").await;
    browser.wait_for_text("No passkey was used.").await;
    browser.photograph("account-no-passkey").await;
    authenticator.set_verified(true).await;

    press(browser, "sign-in-passkey").await;
    browser.wait_for_text("Laptop").await;
    press(browser, "passkey-remove").await;
    browser.wait_for_text("The passkey is removed.").await;
    sign_out(browser).await;
    // Removed here, and still in the authenticator.
    press(browser, "sign-in-passkey").await;
    browser.wait_for_text("This passkey does not open an account here.").await;
    world.assert_no_fault().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sign_in_is_confirmed_and_other_devices_are_signed_out() {
    let world = World::start(&[]).await;
    let (client, browser, url) =
        (world.client(), &world.browser, format!("{}/account", world.server.local_url()));
    let elsewhere = newcomer(&client, "ada@example.com").await;
    browser.open(&url).await;
    sign_in(browser, "ada@example.com").await;
    browser.wait_for_text("Where you are signed in").await;
    press(browser, "session-end").await;
    browser.wait_for_text("The device is signed out.").await;
    refresh(&client, &elsewhere.refresh).await.assert_error(401, "REFRESH_INVALID");

    world.age_sign_ins().await;
    browser.reload().await;
    unfold(browser, "app-add").await;
    press(browser, "app-add").await;
    browser.wait_for_text("Is it you?").await;
    assert_accessible(browser, "is it you").await;
    browser.set_size(780, 700).await;
    browser.photograph("account-confirm").await;
    fill(browser, "confirm", "password", "not this one").await;
    press(browser, "confirm").await;
    browser.wait_for_text("E-mail or password is wrong.").await;
    fill(browser, "confirm", "password", PASSWORD).await;
    press(browser, "confirm").await;
    browser.wait_for_text("Now do again what you were about to do.").await;
    unfold(browser, "app-add").await;
    press(browser, "app-add").await;
    browser.wait_for_text("Scan this").await;
    browser.open(&url).await;
    press(browser, "sessions-end").await;
    browser.find("form:has(input[name=do][value=sign-in])").await;
    assert!(browser.cookies().await.is_empty());
    world.assert_no_fault().await;
}

//! Mailed links in a real browser: from the mail that a real SMTP server received to what the page did.

use std::time::Duration;

use authkit_tests::browser::Browser;
use authkit_tests::smtp::{Manner, SmtpServer};
use authkit_tests::{Backend, Client, ServerProcess, Store};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::{Value, json};

use crate::app::{
    OTHER, PASSWORD, credentials, launch, me, newcomer, person, refresh, settled_logs, sign_in, sign_up, sql,
    within,
};

/// A server whose mails arrive somewhere and lead back to it, and somebody who reads them.
pub(crate) struct World {
    store: Store,
    smtp: SmtpServer,
    pub(crate) server: ServerProcess,
    pub(crate) browser: Browser,
}

impl World {
    pub(crate) async fn start(env: &[(&str, &str)]) -> Self {
        let store = Store::new(Backend::Sqlite).await;
        let smtp = SmtpServer::start(Manner::default());
        let port = smtp.port().to_string();
        let mail = [("SMTP_HOST", "127.0.0.1"), ("SMTP_PORT", port.as_str()), ("SMTP_TLS", "none")];
        let mut all = mail.to_vec();
        all.push(("MAIL_FROM", "Example <no-reply@example.com>"));
        all.extend_from_slice(env);
        let server = launch(&store, &all).public().start().await;
        Self { store, smtp, server, browser: Browser::start().await }
    }

    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    /// The text of the newest mail to an address that has a link to that page, once it is there.
    async fn mail(&self, to: &str, page: &str) -> String {
        let start = format!("{}/{page}?token=", self.server.local_url());
        let found = || {
            let mails = self.smtp.received().into_iter().rev();
            let mut texts = mails.filter(|mail| mail.to() == to).map(|mail| mail.text("text").to_owned());
            texts.find(|text| text.lines().any(|line| line.starts_with(&start)))
        };
        within(Duration::from_secs(30), page, async || found().is_some()).await;
        found().unwrap()
    }

    /// The link in that mail, as it stands there.
    pub(crate) async fn link(&self, to: &str, page: &str) -> String {
        let mail = self.mail(to, page).await;
        mail.lines().find(|line| line.contains("?token=")).unwrap().to_owned()
    }

    /// The code in that mail.
    async fn code(&self, to: &str, page: &str) -> String {
        let mail = self.mail(to, page).await;
        let digits = |word: &&str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_digit());
        mail.split_whitespace().map(|word| word.trim_matches('.')).find(digits).unwrap().to_owned()
    }

    async fn press(&self) {
        self.browser.find("button").await.click().await;
    }

    /// Everybody signed in ten minutes ago; the browser has to renew its access token to know that.
    pub(crate) async fn age_sign_ins(&self) {
        sql(&self.store, "UPDATE authkit_sessions SET auth_time = auth_time - 600000000").await;
        self.browser.forget_cookie("__Host-authkit_access").await;
    }

    /// Nothing went wrong in the browser but answers that were refusals.
    pub(crate) async fn assert_no_fault(&self) {
        let mut faults = self.browser.faults().await;
        faults.retain(|fault| !fault.contains("the server responded with a status of 4"));
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_is_verified_by_its_link() {
    let world = World::start(&[("EMAIL_VERIFICATION", "required")]).await;
    let (client, browser) = (world.client(), &world.browser);
    client.post("/v1/auth/signup", person("ada@example.com")).await.expect(202);
    let login = credentials("ada@example.com", PASSWORD);
    client.post("/v1/auth/login", login.clone()).await.assert_error(403, "EMAIL_UNVERIFIED");
    let link = world.link("ada@example.com", "verify-email").await;
    // A scanner of mails was there first.
    let path = link.strip_prefix(&world.server.local_url()).unwrap();
    client.get(path).await.expect(200);
    client.request("HEAD", path, None).await.expect(200);

    browser.open(&link).await;
    assert_eq!(browser.title().await, "Confirm your address · authkit");
    browser.photograph("verify-email").await;
    client.post("/v1/auth/login", login.clone()).await.assert_error(403, "EMAIL_UNVERIFIED");
    world.press().await;
    browser.wait_for_text("Your address is confirmed").await;
    browser.photograph("verify-email-done").await;
    // The secret is in no address bar any more, and was told to nobody.
    assert_eq!(browser.url().await, format!("{}/verify-email", world.server.local_url()));
    assert_eq!(browser.run("return document.referrer", json!(null)).await, "");
    client.post("/v1/auth/login", login).await.expect(200);

    browser.open(&link).await;
    world.press().await;
    browser.wait_for_text("This link is not valid any more").await;
    browser.photograph("dead-link").await;
    world.assert_no_fault().await;
    let secret = link.split_once("?token=").unwrap().1;
    assert!(!settled_logs(&world.server).await.contains(secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_reset_without_script_and_old_sessions_die() {
    let world = World::start(&[]).await;
    let (client, browser) = (world.client(), &world.browser);
    let old = newcomer(&client, "ada@example.com").await;
    client.post("/v1/auth/password-reset/request", json!({"email": "ada@example.com"})).await.expect(202);
    browser.allow_scripts(false).await;
    browser.open(&world.link("ada@example.com", "reset-password").await).await;
    assert_eq!(browser.focused().await.attribute("id").await.as_deref(), Some("new_password"));
    browser.photograph("reset-password").await;
    // The browser itself would stop an empty field; ours is too easy to guess.
    let fill = async |new: &str, repeat: &str| {
        browser.find("#new_password").await.type_text(new).await;
        browser.find("#repeat").await.type_text(repeat).await;
        world.press().await;
    };
    fill("password1", "password1").await;
    browser.wait_for_text("Please correct what is marked below.").await;
    assert_eq!(browser.focused().await.role().await, "alert");
    let field = browser.find("#new_password").await;
    assert_eq!(field.attribute("aria-invalid").await.as_deref(), Some("true"));
    assert_eq!(field.value().await, "");
    browser.photograph("reset-password-refused").await;
    fill(OTHER, "seven green lanterns").await;
    browser.wait_for_text("The two are not the same.").await;
    fill(OTHER, OTHER).await;
    browser.wait_for_text("Your password is changed").await;
    browser.photograph("reset-password-done").await;

    refresh(&client, &old.refresh).await.assert_error(401, "REFRESH_INVALID");
    let dead = || async { me(&client, &old.access).await.status == 401 };
    within(Duration::from_secs(10), "the access token dies", dead).await;
    let login = |password| client.post("/v1/auth/login", credentials("ada@example.com", password));
    login(PASSWORD).await.assert_error(401, "INVALID_CREDENTIALS");
    login(OTHER).await.expect(200);
    assert!(browser.cookies().await.is_empty());
    world.assert_no_fault().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_changed_and_taken_back() {
    let world = World::start(&[]).await;
    let (client, browser) = (world.client(), &world.browser);
    let ada = newcomer(&client, "ada@example.com").await;
    let asked = json!({"new_email": "new@example.com"});
    client.bearer(&ada.access).post("/v1/auth/email/change", asked).await.expect(202);
    browser.open(&world.link("new@example.com", "confirm-email").await).await;
    browser.photograph("confirm-email").await;
    world.press().await;
    browser.wait_for_text("Your address is changed").await;
    sign_in(&client, "new@example.com").await;

    browser.open(&world.link("ada@example.com", "undo-email").await).await;
    browser.photograph("undo-email").await;
    world.press().await;
    browser.wait_for_text("The account is yours again").await;
    let login = |email| client.post("/v1/auth/login", credentials(email, PASSWORD));
    login("new@example.com").await.assert_error(401, "INVALID_CREDENTIALS");
    login("ada@example.com").await.assert_error(401, "INVALID_CREDENTIALS");

    browser.open(&world.link("ada@example.com", "reset-password").await).await;
    browser.find("#new_password").await.type_text(OTHER).await;
    browser.find("#repeat").await.type_text(&format!("{OTHER}\u{E007}")).await;
    browser.wait_for_text("Your password is changed").await;
    client.post("/v1/auth/login", credentials("ada@example.com", OTHER)).await.expect(200);
    world.assert_no_fault().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_ended_by_a_code_typed_on_a_phone() {
    let world = World::start(&[("LOGIN_FAIL_EMAIL_THRESHOLD", "2")]).await;
    let (client, browser) = (world.client(), &world.browser);
    sign_up(&client, "ada@example.com").await;
    for _ in 0..2 {
        client.post("/v1/auth/login", credentials("ada@example.com", "not this one")).await.expect(401);
    }
    let login = || client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD));
    login().await.assert_error(429, "LOCKED");
    let code = world.code("ada@example.com", "unlock").await;
    browser.set_size(360, 740).await;
    browser.set_dark(true).await;
    browser.open(&world.link("ada@example.com", "unlock").await).await;
    browser.photograph("unlock-phone-dark").await;
    browser.find("a").await.click().await;
    assert_eq!(browser.focused().await.attribute("id").await.as_deref(), Some("email"));
    // By keys alone.
    browser.focused().await.type_text("ada@example.com\u{E004}").await;
    let wrong = if code == "12345678" { "12345679" } else { "12345678" };
    browser.focused().await.type_text(&format!("{wrong}\u{E007}")).await;
    browser.wait_for_text("The address or the code is wrong").await;
    browser.photograph("unlock-code-phone-dark").await;
    assert_eq!(browser.find("#email").await.value().await, "ada@example.com");
    browser.find("#code").await.type_text(&format!("{} {}\u{E007}", &code[..4], &code[4..])).await;
    browser.wait_for_text("Your account is unlocked").await;
    browser.photograph("unlock-done-phone-dark").await;
    login().await.expect(200);
    world.assert_no_fault().await;
}

/// Contrast of text with what is behind it (WCAG 2.2, 1.4.3), and what else a machine can tell.
const AUDIT: &str = r#"
const faults = [];
const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const color = text => text.match(/[\d.]+/g).map(Number);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const found = color(getComputedStyle(at).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
for (const element of document.querySelectorAll("h1, h2, p, label, button, a, input, li, dt, dd, summary, code, legend")) {
  if (!element.checkVisibility() || element.type === "hidden") continue;
  const [a, b] = [light(color(getComputedStyle(element).color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 80)}`);
}
for (const element of document.querySelectorAll("button, input:not([type=hidden]):not([type=checkbox]):not([type=radio])")) {
  const box = element.getBoundingClientRect();
  if (element.checkVisibility() && box.height < 40) faults.push(`${box.height} px high: ${element.outerHTML.slice(0, 80)}`);
}
for (const input of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
  if (input.labels.length !== 1) faults.push(`labels: ${input.outerHTML}`);
const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
if (new Set(ids).size !== ids.length) faults.push(`ids: ${ids}`);
for (const element of document.querySelectorAll("[aria-describedby]"))
  for (const id of element.getAttribute("aria-describedby").split(" "))
    if (!document.getElementById(id)) faults.push(`no ${id}`);
if (document.documentElement.lang !== "en") faults.push("lang");
if (document.querySelectorAll("h1").length !== 1 || !document.querySelector("main h1")) faults.push("h1");
if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
return faults;
"#;

/// Panics when somebody with a small screen, poor sight or a screen reader would have trouble with the page.
pub(crate) async fn assert_accessible(browser: &Browser, name: &str) {
    for dark in [false, true] {
        browser.set_dark(dark).await;
        for width in [320, 1280] {
            browser.set_size(width, 700).await;
            let faults = browser.run(AUDIT, Value::Null).await;
            assert_eq!(faults, json!([]), "{name}, {width} px, dark: {dark}");
        }
    }
    browser.set_dark(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_by_everybody() {
    let world = World::start(&[]).await;
    let (browser, base) = (&world.browser, world.server.local_url());
    let token = format!("akl_{}", "A".repeat(60));
    for page in ["verify-email", "reset-password", "confirm-email", "undo-email", "unlock"] {
        for query in [format!("?token={token}"), String::new()] {
            browser.open(&format!("{base}/{page}{query}")).await;
            assert_accessible(browser, &format!("{page}{query}")).await;
        }
    }
    // With faults: marked, said, and read out with the field.
    browser.open(&format!("{base}/verify-email")).await;
    browser.find("#email").await.type_text("ada@example").await;
    browser.find("#code").await.type_text("1").await;
    world.press().await;
    browser.wait_for_text("Please correct what is marked below.").await;
    assert_accessible(browser, "a refused form").await;
    for (field, label) in [("#email", "E-mail address"), ("#code", "Code")] {
        assert_eq!(browser.find(field).await.label().await, label);
    }
    world.assert_no_fault().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_092_no_other_site_can_send_the_form_nor_frame_the_page() {
    let world = World::start(&[]).await;
    let (client, browser) = (world.client(), &world.browser);
    let ada = newcomer(&client, "ada@example.com").await;
    let link = world.link("ada@example.com", "verify-email").await;
    let (page, token) = link.split_once("?token=").unwrap();
    let form = format!(
        "<title>Evil</title><form method=post action='{page}'><input name=token value='{token}'><button>x</button>\
         </form><iframe src='{link}'></iframe>"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let evil = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let app = Router::new().route("/", get(async || Html(form)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    browser.open(&evil).await;
    let faults = browser.faults().await;
    assert!(faults.iter().any(|fault| fault.contains("frame-ancestors")), "{faults:?}");
    world.press().await;
    browser.wait_for_text("This form was sent from another site.").await;
    assert_eq!(me(&client, &ada.access).await.body["email_verified"], false);
    browser.open(&link).await;
    world.press().await;
    browser.wait_for_text("Your address is confirmed").await;
}

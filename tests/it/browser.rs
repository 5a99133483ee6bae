//! That the browser of the suites sees what it is asked to: otherwise every page would pass.

use authkit_tests::browser::{Browser, Traits};
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use serde_json::json;

const PAGE: &str = r#"<!doctype html><html lang="en"><title>First</title>
<meta name="viewport" content="width=device-width">
<p id="state">without</p><script>document.getElementById("state").textContent = "with"</script>
<form action="/second"><label for="name">Your name</label><input id="name" name="name" autofocus>
<button>Go</button></form><p id="below" style="margin-top: 3000px">far below</p>"#;
const STRICT: &str = "<!doctype html><html lang='en'><title>Strict</title><p style='color: red'>text</p>";

async fn pages() -> String {
    let strict = || async { ([("content-security-policy", "default-src 'none'")], Html(STRICT)) };
    let app = Router::new()
        .route("/", get(async || ([("set-cookie", "seen=yes; HttpOnly")], Html(PAGE))))
        .route("/second", get(async |uri: axum::http::Uri| Html(format!("<title>Second</title>{uri}"))))
        .route("/strict", get(strict));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    // Passkeys are for names, not for numbers.
    format!("http://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_typed_into_and_left() {
    let url = pages().await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    assert_eq!((browser.title().await.as_str(), browser.url().await), ("First", format!("{url}/")));
    let field = browser.find("#name").await;
    assert_eq!((field.label().await.as_str(), field.role().await.as_str()), ("Your name", "textbox"));
    assert_eq!(browser.focused().await.attribute("id").await.as_deref(), Some("name"));
    field.type_text("Adam").await;
    field.clear().await;
    field.type_text("Ada").await;
    assert_eq!(field.value().await, "Ada");
    assert_eq!(browser.cookie("seen").await.unwrap()["httpOnly"], true);
    assert_eq!(browser.run("return arguments[0] + 1", json!(1)).await, 2);
    assert_eq!(browser.run_async("setTimeout(() => arguments[0](3), 1)", json!(null)).await, 3);
    browser.find("button").await.click().await;
    browser.wait_for_text("/second?name=Ada").await;
    assert_eq!(browser.title().await, "Second");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_can_be_off_and_breaches_of_the_policy_are_seen() {
    let url = pages().await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    assert_eq!(browser.find("#state").await.text().await, "with");
    browser.allow_scripts(false).await;
    browser.reload().await;
    assert_eq!(browser.find("#state").await.text().await, "without");
    browser.allow_scripts(true).await;
    let _ = browser.faults().await;
    browser.open(&format!("{url}/strict")).await;
    let faults = browser.faults().await;
    assert!(faults.iter().any(|fault| fault.contains("style-src")), "{faults:?}");
    assert!(browser.faults().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_shows_the_whole_page_in_the_size_of_a_phone() {
    let url = pages().await;
    let browser = Browser::start().await;
    browser.set_size(360, 640).await;
    browser.set_dark(true).await;
    browser.open(&url).await;
    let dark = browser.run("return matchMedia('(prefers-color-scheme: dark)').matches", json!(null)).await;
    assert_eq!(dark, true);
    assert_eq!(browser.run("return innerWidth", json!(null)).await, 360);
    let picture = browser.picture().await;
    assert!(picture.starts_with(b"\x89PNG"));
    // Width and height stand at the start of the first chunk; a phone has two pixels to one of CSS.
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert_eq!(number(16), 720);
    assert!(number(20) > 6000, "{}", number(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_makes_and_uses_a_passkey() {
    const MAKE: &str = r#"const done = arguments[arguments.length - 1];
        navigator.credentials.create({ publicKey: {
            challenge: new Uint8Array(32), rp: { name: "x" }, pubKeyCredParams: [{ type: "public-key", alg: -7 }],
            user: { id: new Uint8Array(16), name: "ada", displayName: "Ada" },
            authenticatorSelection: { residentKey: "required", userVerification: "required" },
        } }).then(made => done(made.id), error => done(error.name));"#;
    const USE: &str = r#"const done = arguments[arguments.length - 1];
        navigator.credentials.get({ publicKey: { challenge: new Uint8Array(32), userVerification: "required" } })
            .then(used => done(used.id), error => done(error.name));"#;
    let url = pages().await;
    let browser = Browser::start().await;
    browser.open(&url).await;
    let authenticator = browser.add_authenticator(Traits::default()).await;
    let made = browser.run_async(MAKE, json!(null)).await;
    let held = authenticator.credentials().await;
    assert_eq!((held.len(), &held[0]["credentialId"], &held[0]["rpId"]), (1, &made, &json!("localhost")));
    assert_eq!(browser.run_async(USE, json!(null)).await, made);
    authenticator.set_verified(false).await;
    assert_eq!(browser.run_async(USE, json!(null)).await, "NotAllowedError");
    authenticator.set_verified(true).await;
    authenticator.remove_credential(made.as_str().unwrap()).await;
    assert!(authenticator.credentials().await.is_empty());
    authenticator.add_credential(held[0].clone()).await;
    assert_eq!(browser.run_async(USE, json!(null)).await, made);
    authenticator.remove().await;
}

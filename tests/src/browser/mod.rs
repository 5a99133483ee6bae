//! A real Chromium without a screen, driven over `WebDriver`: what somebody does who opens a page.
//!
//! ```no_run
//! # async fn see() {
//! use authkit_tests::browser::Browser;
//!
//! let browser = Browser::start().await;
//! browser.open("http://127.0.0.1:8000/docs").await;
//! browser.find("summary").await.click().await;
//! assert_eq!(browser.faults().await, Vec::<String>::new());
//! # }
//! ```

mod authenticator;
mod driver;
mod element;
mod find;
mod picture;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use driver::Driver;

pub use authenticator::{Authenticator, Credential, Traits};
pub use element::Element;
pub use find::{BROWSER_VARIABLE, DRIVER_VARIABLE};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);

/// A window of a browser of its own, with a fresh profile; gone on drop.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    session: String,
}

impl Browser {
    /// A new one with an empty page.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A new one with more arguments for Chromium.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let driver = Driver::start().await;
        let mut arguments: Vec<&str> = arguments.to_vec();
        // The sandbox cannot be had by root and in containers, nor enough of /dev/shm in some.
        arguments.extend(["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]);
        arguments.extend(["--no-first-run", "--disable-background-networking", "--lang=en"]);
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": arguments, "binary": find::programs().browser,
                // No bubble that offers to keep a password.
                "prefs": { "credentials_enable_service": false, "profile.password_manager_enabled": false },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let started = driver.command(Method::POST, "/session", Some(capabilities)).await;
        let session = started.unwrap_or_else(|e| panic!("Chromium did not start: {e:?}\n{}", driver.log()));
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        Self { driver, session }
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// The address of the page.
    pub async fn url(&self) -> String {
        text(self.get("/url").await)
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// Goes one page back.
    pub async fn back(&self) {
        self.post("/back", json!({})).await;
    }

    /// The title of the page.
    pub async fn title(&self) -> String {
        text(self.get("/title").await)
    }

    /// The page as HTML, as it is now.
    pub async fn source(&self) -> String {
        text(self.get("/source").await)
    }

    /// What somebody reads on the page.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await
    }

    /// The first element of a CSS selector; waits for it 15 s at the most.
    #[track_caller]
    pub fn find(&self, css: &str) -> impl Future<Output = Element<'_>> {
        let (css, caller) = (css.to_owned(), std::panic::Location::caller());
        async move {
            let end = Instant::now() + PATIENCE;
            loop {
                if let Some(element) = self.find_all(&css).await.into_iter().next() {
                    return element;
                }
                if Instant::now() >= end {
                    let (url, page) = (self.url().await, self.source().await);
                    panic!("{caller}: no {css} at {url}:\n{page}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// All elements of a CSS selector that are there now.
    pub async fn find_all(&self, css: &str) -> Vec<Element<'_>> {
        let found = self.post("/elements", json!({ "using": "css selector", "value": css })).await;
        found.as_array().into_iter().flatten().map(|element| Element::new(self, element)).collect()
    }

    /// Whether there is such an element now.
    pub async fn has(&self, css: &str) -> bool {
        !self.find_all(css).await.is_empty()
    }

    /// Waits until the page says that; 15 s at the most.
    #[track_caller]
    pub fn wait_for_text(&self, wanted: &str) -> impl Future<Output = ()> {
        let (wanted, caller) = (wanted.to_owned(), std::panic::Location::caller());
        async move {
            let end = Instant::now() + PATIENCE;
            loop {
                // While a page is loaded there may be none.
                let page = self.try_text().await.unwrap_or_default();
                if page.contains(&wanted) {
                    return;
                }
                assert!(Instant::now() < end, "{caller}: the page does not say {wanted:?}:\n{page}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn try_text(&self) -> Option<String> {
        let body =
            self.try_post("/element", json!({ "using": "css selector", "value": "body" })).await.ok()?;
        let id = body.as_object()?.values().next()?.as_str()?.to_owned();
        self.try_command(Method::GET, &format!("/element/{id}/text"), None).await.ok().map(text)
    }

    /// Runs a function body in the page; what it returns.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": listed(arguments) })).await
    }

    /// The same for one that calls its last argument with the result.
    pub async fn run_async(&self, script: &str, arguments: Value) -> Value {
        self.post("/execute/async", json!({ "script": script, "args": listed(arguments) })).await
    }

    /// The element that has the focus.
    pub async fn focused(&self) -> Element<'_> {
        let found = self.get("/element/active").await;
        Element::new(self, &found)
    }

    /// All cookies for the page, those too that scripts cannot see.
    pub async fn cookies(&self) -> Vec<Value> {
        self.get("/cookie").await.as_array().cloned().unwrap_or_default()
    }

    /// A cookie for the page.
    pub async fn cookie(&self, name: &str) -> Option<Value> {
        self.cookies().await.into_iter().find(|cookie| cookie["name"] == name)
    }

    /// Adds a cookie to the page, as `WebDriver` takes it: `name`, `value` and attributes.
    pub async fn add_cookie(&self, cookie: Value) {
        self.post("/cookie", json!({ "cookie": cookie })).await;
    }

    /// Forgets a cookie for the page.
    pub async fn forget_cookie(&self, name: &str) {
        self.command(Method::DELETE, &format!("/cookie/{name}"), None).await;
    }

    /// Forgets all cookies for the page.
    pub async fn forget_cookies(&self) {
        self.command(Method::DELETE, "/cookie", None).await;
    }

    /// What the browser complained about since the last call: errors of scripts, of loading, and breaches of the content
    /// policy. A page that answers with an error status is one, too.
    pub async fn faults(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().into_iter().flatten();
        let faults = entries.filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        faults.map(|entry| format!("{}: {}", entry["source"], entry["message"])).collect()
    }

    /// Turns scripts of pages off or on again. What tests run in the page works all the same.
    pub async fn allow_scripts(&self, allowed: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": !allowed })).await;
    }

    /// A command of the `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    async fn get(&self, path: &str) -> Value {
        self.command(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.command(Method::POST, path, Some(body)).await
    }

    async fn try_post(&self, path: &str, body: Value) -> Result<Value, (String, String)> {
        self.try_command(Method::POST, path, Some(body)).await
    }

    async fn command(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let shown = format!("{method} {path} {body:?}");
        self.try_command(method, path, body).await.unwrap_or_else(|e| panic!("{shown}: {e:?}"))
    }

    async fn try_command(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, (String, String)> {
        self.driver.command(method, &format!("/session/{}{path}", self.session), body).await
    }
}

/// Arguments of a script: an array as it is, anything else as the only one, `null` as none.
fn listed(arguments: Value) -> Value {
    match arguments {
        Value::Array(_) => arguments,
        Value::Null => json!([]),
        one => json!([one]),
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => panic!("no text: {other}"),
    }
}

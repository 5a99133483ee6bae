//! An element of a page.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Browser, text};

/// An element of a page, as long as the page stands.
#[derive(Debug, Clone)]
pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl<'b> Element<'b> {
    pub(super) fn new(browser: &'b Browser, reference: &Value) -> Self {
        // `{"element-6066-11e4-a52e-4f735466cecf": ID}`, a name that the standard fixes.
        let id = reference.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        Self { browser, id: id.unwrap_or_else(|| panic!("no element: {reference}")).to_owned() }
    }

    /// Clicks it where somebody would, and waits for the page that this opens.
    pub async fn click(&self) {
        self.post("click", json!({})).await;
    }

    /// Types text into it. `\u{E007}` is the Enter key, `\u{E004}` Tab.
    pub async fn type_text(&self, typed: &str) {
        self.post("value", json!({ "text": typed })).await;
    }

    /// Empties a field.
    pub async fn clear(&self) {
        self.post("clear", json!({})).await;
    }

    /// The text that can be seen.
    pub async fn text(&self) -> String {
        text(self.get("text").await)
    }

    /// An attribute, as it stands in the page.
    pub async fn attribute(&self, name: &str) -> Option<String> {
        self.get(&format!("attribute/{name}")).await.as_str().map(str::to_owned)
    }

    /// A property, such as `value`.
    pub async fn property(&self, name: &str) -> Value {
        self.get(&format!("property/{name}")).await
    }

    /// What a field holds.
    pub async fn value(&self) -> String {
        text(self.property("value").await)
    }

    /// A computed property of its style, such as `color`.
    pub async fn css(&self, name: &str) -> String {
        text(self.get(&format!("css/{name}")).await)
    }

    /// What screen readers call it.
    pub async fn label(&self) -> String {
        text(self.get("computedlabel").await)
    }

    /// What screen readers take it for, such as `button`.
    pub async fn role(&self) -> String {
        text(self.get("computedrole").await)
    }

    /// Whether somebody can see it.
    pub async fn is_shown(&self) -> bool {
        self.get("displayed").await == true
    }

    async fn get(&self, what: &str) -> Value {
        self.browser.command(Method::GET, &self.path(what), None).await
    }

    async fn post(&self, what: &str, body: Value) {
        self.browser.command(Method::POST, &self.path(what), Some(body)).await;
    }

    fn path(&self, what: &str) -> String {
        format!("/element/{}/{what}", self.id)
    }
}

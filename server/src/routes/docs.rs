//! `GET /docs`: the OpenAPI document as a page for people. Made once at the start, without script, without anything
//! from elsewhere: it works offline and under a policy that allows one style sheet.

use std::fmt::Write as _;

use authkit::ErrorKind;
use authkit::config::Config;
use authkit::http::axum::ApiError;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::AppState;

const CSP: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Schemas in schemas, at the most.
const MAX_DEPTH: usize = 8;

pub(crate) async fn docs(State(state): State<AppState>) -> Result<Response, ApiError> {
    let page = state.page.as_ref().ok_or(ErrorKind::NotFound)?;
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, CSP)];
    Ok((headers, page.to_string()).into_response())
}

pub(crate) async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("docs.css")).into_response()
}

/// Writing to a string cannot fail.
macro_rules! add {
    ($out:ident, $($text:tt)*) => {
        let _ = write!($out, $($text)*);
    };
}

/// The page.
pub(crate) fn page(document: &Value, config: &Config) -> String {
    let base = &config.server.public_url;
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>authkit API</title><link rel=\"stylesheet\" \
         href=\"/docs/style.css\"></head><body>",
    );
    add!(
        out,
        "<h1>authkit</h1><p>{}</p><p>Base: <code>{}</code> · <a href=\"/openapi.json\">openapi.json</a></p>",
        text(document.pointer("/info/description")),
        escape(base)
    );
    for tag in ["auth", "admin", "server"] {
        add!(out, "<h2>{tag}</h2>");
        let paths = document["paths"].as_object().into_iter().flatten();
        for (path, item) in paths {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation.pointer("/tags/0") == Some(&json!(tag)) {
                    out.push_str(&section(document, base, path, method, operation));
                }
            }
        }
    }
    out.push_str("</body></html>");
    out
}

fn section(document: &Value, base: &str, path: &str, method: &str, operation: &Value) -> String {
    let secured = operation["security"].is_array();
    let mut out = format!(
        "<details><summary><span class=\"method {method}\">{method}</span><span class=\"path\">{}</span>{}\
         <span class=\"summary\">{}</span></summary><div>",
        escape(path),
        if secured { "<span class=\"lock\">signed in</span>" } else { "" },
        text(operation.get("summary")),
    );
    if operation["description"].is_string() {
        add!(out, "<p>{}</p>", text(operation.get("description")));
    }
    out.push_str(&parameters(operation));
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    let example = body.map(|schema| example(document, schema, 0));
    add!(out, "<h3>Try</h3><pre>{}</pre>", escape(&curl(base, path, method, secured, example.as_ref())));
    out.push_str("<h3>Answers</h3><table>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let schema = answer.pointer("/content/application~1json/schema").filter(|_| status.starts_with('2'));
        let shown = schema.map(|schema| pretty(&self::example(document, schema, 0))).unwrap_or_default();
        let shown = if shown.is_empty() { shown } else { format!("<pre>{}</pre>", escape(&shown)) };
        add!(
            out,
            "<tr><td><code>{}</code></td><td>{}{shown}</td></tr>",
            escape(status),
            text(answer.get("description"))
        );
    }
    out.push_str("</table></div></details>");
    out
}

fn parameters(operation: &Value) -> String {
    let Some(list) = operation["parameters"].as_array().filter(|list| !list.is_empty()) else {
        return String::new();
    };
    let mut out = String::from("<h3>Parameters</h3><table>");
    for parameter in list {
        add!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            text(parameter.get("name")),
            text(parameter.get("in")),
            text(parameter.get("description"))
        );
    }
    out.push_str("</table>");
    out
}

fn curl(base: &str, path: &str, method: &str, secured: bool, body: Option<&Value>) -> String {
    let mut out = format!("curl -s {base}{path}");
    if method != "get" && !(method == "post" && body.is_some()) {
        add!(out, " -X {}", method.to_ascii_uppercase());
    }
    if secured {
        out.push_str(" \\\n  -H \"authorization: Bearer $ACCESS\"");
    }
    if let Some(body) = body {
        add!(out, " \\\n  -H 'content-type: application/json' \\\n  -d '{body}'");
    }
    out
}

/// A value of that schema, to look at.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        return document.pointer(path).map_or(Value::Null, |schema| example(document, schema, depth + 1));
    }
    let given = schema.get("example").or_else(|| schema.pointer("/examples/0"));
    if let Some(first) = given.or_else(|| schema.pointer("/enum/0")) {
        return first.clone();
    }
    if let Some(members) = schema["properties"].as_object() {
        let member = |(name, schema): (&String, &Value)| (name.clone(), example(document, schema, depth + 1));
        return Value::Object(members.iter().map(member).collect::<Map<_, _>>());
    }
    let kind = schema["type"].as_str().or_else(|| schema.pointer("/type/0").and_then(Value::as_str));
    match (kind, schema["format"].as_str()) {
        (Some("array"), _) => json!([example(document, &schema["items"], depth + 1)]),
        (Some("object"), _) => json!({}),
        (Some("boolean"), _) => json!(false),
        (Some("integer" | "number"), _) => json!(0),
        (_, Some("email")) => json!("ada@example.com"),
        (_, Some("password")) => json!("a rather long sentence"),
        (_, Some("date-time")) => json!("2026-01-01T00:00:00Z"),
        (_, Some("uuid")) => json!("01890a5d-ac96-774b-bcce-b302099a8057"),
        _ => json!("…"),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    escape(value.and_then(Value::as_str).unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::openapi::document;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_runs_nothing() {
        let config = Config::default();
        let page = page(&document(&config), &config);
        for forbidden in ["<script", "javascript:", " style=", " onclick", "//cdn", "<img", "src="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.contains("/v1/auth/step-up") && page.contains("a rather long sentence"));
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}

//! The pages that mailed links open, as plain requests: what they do and refuse, and what stands around them.

use std::path::{Path, PathBuf};

use authkit_tests::{Answer, Backend, Client, ServerProcess, Store, on_both};
use serde_json::json;

use crate::app::{
    OTHER, PASSWORD, count, credentials, me, newcomer, refresh, settled_logs, sign_in, sign_up,
};
use crate::links_http::{link, start};

/// Path and button of each page.
const PAGES: [(&str, &str); 5] = [
    ("/verify-email", "Confirm this address"),
    ("/reset-password", "Set the password"),
    ("/confirm-email", "Use this address"),
    ("/undo-email", "Give the account back to me"),
    ("/unlock", "Unlock my account"),
];
/// What every dead link is answered.
const DEAD: &str = "This link is not valid any more. Ask for a new one.";
/// Of the right form, and of nobody.
const NOBODY: &str = "akl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A form as a browser sends it from our own page.
pub(crate) async fn send(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let client = client.header("content-type", "application/x-www-form-urlencoded");
    let client = client.header("sec-fetch-site", "same-origin").header("origin", "null");
    client.request("POST", path, Some(body.into_bytes())).await
}

/// The secret of the newest link to that page that an address got.
pub(crate) async fn secret(folder: &Path, to: &str, page: &str) -> String {
    link(folder, to, page).await.split_once("?token=").unwrap().1.to_owned()
}

#[track_caller]
fn assert_page(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert!(answer.text.contains(text), "{text}: {}", answer.text);
    let policy = answer.header("content-security-policy");
    for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    for (header, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(header), value, "{header}");
    }
    assert!(!answer.header("x-request-id").is_empty());
    assert!(answer.set_cookies().is_empty());
    for forbidden in ["<script", "javascript:", " style=", " onclick", "http://", "https://"] {
        assert!(!answer.text.contains(forbidden), "{forbidden}: {}", answer.text);
    }
}

on_both! {
    async fn s_092_opening_a_link_uses_nothing_up_and_its_button_does(store: Store) {
        let (server, folder) = start(&store, &[("EMAIL_VERIFICATION", "required")]).await;
        let client = server.client();
        let person = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
        client.post("/v1/auth/signup", person).await.expect(202);
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(403, "EMAIL_UNVERIFIED");
        let token = secret(&folder, "ada@example.com", "verify-email").await;
        let audited = count(&store, "SELECT count(*) FROM authkit_audit").await;
        // As scanners of mail do.
        for _ in 0..3 {
            for method in ["HEAD", "GET"] {
                let opened = client.request(method, &format!("/verify-email?token={token}"), None).await.expect(200);
                assert_eq!(opened.text.contains(&token), method == "GET");
            }
        }
        assert_eq!(count(&store, "SELECT count(*) FROM authkit_audit").await, audited);
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(403, "EMAIL_UNVERIFIED");
        let done = send(&client, "/verify-email", &[("token", &token)]).await;
        assert_page(&done, 200, "Your address is confirmed");
        sign_in(&client, "ada@example.com").await;
        // s_082
        assert_page(&send(&client, "/verify-email", &[("token", &token)]).await, 400, DEAD);
    }

    async fn a_reset_ends_all_sessions_and_begins_none(store: Store) {
        let (server, folder) = start(&store, &[]).await;
        let client = server.client();
        let old = newcomer(&client, "ada@example.com").await;
        client.post("/v1/auth/password-reset/request", json!({"email": "ada@example.com"})).await.expect(202);
        let token = secret(&folder, "ada@example.com", "reset-password").await;
        let set = async |new: &str, repeat: &str| {
            send(&client, "/reset-password", &[("token", &token), ("new_password", new), ("repeat", repeat)]).await
        };
        // What the policy refuses, or was not typed twice alike, does not use the link up.
        let short = set("short", "short").await;
        assert_page(&short, 422, "at least 8 characters");
        assert!(short.text.contains(r#"aria-invalid="true""#) && short.text.contains("<title>Error: "));
        assert!(!short.text.contains(r#"value="short""#), "{}", short.text);
        assert_page(&set(OTHER, "something else entirely").await, 422, "The two are not the same.");
        assert_page(&set(OTHER, "").await, 422, "The two are not the same.");
        assert_page(&set(OTHER, OTHER).await, 200, "Your password is changed");
        assert_page(&set(OTHER, OTHER).await, 400, DEAD);
        refresh(&client, &old.refresh).await.assert_error(401, "REFRESH_INVALID");
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        client.post("/v1/auth/login", credentials("ada@example.com", OTHER)).await.expect(200);
    }

    async fn s_094_a_change_of_address_and_the_way_back(store: Store) {
        let (server, folder) = start(&store, &[]).await;
        let client = server.client();
        let ada = newcomer(&client, "ada@example.com").await;
        let asked = json!({"new_email": "new@example.com"});
        client.bearer(&ada.access).post("/v1/auth/email/change", asked).await.expect(202);
        let confirm = secret(&folder, "new@example.com", "confirm-email").await;
        // R9: of another purpose.
        for page in ["/verify-email", "/undo-email", "/unlock"] {
            assert_page(&send(&client, page, &[("token", &confirm)]).await, 400, DEAD);
        }
        assert_page(&send(&client, "/confirm-email", &[("token", &confirm)]).await, 200, "Your address is changed");
        sign_in(&client, "new@example.com").await;
        let undo = secret(&folder, "ada@example.com", "undo-email").await;
        assert_page(&send(&client, "/undo-email", &[("token", &undo)]).await, 200, "The account is yours again");
        client.post("/v1/auth/login", credentials("new@example.com", PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        let reset = secret(&folder, "ada@example.com", "reset-password").await;
        let fields = [("token", reset.as_str()), ("new_password", OTHER), ("repeat", OTHER)];
        assert_page(&send(&client, "/reset-password", &fields).await, 200, "Your password is changed");
        client.post("/v1/auth/login", credentials("ada@example.com", OTHER)).await.expect(200);
    }

    async fn a_lock_ends_by_its_page(store: Store) {
        let (server, folder) = start(&store, &[("LOGIN_FAIL_EMAIL_THRESHOLD", "2")]).await;
        let client = server.client();
        sign_up(&client, "ada@example.com").await;
        for _ in 0..2 {
            client.post("/v1/auth/login", credentials("ada@example.com", "not this one")).await.expect(401);
        }
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(429, "LOCKED");
        let unlock = secret(&folder, "ada@example.com", "unlock").await;
        assert_page(&send(&client, "/unlock", &[("token", &unlock)]).await, 200, "Your account is unlocked");
        sign_in(&client, "ada@example.com").await;
    }

    async fn a_typed_code_does_what_the_link_does(store: Store) {
        let (server, folder) = start(&store, &[]).await;
        let client = server.client();
        let ada = newcomer(&client, "ada@example.com").await;
        link(&folder, "ada@example.com", "verify-email").await;
        let code = code_of(&folder, "ada@example.com");
        let wrong = if code == "12345678" { "12345679" } else { "12345678" };
        let typed = async |email: &str, code: &str| {
            send(&client, "/verify-email", &[("email", email), ("code", code)]).await
        };
        // The form stands there again with what may be shown; unknown addresses are answered alike.
        for email in ["ada@example.com", "nobody@example.com"] {
            let refused = typed(email, wrong).await;
            assert_page(&refused, 400, "The address or the code is wrong, or the code is too old.");
            assert!(refused.text.contains(&format!(r#"value="{email}""#)) && !refused.text.contains(wrong), "{}", refused.text);
        }
        assert_page(&typed("no address", &code).await, 422, r#"id="email-fault""#);
        let spaced = format!("{} {}", &code[..4], &code[4..]);
        assert_page(&typed(" ADA@example.com", &spaced).await, 200, "Your address is confirmed");
        assert_eq!(me(&client, &ada.access).await.body["email_verified"], true);
    }
}

/// The code in the only mail to an address.
fn code_of(folder: &Path, to: &str) -> String {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let mail = texts.into_iter().find(|text| text.contains(to) && text.contains("verify-email")).unwrap();
    let digits = |word: &&str| word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit());
    let mut words = mail.split(|c: char| !c.is_ascii_alphanumeric());
    words.rfind(|word| digits(word)).unwrap().to_owned()
}

async fn on_sqlite(env: &[(&str, &str)]) -> (Store, ServerProcess, PathBuf) {
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = start(&store, env).await;
    (store, server, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_shows_its_form_and_takes_a_code_where_there_is_one() {
    let (_store, server, _) = on_sqlite(&[]).await;
    let client = server.client();
    for (path, button) in PAGES {
        let opened = client.get(&format!("{path}?token={NOBODY}&utm_source=mail")).await;
        assert_page(&opened, 200, button);
        assert!(opened.text.contains(&format!(r#"<input type="hidden" name="token" value="{NOBODY}">"#)));
        assert!(
            opened.text.contains(&format!(r#"<form method="post" action="{}">"#, &path[1..])),
            "{}",
            opened.text
        );
        assert!(opened.text.contains(r#"<html lang="en">"#));
        assert_page(&send(&client, path, &[("token", NOBODY)]).await, 400, DEAD);
        let typed = client.get(path).await;
        if path == "/undo-email" {
            assert_page(&typed, 400, DEAD);
            assert!(!typed.text.contains("<form") && !typed.text.contains("<a "));
        } else {
            assert_page(&typed, 200, r#"autocomplete="one-time-code""#);
        }
    }
    let style = client.get("/pages/style.css").await.expect(200);
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(!style.text.contains("url(") && !style.text.contains("@import"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_secret_is_shown_nowhere() {
    let (_store, server, _) = on_sqlite(&[]).await;
    let client = server.client();
    let long = "a".repeat(200);
    for bad in ["", "%22%3E%3Cscript%3E", "a&token=b", "a%2fb", &long] {
        let opened = client.get(&format!("/verify-email?token={bad}")).await;
        assert_page(&opened, 400, DEAD);
        assert!(!opened.text.contains(r#"name="token""#), "{}", opened.text);
    }
    let evil = r#""><script>alert(1)</script>"#;
    let shown = send(&client, "/verify-email", &[("email", evil), ("code", evil)]).await;
    assert_page(&shown, 422, "&lt;script&gt;");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_092_only_a_form_of_our_own_page_acts() {
    let (_store, server, folder) = on_sqlite(&[]).await;
    let client = server.client();
    let ada = newcomer(&client, "ada@example.com").await;
    let token = secret(&folder, "ada@example.com", "verify-email").await;
    let body = || Some(format!("token={token}").into_bytes());
    let form = client.header("content-type", "application/x-www-form-urlencoded");
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://login.example.com.evil.example")],
    ] {
        let client = headers.iter().fold(form.clone(), |client, (name, value)| client.header(name, value));
        let refused = client.request("POST", "/verify-email", body()).await;
        assert_page(&refused, 403, "This form was sent from another site.");
    }
    for (mime, status) in
        [("text/plain", 415), ("application/json", 415), ("multipart/form-data; boundary=x", 415)]
    {
        let refused = client.header("content-type", mime).request("POST", "/verify-email", body()).await;
        assert_page(&refused, status, "The body must be a form.");
    }
    for (body, status) in [("token=%ff", 400), ("token=a&token=b", 400), ("token=%00", 422)] {
        let refused = form.request("POST", "/verify-email", Some(body.as_bytes().to_vec())).await;
        assert_page(&refused, status, "That did not work");
    }
    assert_eq!(me(&client, &ada.access).await.body["email_verified"], false);
    // The address that mails carry, and older browsers, which say less.
    let own = form.header("origin", "https://login.example.com");
    assert_page(&own.request("POST", "/verify-email", body()).await, 200, "confirmed");
    assert_eq!(me(&client, &ada.access).await.body["email_verified"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_194_other_methods_and_paths_get_the_one_error_body() {
    let (_store, server, _) = on_sqlite(&[]).await;
    let client = server.client();
    for (path, _) in PAGES {
        for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
            let refused = client.request(method, path, None).await;
            assert_eq!(
                refused.assert_error(405, "METHOD_NOT_ALLOWED").header("allow"),
                "GET,HEAD,POST",
                "{path}"
            );
        }
        client.get(&format!("{path}/")).await.assert_error(404, "NOT_FOUND");
        client.get(&format!("/v1{path}")).await.assert_error(404, "NOT_FOUND");
        let large = vec![b'a'; 65 * 1024];
        let form = client.header("content-type", "application/x-www-form-urlencoded");
        form.request("POST", path, Some(large)).await.assert_error(413, "PAYLOAD_TOO_LARGE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_15_no_log_holds_a_secret() {
    let (_store, server, folder) = on_sqlite(&[("LOG_LEVEL", "TRACE")]).await;
    let client = server.client();
    newcomer(&client, "ada@example.com").await;
    client.post("/v1/auth/password-reset/request", json!({"email": "ada@example.com"})).await.expect(202);
    let token = secret(&folder, "ada@example.com", "reset-password").await;
    client.get(&format!("/reset-password?token={token}")).await.expect(200);
    let new = "a canary that sings alone";
    let fields = [("token", token.as_str()), ("new_password", new), ("repeat", new)];
    send(&client, "/reset-password", &fields).await.expect(200);
    let logs = settled_logs(&server).await;
    assert!(!logs.contains(&token) && !logs.contains("canary"), "a secret is in the log");
    let lines: Vec<_> =
        server.json_logs().into_iter().filter(|line| line["path"] == "/reset-password").collect();
    assert!(
        lines.iter().any(|line| line["function"] == "/reset-password" && line["status_code"] == 200),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_told_with_its_end_and_the_form_stays() {
    let (_store, server, _) = on_sqlite(&[("RL_LINK_IP_LIMIT", "2/10m")]).await;
    let client = server.client();
    let mut last = None;
    for _ in 0..4 {
        last = Some(send(&client, "/unlock", &[("email", "a@example.com"), ("code", "12345678")]).await);
    }
    let last = last.unwrap();
    assert_page(&last, 429, "Too many requests. Try again in");
    assert!(last.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert!(last.text.contains(r#"value="a@example.com""#));
}

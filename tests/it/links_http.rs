//! Mailed links over HTTP: what a request says about hosts never matters, opening a link uses nothing up, one answer
//! for whatever is wrong.

use std::path::Path;
use std::time::Duration;

use authkit_tests::{Backend, Client, ServerProcess, Store, on_both, raw};
use serde_json::{Value, json};

use crate::app::{
    OTHER, PASSWORD, credentials, me, newcomer, refresh, serve, sign_in, sign_up, within, without_request_id,
};

/// Where the files of mails are, and the base of their links.
const BASE: &str = "https://login.example.com/app";

pub(crate) async fn start(store: &Store, env: &[(&str, &str)]) -> (ServerProcess, std::path::PathBuf) {
    let folder = store.folder().join("mails");
    let dir = folder.display().to_string();
    let mut all = vec![("MAIL_DIR", dir.as_str()), ("PUBLIC_URL", BASE)];
    all.extend_from_slice(env);
    (serve(store, &all).await, folder)
}

/// The plain part of every mail to an address so far.
fn mails(folder: &Path, to: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "eml"));
    files.sort();
    let texts = files.into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts
        .filter(|text| text.contains(&format!("To: <{to}>")) || text.contains(&format!("To: {to}")))
        .collect()
}

/// The newest link to that page that an address got, once it is there.
pub(crate) async fn link(folder: &Path, to: &str, page: &str) -> String {
    let start = format!("{BASE}/{page}?token=");
    let found = || {
        let all = mails(folder, to);
        let lines: Vec<String> = all.iter().flat_map(|mail| unfolded(mail)).collect();
        lines.into_iter().rev().find(|line| line.starts_with(&start))
    };
    within(Duration::from_secs(20), page, async || found().is_some()).await;
    found().unwrap()
}

/// Lines of a quoted-printable part (RFC 2045 section 6.7).
fn unfolded(mail: &str) -> Vec<String> {
    let text = mail.replace("\r\n", "\n").replace("=\n", "").replace("=3D", "=");
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn token(link: &str) -> Value {
    json!({"token": link.split_once("?token=").unwrap().1})
}

async fn request(client: &Client, email: &str) {
    let answer = client.post("/v1/auth/password-reset/request", json!({"email": email})).await.expect(202);
    assert_eq!((answer.text.as_str(), answer.header("cache-control")), ("", "no-store"));
}

on_both! {
    async fn a_reset_from_request_to_new_password(store: Store) {
        let (server, folder) = start(&store, &[]).await;
        let client = server.client();
        let old = newcomer(&client, "ada@example.com").await;
        let verify = link(&folder, "ada@example.com", "verify-email").await;
        client.post("/v1/auth/email/verify", token(&verify)).await.expect(204);
        let again = client.post("/v1/auth/email/verify", token(&verify)).await;
        again.assert_error(400, "LINK_INVALID");
        assert_eq!(me(&client, &sign_in(&client, "ada@example.com").await.access).await.body["email_verified"], true);
        request(&client, "ADA@example.com").await;
        let reset = link(&folder, "ada@example.com", "reset-password").await;
        let mut body = token(&reset);
        body["new_password"] = "short".into();
        let weak = client.post("/v1/auth/password-reset/confirm", body.clone()).await;
        weak.assert_error(422, "VALIDATION_ERROR");
        body["new_password"] = OTHER.into();
        let done = client.post("/v1/auth/password-reset/confirm", body.clone()).await.expect(204);
        assert_eq!((done.text.as_str(), done.set_cookies().len()), ("", 0));
        client.post("/v1/auth/password-reset/confirm", body).await.assert_error(400, "LINK_INVALID");
        refresh(&client, &old.refresh).await.assert_error(401, "REFRESH_INVALID");
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        client.post("/v1/auth/login", credentials("ada@example.com", OTHER)).await.expect(200);
    }

    async fn s_094_a_change_of_address_and_the_way_back(store: Store) {
        let (server, folder) = start(&store, &[]).await;
        let client = server.client();
        let ada = newcomer(&client, "ada@example.com").await;
        let body = json!({"new_email": "new@example.com"});
        client.post("/v1/auth/email/change", body.clone()).await.assert_error(401, "UNAUTHENTICATED");
        client.bearer(&ada.access).post("/v1/auth/email/change", body).await.expect(202);
        let confirm = link(&folder, "new@example.com", "confirm-email").await;
        client.post("/v1/auth/email/change/confirm", token(&confirm)).await.expect(204);
        client.post("/v1/auth/login", credentials("new@example.com", PASSWORD)).await.expect(200);
        let undo = link(&folder, "ada@example.com", "undo-email").await;
        client.post("/v1/auth/email/change/undo", token(&undo)).await.expect(204);
        client.post("/v1/auth/login", credentials("new@example.com", PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        let reset = link(&folder, "ada@example.com", "reset-password").await;
        let mut body = token(&reset);
        body["new_password"] = OTHER.into();
        client.post("/v1/auth/password-reset/confirm", body).await.expect(204);
        client.post("/v1/auth/login", credentials("ada@example.com", OTHER)).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_086_no_header_and_no_target_moves_a_link() {
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = start(&store, &[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let poisons: [&[(&str, &str)]; 6] = [
        &[("host", "evil.example")],
        &[("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "gopher"), ("x-forwarded-port", "666")],
        &[("forwarded", "host=evil.example;proto=http;for=192.0.2.7")],
        &[
            ("x-host", "evil.example"),
            ("x-original-url", "https://evil.example/"),
            ("x-rewrite-url", "/evil"),
        ],
        &[("origin", "https://evil.example"), ("referer", "https://evil.example/")],
        &[("host", "login.example.com@evil.example")],
    ];
    let mut sent = 0;
    for poison in poisons {
        let poisoned = poison.iter().fold(client.clone(), |client, (name, value)| client.header(name, value));
        let answer =
            poisoned.post("/v1/auth/password-reset/request", json!({"email": "ada@example.com"})).await;
        assert!(answer.status == 202 || answer.status == 400, "{}", answer.text);
        sent += usize::from(answer.status == 202);
    }
    // The target in absolute form (RFC 9112 section 3.2.2).
    let body = json!({"email": "ada@example.com"}).to_string();
    let text = format!(
        "POST http://evil.example/v1/auth/password-reset/request HTTP/1.1\r\nhost: evil.example\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = raw::exchange(server.address(), text.as_bytes(), Duration::from_secs(10)).await.unwrap();
    sent += usize::from(answer.starts_with(b"HTTP/1.1 202"));
    assert!(sent >= 4, "only {sent} were taken");
    let resets = || {
        let all = mails(&folder, "ada@example.com");
        all.into_iter().filter(|mail| mail.contains("/reset-password?")).collect::<Vec<_>>()
    };
    within(Duration::from_secs(20), "the mails", async || resets().len() == sent).await;
    for mail in resets() {
        assert!(!mail.contains("evil") && !mail.contains("gopher"), "{mail}");
        let links = unfolded(&mail).into_iter().filter(|line| line.starts_with("http")).collect::<Vec<_>>();
        assert!(
            links.iter().all(|l| l.starts_with(&format!("{BASE}/reset-password?token=akl_"))),
            "{links:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_092_a_scanner_of_mail_uses_nothing_up() {
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = start(&store, &[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let verify = link(&folder, "ada@example.com", "verify-email").await;
    let query = verify.split_once('?').unwrap().1.to_owned();
    for path in ["verify", "resend", "change", "change/confirm", "change/undo"] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            let answer = client.request(method, &format!("/v1/auth/email/{path}?{query}"), None).await;
            assert_eq!(answer.status, 405, "{method} {path}");
        }
    }
    for page in ["verify-email", "reset-password"] {
        for method in ["GET", "HEAD"] {
            let answer = client.request(method, &format!("/{page}?{query}"), None).await;
            assert!(answer.status < 500, "{method} {page}: {}", answer.text);
        }
    }
    // Neither does a POST that carries the token elsewhere than in its body.
    let answer = client.post(&format!("/v1/auth/email/verify?{query}"), json!({})).await;
    answer.assert_error(400, "INVALID_REQUEST");
    client.post("/v1/auth/email/verify", token(&verify)).await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = start(&store, &[]).await;
    let client = server.client();
    sign_up(&client, "ada@example.com").await;
    let verify = link(&folder, "ada@example.com", "verify-email").await;
    client.post("/v1/auth/email/verify", token(&verify)).await.expect(204);
    request(&client, "ada@example.com").await;
    let reset = link(&folder, "ada@example.com", "reset-password").await;
    let mut answers = Vec::new();
    for body in [
        token(&verify),
        token(&reset),
        json!({"token": ""}),
        json!({"token": "akl_nonsense"}),
        json!({"token": "x".repeat(60_000)}),
        json!({"email": "ada@example.com", "code": "00000000"}),
        json!({"email": "nobody@example.com", "code": "00000000"}),
        json!({"email": "nobody@example.com", "code": "no code"}),
    ] {
        let answer = client.post("/v1/auth/email/verify", body).await;
        answer.assert_error(400, "LINK_INVALID");
        answers.push(without_request_id(&answer));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for (body, faults) in [
        (json!({}), vec![("/token", "required")]),
        (json!({"email": "a@example.com"}), vec![("/code", "required")]),
        (json!({"code": "00000000"}), vec![("/email", "required")]),
        (json!({"token": "x", "code": "1"}), vec![("/code", "unknown")]),
        (json!({"token": 7}), vec![("/token", "type")]),
        (json!({"token": "x", "user": "y"}), vec![("/user", "unknown")]),
    ] {
        let answer = client.post("/v1/auth/email/verify", body).await;
        answer.assert_error(400, "INVALID_REQUEST");
        let expected: Vec<_> = faults.into_iter().map(|(p, c)| (p.to_owned(), c.to_owned())).collect();
        assert_eq!(answer.field_errors(), expected);
    }
    client.post("/v1/auth/email/resend", json!({"email": "x"})).await.assert_error(422, "VALIDATION_ERROR");
    client
        .post("/v1/auth/password-reset/request", json!({"email": "x"}))
        .await
        .assert_error(422, "VALIDATION_ERROR");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_cookie_mode_links_need_our_own_pages_and_set_no_cookie() {
    let store = Store::new(Backend::Sqlite).await;
    let (server, folder) = start(&store, &[("TOKEN_TRANSPORT", "cookie")]).await;
    let own = server.client().header("origin", "https://login.example.com");
    own.post("/v1/auth/signup", crate::app::person("ada@example.com")).await.expect(201);
    let verify = link(&folder, "ada@example.com", "verify-email").await;
    let foreign = server.client().header("origin", "https://evil.example");
    foreign.post("/v1/auth/email/verify", token(&verify)).await.assert_error(403, "FORBIDDEN");
    let done = own.post("/v1/auth/email/verify", token(&verify)).await.expect(204);
    assert!(done.set_cookies().is_empty());
    own.post("/v1/auth/password-reset/request", json!({"email": "ada@example.com"})).await.expect(202);
    let mut body = token(&link(&folder, "ada@example.com", "reset-password").await);
    body["new_password"] = OTHER.into();
    assert!(own.post("/v1/auth/password-reset/confirm", body).await.expect(204).set_cookies().is_empty());
}

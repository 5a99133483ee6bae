//! The story that the README tells, over HTTP, and every account route in its good case.

use std::time::{SystemTime, UNIX_EPOCH};

use authkit_tests::{Store, on_both};
use serde_json::{Value, json};

use crate::app::{
    OTHER, PASSWORD, Tokens, claims, credentials, header, hs256, jwt, launch, me, newcomer, person, refresh,
    refresh_body, serve, sign_in, sign_in_with, sign_up,
};

/// A key as `openssl rand -base64 32` makes it.
const JWT_SECRET: &str = "v7Qm3x0KpYt9dZ1bWc5RfHj2LgSn8uEa4oXiVrTqB6M=";

on_both! {
    async fn sign_up_sign_in_rotate_and_be_caught_replaying(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let user = sign_up(&client, "Ada@Example.COM").await;
        assert_eq!(user.str("/email"), "Ada@example.com");
        assert_eq!(user.body["roles"], json!(["user"]));
        assert_eq!(user.body["email_verified"], false);
        assert_eq!(user.body["mfa_enabled"], false);
        assert_eq!(user.body["status"], "active");
        assert_eq!(user.body["profile"], json!({}));
        assert_eq!(keys(&user.body), [
            "created_at", "email", "email_verified", "id", "mfa_enabled", "name", "profile", "roles", "status",
            "updated_at",
        ]);

        let first = sign_in(&client, "ada@example.com").await;
        let mine = me(&client, &first.access).await.expect(200);
        assert_eq!(mine.body, user.body);
        assert_eq!(first.claim("sub"), user.body["id"]);

        let second = Tokens::of(&refresh(&client, &first.refresh).await);
        assert_ne!(second.refresh, first.refresh);
        assert_eq!(second.claim("sid"), first.claim("sid"));
        // Within the grace an answer that got lost can be asked for again.
        let again = Tokens::of(&refresh(&client, &first.refresh).await);
        assert_eq!(again.refresh, second.refresh);
        let third = Tokens::of(&refresh(&client, &second.refresh).await);
        assert_ne!(third.refresh, second.refresh);

        // The successor was used: whoever still has the first token stole it, or was stolen from.
        refresh(&client, &first.refresh).await.assert_error(401, "REFRESH_INVALID");
        refresh(&client, &third.refresh).await.assert_error(401, "REFRESH_INVALID");
        me(&client, &third.access).await.assert_error(401, "UNAUTHENTICATED");
        // The account itself is as before.
        sign_in(&client, "ada@example.com").await;
    }

    async fn s_75_reuse_ends_only_its_own_session(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let stolen = newcomer(&client, "two-devices@example.com").await;
        let other = sign_in(&client, "two-devices@example.com").await;
        let next = Tokens::of(&refresh(&client, &stolen.refresh).await);
        let next = Tokens::of(&refresh(&client, &next.refresh).await);
        refresh(&client, &stolen.refresh).await.assert_error(401, "REFRESH_INVALID");
        refresh(&client, &next.refresh).await.assert_error(401, "REFRESH_INVALID");
        me(&client, &other.access).await.expect(200);
        refresh(&client, &other.refresh).await.expect(200);
    }

    async fn s_72_logout_ends_its_session_and_logout_all_every_one(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let first = newcomer(&client, "leaver@example.com").await;
        let second = sign_in(&client, "leaver@example.com").await;
        let third = sign_in(&client, "leaver@example.com").await;

        let rotated = Tokens::of(&refresh(&client, &first.refresh).await);
        // An older token of the session ends it too; once more, or with rubbish, is no error.
        for body in [first.refresh_body(), first.refresh_body(), rotated.refresh_body(), refresh_body("rubbish")] {
            let answer = client.post("/v1/auth/logout", body).await.expect(204);
            assert_eq!((answer.text.as_str(), answer.header("cache-control")), ("", "no-store"));
        }
        refresh(&client, &rotated.refresh).await.assert_error(401, "REFRESH_INVALID");
        me(&client, &rotated.access).await.assert_error(401, "UNAUTHENTICATED");
        me(&client, &second.access).await.expect(200);

        client.post_empty("/v1/auth/logout-all").await.assert_error(401, "UNAUTHENTICATED");
        client.bearer(&second.access).post_empty("/v1/auth/logout-all").await.expect(204);
        for tokens in [second, third] {
            me(&client, &tokens.access).await.assert_error(401, "UNAUTHENTICATED");
            refresh(&client, &tokens.refresh).await.assert_error(401, "REFRESH_INVALID");
        }
        sign_in(&client, "leaver@example.com").await;
    }

    async fn s_73_a_password_change_ends_the_other_sessions(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let mine = newcomer(&client, "changer@example.com").await;
        let other = sign_in(&client, "changer@example.com").await;
        let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
        let caller = client.bearer(&mine.access);

        let wrong = caller.post("/v1/auth/password", change("not my password", OTHER)).await;
        wrong.assert_error(401, "INVALID_CREDENTIALS");
        let weak = caller.post("/v1/auth/password", change(PASSWORD, "password1")).await;
        weak.assert_error(422, "VALIDATION_ERROR");
        assert!(weak.field_errors().contains(&("/new_password".into(), "too_common".into())), "{}", weak.text);
        me(&client, &other.access).await.expect(200);

        let done = caller.post("/v1/auth/password", change(PASSWORD, OTHER)).await.expect(204);
        assert_eq!(done.header("cache-control"), "no-store");
        // The caller's access token dies with the rest; its session goes on.
        me(&client, &mine.access).await.assert_error(401, "UNAUTHENTICATED");
        let next = Tokens::of(&refresh(&client, &mine.refresh).await);
        assert_eq!(next.claim("sid"), mine.claim("sid"));
        me(&client, &next.access).await.expect(200);
        me(&client, &other.access).await.assert_error(401, "UNAUTHENTICATED");
        refresh(&client, &other.refresh).await.assert_error(401, "REFRESH_INVALID");
        let old = client.post("/v1/auth/login", credentials("changer@example.com", PASSWORD)).await;
        old.assert_error(401, "INVALID_CREDENTIALS");
        sign_in_with(&client, "changer@example.com", OTHER).await;
    }

    async fn s_79_sign_in_and_step_up_start_new_sessions(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let first = newcomer(&client, "stepper@example.com").await;
        let second = sign_in(&client, "stepper@example.com").await;
        assert_ne!(first.claim("sid"), second.claim("sid"));

        let caller = client.bearer(&first.access);
        let wrong = caller.post("/v1/auth/step-up", json!({"password": "not my password"})).await;
        wrong.assert_error(401, "INVALID_CREDENTIALS");
        me(&client, &first.access).await.expect(200);
        let up = Tokens::of(&caller.post("/v1/auth/step-up", json!({"password": PASSWORD})).await);
        assert_ne!(up.claim("sid"), first.claim("sid"));
        assert!(up.claim("auth_time").as_i64() >= first.claim("auth_time").as_i64());
        assert_eq!(up.claim("amr"), json!(["pwd"]));
        me(&client, &up.access).await.expect(200);
        // The session that rose is over, so nobody who held it before rose with it.
        me(&client, &first.access).await.assert_error(401, "UNAUTHENTICATED");
        refresh(&client, &first.refresh).await.assert_error(401, "REFRESH_INVALID");
        me(&client, &second.access).await.expect(200);
    }

    async fn s_81_sessions_are_listed_and_ended_one_by_one(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client().header("user-agent", "suite/1");
        let first = newcomer(&client, "lister@example.com").await;
        let second = sign_in(&client, "lister@example.com").await;
        let stranger = newcomer(&client, "stranger@example.com").await;

        let caller = client.bearer(&first.access);
        let list = caller.get("/v1/auth/sessions").await.expect(200);
        assert_eq!(list.header("cache-control"), "no-store");
        let items = list.body["items"].as_array().unwrap_or_else(|| panic!("{}", list.text));
        assert_eq!(items.len(), 2, "{}", list.text);
        for item in items {
            assert_eq!(keys(item), [
                "amr", "created_at", "current", "expires_at", "id", "ip", "last_used_at", "user_agent",
            ]);
            assert_eq!(item["current"], item["id"] == first.claim("sid"));
            assert_eq!((&item["ip"], &item["user_agent"]), (&json!("127.0.0.1"), &json!("suite/1")));
        }

        let path = |tokens: &Tokens| format!("/v1/auth/sessions/{}", tokens.claim("sid").as_str().unwrap());
        caller.delete(&path(&stranger)).await.assert_error(404, "NOT_FOUND");
        me(&client, &stranger.access).await.expect(200);
        caller.delete(&path(&second)).await.expect(204);
        me(&client, &second.access).await.assert_error(401, "UNAUTHENTICATED");
        refresh(&client, &second.refresh).await.assert_error(401, "REFRESH_INVALID");
        caller.delete(&path(&second)).await.assert_error(404, "NOT_FOUND");
        for id in ["00000000-0000-7000-8000-000000000000", "not-an-id", "%00", "1"] {
            caller.delete(&format!("/v1/auth/sessions/{id}")).await.assert_error(404, "NOT_FOUND");
        }
        assert_eq!(caller.get("/v1/auth/sessions").await.body["items"].as_array().map(Vec::len), Some(1));
    }

    async fn a_profile_is_changed_and_an_account_deleted(store: Store) {
        let server = serve(&store, &[("JWT_ALG", "HS256"), ("JWT_SECRET", JWT_SECRET)]).await;
        let client = server.client();
        let tokens = newcomer(&client, "owner@example.com").await;
        let other = sign_in(&client, "owner@example.com").await;
        let caller = client.bearer(&tokens.access);
        let before = caller.get("/v1/auth/me").await.expect(200);

        let named = caller.patch("/v1/auth/me", json!({"name": "Grace Hopper"})).await.expect(200);
        assert_eq!((named.str("/name"), &named.body["profile"]), ("Grace Hopper", &json!({})));
        let profile = json!({"language": "de", "deep": {"list": [1, 2.5, null, true, "ü"]}});
        let changed = caller.patch("/v1/auth/me", json!({"profile": profile})).await.expect(200);
        assert_eq!((changed.str("/name"), &changed.body["profile"]), ("Grace Hopper", &profile));
        assert_eq!(caller.get("/v1/auth/me").await.body, changed.body);
        assert!(changed.str("/updated_at") > before.str("/updated_at"));
        for (body, status, code) in [
            (json!({"name": ""}), 422, "VALIDATION_ERROR"),
            (json!({"profile": []}), 400, "INVALID_REQUEST"),
            (json!({"profile": {"pad": "x".repeat(17 * 1024)}}), 422, "VALIDATION_ERROR"),
            (json!({"email": "new@example.com"}), 400, "INVALID_REQUEST"),
        ] {
            caller.patch("/v1/auth/me", body).await.assert_error(status, code);
        }
        assert_eq!(caller.get("/v1/auth/me").await.body, changed.body);

        // The same session, but the sign-in lies an hour back: only a fresh one may delete.
        let old = aged(&tokens.access, 3600);
        client.bearer(&old).get("/v1/auth/me").await.expect(200);
        client.bearer(&old).delete("/v1/auth/me").await.assert_error(403, "STEP_UP_REQUIRED");
        caller.get("/v1/auth/me").await.expect(200);
        caller.delete("/v1/auth/me").await.expect(204);
        me(&client, &tokens.access).await.assert_error(401, "UNAUTHENTICATED");
        me(&client, &other.access).await.assert_error(401, "UNAUTHENTICATED");
        refresh(&client, &tokens.refresh).await.assert_error(401, "REFRESH_INVALID");
        let login = client.post("/v1/auth/login", credentials("owner@example.com", PASSWORD)).await;
        login.assert_error(401, "INVALID_CREDENTIALS");
        let again = client.post("/v1/auth/signup", person("owner@example.com")).await;
        again.assert_error(409, "CONFLICT");
    }

    async fn one_device_at_a_time_unless_told_otherwise(store: Store) {
        let server = launch(&store, &[]).without("SESSION_POLICY").start().await;
        let client = server.client();
        let first = newcomer(&client, "single@example.com").await;
        let second = sign_in(&client, "single@example.com").await;
        me(&client, &first.access).await.assert_error(401, "UNAUTHENTICATED");
        refresh(&client, &first.refresh).await.assert_error(401, "REFRESH_INVALID");
        me(&client, &second.access).await.expect(200);
    }

    async fn the_exam_platforms_calls_work_as_they_are(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let body = r#"{"name": "John Doe", "email": "john@example.com", "password": "SecurePass123!"}"#;
        client.request("POST", "/v1/auth/signup", Some(body.into())).await.expect(201);
        let body = r#"{"email": "john@example.com", "password": "SecurePass123!"}"#;
        let login = client.request("POST", "/v1/auth/login", Some(body.into())).await.expect(200);
        let me = client.bearer(login.str("/access_token")).get("/v1/auth/me").await.expect(200);
        assert_eq!((me.str("/name"), me.str("/email")), ("John Doe", "john@example.com"));
        let body = format!(r#"{{"refresh_token": "{}"}}"#, login.str("/refresh_token"));
        let next = client.request("POST", "/v1/auth/refresh", Some(body.into())).await.expect(200);
        let caller = client.bearer(next.str("/access_token"));
        let body = format!(r#"{{"refresh_token": "{}"}}"#, next.str("/refresh_token"));
        client.request("POST", "/v1/auth/logout", Some(body.into())).await.expect(204);
        caller.get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        let body = r#"{"email": "john@example.com", "password": "SecurePass123!", "device_token": null}"#;
        let login = client.request("POST", "/v1/auth/login", Some(body.into())).await.expect(200);
        client.bearer(login.str("/access_token")).post_empty("/v1/auth/logout-all").await.expect(204);
    }

    async fn s_1_required_verification_tells_nobody_who_has_an_account(store: Store) {
        let server = serve(&store, &[("EMAIL_VERIFICATION", "required")]).await;
        let client = server.client();
        let first = client.post("/v1/auth/signup", person("known@example.com")).await.expect(202);
        assert_eq!(first.body, json!({"status": "verification_required"}));
        let second = client.post("/v1/auth/signup", person("KNOWN@example.com")).await.expect(202);
        assert_eq!(second.text, first.text);
        assert_eq!(names(&second), names(&first));
        // Said only after the right password.
        let right = client.post("/v1/auth/login", credentials("known@example.com", PASSWORD)).await;
        right.assert_error(403, "EMAIL_UNVERIFIED");
        let wrong = client.post("/v1/auth/login", credentials("known@example.com", OTHER)).await;
        wrong.assert_error(401, "INVALID_CREDENTIALS");
    }
}

/// The names of an object's members, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        value.as_object().expect("an object").keys().map(std::string::String::as_str).collect();
    names.sort_unstable();
    names
}

fn names(answer: &authkit_tests::Answer) -> Vec<String> {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

/// The same access token, issued as long ago, of a sign-in as long ago, and still valid.
fn aged(access: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let mut claims = claims(access);
    for name in ["iat", "nbf", "auth_time"] {
        claims[name] = json!(now - seconds);
    }
    jwt(&header(access), &claims, hs256(JWT_SECRET.as_bytes()))
}

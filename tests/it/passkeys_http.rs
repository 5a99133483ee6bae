//! Passkeys over HTTP: statuses, shapes, cookies.

use authkit_tests::{Answer, Client, ServerProcess, SoftKey, Store, on_both};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Tokens, credentials, newcomer, serve, sign_up};
use crate::passkeys::ORIGIN;

const BASE: &str = "/v1/auth/passkeys";

pub(crate) fn answer(begun: &Answer, credential: &Value) -> Value {
    json!({ "challenge_id": begun.str("/challenge_id"), "credential": credential })
}

async fn begin(client: &Client, body: Value) -> Answer {
    client.post(&format!("{BASE}/login"), body).await.expect(200)
}

async fn verify(client: &Client, body: Value) -> Answer {
    client.post(&format!("{BASE}/login/verify"), body).await
}

/// Registers a key by a session, which goes on by refresh.
async fn register(client: &Client, tokens: &Tokens, key: &mut SoftKey) -> (Answer, Tokens) {
    let signed_in = client.bearer(&tokens.access);
    let begun = signed_in.post(&format!("{BASE}/register"), json!({ "name": "Laptop" })).await.expect(200);
    let credential = key.register(&begun.body["options"]);
    let made =
        signed_in.post(&format!("{BASE}/register/verify"), answer(&begun, &credential)).await.expect(201);
    let next = client.post("/v1/auth/refresh", tokens.refresh_body()).await;
    (made, Tokens::of(&next))
}

async fn sign_in(client: &Client, key: &mut SoftKey) -> Answer {
    let begun = begin(client, json!({})).await;
    key.count += 1;
    verify(client, answer(&begun, &key.assert(&begun.body["options"]))).await
}

async fn server(store: &Store, env: &[(&str, &str)]) -> ServerProcess {
    serve(store, env).await
}

on_both! {
    async fn a_passkey_from_its_registration_to_its_removal(store: Store) {
        let server = server(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "ada@example.com").await;
        let mut key = SoftKey::new(ORIGIN);
        let (made, tokens) = register(&client, &tokens, &mut key).await;
        assert_eq!((made.str("/name"), &made.body["last_used_at"]), ("Laptop", &Value::Null));
        assert_eq!(made.header("cache-control"), "no-store");

        let signed = sign_in(&client, &mut key).await;
        let mine = Tokens::of(&signed);
        assert_eq!(mine.claim("amr"), json!(["hwk", "user", "mfa"]));
        let me = client.bearer(&mine.access);
        let listed = me.get(BASE).await.expect(200);
        assert_eq!((listed.body["items"].as_array().unwrap().len(), &listed.body["next_cursor"]), (1, &Value::Null));
        assert_eq!(listed.str("/items/0/id"), made.str("/id"));
        assert!(listed.body["items"][0]["last_used_at"].is_string());
        assert_eq!(me.get("/v1/auth/me").await.expect(200).body["mfa_enabled"], true);

        // As a second factor.
        let waiting = client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.expect(200);
        assert_eq!((waiting.str("/status"), &waiting.body["factors"]), ("mfa_required", &json!(["passkey"])));
        let begun = begin(&client, json!({ "mfa_token": waiting.str("/mfa_token") })).await;
        key.count += 1;
        let passkey = answer(&begun, &key.assert(&begun.body["options"]));
        let body = json!({ "mfa_token": waiting.str("/mfa_token"), "passkey": passkey });
        let completed = Tokens::of(&client.post("/v1/auth/mfa/complete", body.clone()).await);
        assert_eq!(completed.claim("amr"), json!(["pwd", "hwk", "user", "mfa"]));
        client.post("/v1/auth/mfa/complete", body).await.assert_error(401, "MFA_INVALID");

        // As a step-up.
        let begun = begin(&me, json!({})).await;
        key.count += 1;
        let body = json!({ "passkey": answer(&begun, &key.assert(&begun.body["options"])) });
        let risen = Tokens::of(&me.post("/v1/auth/step-up", body).await);
        let me = client.bearer(&risen.access);

        let id = made.str("/id");
        me.delete(&format!("{BASE}/018f9f7e-0000-7000-8000-000000000000")).await.assert_error(404, "NOT_FOUND");
        me.delete(&format!("{BASE}/{id}")).await.expect(204);
        sign_in(&client, &mut key).await.assert_error(401, "INVALID_CREDENTIALS");
        // The one that registered it was ended by the change.
        client.post("/v1/auth/refresh", tokens.refresh_body()).await.assert_error(401, "REFRESH_INVALID");
        Tokens::of(&client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await);
    }

    async fn refusals_have_their_codes(store: Store) {
        let server = server(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "ada@example.com").await;
        let me = client.bearer(&tokens.access);
        for (method, path) in [("POST", "/register"), ("POST", "/register/verify"), ("GET", "")] {
            let body = (method == "POST").then(|| b"{}".to_vec());
            client.request(method, &format!("{BASE}{path}"), body).await.assert_error(401, "UNAUTHENTICATED");
        }
        let begun = me.post(&format!("{BASE}/register"), json!({})).await.expect(200);
        let mut bad = SoftKey::new("https://evil.example");
        let body = answer(&begun, &bad.register(&begun.body["options"]));
        me.post(&format!("{BASE}/register/verify"), body).await.assert_error(400, "INVALID_REQUEST");
        me.post(&format!("{BASE}/register"), json!({ "name": "x".repeat(101) })).await.assert_error(422, "VALIDATION_ERROR");
        me.post(&format!("{BASE}/register"), json!({ "nick": "x" })).await.assert_error(400, "INVALID_REQUEST");

        begin(&client, json!({ "mfa_token": null })).await;
        client.post(&format!("{BASE}/login"), json!({ "mfa_token": "akm_x" })).await.assert_error(401, "MFA_INVALID");
        client.bearer("x").post(&format!("{BASE}/login"), json!({})).await.assert_error(401, "UNAUTHENTICATED");
        let begun = begin(&client, json!({})).await;
        let body = answer(&begun, &SoftKey::new(ORIGIN).assert(&begun.body["options"]));
        verify(&client, body).await.assert_error(401, "INVALID_CREDENTIALS");
        for body in [json!({}), json!({ "challenge_id": "x" }), json!({ "challenge_id": "x", "credential": "y" })] {
            verify(&client, body).await.assert_error(400, "INVALID_REQUEST");
        }
        verify(&client, json!({ "challenge_id": "x", "credential": {} })).await.assert_error(401, "INVALID_CREDENTIALS");
    }

    async fn a_disabled_account_and_an_unknown_passkey_get_the_same_bytes(store: Store) {
        let server = server(&store, &[]).await;
        let client = server.client();
        let tokens = newcomer(&client, "ada@example.com").await;
        let mut key = SoftKey::new(ORIGIN);
        register(&client, &tokens, &mut key).await;
        crate::app::sql(&store, "UPDATE authkit_users SET status = 'disabled', disabled_at = 1").await;
        let disabled = sign_in(&client, &mut key).await;
        let unknown = sign_in(&client, &mut SoftKey::new(ORIGIN)).await;
        disabled.assert_error(401, "INVALID_CREDENTIALS");
        assert_eq!(crate::app::without_request_id(&disabled), crate::app::without_request_id(&unknown));
    }

    async fn in_cookie_mode_the_tokens_travel_in_cookies(store: Store) {
        let server = server(&store, &[("TOKEN_TRANSPORT", "cookie")]).await;
        let client = server.client().header("origin", ORIGIN).header("sec-fetch-site", "same-origin");
        sign_up(&client, "ada@example.com").await;
        let jar = |answer: &Answer| -> Vec<(String, String)> {
            answer.set_cookies().into_iter().map(|(name, value, _)| (name, value)).collect()
        };
        let with = |client: &Client, jar: &[(String, String)]| {
            let pairs: Vec<(&str, &str)> = jar.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            client.cookies(&pairs)
        };
        let signed = client.post("/v1/auth/login", credentials("ada@example.com", PASSWORD)).await.expect(200);
        let me = with(&client, &jar(&signed));
        let begun = me.post(&format!("{BASE}/register"), json!({})).await.expect(200);
        let mut key = SoftKey::new(ORIGIN);
        let credential = key.register(&begun.body["options"]);
        me.post(&format!("{BASE}/register/verify"), answer(&begun, &credential)).await.expect(201);
        let signed = sign_in(&client, &mut key).await.expect(200);
        assert_eq!((signed.str("/status"), signed.body.get("access_token")), ("authenticated", None));
        let names: Vec<String> = jar(&signed).into_iter().map(|(name, _)| name).collect();
        for name in ["__Host-authkit_access", "__Host-authkit_refresh", "__Host-authkit_device"] {
            assert!(names.contains(&name.to_owned()), "{names:?}");
        }
        let me = with(&client, &jar(&signed));
        assert_eq!(me.get(BASE).await.expect(200).body["items"].as_array().unwrap().len(), 1);
        // Another site's page can begin nothing.
        let foreign = server.client().header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
        foreign.post(&format!("{BASE}/login"), json!({})).await.assert_error(403, "FORBIDDEN");
    }
}

//! Second factors over HTTP: statuses, shapes, cookies, and what a killed server leaves behind.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use authkit_tests::factors::App;
use authkit_tests::{Answer, Client, Store, on_both};
use serde_json::{Value, json};

use crate::app::{PASSWORD, PATIENT, Tokens, assert_sound, count, credentials, newcomer, serve, sign_up};

const ADA: &str = "ada@example.com";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

struct Enrolled {
    app: App,
    codes: Vec<String>,
    tokens: Tokens,
}

fn codes_of(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.header("cache-control"), "no-store");
    let codes = answer.body["backup_codes"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// In which order members stand is nobody's business.
fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// An account with an app. The code of the present step is used up; that of the next one is not.
async fn enrolled(client: &Client, email: &str) -> Enrolled {
    let tokens = newcomer(client, email).await;
    let me = client.bearer(&tokens.access);
    let made = me.post("/v1/auth/mfa/totp", json!({"name": "phone"})).await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(names(&made.body), ["id", "otpauth_uri", "qr_svg", "secret"].into());
    let app = App::new(made.str("/secret"));
    let body = json!({"code": app.code_at(now()), "id": made.str("/id")});
    let codes = codes_of(&me.post("/v1/auth/mfa/totp/confirm", body).await.expect(200));
    let tokens = Tokens::of(&client.post("/v1/auth/refresh", tokens.refresh_body()).await);
    Enrolled { app, codes, tokens }
}

async fn half(client: &Client, email: &str) -> Answer {
    let waiting = client.post("/v1/auth/login", credentials(email, PASSWORD)).await.expect(200);
    assert_eq!(waiting.str("/status"), "mfa_required");
    waiting
}

fn with(waiting: &Answer, code: &str) -> Value {
    json!({"mfa_token": waiting.str("/mfa_token"), "code": code})
}

on_both! {
    async fn a_second_factor_from_its_enrolment_to_its_end(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let ada = enrolled(&client, ADA).await;
        let waiting = half(&client, ADA).await;
        assert_eq!(names(&waiting.body), ["expires_in", "factors", "mfa_token", "status"].into());
        assert_eq!((&waiting.body["factors"], &waiting.body["expires_in"]), (&json!(["totp", "backup_code"]), &json!(300)));
        assert_eq!(waiting.header("cache-control"), "no-store");
        // It opens nothing else.
        let as_bearer = client.bearer(waiting.str("/mfa_token"));
        as_bearer.get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        as_bearer.get("/v1/auth/mfa").await.assert_error(401, "UNAUTHENTICATED");

        let next = ada.app.code_at(now() + 30);
        let tokens = Tokens::of(&client.post("/v1/auth/mfa/complete", with(&waiting, &next)).await);
        assert_eq!(tokens.claim("amr"), json!(["pwd", "otp", "mfa"]));
        client.post("/v1/auth/mfa/complete", with(&half(&client, ADA).await, &next)).await.assert_error(401, "MFA_INVALID");
        let me = client.bearer(&tokens.access);
        assert_eq!(me.get("/v1/auth/me").await.expect(200).body["mfa_enabled"], true);
        let status = me.get("/v1/auth/mfa").await.expect(200);
        assert_eq!((&status.body["enabled"], &status.body["backup_codes_remaining"]), (&json!(true), &json!(10)));
        let factor = status.body["factors"][0].as_object().unwrap();
        assert_eq!(names(&json!(factor)), ["confirmed", "id", "name", "type"].into());
        assert_eq!((&factor["type"], &factor["name"], &factor["confirmed"]), (&json!("totp"), &json!("phone"), &json!(true)));

        // The session that set it up proved no factor: it may not change anything, and says what would do.
        let old = client.bearer(&ada.tokens.access);
        for (path, body) in [
            ("/v1/auth/mfa/totp", json!({})),
            ("/v1/auth/mfa/disable", json!({"password": PASSWORD})),
            ("/v1/auth/step-up", json!({"password": PASSWORD})),
            ("/v1/auth/password", json!({"current_password": PASSWORD, "new_password": "seven green lanterns over water"})),
            ("/v1/auth/email/change", json!({"new_email": "new@example.com"})),
        ] {
            let refused = old.post(path, body).await;
            refused.assert_error(403, "STEP_UP_REQUIRED");
            assert_eq!(refused.body["error"]["details"]["satisfied_by"], json!(["totp", "backup_code"]), "{path}");
        }
        old.delete("/v1/auth/me").await.assert_error(403, "STEP_UP_REQUIRED");
        let risen = Tokens::of(&old.post("/v1/auth/step-up", json!({"code": ada.codes[0]})).await);
        assert_ne!(risen.claim("sid"), ada.tokens.claim("sid"));

        let me = client.bearer(&risen.access);
        let fresh = codes_of(&me.post("/v1/auth/mfa/backup-codes/regenerate", json!({"code": ada.codes[1]})).await.expect(200));
        assert_eq!(fresh.len(), 10);
        me.get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        let tokens = Tokens::of(&client.post("/v1/auth/refresh", risen.refresh_body()).await);
        let me = client.bearer(&tokens.access);
        me.post("/v1/auth/mfa/disable", json!({"code": ada.codes[2]})).await.assert_error(401, "MFA_INVALID");
        me.post("/v1/auth/mfa/disable", json!({"code": fresh[0].to_lowercase()})).await.expect(204);
        client.post("/v1/auth/login", credentials(ADA, PASSWORD)).await.expect(200).str("/access_token");
    }

    async fn bodies_take_one_proof_and_nothing_else(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let me = client.bearer(&newcomer(&client, ADA).await.access);
        for (path, body) in [
            ("/v1/auth/mfa/complete", json!({})),
            ("/v1/auth/mfa/complete", json!({"mfa_token": "akm_x"})),
            ("/v1/auth/mfa/complete", json!({"mfa_token": 7, "code": "123456"})),
            ("/v1/auth/mfa/complete", json!({"mfa_token": "akm_x", "code": "1", "passkey": {"challenge_id": "x", "credential": {}}})),
            ("/v1/auth/mfa/complete", json!({"mfa_token": "akm_x", "passkey": {"challenge_id": "x"}})),
            ("/v1/auth/mfa/complete", json!({"mfa_token": "akm_x", "passkey": {"challenge_id": "x", "credential": {}, "more": 1}})),
            ("/v1/auth/mfa/totp", json!({"name": 7})),
            ("/v1/auth/mfa/totp", json!({"secret": "x"})),
            ("/v1/auth/mfa/totp/confirm", json!({})),
            ("/v1/auth/mfa/disable", json!({})),
            ("/v1/auth/mfa/disable", json!({"password": PASSWORD, "code": "123456"})),
            ("/v1/auth/mfa/backup-codes/regenerate", json!({"password": PASSWORD})),
            ("/v1/auth/step-up", json!({"password": PASSWORD, "code": "123456"})),
            ("/v1/auth/step-up", json!({"passkey": "x"})),
        ] {
            me.post(path, body.clone()).await.assert_error(400, "INVALID_REQUEST");
        }
        let body = json!({"mfa_token": "akm_x", "code": "123456"});
        client.post("/v1/auth/mfa/complete", body).await.assert_error(401, "MFA_INVALID");
        me.post("/v1/auth/mfa/totp", json!({"name": "x".repeat(65)})).await.assert_error(422, "VALIDATION_ERROR");
        me.post("/v1/auth/mfa/totp", json!({"name": null})).await.expect(201);
        let body = json!({"code": "123456", "id": "x"});
        me.post("/v1/auth/mfa/totp/confirm", body).await.assert_error(404, "NOT_FOUND");
        me.post("/v1/auth/mfa/backup-codes/regenerate", json!({"code": "123456"})).await.assert_error(401, "MFA_INVALID");
        for path in ["/v1/auth/mfa", "/v1/auth/mfa/totp", "/v1/auth/mfa/disable"] {
            client.request(if path == "/v1/auth/mfa" { "GET" } else { "POST" }, path, Some(b"{}".to_vec())).await.assert_error(401, "UNAUTHENTICATED");
        }
    }

    async fn who_must_enrol_is_refused_at_every_other_door(store: Store) {
        let env = [("MFA_POLICY", "required")].into_iter().chain(PATIENT).collect::<Vec<_>>();
        let server = serve(&store, &env).await;
        let client = server.client();
        sign_up(&client, ADA).await;
        let tokens = Tokens::of(&client.post("/v1/auth/login", credentials(ADA, PASSWORD)).await);
        let me = client.bearer(&tokens.access);
        for (method, path) in [
            ("GET", "/v1/auth/me"),
            ("PATCH", "/v1/auth/me"),
            ("DELETE", "/v1/auth/me"),
            ("POST", "/v1/auth/password"),
            ("POST", "/v1/auth/email/change"),
            ("POST", "/v1/auth/logout-all"),
            ("GET", "/v1/auth/sessions"),
            ("DELETE", "/v1/auth/sessions/01920000-0000-7000-8000-000000000000"),
            ("GET", "/v1/admin/lockouts"),
        ] {
            let refused = me.request(method, path, Some(b"{}".to_vec())).await;
            refused.assert_error(403, "STEP_UP_REQUIRED");
            assert_eq!(refused.body["error"]["details"]["satisfied_by"], json!(["enrol"]), "{method} {path}");
        }
        me.get("/v1/auth/mfa").await.expect(200);
        let made = me.post("/v1/auth/mfa/totp", json!({})).await.expect(201);
        let app = App::new(made.str("/secret"));
        let codes = codes_of(&me.post("/v1/auth/mfa/totp/confirm", json!({"code": app.code_at(now())})).await.expect(200));
        let waiting = half(&client, ADA).await;
        let tokens = Tokens::of(&client.post("/v1/auth/mfa/complete", with(&waiting, &codes[0])).await);
        let me = client.bearer(&tokens.access);
        me.get("/v1/auth/me").await.expect(200);
        me.post("/v1/auth/mfa/disable", json!({"code": codes[1]})).await.assert_error(409, "CONFLICT");
    }

    async fn in_cookie_mode_the_tokens_of_a_completed_sign_in_are_cookies(store: Store) {
        let env = [("TOKEN_TRANSPORT", "cookie")].into_iter().chain(PATIENT).collect::<Vec<_>>();
        let server = serve(&store, &env).await;
        let client = server.client().header("origin", "http://localhost:8000").header("sec-fetch-site", "same-origin");
        sign_up(&client, ADA).await;
        let cookies = |answer: &Answer| answer.set_cookies().into_iter().map(|(n, v, _)| (n, v)).collect::<Vec<_>>();
        let browser = |jar: &[(String, String)]| {
            client.cookies(&jar.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>())
        };
        let jar = cookies(&client.post("/v1/auth/login", credentials(ADA, PASSWORD)).await.expect(200));
        let made = browser(&jar).post("/v1/auth/mfa/totp", json!({})).await.expect(201);
        let app = App::new(made.str("/secret"));
        let confirmed = browser(&jar).post("/v1/auth/mfa/totp/confirm", json!({"code": app.code_at(now())})).await;
        let codes = codes_of(&confirmed.expect(200));
        let waiting = half(&client, ADA).await;
        assert!(cookies(&waiting).is_empty(), "half a sign-in sets nothing");
        let done = client.post("/v1/auth/mfa/complete", with(&waiting, &codes[0])).await.expect(200);
        let names: Vec<String> = cookies(&done).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["__Host-authkit_access", "__Host-authkit_refresh", "__Host-authkit_device"]);
        assert!(done.body.get("access_token").is_none() && done.body.get("refresh_token").is_none(), "{}", done.text);
        let jar = cookies(&done);
        let risen = browser(&jar).post("/v1/auth/step-up", json!({"code": codes[1]})).await.expect(200);
        assert!(risen.body.get("access_token").is_none());
        browser(&cookies(&risen)[..2]).get("/v1/auth/me").await.expect(200);
        browser(&jar).get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
    }

    async fn s_180_killed_while_sign_ins_are_completed(store: Store) {
        const ROUNDS: u64 = 25;
        let mut server = serve(&store, &PATIENT).await;
        let (mut done, mut acknowledged) = (0, 0);
        for n in 0..ROUNDS {
            let client = server.client();
            let email = format!("user-{n}@example.com");
            let person = enrolled(&client, &email).await;
            let waiting = half(&client, &email).await;
            let body = with(&waiting, &person.codes[0]);
            let task = tokio::spawn({
                let (client, body) = (client.clone(), body.clone());
                async move { client.try_request("POST", "/v1/auth/mfa/complete", Some(body)).await.is_ok_and(|a| a.status == 200) }
            });
            // No two rounds stop at the same place.
            tokio::time::sleep(Duration::from_micros(300 + (n * 1_327) % 16_000)).await;
            server.kill9();
            let told = task.await.unwrap();
            server = serve(&store, &PATIENT).await;
            let client = server.client();
            // Wholly there or wholly absent: what was not done can be done, with the same token and code.
            let again = client.post("/v1/auth/mfa/complete", body).await;
            assert!([200, 401].contains(&again.status), "{}", again.text);
            assert!(!(told && again.status == 200), "an acknowledged sign-in was lost");
            done += i64::from(again.status == 401);
            acknowledged += i64::from(told);
            let other = half(&client, &email).await;
            client.post("/v1/auth/mfa/complete", with(&other, &person.codes[0])).await.assert_error(401, "MFA_INVALID");
        }
        drop(server);
        println!("{}: {done} sign-ins were completed when the server died, {acknowledged} of them told", store.backend().name());
        let rounds = i64::try_from(ROUNDS).unwrap();
        assert!(done > 0 && done < rounds, "no real race: {done} of {rounds}");
        for (what, sql) in [
            ("codes", "SELECT COUNT(*) FROM authkit_backup_codes WHERE used_at IS NOT NULL"),
            ("sign-ins", "SELECT COUNT(*) FROM authkit_mfa_pending WHERE end_reason = 'used'"),
            ("news", "SELECT COUNT(*) FROM authkit_audit WHERE action = 'mfa.backup_code'"),
            ("logins", "SELECT COUNT(*) FROM authkit_audit WHERE action = 'login' AND details LIKE '%backup_code%'"),
        ] {
            assert_eq!(count(&store, sql).await, rounds, "{what}");
        }
        assert_sound(&store).await;
    }
}

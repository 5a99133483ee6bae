//! Locks and device tokens as clients see them.

use authkit_tests::{Client, Store, on_both, race};
use serde_json::{Value, json};

use crate::app::{PASSWORD, Tokens, credentials, newcomer, serve, sign_up};

const ANN: &str = "ann@example.com";

fn wrong(email: &str) -> Value {
    json!({"email": email, "password": "not the password at all"})
}

fn with_device(token: &str) -> Value {
    json!({"email": ANN, "password": PASSWORD, "device_token": token})
}

async fn fail(client: &Client, email: &str, n: usize) {
    for _ in 0..n {
        client.post("/v1/auth/login", wrong(email)).await.assert_error(401, "INVALID_CREDENTIALS");
    }
}

on_both! {
    async fn s_022_s_025_a_lock_is_429_with_an_integer_and_alike_for_all(store: Store) {
        let server = serve(&store, &[("LOGIN_FAIL_EMAIL_THRESHOLD", "3"), ("EMAIL_LOCK_TTL", "120")]).await;
        let client = server.client();
        sign_up(&client, ANN).await;
        let mut bodies = Vec::new();
        for email in [ANN, "nobody@example.com"] {
            fail(&client, email, 3).await;
            let answer = client.post("/v1/auth/login", json!({"email": email, "password": PASSWORD})).await;
            answer.assert_error(429, "LOCKED");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((118..=120).contains(&seconds), "{seconds}");
            assert_eq!(answer.body["error"]["details"]["retry_after_seconds"], seconds);
            let mut body = answer.body.clone();
            body["error"]["request_id"] = Value::Null;
            body["error"]["details"]["retry_after_seconds"] = Value::Null;
            bodies.push(body);
        }
        assert_eq!(bodies[0], bodies[1]);
    }

    async fn a_device_token_rides_in_the_body(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        sign_up(&client, ANN).await;
        let answer = client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await;
        let device = answer.str("/device_token").to_owned();
        let tokens = Tokens::of(&answer);
        let refreshed = client.post("/v1/auth/refresh", tokens.refresh_body()).await;
        assert!(Tokens::of(&refreshed).refresh != tokens.refresh && refreshed.body.get("device_token").is_none());
        fail(&client, ANN, 8).await;
        client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(429, "LOCKED");
        let known = client.post("/v1/auth/login", with_device(&device)).await;
        assert_eq!(known.str("/device_token"), device);
        client.post("/v1/auth/login", with_device("akd_nonsense")).await.assert_error(429, "LOCKED");
        // The signed-in owner is not kept from what needs a password.
        let tokens = Tokens::of(&known);
        client.bearer(&tokens.access).post("/v1/auth/step-up", json!({"password": PASSWORD})).await.expect(200);
    }

    async fn in_cookie_mode_it_rides_in_its_cookie(store: Store) {
        let env = [("TOKEN_TRANSPORT", "cookie"), ("PUBLIC_URL", "http://localhost:8000")];
        let server = serve(&store, &env).await;
        let client = server.client().header("origin", "http://localhost:8000");
        sign_up(&client, ANN).await;
        let answer = client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.expect(200);
        assert!(answer.body.get("device_token").is_none(), "{}", answer.text);
        let cookies = answer.set_cookies();
        let of = |name: &str| cookies.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("{cookies:?}")).clone();
        let (_, device, attributes) = of("__Host-authkit_device");
        for wanted in ["Path=/", "Max-Age=34560000", "Secure", "HttpOnly", "SameSite=Strict"] {
            assert!(attributes.iter().any(|a| a == wanted), "{wanted}: {attributes:?}");
        }
        assert!(device.starts_with("akd_"));
        fail(&client, ANN, 8).await;
        client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(429, "LOCKED");
        let known = client.cookies(&[("__Host-authkit_device", device.as_str())]);
        let again = known.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.expect(200);
        assert!(again.set_cookies().iter().any(|(n, v, _)| n == "__Host-authkit_device" && *v == device));
        // A refresh keeps the cookie for as long again; an end everywhere takes it away.
        let (_, refresh, _) = again.set_cookies().into_iter().find(|(n, ..)| n == "__Host-authkit_refresh").unwrap();
        let both = client.cookies(&[("__Host-authkit_device", device.as_str()), ("__Host-authkit_refresh", refresh.as_str())]);
        let refreshed = both.post_empty("/v1/auth/refresh").await.expect(200);
        assert!(refreshed.set_cookies().iter().any(|(n, v, _)| n == "__Host-authkit_device" && *v == device));
        let (_, access, _) = refreshed.set_cookies().into_iter().find(|(n, ..)| n == "__Host-authkit_access").unwrap();
        let out = client.cookies(&[("__Host-authkit_access", access.as_str())]).post_empty("/v1/auth/logout-all").await.expect(204);
        assert!(out.set_cookies().iter().any(|(n, v, _)| n == "__Host-authkit_device" && v.is_empty()));
    }

    async fn s_191_two_servers_judge_no_more_than_one(store: Store) {
        let servers = [serve(&store, &[]).await, serve(&store, &[]).await];
        let clients = [servers[0].client(), servers[1].client()];
        for round in 0..3 {
            let email = format!("two-{round}@example.com");
            newcomer(&clients[0], &email).await;
            let answers = race(50, |i| {
                let (client, body) = (clients[i % 2].clone(), wrong(&email));
                async move { client.post("/v1/auth/login", body).await }
            })
            .await;
            let judged = answers.iter().filter(|a| a.status == 401).count();
            assert!((1..=8).contains(&judged), "{judged}");
            for answer in answers.iter().filter(|a| a.status != 401) {
                assert_eq!(answer.status, 429, "{}", answer.text);
            }
            let mut more = judged;
            while more < 8 {
                clients[more % 2].post("/v1/auth/login", wrong(&email)).await.assert_error(401, "INVALID_CREDENTIALS");
                more += 1;
            }
            for client in &clients {
                client.post("/v1/auth/login", json!({"email": email, "password": PASSWORD})).await.assert_error(429, "LOCKED");
            }
        }
    }

    async fn a_killed_server_forgets_no_failure(store: Store) {
        let mut server = serve(&store, &[]).await;
        let client = server.client();
        sign_up(&client, ANN).await;
        fail(&client, ANN, 5).await;
        server.kill9();
        let server = serve(&store, &[]).await;
        let client = server.client();
        fail(&client, ANN, 3).await;
        client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(429, "LOCKED");
    }
}

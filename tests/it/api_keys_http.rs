//! API keys, cleanup and every other route over HTTP: who is let in, and by what.

use std::collections::BTreeSet;

use authkit_tests::process::authctl_with;
use authkit_tests::{Backend, Client, Store, on_both};
use serde_json::{Value, json};

use crate::admin_users::operator;
use crate::app::{OTHER, PASSWORD, PATIENT, count, newcomer, serve, settings, sign_in, sql};

const ANN: &str = "ann@example.com";
const CLEANUP: (&str, &str) = ("INTERNAL_CLEANUP_TOKEN", "kJ3mX9vQ2rT7yB5nW8cZ4fH6gL1pD0sA-eUoIyVbNqM");

async fn make(client: &Client, scopes: Value) -> Value {
    client.post("/v1/api-keys", json!({"name": "a script", "scopes": scopes})).await.expect(201).body
}

on_both! {
    async fn a_key_is_made_used_and_revoked_across_two_servers(store: Store) {
        let servers = [serve(&store, &PATIENT).await, serve(&store, &PATIENT).await];
        let [here, there] = [servers[0].client(), servers[1].client()];
        let ann = here.bearer(&newcomer(&here, ANN).await.access);
        let made = make(&ann, json!([])).await;
        let members: BTreeSet<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "created_at", "expires_at", "id", "key", "last_used_at", "name", "revoked_at", "scopes", "status", "user_id",
        ];
        assert_eq!(members, BTreeSet::from(expected));
        let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        let by_key = there.bearer(key);
        assert_eq!(by_key.get("/v1/auth/me").await.expect(200).str("/email"), ANN);
        // Anywhere but in the one header it is nothing.
        there.get(&format!("/v1/auth/me?access_token={key}")).await.assert_error(401, "UNAUTHENTICATED");
        there.cookies(&[("__Host-authkit_access", key)]).get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        let list = ann.get("/v1/api-keys").await.expect(200);
        assert_eq!(list.str("/items/0/id"), id);
        assert!(!list.text.contains("akk_") && list.body["items"][0].get("key").is_none());
        let bob = there.bearer(&newcomer(&there, "bob@example.com").await.access);
        assert_eq!(bob.get("/v1/api-keys").await.expect(200).body["items"], json!([]));
        let path = format!("/v1/api-keys/{id}");
        bob.delete(&path).await.assert_error(404, "NOT_FOUND");
        by_key.delete(&path).await.assert_error(403, "FORBIDDEN");
        by_key.get("/v1/auth/me").await.expect(200);
        ann.delete(&path).await.expect(204);
        // At once, on the other server too.
        by_key.get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        ann.delete(&path).await.assert_error(404, "NOT_FOUND");
        for (body, status, code) in [
            (json!({"name": "x"}), 400, "INVALID_REQUEST"),
            (json!({"name": "x", "scopes": "a:b"}), 400, "INVALID_REQUEST"),
            (json!({"name": "x", "scopes": [1]}), 400, "INVALID_REQUEST"),
            (json!({"name": "x", "scopes": [], "expires_in_seconds": -1}), 400, "INVALID_REQUEST"),
            (json!({"name": "x", "scopes": [], "expires_in_seconds": 1}), 422, "VALIDATION_ERROR"),
            (json!({"name": "x", "scopes": [], "user_id": id}), 400, "INVALID_REQUEST"),
            (json!({"name": "x", "scopes": ["documents:read"]}), 403, "FORBIDDEN"),
        ] {
            ann.post("/v1/api-keys", body).await.assert_error(status, code);
        }
    }

    async fn s_152_every_route_knows_whom_it_lets_in(store: Store) {
        let server = serve(&store, &[PATIENT[0], PATIENT[1], PATIENT[2], CLEANUP]).await;
        let client = server.client();
        let root = client.bearer(&operator(&store, &client).await);
        let key = make(&root, json!(["*"])).await["key"].as_str().unwrap().to_owned();
        let (by_key, forged) = (client.bearer(&key), client.bearer(&format!("{}AAAAAA", &key[..key.len() - 6])));
        let fresh = client.bearer(&newcomer(&client, ANN).await.access);
        let document = client.get("/openapi.json").await.expect(200).body;
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(security) = operation["security"].as_array() else { continue };
                // Where a caller may be, but need not.
                if security.contains(&json!({})) || operation["operationId"] == "begin_passkey_login" {
                    continue;
                }
                seen += 1;
                let (method, id) = (method.to_uppercase(), operation["operationId"].as_str().unwrap());
                let path = path.replace("{id}", NOBODY).replace("{user_id}", NOBODY);
                let body = operation["requestBody"].is_object().then(|| body_of(id).to_string().into_bytes());
                for nobody in [&client, &client.bearer("e30.e30.e30"), &forged, &client.bearer("akk_x")] {
                    let answer = nobody.request(&method, &path, body.clone()).await;
                    answer.assert_error(401, "UNAUTHENTICATED");
                }
                // Not even a key of one who may do everything, with every scope, stands for a sign-in.
                let answer = by_key.request(&method, &path, body.clone()).await;
                match id {
                    "me" => assert_eq!(answer.status, 200, "{id}"),
                    "cleanup" => assert_eq!(answer.status, 401, "{id}"),
                    _ => assert_eq!(answer.status, 403, "{id}: {}", answer.text),
                }
                if path.contains("/admin/") {
                    fresh.request(&method, &path, body).await.assert_error(403, "FORBIDDEN");
                }
            }
        }
        assert!(seen >= 25, "only {seen} routes were found");
        by_key.get("/v1/auth/me").await.expect(200);
    }

    async fn cleanup_is_called_by_its_token(store: Store) {
        let without = serve(&store, &[]).await;
        let refused = without.client().bearer(CLEANUP.1).post_empty("/v1/internal/cleanup").await;
        refused.assert_error(404, "NOT_FOUND");
        let server = serve(&store, &[CLEANUP, ("TOKEN_TRANSPORT", "cookie")]).await;
        let client = server.client();
        for wrong in [client.clone(), client.bearer("x"), client.bearer(&CLEANUP.1[1..])] {
            wrong.post_empty("/v1/internal/cleanup").await.assert_error(401, "UNAUTHENTICATED");
        }
        // Machines send no Origin, and need none.
        let report = client.bearer(CLEANUP.1).post_empty("/v1/internal/cleanup").await.expect(200);
        assert_eq!((&report.body["complete"], &report.body["dry_run"]), (&json!(true), &json!(false)));
        assert_eq!(report.header("cache-control"), "no-store");
        assert!(report.body["jobs"].as_array().is_some_and(|jobs| jobs.len() >= 8), "{}", report.text);
        client.bearer(CLEANUP.1).get("/v1/internal/cleanup").await.assert_error(405, "METHOD_NOT_ALLOWED");
        // While another run holds the lock, by HTTP and by cron.
        let lease = match store.backend() {
            Backend::Sqlite => "x'00000000000000000000000000000001'",
            Backend::Postgres => "'00000000-0000-0000-0000-000000000001'::uuid",
        };
        sql(&store, &format!("UPDATE authkit_cleanup SET lease = {lease}, lease_until = 9000000000000000")).await;
        client.bearer(CLEANUP.1).post_empty("/v1/internal/cleanup").await.assert_error(409, "CONFLICT");
        let env = settings(&store, &[]);
        let authctl = async |args: &[&str]| authctl_with(&env, store.folder(), args, "").await;
        let locked = authctl(&["cleanup", "run"]).await;
        assert_eq!((locked.code(), locked.stdout.as_str()), (75, ""), "{}", locked.stderr);
        assert!(locked.stderr.contains("E-CLEANUP-1"), "{}", locked.stderr);
        assert_eq!(authctl(&["cleanup", "status", "-o", "json"]).await.json()["running"], true);
        sql(&store, "UPDATE authkit_cleanup SET lease = NULL, lease_until = 0").await;
        // Quiet in cron; what was asked for is shown.
        let quiet = authctl(&["cleanup", "run"]).await;
        assert_eq!((quiet.code(), quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
        let shown = authctl(&["cleanup", "run", "-o", "json"]).await;
        assert_eq!(shown.json()["resource"]["complete"], true, "{}", shown.stderr);
        let look = authctl(&["cleanup", "run", "-n"]).await;
        assert!(look.stdout.contains("JOB") && look.stdout.contains("sessions"), "{}", look.stdout);
        assert!(look.stderr.contains("Dry run"), "{}", look.stderr);
    }

    async fn operators_handle_keys_by_authctl(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let env = settings(&store, &[]);
        let authctl = async |args: &[&str]| authctl_with(&env, store.folder(), args, "").await;
        let robot = ["user", "create", "robot@example.com", "--name", "Robot", "--roles", "admin", "--email-verified", "--no-password"];
        assert_eq!(authctl(&robot).await.code(), 0);
        let create = ["api-key", "create", "robot@example.com", "--name", "nightly", "--scopes", "users:read", "-o", "json"];
        let rehearsed = authctl(&[&create[..], &["-n"]].concat()).await;
        assert!(rehearsed.code() == 0 && !rehearsed.stdout.contains("akk_"), "{}", rehearsed.stderr);
        let made = authctl(&create).await.json();
        let key = made["key"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        assert_eq!(client.bearer(&key).get("/v1/auth/me").await.expect(200).str("/email"), "robot@example.com");
        let id = made["resource"]["id"].as_str().unwrap().to_owned();
        let list = authctl(&["api-key", "list", "robot@example.com", "-o", "json"]).await;
        assert_eq!(list.json()["items"][0]["id"], id.as_str());
        assert!(!list.stdout.contains("akk_"));
        assert_eq!(authctl(&["api-key", "show", &id, "-o", "json"]).await.json()["status"], "active");
        let revoked = authctl(&["api-key", "revoke", &id, "-o", "json"]).await.json();
        assert_eq!((&revoked["changed"], &revoked["resource"]["status"]), (&json!(true), &json!("revoked")));
        client.bearer(&key).get("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
        assert_eq!(authctl(&["api-key", "revoke", &id, "-o", "json"]).await.json()["changed"], false);
        assert_eq!(authctl(&["api-key", "list", "-o", "json"]).await.json()["items"], json!([]));
        assert_eq!(authctl(&["api-key", "list", "--ended", "-o", "id"]).await.stdout.trim(), id);
        for (args, exit, code) in [
            (&["api-key", "show", &key][..], 3, "E-APIKEY-1"),
            (&["api-key", "create", "nobody@example.com", "--name", "x"], 3, "E-USER-1"),
            (&["api-key", "create", "robot@example.com", "--name", "x", "--scopes", "documents:read"], 4, "E-APIKEY-2"),
            (&["api-key", "create", "robot@example.com", "--name", "x", "--scopes", "a b"], 5, "E-INPUT-1"),
        ] {
            let out = authctl(args).await;
            assert_eq!(out.code(), exit, "{args:?}: {}", out.stderr);
            assert!(out.stderr.contains(code) && !out.stderr.contains("akk_"), "{}", out.stderr);
        }
        let audited = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_audit WHERE action LIKE 'api_key.%' AND actor LIKE 'cli:%'";
        assert_eq!(count(&store, audited).await, 3);
    }
}

const NOBODY: &str = "018f9f7e-0000-7000-8000-000000000000";

/// A body that each operation can read, so that nothing but the caller is judged.
fn body_of(operation: &str) -> Value {
    match operation {
        "update_me" | "update_user" => json!({"name": "X"}),
        "change_password" => json!({"current_password": PASSWORD, "new_password": OTHER}),
        "step_up" => json!({"password": PASSWORD}),
        "request_email_change" => json!({"new_email": "new@example.com"}),
        "create_user" => json!({"email": "new@example.com", "name": "New"}),
        "set_roles" => json!({"roles": ["user"]}),
        "create_api_key" => json!({"name": "x", "scopes": ["*"]}),
        "create_org" | "update_org" => json!({"name": "X"}),
        "add_member" => json!({"user_id": NOBODY, "role": "member"}),
        "change_member" => json!({"role": "member"}),
        "grant_membership" => {
            json!({"user_id": NOBODY, "resource_type": "project", "resource_id": "x", "role": "viewer"})
        }
        "create_invitation" => json!({"email": "new@example.com", "role": "user"}),
        _ => json!({}),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_cookie_is_nothing() {
    let store = Store::new(Backend::Sqlite).await;
    let bearer = serve(&store, &[]).await;
    let client = bearer.client();
    let key = make(&client.bearer(&newcomer(&client, ANN).await.access), json!([])).await["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let server = serve(&store, &[("TOKEN_TRANSPORT", "cookie")]).await;
    let client = server.client();
    client
        .cookies(&[("__Host-authkit_access", &key)])
        .get("/v1/auth/me")
        .await
        .assert_error(401, "UNAUTHENTICATED");
    client.bearer(&key).get("/v1/auth/me").await.expect(200);
    let _ = sign_in(&bearer.client(), ANN).await;
}

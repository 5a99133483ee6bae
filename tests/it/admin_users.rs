//! What operators do with accounts over HTTP; `ETag` and If-Match on the way.

use std::collections::BTreeSet;

use authkit_tests::process::authctl_with;
use authkit_tests::{Client, Store, on_both, race};
use serde_json::{Value, json};

use crate::app::{OTHER, PASSWORD, PATIENT, count, credentials, me, newcomer, serve, settings, sign_in};

const ANN: &str = "ann@example.com";
const ROOT: &str = "root@example.com";
/// All that an account shows of itself (ASVS 15.3.1).
const MEMBERS: [&str; 10] = [
    "created_at",
    "email",
    "email_verified",
    "id",
    "mfa_enabled",
    "name",
    "profile",
    "roles",
    "status",
    "updated_at",
];

/// An access token of a `super_admin`, who comes by authctl.
pub(crate) async fn operator(store: &Store, client: &Client) -> String {
    let args = [
        "user",
        "create",
        ROOT,
        "--name",
        "Root",
        "--roles",
        "super_admin",
        "--email-verified",
        "--password-stdin",
    ];
    let out = authctl_with(&settings(store, &[]), store.folder(), &args, PASSWORD).await;
    assert_eq!(out.code(), 0, "{}", out.stderr);
    sign_in(client, ROOT).await.access
}

/// Sets the roles of an account.
pub(crate) async fn raise(client: &Client, operator: &str, user: &str, roles: &[&str]) {
    let path = format!("/v1/admin/users/{user}/roles");
    client.bearer(operator).put(&path, json!({"roles": roles})).await.expect(200);
}

#[track_caller]
fn shows_an_account(user: &Value) {
    let members: BTreeSet<&str> = user.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(MEMBERS), "{user}");
}

on_both! {
    async fn s_159_an_operator_makes_accounts_and_sets_no_password(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let admin = client.bearer(&operator(&store, &client).await);
        let body = json!({"email": ANN, "name": "Ann", "roles": ["user", "admin"], "email_verified": true});
        let made = admin.post("/v1/admin/users", body).await.expect(201);
        shows_an_account(&made.body);
        assert_eq!((&made.body["roles"], &made.body["email_verified"]), (&json!(["admin", "user"]), &json!(true)));
        // Nobody signs in before its owner has set a password by the mailed link.
        client.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        let mails = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_outbox WHERE template = 'reset_password'";
        assert_eq!(count(&store, mails).await, 1);
        for (body, status, code) in [
            (json!({"email": ANN, "name": "Again"}), 409, "CONFLICT"),
            (json!({"email": "x", "name": ""}), 422, "VALIDATION_ERROR"),
            (json!({"email": "b@example.com", "name": "B", "roles": ["nothing"]}), 422, "VALIDATION_ERROR"),
            (json!({"email": "b@example.com", "name": "B", "roles": "user"}), 400, "INVALID_REQUEST"),
            (json!({"email": "b@example.com", "name": "B", "password": PASSWORD}), 400, "INVALID_REQUEST"),
            (json!({"email": "b@example.com", "name": "B", "password_hash": "x"}), 400, "INVALID_REQUEST"),
        ] {
            admin.post("/v1/admin/users", body.clone()).await.assert_error(status, code);
        }
        let path = format!("/v1/admin/users/{}", made.str("/id"));
        for body in [json!({"password": OTHER}), json!({"email": "x@example.com"}), json!({"roles": ["user"]})] {
            admin.patch(&path, body).await.assert_error(400, "INVALID_REQUEST");
        }
        let changed = admin.patch(&path, json!({"name": "Ann B.", "profile": {"team": 7}})).await.expect(200);
        assert_eq!((changed.str("/name"), &changed.body["profile"]["team"]), ("Ann B.", &json!(7)));
        let listed = admin.get("/v1/admin/users?email_prefix=Ann%40&status=active&role=admin").await.expect(200);
        assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1));
        shows_an_account(&listed.body["items"][0]);
        let first = admin.get("/v1/admin/users?limit=1").await.expect(200);
        let next = first.str("/next_cursor").to_owned();
        let second = admin.get(&format!("/v1/admin/users?limit=1&cursor={next}")).await.expect(200);
        assert_ne!(first.body["items"][0]["id"], second.body["items"][0]["id"]);
        assert_eq!(second.body["next_cursor"], Value::Null);
        for bad in ["?limit=0", "?status=gone"] {
            admin.get(&format!("/v1/admin/users{bad}")).await.assert_error(422, "VALIDATION_ERROR");
        }
        for bad in ["?cursor=abc", "?email_prefix=%ff", "?role=a&role=b"] {
            admin.get(&format!("/v1/admin/users{bad}")).await.assert_error(400, "INVALID_REQUEST");
        }
    }

    async fn accounts_are_shut_opened_and_deleted(store: Store) {
        let servers = [serve(&store, &PATIENT).await, serve(&store, &PATIENT).await];
        let [client, there] = [servers[0].client(), servers[1].client()];
        let root = operator(&store, &client).await;
        let admin = client.bearer(&root);
        let ann = newcomer(&there, ANN).await;
        let id = me(&there, &ann.access).await.str("/id").to_owned();
        let path = format!("/v1/admin/users/{id}");
        let sessions = admin.get(&format!("{path}/sessions")).await.expect(200);
        assert_eq!(sessions.body["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(sessions.body["items"][0]["current"], false);
        assert!(!sessions.text.contains("token") && !sessions.text.contains("akr_"));
        admin.delete(&format!("{path}/sessions")).await.expect(204);
        crate::app::refresh(&there, &ann.refresh).await.assert_error(401, "REFRESH_INVALID");
        assert_eq!(admin.get(&format!("{path}/sessions")).await.expect(200).body["items"], json!([]));
        let disabled = admin.post_empty(&format!("{path}/disable")).await.expect(200);
        shows_an_account(&disabled.body);
        assert_eq!(disabled.str("/status"), "disabled");
        admin.post_empty(&format!("{path}/disable")).await.expect(200);
        there.post("/v1/auth/login", credentials(ANN, PASSWORD)).await.assert_error(401, "INVALID_CREDENTIALS");
        assert_eq!(admin.post_empty(&format!("{path}/enable")).await.expect(200).str("/status"), "active");
        sign_in(&there, ANN).await;
        admin.delete(&path).await.expect(204);
        assert_eq!(admin.get(&path).await.expect(200).str("/status"), "deleted");
        admin.post_empty(&format!("{path}/enable")).await.assert_error(409, "CONFLICT");
        admin.patch(&path, json!({"name": "X"})).await.assert_error(409, "CONFLICT");
        let none = "/v1/admin/users/018f9f7e-0000-7000-8000-000000000000";
        for (method, path) in [
            ("GET", none.to_owned()),
            ("DELETE", none.to_owned()),
            ("POST", format!("{none}/disable")),
            ("GET", format!("{none}/sessions")),
            ("DELETE", format!("{none}/sessions")),
            ("GET", "/v1/admin/users/not-an-id".to_owned()),
        ] {
            admin.request(method, &path, None).await.assert_error(404, "NOT_FOUND");
        }
        // The last one who may do everything stays, whichever door is tried.
        let own = format!("/v1/admin/users/{}", me(&client, &root).await.str("/id"));
        admin.post_empty(&format!("{own}/disable")).await.assert_error(409, "CONFLICT");
        admin.delete(&own).await.assert_error(409, "CONFLICT");
    }

    async fn s_154_s_156_roles_are_given_by_who_has_them_and_never_to_oneself(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let root = operator(&store, &client).await;
        let admin = client.bearer(&root);
        let ann = newcomer(&client, ANN).await;
        let ann_id = me(&client, &ann.access).await.str("/id").to_owned();
        let root_id = me(&client, &root).await.str("/id").to_owned();
        let roles = |id: &str| format!("/v1/admin/users/{id}/roles");
        for body in [json!({"roles": ["super_admin", "user"]}), json!({"roles": []})] {
            admin.put(&roles(&root_id), body).await.assert_error(403, "FORBIDDEN");
        }
        admin.put(&roles(&ann_id), json!({"roles": ["nothing"]})).await.assert_error(422, "VALIDATION_ERROR");
        admin.put(&roles(&ann_id), json!({})).await.assert_error(400, "INVALID_REQUEST");
        let raised = admin.put(&roles(&ann_id), json!({"roles": ["super_admin", "super_admin"]})).await.expect(200);
        assert_eq!(raised.body["roles"], json!(["super_admin"]));
        // Tokens of before say what was so before.
        client.bearer(&ann.access).get("/v1/admin/users").await.assert_error(401, "UNAUTHENTICATED");
        let ann = client.bearer(&sign_in(&client, ANN).await.access);
        ann.get("/v1/admin/users").await.expect(200);
        let lowered = ann.put(&roles(&root_id), json!({"roles": ["user"]})).await.expect(200);
        assert_eq!(lowered.body["roles"], json!(["user"]));
        // The demotion acts on the very next call.
        admin.get("/v1/admin/users").await.assert_error(401, "UNAUTHENTICATED");
        admin.put(&roles(&ann_id), json!({"roles": []})).await.assert_error(401, "UNAUTHENTICATED");
        let lowly = client.bearer(&sign_in(&client, ROOT).await.access);
        lowly.get("/v1/admin/users").await.assert_error(403, "FORBIDDEN");
        lowly.put(&roles(&ann_id), json!({"roles": []})).await.assert_error(403, "FORBIDDEN");
        // One row of the audit each.
        let audited = |action: &str| {
            format!("SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_audit WHERE action = '{action}' AND outcome = 'success'")
        };
        assert_eq!(count(&store, &audited("role.grant")).await, 2);
        assert_eq!(count(&store, &audited("role.revoke")).await, 2);
        let refused = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_audit WHERE action = 'role.grant' AND outcome = 'failure'";
        assert_eq!(count(&store, refused).await, 2);
    }

    async fn a_change_asks_for_the_version_that_was_seen(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let root = operator(&store, &client).await;
        let ann = client.bearer(&newcomer(&client, ANN).await.access);
        let seen = ann.get("/v1/auth/me").await.expect(200);
        let tag = seen.header("etag").to_owned();
        assert!(tag.len() == 34 && tag.starts_with('"'), "strong, quoted: {tag}");
        let path = format!("/v1/admin/users/{}", seen.str("/id"));
        assert_eq!(client.bearer(&root).get(&path).await.header("etag"), tag, "one version, one tag");
        let name = |name: &str| json!({"name": name});
        let changed = ann.header("if-match", &tag).patch("/v1/auth/me", name("Second")).await.expect(200);
        let next = changed.header("etag").to_owned();
        assert_ne!(next, tag);
        assert_eq!(ann.get("/v1/auth/me").await.header("etag"), next);
        for stale in [tag.clone(), format!("W/{next}"), "\"x\", \"y\"".to_owned()] {
            let ann = ann.header("if-match", &stale);
            ann.patch("/v1/auth/me", name("Lost")).await.assert_error(412, "PRECONDITION_FAILED");
            let admin = client.bearer(&root).header("if-match", &stale);
            admin.patch(&path, name("Lost")).await.assert_error(412, "PRECONDITION_FAILED");
            let lost = admin.put(&format!("{path}/roles"), json!({"roles": []})).await;
            lost.assert_error(412, "PRECONDITION_FAILED");
        }
        ann.header("if-match", "bare").patch("/v1/auth/me", name("Lost")).await.assert_error(400, "INVALID_REQUEST");
        assert_eq!(ann.get("/v1/auth/me").await.str("/name"), "Second");
        let several = format!("{tag}, {next}");
        ann.header("if-match", &several).patch("/v1/auth/me", name("Third")).await.expect(200);
        ann.header("if-match", "*").patch("/v1/auth/me", name("Fourth")).await.expect(200);
        ann.patch("/v1/auth/me", name("Fifth")).await.expect(200);
        // Of ten who saw the same version one is first.
        let tag = ann.get("/v1/auth/me").await.header("etag").to_owned();
        let answers = race(10, |i| {
            let ann = ann.header("if-match", &tag);
            async move { ann.patch("/v1/auth/me", json!({"name": format!("Racer {i}")})).await }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        for answer in lost {
            answer.assert_error(412, "PRECONDITION_FAILED");
        }
        assert_eq!(ann.get("/v1/auth/me").await.str("/name"), won[0].str("/name"));
    }
}

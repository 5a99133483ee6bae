//! Idempotency keys: a request sent again gets the same answer and does nothing, across processes and deaths.

use std::collections::BTreeSet;
use std::time::Duration;

use authkit_tests::{Client, Store, on_both, race};
use serde_json::{Value, json};

use crate::admin_users::{operator, raise};
use crate::app::{PATIENT, count, launch, newcomer, person, serve, sign_in, sql, within};

const USERS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_users";
const ROWS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_idempotency";
const ANN: &str = "ann@example.com";

fn keyed(client: &Client, key: &str) -> Client {
    client.header("idempotency-key", key)
}

fn key_body() -> Value {
    json!({"name": "a script", "scopes": []})
}

on_both! {
    async fn the_same_request_has_one_effect_and_one_answer(store: Store) {
        let servers = [serve(&store, &[]).await, serve(&store, &[]).await];
        let [here, there] = [servers[0].client(), servers[1].client()];
        let first = keyed(&here, "k-1").post("/v1/auth/signup", person(ANN)).await.expect(201);
        assert_eq!(first.header("idempotency-replayed"), "");
        // Without the key the same request is another one.
        here.post("/v1/auth/signup", person(ANN)).await.assert_error(409, "CONFLICT");
        let again = keyed(&there, "k-1").post("/v1/auth/signup", person(ANN)).await.expect(201);
        assert_eq!((again.text.as_str(), again.header("idempotency-replayed")), (first.text.as_str(), "true"));
        assert_eq!(again.header("content-type"), first.header("content-type"));
        assert_eq!(again.header("cache-control"), "no-store");
        // Another body is another request, and a mistake.
        keyed(&there, "k-1")
            .post("/v1/auth/signup", person("other@example.com"))
            .await
            .assert_error(422, "VALIDATION_ERROR");
        assert_eq!(count(&store, USERS).await, 1);
        // The key is the caller's, and the route's.
        let ann = here.bearer(&sign_in(&here, ANN).await.access);
        let key = keyed(&ann, "k-1").post("/v1/api-keys", key_body()).await.expect(201);
        let bob = there.bearer(&newcomer(&there, "bob@example.com").await.access);
        let other = keyed(&bob, "k-1").post("/v1/api-keys", key_body()).await.expect(201);
        assert_ne!(key.str("/id"), other.str("/id"));
        // What is shown once is shown again to whoever asked, and to nobody else.
        let again = keyed(&ann, "k-1").post("/v1/api-keys", key_body()).await.expect(201);
        assert_eq!(again.str("/key"), key.str("/key"));
        here.bearer(key.str("/key")).get("/v1/auth/me").await.expect(200);
        keyed(&here, "k-1").post("/v1/api-keys", key_body()).await.assert_error(401, "UNAUTHENTICATED");
        for bad in ["", " ", "a b", &"x".repeat(256)] {
            keyed(&ann, bad).post("/v1/api-keys", key_body()).await.assert_error(400, "INVALID_REQUEST");
        }
        // Its day is over: the row is another's.
        sql(&store, "UPDATE authkit_idempotency SET expires_at = 1").await;
        let new = keyed(&ann, "k-1").post("/v1/api-keys", key_body()).await.expect(201);
        assert_ne!(new.str("/id"), key.str("/id"));
        // No answer stands in the store as it was given.
        let text = key.str("/key");
        let dump = crate::support::Raw::open(&store).await.dump().await;
        assert!(dump.contains("authkit_idempotency: "));
        assert!(!dump.contains(&text[40..80]) && !dump.contains("verification_required"));
    }

    async fn refusals_are_not_kept(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let weak = json!({"name": "Ann", "email": ANN, "password": "short"});
        keyed(&client, "k").post("/v1/auth/signup", weak).await.assert_error(422, "VALIDATION_ERROR");
        assert_eq!(count(&store, ROWS).await, 0);
        keyed(&client, "k").post("/v1/auth/signup", person(ANN)).await.expect(201);
        let taken = keyed(&client, "k2").post("/v1/auth/signup", person(ANN)).await;
        taken.assert_error(409, "CONFLICT");
        assert_eq!(count(&store, ROWS).await, 1);
    }

    async fn twenty_at_once_over_two_processes_make_one(store: Store) {
        let servers = [serve(&store, &PATIENT).await, serve(&store, &PATIENT).await];
        let root = operator(&store, &servers[0].client()).await;
        let clients = [
            servers[0].client().bearer(&root),
            servers[1].client().bearer(&root),
        ];
        for round in 0..5 {
            let body = json!({"email": format!("new-{round}@example.com"), "name": "New"});
            let answers = race(20, |i| {
                let (client, body) = (keyed(&clients[i % 2], &format!("round-{round}")), body.clone());
                async move { client.post("/v1/admin/users", body).await }
            })
            .await;
            let (made, waiting): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 201);
            let bodies: BTreeSet<String> = made.iter().map(|answer| answer.text.clone()).collect();
            assert_eq!(bodies.len(), 1, "{bodies:?}");
            for answer in waiting {
                answer.assert_error(409, "CONFLICT");
            }
        }
        assert_eq!(count(&store, USERS).await, 6);
        let mails = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_outbox WHERE template = 'reset_password'";
        assert_eq!(count(&store, mails).await, 5);
    }

    async fn a_request_that_died_blocks_nobody_for_long(store: Store) {
        let slow = [("ARGON2_ITERATIONS", "64"), ("ARGON2_MEMORY_KIB", "65536")];
        let mut server = launch(&store, &slow).start().await;
        let client = keyed(&server.client(), "k");
        let asking = tokio::spawn(async move {
            client.try_request("POST", "/v1/auth/signup", Some(person(ANN))).await
        });
        within(Duration::from_secs(20), "the key is taken", async || count(&store, ROWS).await == 1).await;
        server.kill9();
        assert!(asking.await.unwrap().is_err());
        assert_eq!(count(&store, USERS).await, 0);
        let server = serve(&store, &[]).await;
        let client = keyed(&server.client(), "k");
        client.post("/v1/auth/signup", person(ANN)).await.assert_error(409, "CONFLICT");
        // The lease of the dead is over.
        sql(&store, "UPDATE authkit_idempotency SET lease_until = 1").await;
        client.post("/v1/auth/signup", person(ANN)).await.expect(201);
        assert_eq!(client.post("/v1/auth/signup", person(ANN)).await.header("idempotency-replayed"), "true");
        assert_eq!(count(&store, USERS).await, 1);
    }

    async fn an_effect_whose_answer_was_lost_is_not_repeated(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let ann = client.bearer(&newcomer(&client, ANN).await.access);
        let made = keyed(&ann, "k").post("/v1/api-keys", key_body()).await.expect(201);
        // As if the process had died between the commit and the answer: the key was kept in the same transaction.
        sql(&store, "UPDATE authkit_idempotency SET lease_until = 1").await;
        assert_eq!(keyed(&ann, "k").post("/v1/api-keys", key_body()).await.expect(201).text, made.text);
        // And where nothing could be kept, it is said.
        sql(&store, "UPDATE authkit_idempotency SET answer = NULL").await;
        let lost = keyed(&ann, "k").post("/v1/api-keys", key_body()).await;
        assert!(lost.assert_error(409, "CONFLICT").str("/error/message").contains("lost"));
        let keys = "SELECT CAST(COUNT(*) AS BIGINT) FROM authkit_api_keys";
        assert_eq!(count(&store, keys).await, 1);
    }

    async fn s_156_an_answer_is_given_again_only_to_who_still_may_ask(store: Store) {
        let server = serve(&store, &PATIENT).await;
        let client = server.client();
        let root = operator(&store, &client).await;
        let body = json!({"email": "new@example.com", "name": "New"});
        let ann = client.bearer(&newcomer(&client, ANN).await.access);
        let id = ann.get("/v1/auth/me").await.str("/id").to_owned();
        raise(&client, &root, &id, &["super_admin"]).await;
        let ann = client.bearer(&sign_in(&client, ANN).await.access);
        keyed(&ann, "k").post("/v1/admin/users", body.clone()).await.expect(201);
        keyed(&ann, "k").post("/v1/admin/users", body.clone()).await.expect(201);
        raise(&client, &root, &id, &["user"]).await;
        keyed(&ann, "k").post("/v1/admin/users", body.clone()).await.assert_error(401, "UNAUTHENTICATED");
        let ann = client.bearer(&sign_in(&client, ANN).await.access);
        keyed(&ann, "k").post("/v1/admin/users", body).await.assert_error(403, "FORBIDDEN");
    }
}

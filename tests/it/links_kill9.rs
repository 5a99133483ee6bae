//! kill -9 while links are used: the effect and the end of its link are there together, or neither is.

use std::path::Path;
use std::time::Duration;

use authkit_tests::{Client, Store, on_both};
use serde_json::{Value, json};

use crate::app::{OTHER, PASSWORD, assert_sound, count, credentials, me, newcomer, sign_in};
use crate::links_http::{link, start, token};

const ROUNDS: u64 = 40;
/// Every round tries a password that is not, from the same address.
const PATIENT: [(&str, &str); 2] =
    [("LOGIN_FAIL_IP_THRESHOLD", "100000"), ("STUFFING_PAIR_THRESHOLD", "1000")];

/// One link of each kind, about to be used.
struct Round {
    reset: (String, Value),
    verify: (String, Value),
    change: (String, String, Value),
}

impl Round {
    async fn prepare(client: &Client, folder: &Path, n: u64) -> Self {
        let address = |kind: &str| format!("{kind}-{n}@example.com");
        let (reset, verify, change, new) =
            (address("reset"), address("verify"), address("change"), address("new"));
        for email in [&reset, &verify] {
            newcomer(client, email).await;
        }
        let who = newcomer(client, &change).await;
        client.post("/v1/auth/password-reset/request", json!({"email": reset})).await.expect(202);
        let body = json!({"new_email": new});
        client.bearer(&who.access).post("/v1/auth/email/change", body).await.expect(202);
        let mut by_reset = token(&link(folder, &reset, "reset-password").await);
        by_reset["new_password"] = OTHER.into();
        let by_verify = token(&link(folder, &verify, "verify-email").await);
        let by_change = token(&link(folder, &new, "confirm-email").await);
        Self { reset: (reset, by_reset), verify: (verify, by_verify), change: (change, new, by_change) }
    }

    fn posts(&self) -> [(&'static str, &Value); 3] {
        [
            ("/v1/auth/password-reset/confirm", &self.reset.1),
            ("/v1/auth/email/verify", &self.verify.1),
            ("/v1/auth/email/change/confirm", &self.change.2),
        ]
    }

    /// Says how many were done, and does the rest.
    async fn judge(&self, client: &Client, acknowledged: [bool; 3]) -> u64 {
        let works = async |email: &str, password: &str| {
            client.post("/v1/auth/login", credentials(email, password)).await.status == 200
        };
        let (old, new) = (works(&self.reset.0, PASSWORD).await, works(&self.reset.0, OTHER).await);
        assert!(old != new, "old {old}, new {new}");
        let access = sign_in(client, &self.verify.0).await.access;
        let verified = me(client, &access).await.body["email_verified"] == true;
        let (before, after) = (works(&self.change.0, PASSWORD).await, works(&self.change.1, PASSWORD).await);
        assert!(before != after, "before {before}, after {after}");
        let done = [new, verified, after];
        for (i, (path, body)) in self.posts().into_iter().enumerate() {
            assert!(done[i] || !acknowledged[i], "an acknowledged effect was lost: {path}");
            let answer = client.post(path, body.clone()).await;
            assert_eq!(answer.status, if done[i] { 400 } else { 204 }, "{path}: {}", answer.text);
        }
        done.into_iter().map(u64::from).sum()
    }
}

on_both! {
    async fn s_180_killed_while_links_are_used(store: Store) {
        let (mut done, mut undone) = (0, 0);
        let (mut server, folder) = start(&store, &PATIENT).await;
        for n in 0..ROUNDS {
            let client = server.client();
            let round = Round::prepare(&client, &folder, n).await;
            let mut tasks = Vec::new();
            for (path, body) in round.posts() {
                let (client, body) = (client.clone(), body.clone());
                tasks.push(tokio::spawn(async move {
                    client.try_request("POST", path, Some(body)).await.is_ok_and(|answer| answer.status == 204)
                }));
            }
            // No two rounds stop at the same place.
            tokio::time::sleep(Duration::from_micros(500 + (n * 1_327) % 20_000)).await;
            server.kill9();
            let mut acknowledged = [false; 3];
            for (i, task) in tasks.into_iter().enumerate() {
                acknowledged[i] = task.await.unwrap();
            }
            (server, _) = start(&store, &PATIENT).await;
            let were = round.judge(&server.client(), acknowledged).await;
            done += were;
            undone += 3 - were;
        }
        println!("{}: {done} links had been used when the server died, {undone} had not", store.backend().name());
        assert!(done > 0 && undone > 0, "no real race: {done} {undone}");
        drop(server);
        let twice = "SELECT COUNT(*) FROM (SELECT user_id, action FROM authkit_audit WHERE outcome = 'success' AND action IN
            ('password.reset', 'email.verify', 'email.change') GROUP BY user_id, action HAVING COUNT(*) > 1) t";
        assert_eq!(count(&store, twice).await, 0, "an effect was audited twice");
        // The mail that undoes a change is there with the change, and once. When it is sent is another matter: what a
        // killed process was sending waits for the end of its lease.
        let notices = "SELECT COUNT(*) FROM authkit_outbox WHERE template = 'undo_email'";
        assert_eq!(count(&store, notices).await, i64::try_from(ROUNDS).unwrap());
        let lost = "SELECT COUNT(*) FROM authkit_links WHERE end_reason = 'used'";
        assert!(count(&store, lost).await > 0);
        assert_sound(&store).await;
    }
}

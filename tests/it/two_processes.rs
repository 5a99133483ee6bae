//! Two servers on one store: every race and every revocation holds across processes.

use std::collections::BTreeSet;
use std::time::Duration;

use authkit_tests::{Answer, Client, ServerProcess, Store, on_both, race};
use serde_json::json;

use crate::app::{
    OTHER, PASSWORD, PATIENT, Tokens, assert_sound, claims, count, me, newcomer, refresh, serve, sign_in,
    sign_up, within,
};

/// Rounds of each race on each engine; two engines make 500 of the first two together.
const ROUNDS: usize = 250;
const RACERS: usize = 20;
/// Fewer than a device may fail, so that every loser is judged.
const PASSWORD_CHANGES: usize = 4;
/// "Within about a second" is polling each second; slow machines get some more.
const SOON: Duration = Duration::from_secs(3);

const COUNTER: &str = "SELECT CAST(MAX(counter) AS BIGINT) FROM authkit_sessions";

async fn two(store: &Store, env: &[(&str, &str)]) -> [ServerProcess; 2] {
    [serve(store, env).await, serve(store, env).await]
}

fn clients(servers: &[ServerProcess; 2]) -> [Client; 2] {
    [servers[0].client(), servers[1].client()]
}

/// The same refresh token sent by twenty clients at once, half of them to each server.
async fn twenty_refreshes(clients: &[Client; 2], token: &str) -> Vec<Answer> {
    race(RACERS, |i| {
        let (client, token) = (clients[i % 2].clone(), token.to_owned());
        async move { refresh(&client, &token).await }
    })
    .await
}

on_both! {
    async fn s_62_twenty_refreshes_with_a_grace_have_one_successor(store: Store) {
        // The window must outlast a round on a machine that is busy with other tests.
        let servers = two(&store, &[("REFRESH_REUSE_GRACE_SECONDS", "60")]).await;
        let clients = clients(&servers);
        let first = newcomer(&clients[0], "racer@example.com").await;
        let before = count(&store, COUNTER).await;
        let mut token = first.refresh;
        for round in 0..ROUNDS {
            let answers = twenty_refreshes(&clients, &token).await;
            let successors: BTreeSet<String> = answers.iter().map(|a| Tokens::of(a).refresh).collect();
            assert_eq!(successors.len(), 1, "round {round}: {successors:?}");
            let successor = successors.into_iter().next().unwrap();
            assert_ne!(successor, token);
            token = successor;
        }
        let after = count(&store, COUNTER).await;
        assert_eq!(after - before, i64::try_from(ROUNDS).unwrap(), "rotations in the store");
        assert_eq!(count(&store, "SELECT COUNT(*) FROM authkit_sessions WHERE ended_at IS NOT NULL").await, 0);
        assert_sound(&store).await;
    }

    async fn s_63_twenty_refreshes_without_a_grace_leave_no_live_token(store: Store) {
        let servers = two(&store, &[("REFRESH_REUSE_GRACE_SECONDS", "0")]).await;
        let clients = clients(&servers);
        sign_up(&clients[0], "strict-racer@example.com").await;
        let mut winners = 0;
        for round in 0..ROUNDS {
            let first = sign_in(&clients[round % 2], "strict-racer@example.com").await;
            let answers = twenty_refreshes(&clients, &first.refresh).await;
            let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == 200);
            assert!(won.len() <= 1, "round {round}: {} successors", won.len());
            for answer in lost {
                answer.assert_error(401, "REFRESH_INVALID");
            }
            for answer in won {
                winners += 1;
                let tokens = Tokens::of(answer);
                refresh(&clients[round % 2], &tokens.refresh).await.assert_error(401, "REFRESH_INVALID");
            }
            refresh(&clients[(round + 1) % 2], &first.refresh).await.assert_error(401, "REFRESH_INVALID");
        }
        assert!(winners > 0, "nobody ever won");
        assert_eq!(count(&store, "SELECT COUNT(*) FROM authkit_sessions WHERE ended_at IS NULL").await, 0);
        // Twenty replays are one theft.
        let thefts = count(&store, "SELECT COUNT(*) FROM authkit_audit WHERE action = 'refresh.reuse'").await;
        assert_eq!(thefts, i64::try_from(ROUNDS).unwrap());
        assert_sound(&store).await;
    }

    async fn s_57_what_one_process_revokes_the_other_refuses(store: Store) {
        let servers = two(&store, &[]).await;
        let [here, there] = clients(&servers);
        let refused_there = async |tokens: &Tokens, what: &str| {
            let took = within(SOON, what, async || me(&there, &tokens.access).await.status == 401).await;
            println!("{what}: {took:?}");
            me(&there, &tokens.access).await.assert_error(401, "UNAUTHENTICATED");
        };
        let live = async |tokens: &Tokens| {
            me(&there, &tokens.access).await.expect(200);
        };

        let first = newcomer(&here, "two@example.com").await;
        live(&first).await;
        here.post("/v1/auth/logout", first.refresh_body()).await.expect(204);
        me(&here, &first.access).await.assert_error(401, "UNAUTHENTICATED");
        refused_there(&first, "logout").await;

        let (one, two) = (sign_in(&here, "two@example.com").await, sign_in(&there, "two@example.com").await);
        live(&one).await;
        here.bearer(&one.access).post_empty("/v1/auth/logout-all").await.expect(204);
        refused_there(&two, "logout-all").await;
        refresh(&there, &two.refresh).await.assert_error(401, "REFRESH_INVALID");

        let (one, two) = (sign_in(&here, "two@example.com").await, sign_in(&there, "two@example.com").await);
        live(&two).await;
        let path = format!("/v1/auth/sessions/{}", claims(&two.access)["sid"].as_str().unwrap());
        here.bearer(&one.access).delete(&path).await.expect(204);
        refused_there(&two, "the end of one session").await;
        live(&one).await;

        let two = sign_in(&there, "two@example.com").await;
        let body = json!({"current_password": PASSWORD, "new_password": OTHER});
        here.bearer(&one.access).post("/v1/auth/password", body).await.expect(204);
        refused_there(&one, "a password change, for the caller").await;
        refused_there(&two, "a password change, for the others").await;
        let one = Tokens::of(&refresh(&there, &one.refresh).await);

        // Theft that one process sees ends the session for both.
        let next = Tokens::of(&refresh(&here, &one.refresh).await);
        let next = Tokens::of(&refresh(&here, &next.refresh).await);
        live(&next).await;
        refresh(&here, &one.refresh).await.assert_error(401, "REFRESH_INVALID");
        refused_there(&next, "theft").await;
    }

    async fn s_57_credential_routes_need_no_second(store: Store) {
        // What changes a credential asks the store itself, so it refuses at once, before any poll.
        let servers = two(&store, &[("REVOCATION_POLL_SECONDS", "5")]).await;
        let [here, there] = clients(&servers);
        let tokens = newcomer(&here, "at-once@example.com").await;
        me(&there, &tokens.access).await.expect(200);
        here.post("/v1/auth/logout", tokens.refresh_body()).await.expect(204);
        let caller = there.bearer(&tokens.access);
        let body = json!({"current_password": PASSWORD, "new_password": OTHER});
        caller.post("/v1/auth/password", body).await.assert_error(401, "UNAUTHENTICATED");
        caller.post("/v1/auth/step-up", json!({"password": PASSWORD})).await.assert_error(401, "UNAUTHENTICATED");
        caller.delete("/v1/auth/me").await.assert_error(401, "UNAUTHENTICATED");
    }

    async fn s_80_the_device_policy_holds_across_processes(store: Store) {
        for (policy, cap, live) in [("single", "20", 1), ("multi", "3", 3)] {
            // Twenty at once are more than may fail, and would be told to wait.
            let [patient, ..] = PATIENT;
            let env = [("SESSION_POLICY", policy), ("SESSION_MAX_PER_USER", cap), patient];
            let servers = two(&store, &env).await;
            let clients = clients(&servers);
            let email = format!("{policy}@example.com");
            sign_up(&clients[0], &email).await;
            for _ in 0..10 {
                let answers = race(RACERS, |i| {
                    let (client, email) = (clients[i % 2].clone(), email.clone());
                    async move { sign_in(&client, &email).await }
                })
                .await;
                let mut alive = 0;
                for tokens in &answers {
                    alive += usize::from(refresh(&clients[0], &tokens.refresh).await.status == 200);
                }
                assert_eq!(alive, live, "{policy}");
            }
        }
    }

    async fn one_address_signs_up_once(store: Store) {
        let servers = two(&store, &[]).await;
        let clients = clients(&servers);
        for round in 0..20 {
            let statuses = race(RACERS, |i| {
                let client = clients[i % 2].clone();
                // One address in many spellings.
                let email = if i % 3 == 0 { format!("Only-{round}@Example.com") } else { format!("only-{round}@example.com") };
                async move { client.post("/v1/auth/signup", crate::app::person(&email)).await.status }
            })
            .await;
            assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 1, "{statuses:?}");
            assert_eq!(statuses.iter().filter(|s| **s == 409).count(), RACERS - 1, "{statuses:?}");
        }
        assert_eq!(count(&store, "SELECT COUNT(*) FROM authkit_users").await, 20);
        assert_eq!(count(&store, "SELECT COUNT(*) FROM authkit_passwords").await, 20);
    }

    async fn racing_password_changes_leave_one_password(store: Store) {
        let servers = two(&store, &[]).await;
        let clients = clients(&servers);
        for round in 0..20 {
            let email = format!("change-{round}@example.com");
            let tokens = newcomer(&clients[0], &email).await;
            let new = |i: usize| format!("racing lanterns number {i} over water");
            let statuses = race(PASSWORD_CHANGES, |i| {
                let client = clients[i % 2].bearer(&tokens.access);
                let body = json!({"current_password": PASSWORD, "new_password": new(i)});
                async move { client.post("/v1/auth/password", body).await.status }
            })
            .await;
            let winners: Vec<usize> = (0..PASSWORD_CHANGES).filter(|i| statuses[*i] == 204).collect();
            assert_eq!(winners.len(), 1, "{statuses:?}");
            assert!(statuses.iter().all(|s| matches!(s, 204 | 401)), "{statuses:?}");
            crate::app::sign_in_with(&clients[1], &email, &new(winners[0])).await;
        }
    }
}

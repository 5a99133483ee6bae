//! What a stranger learns from answers about accounts: nothing.

use authkit_tests::{Answer, Store, on_both};

use crate::app::sql;
use crate::app::{PASSWORD, credentials, newcomer, serve, sign_in_with, sign_up, without_request_id};

on_both! {
    async fn s_19_every_refused_sign_in_reads_the_same(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        for name in ["known", "no-password", "disabled", "deleted"] {
            sign_up(&client, &format!("{name}@example.com")).await;
        }
        // As an account that was made by another door than sign-up.
        sql(&store, "DELETE FROM authkit_passwords WHERE user_id = (SELECT id FROM authkit_users WHERE email = 'no-password@example.com')").await;
        sql(&store, "UPDATE authkit_users SET status = 'disabled', disabled_at = 1 WHERE email = 'disabled@example.com'").await;
        sql(&store, "UPDATE authkit_users SET status = 'deleted', deleted_at = 1 WHERE email = 'deleted@example.com'").await;

        let attempts = [
            ("unknown@example.com", PASSWORD),
            ("known@example.com", "not the right password"),
            ("no-password@example.com", PASSWORD),
            ("disabled@example.com", PASSWORD),
            ("disabled@example.com", "not the right password"),
            ("deleted@example.com", PASSWORD),
            ("deleted@example.com", "not the right password"),
        ];
        let mut answers = Vec::new();
        for (email, password) in attempts {
            let answer = client.post("/v1/auth/login", credentials(email, password)).await;
            answer.assert_error(401, "INVALID_CREDENTIALS");
            assert_eq!(answer.header("www-authenticate"), "", "it is no bearer challenge");
            answers.push((email, answer));
        }
        let (_, first) = &answers[0];
        for (email, answer) in &answers {
            assert_eq!(without_request_id(answer), without_request_id(first), "{email}");
            assert_eq!(names_and_sizes(answer), names_and_sizes(first), "{email}");
        }
        // The control: the right password of a live account is no refusal.
        sign_in_with(&client, "known@example.com", PASSWORD).await;
    }

    async fn refused_refresh_tokens_read_the_same(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        let dead = newcomer(&client, "dead@example.com").await;
        client.post("/v1/auth/logout", dead.refresh_body()).await.expect(204);
        let disabled = newcomer(&client, "off@example.com").await;
        sql(&store, "UPDATE authkit_users SET status = 'disabled', disabled_at = 1 WHERE email = 'off@example.com'").await;
        let cut = &disabled.refresh[..disabled.refresh.len() - 3];
        let mut bodies = std::collections::BTreeSet::new();
        for token in [dead.refresh.as_str(), &disabled.refresh, cut, "akr_", "", "x"] {
            let answer = crate::app::refresh(&client, token).await;
            if token.is_empty() && answer.status == 422 {
                continue;
            }
            answer.assert_error(401, "REFRESH_INVALID");
            bodies.insert(without_request_id(&answer));
        }
        assert_eq!(bodies.len(), 1, "{bodies:?}");
    }

    async fn spellings_of_one_address_are_one_account(store: Store) {
        let server = serve(&store, &[]).await;
        let client = server.client();
        sign_up(&client, "Jo.Straße@Example.com").await;
        for email in ["jo.straße@example.com", " JO.STRASSE@EXAMPLE.COM ", "jo.strasse@example.com"] {
            sign_in_with(&client, email, PASSWORD).await;
            let again = client.post("/v1/auth/signup", crate::app::person(email)).await;
            again.assert_error(409, "CONFLICT");
        }
    }
}

fn names_and_sizes(answer: &Answer) -> Vec<(String, usize)> {
    let mut all: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.len())).collect();
    all.sort();
    all
}
